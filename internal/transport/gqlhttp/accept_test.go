package gqlhttp

import "testing"

func TestAccept(t *testing.T) {
	for _, c := range []struct {
		name    string
		headers []string
		want    accepted
	}{
		{"none", nil, accepted{formatJSON, formatNone, false}},
		{"empty", []string{""}, accepted{formatJSON, formatNone, false}},
		{"anything", []string{"*/*"}, accepted{formatJSON, formatNone, false}},
		{"any application", []string{"application/*"}, accepted{formatJSON, formatNone, false}},
		{"json", []string{"application/json"}, accepted{formatJSON, formatNone, false}},
		{"response", []string{"application/graphql-response+json"}, accepted{formatResponse, formatNone, false}},
		{"response first", []string{"application/graphql-response+json, application/json"}, accepted{formatResponse, formatNone, false}},
		{"by quality", []string{"application/graphql-response+json;q=0.4, application/json;q=0.8"}, accepted{formatJSON, formatNone, false}},
		{"none wanted", []string{"application/json;q=0, text/html"}, accepted{}},
		{"html", []string{"text/html,application/xhtml+xml"}, accepted{}},
		{"browser", []string{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, accepted{formatJSON, formatNone, false}},
		{"json excluded", []string{"*/*, application/json;q=0"}, accepted{formatResponse, formatNone, false}},
		{"sse", []string{"text/event-stream"}, accepted{formatNone, formatSSE, true}},
		{"sse in capitals", []string{"Text/Event-Stream"}, accepted{formatNone, formatSSE, true}},
		{"sse and anything", []string{"text/event-stream, */*;q=0.1"}, accepted{formatJSON, formatSSE, true}},
		{"a wildcard is no stream", []string{"text/*"}, accepted{}},
		{"Apollo Client", []string{"multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/graphql-response+json,application/json;q=0.9"}, accepted{formatResponse, formatMultipart, true}},
		{"Apollo's specification", []string{`multipart/mixed;subscriptionSpec="1.0", application/json`}, accepted{formatJSON, formatMultipart, true}},
		{"urql, subscription", []string{"text/event-stream, multipart/mixed"}, accepted{formatNone, formatSSE, true}},
		{"urql, query", []string{"application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed"}, accepted{formatResponse, formatSSE, false}},
		{"two headers", []string{"application/json;q=0.5", "multipart/mixed"}, accepted{formatJSON, formatMultipart, true}},
		{"comma in quotes", []string{`multipart/mixed;boundary="a,application/json";q=0.5`}, accepted{formatNone, formatMultipart, true}},
		{"bad quality", []string{"application/json;q=2, text/event-stream;q=x"}, accepted{formatJSON, formatNone, false}},
		{"NaN", []string{"application/json;q=NaN"}, accepted{formatJSON, formatNone, false}},
	} {
		if got := parseAccept(c.headers); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
