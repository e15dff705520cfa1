package gqlhttp

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// method makes a request without a body.
func method(name, target string, headers ...string) string {
	return strings.Replace(get(target, headers...), "GET", name, 1)
}

// reserve returns the token of a single connection, as a header.
func (f *fixture) reserve(headers ...string) string {
	f.t.Helper()
	res, body := f.ask(method("PUT", "/graphql", headers...))
	if res.StatusCode != http.StatusCreated || res.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		f.t.Fatalf("PUT: %s %s", res.Status, body)
	}
	return tokenHeader + ": " + body
}

func op(id, query string) string {
	return fmt.Sprintf(`{"query":%q,"extensions":{"operationId":%q}}`, query, id)
}

// expectStatus asks and compares the status.
func (f *fixture) expectStatus(what string, want int, raw string) string {
	f.t.Helper()
	res, body := f.ask(raw)
	if res.StatusCode != want {
		f.t.Errorf("%s: %s %s, want %d", what, res.Status, body, want)
	}
	return body
}

func TestSingleConnection(t *testing.T) {
	each(t, func(t *testing.T, o poll.Options) {
		f := serve(t, o, nil)
		token := f.reserve()
		f.expectStatus("an operation before the stream", 202, post("", op("a", "orders"), token))
		f.expectStatus("a query before the stream", 202, post("", op("q", "{x}"), token))
		f.engine.publish("orders", `1`)
		s := f.open(get("/graphql", "Accept: text/event-stream", token))
		s.expect("event: next\ndata: {\"id\":\"q\",\"payload\":{\"data\":{\"__typename\":\"Query\"}}}\n\n")
		s.expect("event: next\ndata: {\"id\":\"a\",\"payload\":{\"data\":1}}\n\nevent: complete\ndata: {\"id\":\"q\"}\n\n")
		f.expectStatus("a second stream", 409, get("/graphql", "Accept: text/event-stream", token))
		f.expectStatus("PUT with the token", 409, method("PUT", "/graphql", token))

		f.expectStatus("an id in use", 409, post("", op("a", "other"), token))
		f.expectStatus("an operation", 202, post("", op(`ü"b`, "other"), token))
		f.expectStatus("an operation by GET", 202, get(`/graphql?query=third&extensions={"operationId":"c"}`, token))
		f.engine.publish("other", `2`)
		s.expect("event: next\ndata: {\"id\":\"ü\\\"b\",\"payload\":{\"data\":2}}\n\n")
		f.engine.send("other", &queue.Message{End: true})
		s.expect("event: complete\ndata: {\"id\":\"ü\\\"b\"}\n\n")
		f.expectStatus("an id that is free again", 202, post("", op(`ü"b`, "other"), token))
		f.engine.send("other", &queue.Message{End: true, Payload: []byte(`[{"message":"m"}]`)})
		s.expect("event: next\ndata: {\"id\":\"ü\\\"b\",\"payload\":{\"errors\":[{\"message\":\"m\"}]}}\n\nevent: complete\ndata: {\"id\":\"ü\\\"b\"}\n\n")

		f.expectStatus("stop", 200, method("DELETE", "/graphql?operationId=a", token))
		f.expectStatus("stop what is not there", 200, method("DELETE", "/graphql?operationId=nothing", token))
		if n := f.engine.live("orders"); n != 0 {
			t.Errorf("%d live after DELETE", n)
		}
		s.Close()
		f.gone()
		if n := f.engine.live("third"); n != 0 {
			t.Errorf("%d live after the stream's end", n)
		}
		f.expectStatus("an operation after the end", 404, post("", op("z", "orders"), token))
		if n := len(f.handler.singles.byID); n != 0 {
			t.Errorf("%d single connections are kept", n)
		}
	})
}

// The token may be in the query string, for EventSource.
func TestTokenInQuery(t *testing.T) {
	f := serve(t, poll.Options{}, nil)
	token := f.reserve()
	s := f.open(get("/graphql?token="+strings.TrimPrefix(token, tokenHeader+": "), "Accept: text/event-stream"))
	f.expectStatus("an operation", 202, post("", op("a", "orders"), token))
	f.engine.publish("orders", `1`)
	s.expect("event: next\ndata: {\"id\":\"a\",\"payload\":{\"data\":1}}\n\n")
}

// The stream is opened by GET or POST, for whoever takes events first.
func TestSingleStreamIsAskedFor(t *testing.T) {
	for name, raw := range map[string]func(token string) string{
		"POST":             func(token string) string { return post("text/event-stream", "", token) },
		"POST with a body": func(token string) string { return post("text/event-stream", op("z", "orders"), token) },
		"other media types": func(token string) string {
			return get("/graphql", "Accept: multipart/mixed, Text/Event-Stream;q=0.5, */*;q=0.1", token)
		},
		"header in capitals": func(token string) string {
			return get("/graphql", "ACCEPT: text/event-stream", strings.ToUpper(tokenHeader)+token[len(tokenHeader):])
		},
		"header and query": func(token string) string { return get("/graphql?token=nonsense", "Accept: text/event-stream", token) },
	} {
		t.Run(name, func(t *testing.T) {
			f := serve(t, poll.Options{}, nil)
			token := f.reserve("Accept: text/plain")
			s := f.open(raw(token))
			f.expectStatus("an operation", 202, post("application/json, text/event-stream;q=0.5", op("a", "orders"), token))
			f.engine.publish("orders", `1`)
			s.expect("event: next\ndata: {\"id\":\"a\",\"payload\":{\"data\":1}}\n\n")
		})
	}
}

func TestSingleRefusals(t *testing.T) {
	f := serve(t, poll.Options{}, func(c *Config) { c.Operations = 1; c.MessageBytes = 2000 })
	token := f.reserve("Authorization: me")
	me := "Authorization: me"
	for _, c := range []struct {
		name, raw string
		status    int
	}{
		{"no operationId", post("", query("orders"), token, me), 400},
		{"operationId is a number", post("", `{"query":"orders","extensions":{"operationId":1}}`, token, me), 400},
		{"empty operationId", post("", op("", "orders"), token, me), 400},
		{"long operationId", post("", op(strings.Repeat("x", 256), "orders"), token, me), 400},
		{"validation", post("application/json", op("a", "code GRAPHQL_VALIDATION_FAILED"), token, me), 400},
		{"syntax", post("", op("a", "code GRAPHQL_PARSE_FAILED"), token, me), 400},
		{"forbidden", post("", op("a", "code FORBIDDEN"), token, me), 403},
		{"mutation by GET", get(`/graphql?query=mutation{x}&extensions={"operationId":"a"}`, token, me), 405},
		{"form", strings.Replace(post("", "query=x", token, me), "application/json", "application/x-www-form-urlencoded", 1), 415},
		{"nothing acceptable", post("text/html", op("a", "orders"), token, me), 406},
		{"PATCH", method("PATCH", "/graphql", token, me), 405},
		{"somebody else", post("", op("a", "orders"), token, "Authorization: other"), 403},
		{"nobody", post("", op("a", "orders"), token), 403},
		{"wrong credentials", post("", op("a", "orders"), token, "Authorization: wrong"), 401},
		{"somebody else's stream", get("/graphql", "Accept: text/event-stream", token, "Authorization: other"), 403},
		{"events after an answer is an operation", post("application/json, text/event-stream;q=0.5", "{}", token, me), 400},
		{"only parts", post("multipart/mixed", op("a", "orders"), token, me), 406},
		{"HEAD", method("HEAD", "/graphql", token, me), 405},
		{"another token at DELETE", method("DELETE", "/graphql?operationId=a&token=nonsense", me), 404},
		{"a token that is not taken as text", method("PUT", "/graphql", "Accept: application/json, text/html", me), 406},
		{"DELETE without an id", method("DELETE", "/graphql", token, me), 400},
		{"a first operation", post("", op("a", "orders"), token, me), 202},
		{"one too many", post("", op("b", "orders"), token, me), 429},
		{"no token", post("", op("a", "orders"), tokenHeader+": nonsense", me), 404},
		{"a forged token", post("", op("a", "orders"), token[:len(token)-1]+"_", me), 404},
		{"another node's", post("", op("a", "orders"), strings.Replace(token, ": ", ": x", 1), me), 421},
		{"engine panics", strings.Replace(post("", op("p", "panic"), token, me), `"p"`, `"q"`, 1), 429},
	} {
		f.expectStatus(c.name, c.status, c.raw)
	}
}

// What is queued before the stream is open is bounded: beyond it the stream ends as a slow consumer's.
func TestBufferIsBounded(t *testing.T) {
	f := serve(t, poll.Options{}, nil)
	f.engine.policy.Messages = 3
	token := f.reserve()
	f.expectStatus("an operation", 202, post("", op("a", "orders"), token))
	for range 4 {
		f.engine.publish("orders", `1`)
	}
	s := f.open(get("/graphql", "Accept: text/event-stream", token))
	if rest, err := s.end(); rest != "" || err == nil {
		t.Errorf("%q, %v", rest, err)
	}
	s.Close()
	f.gone()
}

// Results of queries count for the same bound: nobody makes a server hold many for a stream that is not read.
func TestAnswersAreBounded(t *testing.T) {
	f := serve(t, poll.Options{}, func(c *Config) { c.Queue = &queue.Limits{Bytes: 100} })
	token := f.reserve()
	for i := range 10 {
		f.expectStatus("a query", 202, post("", op(fmt.Sprint(i), "{x}"), token))
	}
	s := f.open(get("/graphql", "Accept: text/event-stream", token))
	if rest, err := s.end(); rest != "" || err == nil {
		t.Errorf("%q, %v", rest, err)
	}
}

// A token that nobody uses is given up.
func TestReservationLapses(t *testing.T) {
	f := serve(t, poll.Options{}, func(c *Config) { c.OpenTimeout = 20 * time.Millisecond })
	token := f.reserve()
	f.gone()
	f.expectStatus("the stream", 404, get("/graphql", "Accept: text/event-stream", token))
	revoked := f.reserve("Authorization: revoked meanwhile")
	f.expectStatus("a stream that was revoked", 404, get("/graphql", "Accept: text/event-stream", revoked))
}

// An operation that is stopped before it is ready is answered by 204, and does not begin.
func TestStoppedBeforeReady(t *testing.T) {
	f := serve(t, poll.Options{}, nil)
	token := f.reserve()
	f.engine.hold = make(chan struct{})
	c := f.dial()
	c.send(post("", op("a", "orders"), token))
	await(t, "it is being prepared", func() bool {
		f.engine.mu.Lock()
		defer f.engine.mu.Unlock()
		return f.engine.last != nil
	})
	f.expectStatus("stop", 200, method("DELETE", "/graphql?operationId=a", token))
	close(f.engine.hold)
	if res := c.answer(); res.StatusCode != http.StatusNoContent {
		t.Errorf("%s", res.Status)
	}
	if f.engine.live("orders") != 0 {
		t.Error("it began")
	}
}

// So is a query that is stopped before its answer is there.
func TestQueryStoppedBeforeItsAnswer(t *testing.T) {
	f := serve(t, poll.Options{}, nil)
	token := f.reserve()
	f.engine.hold = make(chan struct{})
	c := f.dial()
	c.send(post("", op("q", "{x}"), token))
	await(t, "it is being prepared", func() bool {
		f.engine.mu.Lock()
		defer f.engine.mu.Unlock()
		return f.engine.last != nil
	})
	f.expectStatus("stop", 200, method("DELETE", "/graphql?operationId=q", token))
	close(f.engine.hold)
	if res := c.answer(); res.StatusCode != http.StatusNoContent {
		t.Errorf("%s", res.Status)
	}
}

// An id is in use from the moment that its operation is asked for.
func TestIDInPreparation(t *testing.T) {
	f := serve(t, poll.Options{}, nil)
	token := f.reserve()
	hold := make(chan struct{})
	f.engine.hold = hold
	c := f.dial()
	c.send(post("", op("a", "orders"), token))
	await(t, "it is being prepared", func() bool {
		f.engine.mu.Lock()
		defer f.engine.mu.Unlock()
		return f.engine.last != nil
	})
	f.expectStatus("the same id", 409, post("", op("a", "other"), token))
	close(hold)
	if res := c.answer(); res.StatusCode != http.StatusAccepted {
		t.Errorf("%s", res.Status)
	}
	if f.engine.live("orders") != 1 || f.engine.live("other") != 0 {
		t.Errorf("%d and %d live", f.engine.live("orders"), f.engine.live("other"))
	}
}

// The stream ends when the credentials of one of its operations do.
func TestSingleExpiry(t *testing.T) {
	each(t, func(t *testing.T, o poll.Options) {
		f := serve(t, o, nil)
		token := f.reserve()
		s := f.open(get("/graphql", "Accept: text/event-stream", token))
		f.engine.mu.Lock()
		f.engine.expires = time.Now().Add(time.Second)
		f.engine.mu.Unlock()
		f.expectStatus("an operation", 202, post("", op("a", "orders"), token))
		if rest, err := s.end(); rest != "" || err == nil {
			t.Errorf("%q, %v", rest, err)
		}
		s.Close()
		f.gone()
	})
}

// A drain gives reservations up and ends streams.
func TestDrainOfSingles(t *testing.T) {
	f := serve(t, poll.Options{}, nil)
	f.reserve()
	s := f.open(get("/graphql", "Accept: text/event-stream", f.reserve()))
	done := make(chan error)
	go func() { done <- f.handler.Drain(t.Context(), 0) }()
	if _, err := s.end(); err == nil {
		t.Error("the stream is complete")
	}
	s.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Without a shared secret the answer says which node it is.
func TestMisdirected(t *testing.T) {
	a := serve(t, poll.Options{}, func(c *Config) { c.Node.Name = "a" })
	b := serve(t, poll.Options{}, func(c *Config) { c.Node.Name = "b" })
	token := a.reserve()
	if !strings.HasPrefix(token, tokenHeader+": a.") {
		t.Errorf("%s", token)
	}
	res, body := b.ask(post("", op("a", "orders"), token))
	if res.StatusCode != http.StatusMisdirectedRequest || res.Header.Get(nodeHeader) != "a" {
		t.Errorf("%s, %s: %q", res.Status, body, res.Header.Get(nodeHeader))
	}
	res, body = b.ask(method("POST", "/graphql", streamHeader+strings.TrimPrefix(token, tokenHeader)))
	if res.StatusCode != http.StatusMisdirectedRequest || res.Header.Get(nodeHeader) != "a" {
		t.Errorf("fresh credentials: %s, %s: %q", res.Status, body, res.Header.Get(nodeHeader))
	}
}

func TestNode(t *testing.T) {
	secret := make([]byte, 32)
	for _, n := range []Node{
		{Name: "a.b"}, {Name: strings.Repeat("x", 64)}, {Secret: make([]byte, 31)}, {Address: "http://10.0.0.1:4000"},
		{Secret: secret, Address: "ftp://x"}, {Secret: secret, Address: "http://u:p@x"}, {Secret: secret, Address: "http://x/path"}, {Secret: secret, Address: "10.0.0.1"},
	} {
		if _, err := n.check(); err == nil {
			t.Errorf("%+v: no error", n)
		}
	}
	for _, n := range []Node{{}, {Name: "pod-1_A"}, {Secret: secret, Address: "https://10.0.0.1:4000/"}} {
		if _, err := n.check(); err != nil {
			t.Errorf("%+v: %v", n, err)
		}
	}
}
