package gqlhttp

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
	"github.com/fraiseql/fraiseql-go/observe"
)

func TestMain(m *testing.M) { os.Exit(testkit.NoLeaks(m)) }

// engine is a session.Engine whose subscriptions are fed by publish. A query's text is its channel; `{…}` is answered
// once, `mutation…` is one, one behind something else is not valid, `code X` is refused with code X, `panic` panics.
type engine struct {
	policy queue.Policy

	mu      sync.Mutex
	subs    map[string][]*hub.Subscription
	last    *session.Request
	expires time.Time
	hold    chan struct{} // if set, Subscribe waits for it
}

func (e *engine) Authenticate(_ context.Context, h *session.Handshake, _ []byte) (*identity.Identity, error) {
	switch h.Authorization {
	case "wrong":
		return nil, session.ErrForbidden
	case "uninformed":
		return nil, session.ErrUninformed
	case "unavailable":
		return nil, fmt.Errorf("keys")
	case "panic":
		panic("authenticator")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return &identity.Identity{UserID: h.Authorization, ExpiresAt: e.expires}, nil
}

func (e *engine) Refresh(ctx context.Context, h *session.Handshake, _ []byte) (*identity.Identity, error) {
	return e.Authenticate(ctx, h, nil)
}

func (e *engine) Readmit(*hub.Subscription, *identity.Identity) {}

func (e *engine) Revoked(who *identity.Identity) bool {
	return who.UserID == "revoked meanwhile"
}

func (e *engine) Enter(context.Context, *identity.Identity) error { return nil }

func (e *engine) Left(*identity.Identity) {}

func (e *engine) Prepared(string, string) bool { return false }

func (e *engine) Subscribe(_ context.Context, c *queue.Conn, who *identity.Identity, req *session.Request) session.Outcome {
	e.mu.Lock()
	e.last = req
	hold := e.hold
	e.mu.Unlock()
	if hold != nil {
		<-hold
	}
	refused := func(name string) session.Outcome {
		return session.Outcome{Errors: session.AppendErrors(nil, name, "refused"), Code: name}
	}
	switch {
	case strings.HasPrefix(req.Query, "code "):
		return refused(strings.TrimPrefix(req.Query, "code "))
	case req.Query == "{broken}":
		return session.Outcome{Result: []byte(`{"data":{"a":null},"errors":[{"message":"a"}]}`)}
	case strings.HasPrefix(req.Query, "{"):
		return session.Outcome{Result: []byte(`{"data":{"__typename":"Query"}}`)}
	case strings.Contains(req.Query, "mutation"):
		out := refused(code.ValidationFailed)
		out.Mutation = strings.HasPrefix(req.Query, "mutation{")
		return out
	case req.Query == "panic":
		panic("engine")
	case req.Once:
		return refused(code.BadUserInput)
	}
	s := &hub.Subscription{}
	s.Init(c, &e.policy, req.EscapedID, strings.Contains(string(req.Extensions), "resume"))
	if !req.Begin(s) {
		return session.Outcome{}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.subs[req.Query] = append(e.subs[req.Query], s)
	return session.Outcome{Subscription: s}
}

// publish enqueues a payload on every live subscription of a channel and returns how many took it.
func (e *engine) publish(channel, data string) (n int) {
	return e.send(channel, &queue.Message{Payload: []byte(`{"data":` + data)})
}

func (e *engine) send(channel string, m *queue.Message) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	live := e.subs[channel][:0]
	for _, s := range e.subs[channel] {
		if s.Ended() {
			continue
		}
		live = append(live, s)
		if m.End {
			s.End(m.Payload)
			n++
		} else if r := s.Enqueue(m); r.Waits() {
			n++
		}
	}
	e.subs[channel] = live
	return n
}

func (e *engine) live(channel string) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.subs[channel] {
		if !s.Ended() {
			n++
		}
	}
	return n
}

// tally counts what the handler tells its observer.
type tally struct {
	observe.Discard
	mu sync.Mutex
	n  map[string]int
}

func (o *tally) Counted(c observe.Counter, label string, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.n[fmt.Sprintf("%d/%s", c, label)] += n
}

func (o *tally) count(c observe.Counter, label string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.n[fmt.Sprintf("%d/%s", c, label)]
}

// fixture is a handler behind a real HTTP server on loopback.
type fixture struct {
	t       testing.TB
	engine  *engine
	poller  *poll.Poller
	handler *Handler
	tally   *tally
	server  *httptest.Server
	addr    string
}

// serve starts a handler. Pings come after an hour unless set says otherwise.
func serve(t testing.TB, o poll.Options, set func(*Config)) *fixture {
	t.Helper()
	return serveOn(t, o, set, func(s *httptest.Server) { s.Start() })
}

func serveOn(t testing.TB, o poll.Options, set func(*Config), start func(*httptest.Server)) *fixture {
	t.Helper()
	if o.Tick == 0 {
		o.Tick = 10 * time.Millisecond
	}
	if o.Linger == 0 {
		o.Linger = 200 * time.Millisecond
	}
	p, err := poll.New(o)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, poller: p, engine: &engine{policy: queue.Policy{Messages: 1000, Bytes: 4 << 20}, subs: map[string][]*hub.Subscription{}}, tally: &tally{n: map[string]int{}}}
	host := session.NewHost(session.HostConfig{Engine: f.engine, Panicked: func(any, []byte) {}})
	cfg := Config{Poller: p, Host: host, Observer: f.tally, SSEPing: time.Hour, MultipartPing: time.Hour}
	if set != nil {
		set(&cfg)
	}
	if f.handler, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	f.server = httptest.NewUnstartedServer(f.handler)
	f.server.Config.ErrorLog = nobody
	start(f.server)
	f.addr = f.server.Listener.Addr().String()
	t.Cleanup(func() {
		f.handler.Close()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		host.Close()
		f.server.CloseClientConnections()
		f.server.Close()
	})
	return f
}

// await waits for a condition that another goroutine makes true.
func await(t testing.TB, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("not so after 10 s: %s", what)
		}
		<-tick.C
	}
}

// post is the text of a request.
func post(accept, body string, headers ...string) string {
	text := "POST /graphql HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
	if accept != "" {
		text += "Accept: " + accept + "\r\n"
	}
	for _, h := range headers {
		text += h + "\r\n"
	}
	return text + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
}

// query is the body of a request.
func query(text string) string { return fmt.Sprintf(`{"query":%q}`, text) }

// client is one raw connection.
type client struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func (f *fixture) dial() *client {
	f.t.Helper()
	nc, err := net.Dial("tcp", f.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		f.t.Fatal(err)
	}
	return &client{nc, f.t, bufio.NewReader(nc)}
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads the head of an answer; its body is read by the caller.
func (c *client) answer() *http.Response {
	c.t.Helper()
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return res
}

// ask sends a request as it is and returns the whole answer.
func (f *fixture) ask(raw string) (*http.Response, string) {
	f.t.Helper()
	c := f.dial()
	c.send(raw)
	method, _, _ := strings.Cut(raw, " ")
	res, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		f.t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return res, string(body)
}

// stream is an open stream; next reads what comes.
type stream struct {
	*client
	res  *http.Response
	body *bufio.Reader
}

// open begins a stream and reads its first bytes.
func (f *fixture) open(raw string) *stream {
	f.t.Helper()
	c := f.dial()
	c.send(raw)
	res := c.answer()
	s := &stream{c, res, bufio.NewReader(res.Body)}
	if res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(res.Body)
		f.t.Fatalf("%s: %s", res.Status, body)
	}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		s.expect(":\n\n")
		if retry := s.block(); !strings.HasPrefix(retry, "retry: ") {
			f.t.Fatalf("%q", retry)
		}
	} else {
		s.expect("\r\n--graphql")
	}
	return s
}

// sse begins a distinct stream of a channel.
func (f *fixture) sse(channel string, headers ...string) *stream {
	f.t.Helper()
	return f.open(post("text/event-stream", query(channel), headers...))
}

// expect reads exactly a text.
func (s *stream) expect(text string) {
	s.t.Helper()
	got := make([]byte, len(text))
	n, err := io.ReadFull(s.body, got)
	if string(got[:n]) != text {
		s.t.Fatalf("read %q (%v), want %q", got[:n], err, text)
	}
}

// block reads an event up to its blank line.
func (s *stream) block() string {
	s.t.Helper()
	text := ""
	for !strings.HasSuffix(text, "\n\n") {
		line, err := s.body.ReadString('\n')
		if err != nil {
			s.t.Fatalf("after %q: %v", text+line, err)
		}
		text += line
	}
	return text
}

// end reads up to the end; it returns the rest and how the body ended: nil for a complete one.
func (s *stream) end() (string, error) {
	s.t.Helper()
	rest, err := io.ReadAll(s.body)
	return string(rest), err
}

// gone waits until the handler has no stream left.
func (f *fixture) gone() {
	f.t.Helper()
	await(f.t, "no stream left", func() bool { return f.handler.Connections() == 0 })
}
