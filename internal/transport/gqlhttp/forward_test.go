package gqlhttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/poll"
)

var nodeSecret = bytes.Repeat([]byte("s"), minSecret)

// nodes starts two nodes that forward to each other.
func nodes(t *testing.T, start func(*httptest.Server)) (a, b *fixture) {
	t.Helper()
	var both [2]*fixture
	for i := range both {
		both[i] = serveOn(t, poll.Options{}, func(c *Config) { c.Node = Node{Name: fmt.Sprint("n", i), Secret: nodeSecret} }, start)
		h := both[i].handler
		node, err := Node{Name: h.node.name, Secret: nodeSecret, Address: both[i].server.URL}.check()
		if err != nil {
			t.Fatal(err)
		}
		h.node = node
	}
	return both[0], both[1]
}

// Two nodes that share a secret forward what belongs to the other: to a client they are one.
func TestForward(t *testing.T) {
	a, b := nodes(t, func(s *httptest.Server) { s.Start() })
	token := a.reserve("Authorization: me")
	me := "Authorization: me"
	b.expectStatus("an operation at the other node", 202, post("", op("a", "orders"), token, me))
	b.expectStatus("an id in use", 409, post("", op("a", "orders"), token, me))
	b.expectStatus("somebody else", 403, post("", op("b", "orders"), token))
	b.expectStatus("a forged token", 421, post("", op("b", "orders"), token[:len(token)-1]+"_", me))
	b.expectStatus("a request that was forwarded", 421, post("", op("b", "orders"), token, me, forwardedHeader+": x"))
	b.expectStatus("a foreign page", 403, post("", op("b", "orders"), token, me, "Origin: https://evil.example"))
	if b.engine.live("orders") != 0 {
		t.Error("it began at the wrong node")
	}
	s := b.open(get("/graphql", "Accept: text/event-stream", token, me))
	a.engine.publish("orders", `1`)
	s.expect("event: next\ndata: {\"id\":\"a\",\"payload\":{\"data\":1}}\n\n")
	name := streamHeader + strings.TrimPrefix(token, tokenHeader)
	b.expectStatus("fresh credentials", 200, method("POST", "/graphql", name, me))
	b.expectStatus("those of somebody else", 403, method("POST", "/graphql", name, "Authorization: you"))
	b.expectStatus("those that are wrong", 401, method("POST", "/graphql", name, "Authorization: wrong"))
	b.expectStatus("a forged name", 421, method("POST", "/graphql", name[:len(name)-1]+"_", me))
	b.expectStatus("stop", 200, method("DELETE", "/graphql?operationId=a", token, me))
	if a.engine.live("orders") != 0 {
		t.Error("still live")
	}
	done := make(chan error)
	go func() { done <- b.handler.Drain(t.Context(), 0) }()
	if _, err := s.end(); err == nil {
		t.Error("the stream is complete")
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	a.gone()

	token = a.reserve()
	a.server.Close()
	fresh := serve(t, poll.Options{}, func(c *Config) { c.Node = Node{Name: "n2", Secret: nodeSecret} })
	fresh.expectStatus("a node that is gone", 503, post("", op("a", "orders"), token))
}

// Streams that are forwarded take no connection from what is answered once.
func TestForwardManyStreams(t *testing.T) {
	a, b := nodes(t, func(s *httptest.Server) { s.Start() })
	caller, token := a.dial(), ""
	for range peerConns {
		caller.send(method("PUT", "/graphql"))
		res := caller.answer()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusCreated {
			t.Fatalf("%s %s %v", res.Status, body, err)
		}
		token = tokenHeader + ": " + string(body)
		b.open(get("/graphql", "Accept: text/event-stream", token))
	}
	b.expectStatus("an operation at the other node", 202, post("", op("a", "orders"), token))
	for accept, lasts := range map[string]bool{"": false, "text/event-stream": true} {
		x := &exchange{h: b.handler, r: httptest.NewRequest(http.MethodPost, "/graphql", nil), accept: parseAccept([]string{accept})}
		ctx, cancel, _ := b.handler.forward.way(x)
		cancel()
		if _, ends := ctx.Deadline(); ends == lasts {
			t.Errorf("%q: has a time limit: %v", accept, ends)
		}
	}
}

// What is set around both nodes is there once, and what each adds is kept.
func TestForwardedHeaders(t *testing.T) {
	a, b := nodes(t, func(s *httptest.Server) {
		h := s.Config.Handler
		s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Access-Control-Allow-Origin", "https://app.example")
			w.Header().Add("Vary", "Origin")
			w.Header().Add("Set-Cookie", "node="+s.Listener.Addr().String())
			w.Header().Set("X-Outer", "kept")
			if r.Header.Get(forwardedHeader) != "" {
				w.Header().Del("X-Outer")
			}
			h.ServeHTTP(w, r)
		})
		s.Start()
	})
	token := a.reserve()
	operation, _ := b.ask(post("", op("a", "orders"), token))
	stream := b.open(get("/graphql", "Accept: text/event-stream", token))
	for _, res := range []*http.Response{operation, stream.res} {
		if got := res.Header.Values("Access-Control-Allow-Origin"); len(got) != 1 {
			t.Errorf("Access-Control-Allow-Origin: %q", got)
		}
		if got := res.Header.Values("Set-Cookie"); len(got) != 2 {
			t.Errorf("Set-Cookie: %q", got)
		}
		if got := res.Header.Values("Vary"); !slices.Contains(got, "Origin") || res.Header.Get("X-Outer") != "kept" {
			t.Errorf("%v", res.Header)
		}
	}
}

// Closing ends what is forwarded to a client that does not read, though the node that had the stream has cut it long since.
func TestForwardToASlowClient(t *testing.T) {
	a, b := nodes(t, func(s *httptest.Server) { s.Start() })
	a.engine.policy.Messages = 10
	token := a.reserve()
	a.expectStatus("an operation", 202, post("", op("a", "orders"), token))
	b.open(get("/graphql", "Accept: text/event-stream", token))
	payload := `"` + strings.Repeat("x", 256<<10) + `"`
	await(t, "the slow one is cut", func() bool { return a.engine.publish("orders", payload) == 0 })
	a.gone()
	closed := make(chan struct{})
	go func() { b.handler.Close(); close(closed) }()
	await(t, "closed", func() bool {
		select {
		case <-closed:
			return true
		default:
			return false
		}
	})
}

// deadlines is a response that notes which deadlines it is given, and when it is written to.
type deadlines struct {
	http.ResponseWriter
	said []string
}

func (d *deadlines) SetWriteDeadline(until time.Time) error {
	switch left := time.Until(until); {
	case until.IsZero():
		d.said = append(d.said, "none")
	case left > flowLinger:
		d.said = append(d.said, "long")
	default:
		d.said = append(d.said, "short")
	}
	return nil
}

func (d *deadlines) Write(p []byte) (int, error) {
	d.said = append(d.said, "write")
	return len(p), nil
}

func (d *deadlines) FlushError() error {
	d.said = append(d.said, "flush")
	return nil
}

// Each write has its time, until one is the last.
func TestForwardedWritesAreBounded(t *testing.T) {
	d := &deadlines{}
	p := &passage{func() {}, newFlow(d)}
	w := patient{d, p.flow}
	write := func() {
		if _, err := w.Write([]byte("x")); err != nil {
			t.Error(err)
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
	}
	write()
	p.end(flowLinger)
	write()
	if got, want := strings.Join(d.said, " "), "long write none long flush none short write flush"; got != want {
		t.Errorf("%s, want %s", got, want)
	}

	a, b := nodes(t, func(s *httptest.Server) { s.Start() })
	r := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader("{}"))
	r.Header.Set("Content-Type", "application/json")
	name, token, _ := strings.Cut(a.reserve(), ": ")
	r.Header.Set(name, token)
	d = &deadlines{ResponseWriter: httptest.NewRecorder()}
	b.handler.ServeHTTP(d, r)
	if got := strings.Join(d.said, " "); !strings.Contains(got, "long write none") {
		t.Errorf("a request that is forwarded: %s", got)
	}

	r = httptest.NewRequest(http.MethodDelete, "/graphql?operationId=a", nil)
	r.Header.Set(name, token)
	d = &deadlines{ResponseWriter: httptest.NewRecorder()}
	b.handler.ServeHTTP(d, r)
	if len(d.said) == 0 || d.said[len(d.said)-1] != "long" {
		t.Errorf("an answer without a body: %s", d.said)
	}
}

// A body that comes slowly takes no connection to the other node from other requests.
func TestForwardSlowBodies(t *testing.T) {
	a, b := nodes(t, func(s *httptest.Server) { s.Start() })
	b.handler.forward.answers.MaxConnsPerHost = 1
	token := a.reserve()
	slow, request := b.dial(), post("", op("slow", "orders"), token)
	slow.send(request[:len(request)-1])
	await(t, "the slow one is being read", func() bool { return b.handler.partial.Load() > 0 })
	b.expectStatus("an operation meanwhile", 202, post("", op("fast", "orders"), token))
	b.expectStatus("too long a body", 413, strings.Replace(post("", op("long", "orders"), token), "Content-Length: ", "Content-Length: 9999999", 1))
	slow.send(request[len(request)-1:])
	if res := slow.answer(); res.StatusCode != http.StatusAccepted {
		t.Errorf("the slow one: %s", res.Status)
	}
	if n := a.engine.live("orders"); n != 2 {
		t.Errorf("%d operations are live", n)
	}
	await(t, "no body is held", func() bool { return b.handler.partial.Load() == 0 })
}

// gates lets one in once it may.
type gates struct{ entered, open chan struct{} }

func (g *gates) Enter(string) (uint32, string, string) {
	g.entered <- struct{}{}
	<-g.open
	return 0, "", ""
}

func (g *gates) Leave(uint32) {}

// A request to another node that was let in just before a drain is sent away.
func TestForwardAdmittedBeforeADrain(t *testing.T) {
	a, b := nodes(t, func(s *httptest.Server) { s.Start() })
	token := a.reserve()
	g := &gates{make(chan struct{}), make(chan struct{})}
	b.handler.cfg.Gates = g
	c := b.dial()
	c.send(get("/graphql", "Accept: text/event-stream", token))
	<-g.entered
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.handler.Drain(over, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("a drain with a request under way: %v", err)
	}
	close(g.open)
	if res := c.answer(); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("it was answered: %s", res.Status)
	}
	b.gone()
}
