package gqlhttp

import "testing"

func TestAccept(t *testing.T) {
	for _, c := range []struct {
		name    string
		headers []string
		want    accepted
	}{
		{"none", nil, accepted{formatJSON, formatNone, false, false}},
		{"empty", []string{""}, accepted{formatJSON, formatNone, false, false}},
		{"anything", []string{"*/*"}, accepted{formatJSON, formatNone, false, false}},
		{"any application", []string{"application/*"}, accepted{formatJSON, formatNone, false, false}},
		{"json", []string{"application/json"}, accepted{formatJSON, formatNone, false, false}},
		{"response", []string{"application/graphql-response+json"}, accepted{formatResponse, formatNone, false, false}},
		{"response first", []string{"application/graphql-response+json, application/json"}, accepted{formatResponse, formatNone, false, false}},
		{"by quality", []string{"application/graphql-response+json;q=0.4, application/json;q=0.8"}, accepted{formatJSON, formatNone, false, false}},
		{"none wanted", []string{"application/json;q=0, text/html"}, accepted{}},
		{"html", []string{"text/html,application/xhtml+xml"}, accepted{}},
		{"browser", []string{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, accepted{formatJSON, formatNone, false, false}},
		{"json excluded", []string{"*/*, application/json;q=0"}, accepted{formatResponse, formatNone, false, false}},
		{"sse", []string{"text/event-stream"}, accepted{formatNone, formatSSE, true, true}},
		{"sse in capitals", []string{"Text/Event-Stream"}, accepted{formatNone, formatSSE, true, true}},
		{"sse and anything", []string{"text/event-stream, */*;q=0.1"}, accepted{formatJSON, formatSSE, true, true}},
		{"a wildcard is no stream", []string{"text/*"}, accepted{}},
		{"Apollo Client", []string{"multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/graphql-response+json,application/json;q=0.9"}, accepted{formatResponse, formatMultipart, true, false}},
		{"Apollo's specification", []string{`multipart/mixed;subscriptionSpec="1.0", application/json`}, accepted{formatJSON, formatMultipart, true, false}},
		{"urql, subscription", []string{"text/event-stream, multipart/mixed"}, accepted{formatNone, formatSSE, true, true}},
		{"urql, query", []string{"application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed"}, accepted{formatResponse, formatSSE, false, false}},
		{"two headers", []string{"application/json;q=0.5", "multipart/mixed"}, accepted{formatJSON, formatMultipart, true, false}},
		{"comma in quotes", []string{`multipart/mixed;boundary="a,application/json";q=0.5`}, accepted{formatNone, formatMultipart, true, false}},
		{"events after an answer", []string{"application/json, text/event-stream;q=0.5"}, accepted{formatJSON, formatSSE, false, false}},
		{"parts, then events", []string{"multipart/mixed, text/event-stream"}, accepted{formatNone, formatMultipart, true, true}},
		{"parts of another version", []string{"multipart/mixed;subscriptionSpec=2.0"}, accepted{}},
		{"parts of another version, and JSON", []string{`multipart/mixed; SubscriptionSpec="1.1", application/json;q=0.1`}, accepted{formatJSON, formatNone, false, false}},
		{"parts for @defer", []string{"multipart/mixed;deferSpec=20220824, application/json"}, accepted{formatJSON, formatMultipart, true, false}},
		{"bad quality", []string{"application/json;q=2, text/event-stream;q=x"}, accepted{formatJSON, formatNone, false, false}},
		{"NaN", []string{"application/json;q=NaN"}, accepted{formatJSON, formatNone, false, false}},
	} {
		if got := parseAccept(c.headers); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestTakesText(t *testing.T) {
	for accept, want := range map[string]bool{
		"*/*": true, "text/*": true, "Text/Plain": true, "text/html, text/plain;q=0.1": true, "text/html, */*;q=0.1": true, "nonsense": true,
		"text/html": false, "application/json": false, "*/*, text/plain;q=0": false, "text/*;q=0, */*": false,
	} {
		if got := takesText([]string{accept}); got != want {
			t.Errorf("%s: %v", accept, got)
		}
	}
	if !takesText(nil) || !takesText([]string{"text/html", "text/plain"}) {
		t.Error("no header, or two of them")
	}
}
