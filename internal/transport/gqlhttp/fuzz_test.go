package gqlhttp

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// FuzzAccept reads Accept headers: whatever comes out is one of our formats, and a stream was named.
func FuzzAccept(f *testing.F) {
	for _, s := range []string{"", "*/*", "text/event-stream, multipart/mixed", `multipart/mixed;boundary="a,b";q=0.5`, "application/json;q=1e9", ";q=,;;\",", "a/b;q=\"\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		a := parseAccept([]string{header})
		lower := strings.ToLower(header)
		switch {
		case a.once != formatNone && a.once != formatJSON && a.once != formatResponse, a.stream != formatNone && a.stream != formatSSE && a.stream != formatMultipart:
			t.Errorf("%q: %+v", header, a)
		case a.stream != formatNone && !strings.Contains(lower, mediaTypes[a.stream]):
			t.Errorf("%q: a stream that nobody named: %+v", header, a)
		case a.streamFirst && a.stream == formatNone:
			t.Errorf("%q: %+v", header, a)
		}
	})
}

// FuzzBody reads request bodies beside encoding/json: what we take, it takes with the same members.
func FuzzBody(f *testing.F) {
	for _, s := range []string{`{"query":"{x}"}`, `{"query":"\ud800","variables":{"a":[1]},"extensions":null,"operationName":"n"}`, `[]`, ``, `{"query":1}`, `{"query":"a","query":"b"}`, `{"query":"q","extensions":{"resume":true}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		req, no := parseBody(body, 1<<20)
		if no != nil {
			if no.status != 400 || no.message == "" {
				t.Errorf("%q: %+v", body, no)
			}
			return
		}
		var doc struct {
			Query                 *string         `json:"query"`
			Variables, Extensions json.RawMessage `json:",omitempty"`
		}
		if err := json.Unmarshal(body, &doc); err != nil {
			t.Fatalf("%q: taken, but %v", body, err)
		}
		for _, text := range [][]byte{req.Variables, req.Extensions} {
			var tape jsontape.Tape
			if text != nil && (tape.Parse(text, jsontape.Limits{}) != nil || tape.Kind(jsontape.Root) != jsontape.Object) {
				t.Errorf("%q: %q is no object", body, text)
			}
		}
	})
}

// FuzzQuery reads query strings.
func FuzzQuery(f *testing.F) {
	for _, s := range []string{"query={x}", "query=a&query=b", "query=x&variables={}&extensions={\"operationId\":\"1\"}", "%zz", "query=%ff&variables=[", ";&="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		req, no := parseQuery(raw, 1<<20)
		if (req == nil) == (no == nil) {
			t.Fatalf("%q: %+v, %+v", raw, req, no)
		}
		if req != nil && req.Variables != nil && !json.Valid(req.Variables) {
			t.Errorf("%q: variables %q", raw, req.Variables)
		}
		if req != nil {
			_, _ = operationID(req.Extensions)
		}
	})
}

// FuzzToken reads tokens: none that we have not issued is genuine.
func FuzzToken(f *testing.F) {
	n, err := Node{Name: "a", Secret: []byte(strings.Repeat("s", 32)), Address: "http://10.0.0.1"}.check()
	if err != nil {
		f.Fatal(err)
	}
	issued := n.issue(streamID{1})
	for _, s := range []string{"", "a...", "a.b.c.d", issued, issued + "=", issued[:len(issued)-1], strings.ToUpper(issued)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		token, ok := n.parse(text)
		if token.genuine && (!ok || n.issue(token.id) != text) {
			t.Errorf("%q is genuine", text)
		}
		if ok && !isName(token.node) {
			t.Errorf("%q: node %q", text, token.node)
		}
	})
}
