package fraiseql

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/identity"
)

// host drives exchanges as an ASGI server does.
type host struct {
	t    *testing.T
	x    *Exchange
	wake chan struct{}
	more []Outgoing
}

func ask(t *testing.T, s *Sessions, accept, query string, headers ...string) *host {
	t.Helper()
	h := &host{t: t, wake: make(chan struct{}, 1)}
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(string(body)))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", accept)
	for _, one := range headers {
		name, value, _ := strings.Cut(one, ": ")
		r.Header.Set(name, value)
	}
	h.x, err = s.OpenHTTP(r, "value of the host", func() { h.wake <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.x.Close)
	return h
}

// next is the next thing to send.
func (h *host) next() Outgoing {
	h.t.Helper()
	for len(h.more) == 0 {
		select {
		case <-h.wake:
			h.more, _ = h.x.Take(nil, 0)
		case <-time.After(10 * time.Second):
			h.t.Fatal("nothing to take")
		}
	}
	first := h.more[0]
	h.more = h.more[1:]
	return first
}

// body reads pieces until they hold a text.
func (h *host) body(text string) (all string) {
	h.t.Helper()
	for !strings.Contains(all, text) {
		o := h.next()
		if o.Kind != OutgoingText {
			h.t.Fatalf("after %q: %+v", all, o)
		}
		all += string(o.Data)
	}
	return all
}

func (h *host) head(status uint16) {
	h.t.Helper()
	if o := h.next(); o.Kind != OutgoingHead || o.Code != status {
		h.t.Fatalf("%+v, want status %d", o, status)
	}
}

func (h *host) end(code uint16) {
	h.t.Helper()
	for {
		if o := h.next(); o.Kind == OutgoingClose {
			if (o.Code == 1000) != (code == 1000) {
				h.t.Errorf("ended with %d, want %d", o.Code, code)
			}
			return
		}
	}
}

// rest is the body up to its end, which must break off.
func (h *host) rest() (all string) {
	h.t.Helper()
	for {
		switch o := h.next(); {
		case o.Kind == OutgoingClose && o.Code == 1000:
			h.t.Error("the answer is complete")
			return all
		case o.Kind == OutgoingClose:
			return all
		default:
			all += string(o.Data)
		}
	}
}

func exchanges(t *testing.T, cfg HandlerConfig) (*Engine, *Sessions) {
	t.Helper()
	return exchangesOf(t, Config{}, cfg)
}

func exchangesOf(t *testing.T, of Config, cfg HandlerConfig) (*Engine, *Sessions) {
	t.Helper()
	e, err := New(of)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil { // the test's context is over
			t.Error(err)
		}
	})
	s, err := e.Sessions(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e, s
}

func publishTo(t *testing.T, e *Engine, data string) {
	t.Helper()
	if _, err := e.Publish(t.Context(), Event{Channel: "orders", Type: "t", Data: []byte(data)}); err != nil {
		t.Fatal(err)
	}
}

func TestExchange(t *testing.T) {
	e, s := exchanges(t, HandlerConfig{Anonymous: true})
	sse, part := ask(t, s, "text/event-stream", "subscription { orders }"), ask(t, s, "multipart/mixed", "subscription { orders }")
	for _, h := range []*host{sse, part} {
		h.head(200)
	}
	sse.body(":\n\n")
	part.body("--graphql")
	// Line breaks between the tokens of what was published do not break the lines of an event.
	publishTo(t, e, "{\"n\":\r\n1,\n\"text\":\"a\\nb\"}")
	sse.body("event: next\ndata: {\"data\":{\"orders\":{\"n\":1,\"text\":\"a\\nb\"}}}\n\n")
	part.body(`{"payload":{"data":{"orders":{"n":1,"text":"a\nb"}}}}`)
	if n := s.Connections(); n != 2 {
		t.Errorf("%d connections", n)
	}
	sse.x.Close()
	sse.x.Close()
	done := make(chan error)
	go func() { done <- e.Drain(t.Context(), 0) }()
	part.end(1012)
	if err := <-done; err != nil {
		t.Error(err)
	}
	refused := ask(t, s, "text/event-stream", "subscription { orders }")
	refused.head(503)
	refused.end(1000)
}

func TestExchangeAnswers(t *testing.T) {
	_, s := exchanges(t, HandlerConfig{Authenticator: byValue{}})
	for _, c := range []struct {
		accept, query, header string
		status                uint16
		body                  string
	}{
		{"application/json", "{ __typename }", "", 200, `{"data":{"__typename":"Query"}}`},
		{"application/graphql-response+json", "{", "", 400, "GRAPHQL_PARSE_FAILED"},
		{"text/event-stream", "subscription { a b }", "", 200, "event: complete"},
		{"text/event-stream", "subscription { a }", "Authorization: wrong", 401, "UNAUTHENTICATED"},
		{"text/event-stream", "subscription { a }", "Origin: https://evil.example", 403, "FORBIDDEN"},
	} {
		h := ask(t, s, c.accept, c.query, "X-None: none", c.header)
		h.head(c.status)
		h.body(c.body)
		h.end(1000)
	}
}

// byValue authenticates by what the host gave.
type byValue struct{}

func (byValue) Authenticate(_ context.Context, c Credentials) (*Identity, error) {
	if c.Request != "value of the host" || c.Authorization == "wrong" {
		return nil, &identity.Error{Reason: identity.Malformed}
	}
	return &Identity{UserID: "u"}, nil
}

// A host that does not take lets results wait in their queue, within its bounds; the end comes all the same.
func TestExchangeThatIsNotTaken(t *testing.T) {
	e, s := exchanges(t, HandlerConfig{Anonymous: true})
	h := ask(t, s, "text/event-stream", "subscription { orders }")
	h.head(200)
	h.body(":\n\n")
	data := `{"text":"` + strings.Repeat("x", 512<<10) + `"}`
	for range 20 {
		publishTo(t, e, data)
	}
	h.end(4290)
	if n := s.Connections(); n != 0 {
		t.Errorf("%d connections", n)
	}
	h.x.Close()
	if _, err := h.x.Write([]byte("x")); err != io.ErrClosedPipe {
		t.Errorf("Write after Close: %v", err)
	}
}

// Closing the engine ends what nobody takes.
func TestExchangeAtClose(t *testing.T) {
	e, s := exchanges(t, HandlerConfig{Anonymous: true})
	idle := ask(t, s, "text/event-stream", "subscription { orders }")
	stuck := ask(t, s, "text/event-stream", "subscription { orders }")
	idle.head(200)
	stuck.head(200)
	idle.body(":\n\n")
	publishTo(t, e, `{"text":"`+strings.Repeat("x", 512<<10)+`"}`)
	publishTo(t, e, `{"text":"`+strings.Repeat("x", 512<<10)+`"}`)
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
	idle.end(1001)
	if _, err := s.OpenHTTP(httptest.NewRequest(http.MethodGet, "/", nil), nil, func() {}); err != ErrDraining {
		t.Errorf("after Close: %v", err)
	}
}

// A host that stops lets each stream end after what waits for it.
func TestExchangeThatLeaves(t *testing.T) {
	e, s := exchanges(t, HandlerConfig{Anonymous: true})
	const events = 100
	for _, accept := range []string{"text/event-stream", "multipart/mixed"} {
		h := ask(t, s, accept, "subscription { orders }")
		h.head(200)
		publishTo(t, e, `{"n":"first"}`)
		h.body(`"first"`)
		// More than an exchange lets wait: the rest is in the queue.
		filler := strings.Repeat("x", exchangeBytes/16)
		for n := range events {
			publishTo(t, e, fmt.Sprintf(`{"n":%d,"text":%q}`, n, filler))
		}
		h.x.ShutAfter(1012, "again")
		h.x.ShutAfter(1012, "again")
		publishTo(t, e, `{"n":"late"}`)
		all := h.rest()
		for n := range events {
			at := strings.Index(all, fmt.Sprintf(`{"data":{"orders":{"n":%d,`, n))
			if at < 0 {
				t.Fatalf("%s: event %d did not come", accept, n)
			}
			all = all[at:]
		}
		if strings.Contains(all, "late") || strings.Contains(all, "complete") || strings.Contains(all, "--graphql--") {
			t.Errorf("%s: the end is %q", accept, all[len(filler):])
		}
	}
	if n := s.Connections(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

// One that is to leave before its stream has begun leaves as it begins; one answer is complete.
func TestExchangeThatLeavesBefore(t *testing.T) {
	stopped := make(chan struct{})
	_, s := exchanges(t, HandlerConfig{Authenticator: waiting(stopped)})
	stream, answer := ask(t, s, "text/event-stream", "subscription { orders }"), ask(t, s, "application/json", "{ __typename }")
	stream.x.ShutAfter(1012, "")
	answer.x.ShutAfter(1012, "")
	close(stopped)
	stream.head(200)
	stream.end(1012)
	answer.head(200)
	answer.end(1000)
}

// waiting authenticates everybody, later.
type waiting chan struct{}

func (w waiting) Authenticate(context.Context, Credentials) (*Identity, error) {
	<-w
	return &Identity{UserID: "u"}, nil
}

// A stream whose credentials do not say when they were issued is as old as its request.
func TestRevokedExchange(t *testing.T) {
	e, s := exchanges(t, HandlerConfig{Authenticator: byValue{}})
	h := ask(t, s, "text/event-stream", "subscription { orders }")
	h.head(200)
	h.body(":\n\n")
	if err := e.Revoke(t.Context(), Revocation{UserID: "u", IssuedBefore: time.Now().Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	later := ask(t, s, "text/event-stream", "subscription { orders }")
	later.head(200)
	later.body(":\n\n")
	publishTo(t, e, `{"n":1}`)
	h.body(`{"n":1}`)
	if err := e.Revoke(t.Context(), Revocation{UserID: "u"}); err != nil {
		t.Fatal(err)
	}
	h.rest()
	later.rest()
}

// A query that only the application answers is refused on the stream, as a mutation is.
func TestExchangeOfOtherQueries(t *testing.T) {
	const text = "type Query { hello: String } type Mutation { put: Int } type O { id: ID } type Subscription { orders: O }"
	_, s := exchangesOf(t, Config{Schema: []SchemaSource{{Name: "s.graphql", Text: text}}}, HandlerConfig{Anonymous: true})
	for _, query := range []string{"{ hello }", "mutation { put }"} {
		h := ask(t, s, "text/event-stream", query)
		h.head(200)
		if all := h.body("event: complete"); !strings.Contains(all, `"code":"GRAPHQL_VALIDATION_FAILED"`) {
			t.Errorf("%s: %s", query, all)
		}
	}
}
