package gqlhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/observe"
)

const (
	parts = "multipart/mixed;subscriptionSpec=1.0, application/json"
	// abrupt is how a body ends that is not complete.
	abrupt = "unexpected EOF"
)

// both implementations of a poller carry the same streams.
func each(t *testing.T, run func(t *testing.T, o poll.Options)) {
	t.Run("epoll", func(t *testing.T) { run(t, poll.Options{}) })
	t.Run("portable", func(t *testing.T) { run(t, poll.Options{Portable: true}) })
}

func TestEvents(t *testing.T) {
	each(t, func(t *testing.T, o poll.Options) {
		f := serve(t, o, nil)
		s := f.sse("orders")
		if got := s.res.Header.Get("Content-Type"); got != "text/event-stream; charset=utf-8" {
			t.Errorf("Content-Type %q", got)
		}
		long := strings.Repeat("x", 100<<10)
		for i := range 3 {
			if f.engine.publish("orders", fmt.Sprintf(`{"n":%d}`, i)) != 1 || f.engine.publish("orders", `"`+long+`"`) != 1 {
				t.Fatal("not subscribed")
			}
			s.expect(fmt.Sprintf("event: next\ndata: {\"data\":{\"n\":%d}}\n\n", i))
			s.expect("event: next\ndata: {\"data\":\"" + long + "\"}\n\n")
		}
		f.engine.send("orders", &queue.Message{End: true})
		s.expect("event: complete\ndata:\n\n")
		if rest, err := s.end(); rest != "" || err != nil {
			t.Errorf("after complete: %q, %v", rest, err)
		}
		f.gone()
		if f.engine.live("orders") != 0 || f.tally.count(observe.ConnectionsOpened, "sse") != 1 || f.tally.count(observe.ConnectionsClosed, "1000") != 1 {
			t.Errorf("%d live, counted %v", f.engine.live("orders"), f.tally.n)
		}
	})
}

func TestParts(t *testing.T) {
	each(t, func(t *testing.T, o poll.Options) {
		f := serve(t, o, nil)
		s := f.open(post(parts, query("orders")))
		if got := s.res.Header.Get("Content-Type"); got != `multipart/mixed;boundary="graphql";subscriptionSpec=1.0` {
			t.Errorf("Content-Type %q", got)
		}
		f.engine.publish("orders", `{"n":1}`)
		s.expect("\r\nContent-Type: application/json\r\n\r\n{\"payload\":{\"data\":{\"n\":1}}}\r\n--graphql")
		f.engine.send("orders", &queue.Message{End: true})
		s.expect("--\r\n")
		if rest, err := s.end(); rest != "" || err != nil {
			t.Errorf("after the last boundary: %q, %v", rest, err)
		}
		f.gone()
		if f.tally.count(observe.ConnectionsOpened, "multipart") != 1 {
			t.Errorf("counted %v", f.tally.n)
		}
	})
}

// Headers keep proxies and clients from holding results back, and say that a stream is one.
func TestStreamHeaders(t *testing.T) {
	f := serve(t, poll.Options{}, nil)
	open := map[string]*http.Response{
		"distinct": f.sse("orders").res,
		"by GET":   f.open(get("/graphql?query=orders", "Accept: text/event-stream")).res,
		"single":   f.open(get("/graphql", "Accept: text/event-stream", f.reserve())).res,
		"parts":    f.open(post(parts, query("orders"))).res,
	}
	open["whole"], _ = f.ask(post("text/event-stream", query("{x}")))
	open["parts, whole"], _ = f.ask(post("multipart/mixed", query("{x}")))
	for name, res := range open {
		want := map[string]string{
			"Content-Type": "text/event-stream; charset=utf-8", "Content-Encoding": "none", "Cache-Control": "no-cache, no-store, no-transform",
			"X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff", "Vary": "Accept", "Connection": "keep-alive",
		}
		whole := strings.HasSuffix(name, "whole")
		if whole { // net/http's own, which stays open without saying so
			want["Connection"] = ""
		}
		if strings.HasPrefix(name, "parts") {
			want["Content-Type"], want["Content-Encoding"] = `multipart/mixed;boundary="graphql";subscriptionSpec=1.0`, ""
		}
		for header, value := range want {
			if got := res.Header.Get(header); got != value {
				t.Errorf("%s: %s is %q, want %q", name, header, got, value)
			}
		}
		if chunked := len(res.TransferEncoding) == 1 && res.TransferEncoding[0] == "chunked"; chunked == whole || res.Close {
			t.Errorf("%s: transfer encoding %v, close %v", name, res.TransferEncoding, res.Close)
		}
	}
}

// Silence lasts as long as that of the reference implementations, unless it is configured.
func TestDefaultPings(t *testing.T) {
	if c := (Config{}).withDefaults(); c.SSEPing != 12*time.Second || c.MultipartPing != 5*time.Second {
		t.Errorf("events %v, parts %v", c.SSEPing, c.MultipartPing)
	}
}

// An error that ends a subscription is told before the end.
func TestErrorEnds(t *testing.T) {
	f := serve(t, poll.Options{}, nil)
	for accept, want := range map[string]string{
		"text/event-stream": "event: next\ndata: {\"errors\":[{\"message\":\"m\"}]}\n\nevent: complete\ndata:\n\n",
		parts:               "\r\nContent-Type: application/json\r\n\r\n{\"payload\":null,\"errors\":[{\"message\":\"m\"}]}\r\n--graphql--\r\n",
	} {
		s := f.open(post(accept, query("orders")))
		f.engine.send("orders", &queue.Message{End: true, Payload: []byte(`[{"message":"m"}]`)})
		s.expect(want)
		if rest, err := s.end(); rest != "" || err != nil {
			t.Errorf("%s: %q, %v", accept, rest, err)
		}
	}
}

// A subscriber that asked for extensions gets the cursor as the event's id, too.
func TestCursor(t *testing.T) {
	f := serve(t, poll.Options{}, nil)
	m := &queue.Message{Payload: []byte(`{"data":{"n":1}`), Extra: &queue.Extra{Cursor: []byte("c-1")}}
	s := f.open(post("text/event-stream", `{"query":"orders","extensions":{"resume":true}}`))
	other := f.open(post("text/event-stream", `{"query":"orders"}`))
	part := f.open(post(parts, `{"query":"orders","extensions":{"resume":true}}`))
	f.engine.send("orders", m)
	s.expect("id: c-1\nevent: next\ndata: {\"data\":{\"n\":1},\"extensions\":{\"cursor\":\"c-1\"}}\n\n")
	other.expect("event: next\ndata: {\"data\":{\"n\":1}}\n\n")
	part.expect("\r\nContent-Type: application/json\r\n\r\n{\"payload\":{\"data\":{\"n\":1},\"extensions\":{\"cursor\":\"c-1\"}}}\r\n--graphql")
}

// HTTP/1.0 has no chunks: the end of the connection is the end of the body.
func TestHTTP10(t *testing.T) {
	f := serve(t, poll.Options{}, nil)
	s := f.open(strings.Replace(post("text/event-stream", query("orders")), "HTTP/1.1", "HTTP/1.0", 1))
	if len(s.res.TransferEncoding) > 0 || !s.res.Close {
		t.Errorf("transfer encoding %v, close %v", s.res.TransferEncoding, s.res.Close)
	}
	f.engine.publish("orders", `1`)
	f.engine.send("orders", &queue.Message{End: true})
	s.expect("event: next\ndata: {\"data\":1}\n\nevent: complete\ndata:\n\n")
	if rest, err := s.end(); rest != "" || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
}

// EventSource sends a GET request.
func TestEventSource(t *testing.T) {
	f := serve(t, poll.Options{}, nil)
	s := f.open(get(`/graphql?query=orders&variables={"a":1}`, "Accept: text/event-stream", "Cache-Control: no-cache", "Last-Event-ID: c-7"))
	f.engine.publish("orders", `1`)
	s.expect("event: next\ndata: {\"data\":1}\n\n")
	if got := string(f.engine.last.Variables); got != `{"a":1}` {
		t.Errorf("variables %s", got)
	}
	if got := f.engine.last.Resume; got == nil || got.Cursor != "c-7" {
		t.Errorf("resumes at %v", got)
	}
}

// A client ends its subscription by leaving.
func TestClientLeaves(t *testing.T) {
	each(t, func(t *testing.T, o poll.Options) {
		f := serve(t, o, nil)
		for _, accept := range []string{"text/event-stream", parts} {
			s := f.open(post(accept, query("orders")))
			s.Close()
			f.gone()
			if n := f.engine.live("orders"); n != 0 {
				t.Errorf("%s: %d live", accept, n)
			}
		}
		if f.tally.count(observe.ConnectionsClosed, "1000") != 2 {
			t.Errorf("counted %v", f.tally.n)
		}
	})
}

// Silence is interrupted by comments and heartbeats, which end once results flow.
func TestPings(t *testing.T) {
	each(t, func(t *testing.T, o poll.Options) {
		f := serve(t, o, func(c *Config) { c.SSEPing, c.MultipartPing = 20*time.Millisecond, 30*time.Millisecond })
		s, part := f.sse("orders"), f.open(post(parts, query("orders")))
		for range 3 {
			s.expect(":\n\n")
			part.expect("\r\nContent-Type: application/json\r\n\r\n{}\r\n--graphql")
		}
	})
}

// Credentials that expire end a stream so that the client comes back: without complete, not even the last chunk.
func TestExpiry(t *testing.T) {
	each(t, func(t *testing.T, o poll.Options) {
		f := serve(t, o, nil)
		f.engine.expires = time.Now().Add(time.Second)
		for _, accept := range []string{"text/event-stream", parts} {
			s := f.open(post(accept, query("orders")))
			if rest, err := s.end(); rest != "" || err == nil || err.Error() != abrupt {
				t.Errorf("%s: %q, %v", accept, rest, err)
			}
		}
		if time.Now().Before(f.engine.expires) {
			t.Error("too early")
		}
		f.gone()
		if f.tally.count(observe.ConnectionsClosed, "4403") != 2 {
			t.Errorf("counted %v", f.tally.n)
		}
	})
}

// A client that does not read is cut, without complete; the others notice nothing.
func TestSlowConsumer(t *testing.T) {
	each(t, func(t *testing.T, o poll.Options) {
		f := serve(t, o, nil)
		f.engine.policy.Messages = 10
		for _, accept := range []string{"text/event-stream", parts} {
			slow, good := f.open(post(accept, query("orders"))), f.open(post(accept, query("other")))
			payload := `"` + strings.Repeat("x", 256<<10) + `"`
			await(t, "the slow one is cut", func() bool { return f.engine.publish("orders", payload) == 0 })
			f.engine.publish("other", `1`)
			if accept == parts {
				good.expect("\r\nContent-Type: application/json\r\n\r\n{\"payload\":{\"data\":1}}\r\n--graphql")
			} else {
				good.expect("event: next\ndata: {\"data\":1}\n\n")
			}
			good.Close()
			rest, err := slow.end()
			if err == nil || strings.Contains(rest, "complete") || strings.HasSuffix(rest, lastPart) {
				t.Errorf("%s: the slow one's stream is complete: %v", accept, err)
			}
		}
		f.gone()
		if f.tally.count(observe.ConnectionsClosed, "4290") != 2 {
			t.Errorf("counted %v", f.tally.n)
		}
	})
}

// A drain ends streams after what waits for them, so that clients come back; nothing new is let in.
func TestDrain(t *testing.T) {
	each(t, func(t *testing.T, o poll.Options) {
		f := serve(t, o, nil)
		streams := []*stream{f.sse("orders"), f.open(post(parts, query("orders"))), f.sse("orders")}
		f.engine.publish("orders", `1`)
		done := make(chan error)
		go func() { done <- f.handler.Drain(t.Context(), 50*time.Millisecond) }()
		for _, s := range streams {
			rest, err := s.end()
			if !strings.Contains(rest, `{"data":1}`) || strings.Contains(rest, "complete") || err == nil || err.Error() != abrupt {
				t.Errorf("%q, %v", rest, err)
			}
			s.Close()
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if res, _ := f.ask(post("text/event-stream", query("orders"))); res.StatusCode != 503 {
			t.Errorf("after the drain: %s", res.Status)
		}
		if f.tally.count(observe.ConnectionsClosed, "1012") != 3 || f.tally.count(observe.ConnectionsRefused, "draining") != 1 {
			t.Errorf("counted %v", f.tally.n)
		}
	})
}

func TestDrainTimeout(t *testing.T) {
	f := serve(t, poll.Options{}, nil)
	f.sse("orders")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.handler.Drain(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("Drain: %v", err)
	}
}

// Streams count for the bound of connections, with those of others.
func TestMaxConnections(t *testing.T) {
	f := serve(t, poll.Options{}, func(c *Config) { c.MaxConnections, c.Others = 3, func() int { return 1 } })
	a := f.sse("orders")
	f.sse("orders")
	for _, raw := range []string{post("text/event-stream", query("orders")), strings.Replace(get("/graphql"), "GET", "PUT", 1)} {
		if res, _ := f.ask(raw); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
			t.Errorf("%s", res.Status)
		}
	}
	if f.tally.count(observe.ConnectionsRefused, "limit") != 2 {
		t.Errorf("counted %v", f.tally.n)
	}
	a.Close()
	await(t, "one has left", func() bool { return f.handler.Connections() == 1 })
	f.sse("orders")
}

// What a client sends behind its request is never answered, and much of it ends the stream: neither a pipelined request
// nor garbage reaches anybody.
func TestBehindTheRequest(t *testing.T) {
	each(t, func(t *testing.T, o poll.Options) {
		f := serve(t, o, nil)
		s := f.open(post("text/event-stream", query("orders")) + post("text/event-stream", query("smuggled")))
		s.send("garbage \x00\xff\r\n\r\nGET / HTTP/1.1\r\n\r\n")
		f.engine.publish("orders", `1`)
		s.expect("event: next\ndata: {\"data\":1}\n\n")
		if f.engine.live("smuggled") != 0 {
			t.Error("a pipelined request was answered")
		}
		_, _ = io.WriteString(s, strings.Repeat("x", maxExcess)) // the end may come before all is written
		if _, err := s.end(); err == nil {
			t.Error("the stream is complete")
		}
		f.gone()
	})
}

// Headers that name the length twice, or in two ways, are no request: net/http refuses them, and nothing is smuggled.
func TestAmbiguousLength(t *testing.T) {
	f := serve(t, poll.Options{}, nil)
	for _, raw := range []string{
		post("text/event-stream", query("orders"), "Content-Length: 3"),
		strings.Replace(post("text/event-stream", query("orders"), "Transfer-Encoding: chunked"), "Content-Length: ", "Content-Length: 3\r\nContent-Length: ", 1),
		post("text/event-stream", query("orders"), "Transfer-Encoding: identity, chunked"),
	} {
		if res, _ := f.ask(raw); res.StatusCode < 400 {
			t.Errorf("%q: %s", raw, res.Status)
		}
	}
	if f.engine.live("orders") != 0 {
		t.Error("subscribed")
	}
}

// Closing cuts what is open.
func TestClose(t *testing.T) {
	each(t, func(t *testing.T, o poll.Options) {
		f := serve(t, o, nil)
		s := f.sse("orders")
		f.handler.Close()
		if err := f.poller.Close(); err != nil {
			t.Error(err)
		}
		if _, err := s.end(); err == nil {
			t.Error("the stream is complete")
		}
		f.gone()
		if res, _ := f.ask(post("text/event-stream", query("orders"))); res.StatusCode != 503 {
			t.Errorf("after Close: %s", res.Status)
		}
	})
}
