package gqlhttp

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/observe"
)

// serveH2 starts a handler behind HTTP/2 without TLS.
func serveH2(t *testing.T, set func(*Config)) (*fixture, *http.Client) {
	t.Helper()
	f := serveOn(t, poll.Options{}, set, func(s *httptest.Server) {
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.Start()
	})
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	return f, &http.Client{Transport: transport}
}

// h2 sends a request and returns its answer as a stream.
func (f *fixture) h2(c *http.Client, method, accept, body string, headers ...string) *stream {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), method, "http://"+f.addr+"/graphql", strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", accept)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	res, err := c.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { res.Body.Close() })
	if res.ProtoMajor != 2 {
		f.t.Fatalf("answered over %s", res.Proto)
	}
	return &stream{&client{t: f.t}, res, bufio.NewReader(res.Body)}
}

func (s *stream) opened() *stream {
	s.t.Helper()
	if strings.HasPrefix(s.res.Header.Get("Content-Type"), "text/event-stream") {
		s.expect(":\n\n")
		s.block()
	} else {
		s.expect("\r\n--graphql")
	}
	return s
}

// Over HTTP/2 streams say the same, without chunks.
func TestHTTP2(t *testing.T) {
	f, c := serveH2(t, nil)
	s, part := f.h2(c, "POST", "text/event-stream", query("orders")).opened(), f.h2(c, "POST", parts, query("orders")).opened()
	if s.res.Header.Get("Connection") != "" || s.res.Header.Get("Transfer-Encoding") != "" {
		t.Errorf("headers %v", s.res.Header)
	}
	long := strings.Repeat("x", 200<<10)
	f.engine.publish("orders", `"`+long+`"`)
	s.expect("event: next\ndata: {\"data\":\"" + long + "\"}\n\n")
	part.expect("\r\nContent-Type: application/json\r\n\r\n{\"payload\":{\"data\":\"" + long + "\"}}\r\n--graphql")
	f.engine.send("orders", &queue.Message{End: true})
	s.expect("event: complete\ndata:\n\n")
	part.expect("--\r\n")
	for _, one := range []*stream{s, part} {
		if rest, err := one.end(); rest != "" || err != nil {
			t.Errorf("%q, %v", rest, err)
		}
	}
	f.gone()
	if one := f.h2(c, "POST", both, query("{x}")); one.res.StatusCode != 200 {
		t.Errorf("%s", one.res.Status)
	}
	if f.tally.count(observe.ConnectionsClosed, "1000") != 2 {
		t.Errorf("counted %v", f.tally.n)
	}
}

func TestHTTP2ClientLeaves(t *testing.T) {
	f, c := serveH2(t, nil)
	s := f.h2(c, "POST", "text/event-stream", query("orders")).opened()
	s.res.Body.Close()
	f.gone()
	if f.engine.live("orders") != 0 {
		t.Error("still live")
	}
}

func TestHTTP2Pings(t *testing.T) {
	f, c := serveH2(t, func(c *Config) { c.SSEPing = 20 * time.Millisecond })
	s := f.h2(c, "POST", "text/event-stream", query("orders")).opened()
	for range 3 {
		s.expect(":\n\n")
	}
}

// Every end that is not in order resets the stream.
func TestHTTP2Ends(t *testing.T) {
	f, c := serveH2(t, nil)
	ends := func(what string, s *stream) {
		t.Helper()
		if rest, err := s.end(); strings.Contains(rest, "complete") || err == nil {
			t.Errorf("%s: %q, %v", what, rest, err)
		}
	}
	f.engine.mu.Lock()
	f.engine.expires = time.Now().Add(time.Second)
	f.engine.mu.Unlock()
	ends("expiry", f.h2(c, "POST", "text/event-stream", query("orders")).opened())
	f.engine.mu.Lock()
	f.engine.expires = time.Time{}
	f.engine.mu.Unlock()

	f.engine.policy.Messages = 5
	slow := f.h2(c, "POST", "text/event-stream", query("slow")).opened()
	good := f.h2(c, "POST", "text/event-stream", query("good")).opened()
	await(t, "the slow one is cut", func() bool { return f.engine.publish("slow", `"`+strings.Repeat("x", 256<<10)+`"`) == 0 })
	f.engine.publish("good", `1`)
	good.expect("event: next\ndata: {\"data\":1}\n\n")
	ends("slow consumer", slow)

	done := make(chan error)
	go func() { done <- f.handler.Drain(t.Context(), 0) }()
	ends("drain", good)
	if err := <-done; err != nil {
		t.Error(err)
	}
	for code, want := range map[string]int{"4403": 1, "4290": 1, "1012": 1} {
		if n := f.tally.count(observe.ConnectionsClosed, code); n != want {
			t.Errorf("%d closed with %s, want %d", n, code, want)
		}
	}
}

// Credentials end streams whose peers do not read, too.
func TestHTTP2ExpiryOfAStalledStream(t *testing.T) {
	f, c := serveH2(t, nil)
	f.engine.mu.Lock()
	f.engine.expires = time.Now().Add(time.Second)
	f.engine.mu.Unlock()
	f.h2(c, "POST", "text/event-stream", query("stalled")).opened()
	f.engine.publish("stalled", `"`+strings.Repeat("x", 8<<20)+`"`)
	f.gone()
	if n := f.tally.count(observe.ConnectionsClosed, "4403"); n != 1 {
		t.Errorf("%d closed with 4403, counted %v", n, f.tally.n)
	}
}

// Closing ends streams whose peers do not read, too.
func TestHTTP2Close(t *testing.T) {
	f, c := serveH2(t, nil)
	s := f.h2(c, "POST", "text/event-stream", query("orders")).opened()
	stalled := f.h2(c, "POST", "text/event-stream", query("stalled")).opened()
	f.engine.publish("stalled", `"`+strings.Repeat("x", 3<<20)+`"`)
	f.handler.Close()
	for _, one := range []*stream{s, stalled} {
		if _, err := one.end(); err == nil {
			t.Error("the stream is complete")
		}
	}
	f.gone()
}

func TestHTTP2Single(t *testing.T) {
	f, c := serveH2(t, nil)
	body, err := io.ReadAll(f.h2(c, "PUT", "*/*", "").body)
	if err != nil {
		t.Fatal(err)
	}
	token := tokenHeader + ": " + string(body)
	if res := f.h2(c, "POST", "*/*", op("a", "orders"), token).res; res.StatusCode != 202 {
		t.Fatalf("%s", res.Status)
	}
	f.engine.publish("orders", `1`)
	s := f.h2(c, "GET", "text/event-stream", "", token).opened()
	s.expect("event: next\ndata: {\"id\":\"a\",\"payload\":{\"data\":1}}\n\n")
	f.engine.publish("orders", `2`)
	s.expect("event: next\ndata: {\"id\":\"a\",\"payload\":{\"data\":2}}\n\n")
	if res := f.h2(c, "POST", "*/*", "", streamHeader+": "+string(body)).res; res.StatusCode != 200 {
		t.Errorf("a refresh: %s", res.Status)
	}
	f.engine.publish("orders", `3`)
	s.expect("event: next\ndata: {\"id\":\"a\",\"payload\":{\"data\":3}}\n\n")
}

// TestHTTP2SlowConsumer: of the streams of one connection, one that is not read is cut, and the others go on.
func TestHTTP2SlowConsumer(t *testing.T) {
	f, c := serveH2(t, nil)
	f.engine.policy.Messages = 10
	for _, accept := range []string{"text/event-stream", parts} {
		slow, good := f.h2(c, "POST", accept, query("orders")).opened(), f.h2(c, "POST", accept, query("other")).opened()
		payload := `"` + strings.Repeat("x", 256<<10) + `"`
		await(t, "the slow one is cut", func() bool { return f.engine.publish("orders", payload) == 0 })
		f.engine.publish("other", `1`)
		if accept == parts {
			good.expect("\r\nContent-Type: application/json\r\n\r\n{\"payload\":{\"data\":1}}\r\n--graphql")
		} else {
			good.expect("event: next\ndata: {\"data\":1}\n\n")
		}
		rest, err := slow.end()
		if err == nil || strings.Contains(rest, "complete") || strings.HasSuffix(rest, lastPart) {
			t.Errorf("%s: the slow one's stream is complete: %v", accept, err)
		}
		_ = good.res.Body.Close() // the client leaves
	}
	f.gone()
	if f.tally.count(observe.ConnectionsClosed, "4290") != 2 {
		t.Errorf("counted %v", f.tally.n)
	}
}
