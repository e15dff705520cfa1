package ws

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
	"github.com/fraiseql/fraiseql-go/observe"
)

func TestMain(m *testing.M) { os.Exit(testkit.NoLeaks(m)) }

// engine is a session.Engine whose subscriptions are fed by publish. A query's text is its channel;
// `known…` is prepared, `{…}` is answered once, `bad` is refused, `panic` panics.
type engine struct {
	policy queue.Policy
	who    identity.Identity
	hold   chan struct{} // if set, Authenticate waits for it

	mu   sync.Mutex
	subs map[string][]*hub.Subscription
}

func (e *engine) Authenticate(_ context.Context, h *session.Handshake, payload []byte) (*identity.Identity, error) {
	if e.hold != nil {
		<-e.hold
	}
	if h.Authorization == "wrong" || strings.Contains(string(payload), "wrong") {
		return nil, session.ErrForbidden
	}
	return &e.who, nil
}

func (e *engine) Refresh(_ context.Context, _ *session.Handshake, payload []byte) (*identity.Identity, error) {
	if strings.Contains(string(payload), "wrong") {
		return nil, session.ErrForbidden
	}
	return &e.who, nil
}

func (e *engine) Readmit(*hub.Subscription, *identity.Identity) {}

func (e *engine) Revoked(*identity.Identity) bool { return false }

func (e *engine) Enter(context.Context, *identity.Identity) error { return nil }

func (e *engine) Left(*identity.Identity) {}

func (e *engine) Prepared(query, _ string) bool {
	if query == "panic" {
		panic(query)
	}
	return strings.HasPrefix(query, "known")
}

func (e *engine) Subscribe(_ context.Context, c *queue.Conn, _ *identity.Identity, req *session.Request) session.Outcome {
	switch {
	case req.Query == "bad":
		return session.Outcome{Errors: []byte(`[{"message":"bad"}]`)}
	case strings.HasPrefix(req.Query, "{"):
		return session.Outcome{Result: []byte(`{"data":{"__typename":"Query"}}`)}
	}
	s := &hub.Subscription{}
	s.Init(c, &e.policy, req.EscapedID, false)
	if !req.Begin(s) {
		return session.Outcome{}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.subs[req.Query] = append(e.subs[req.Query], s)
	return session.Outcome{Subscription: s}
}

// publish enqueues a payload on every live subscription of a channel and returns how many took it.
func (e *engine) publish(channel, data string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	m := &queue.Message{Payload: []byte(`{"data":` + data)}
	n := 0
	live := e.subs[channel][:0]
	for _, s := range e.subs[channel] {
		if s.Ended() {
			continue
		}
		live = append(live, s)
		if r := s.Enqueue(m); r == queue.Enqueued || r == queue.Dropped {
			n++
		}
	}
	e.subs[channel] = live
	return n
}

// end ends every subscription of a channel.
func (e *engine) end(channel string, errors string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var payload []byte
	if errors != "" {
		payload = []byte(errors)
	}
	for _, s := range e.subs[channel] {
		s.End(payload)
	}
	delete(e.subs, channel)
}

func (e *engine) live(channel string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
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
	addr    string
	secure  bool

	panicked chan any // what the handler has survived
}

// serve starts a fixture; adjust may change the configuration.
func serve(t testing.TB, opts poll.Options, adjust func(*Config)) *fixture {
	t.Helper()
	return start(t, opts, adjust, false)
}

func start(t testing.TB, opts poll.Options, adjust func(*Config), secure bool) *fixture {
	t.Helper()
	f := &fixture{t: t, secure: secure, tally: &tally{n: map[string]int{}}, panicked: make(chan any, 8)}
	f.engine = &engine{policy: queue.Policy{Messages: 1000, Bytes: 4 << 20}, subs: map[string][]*hub.Subscription{}}
	var err error
	if f.poller, err = poll.New(opts); err != nil {
		t.Fatal(err)
	}
	host := session.NewHost(session.HostConfig{Engine: f.engine, Panicked: func(v any, _ []byte) { f.panicked <- v }})
	cfg := Config{Poller: f.poller, Host: host, Observer: f.tally, InitTimeout: far, PingInterval: -1}
	if adjust != nil {
		adjust(&cfg)
	}
	if f.handler, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(f.handler)
	if secure {
		server.StartTLS()
	} else {
		server.Start()
	}
	f.addr = server.Listener.Addr().String()
	t.Cleanup(func() {
		server.Close()
		if err := f.poller.Close(); err != nil {
			t.Error(err)
		}
		host.Close()
		for range 1_000_000 { // a request may be between Hijack and Register: it finds the poller closed
			if f.handler.Connections() == 0 {
				return
			}
			runtime.Gosched()
		}
		t.Errorf("%d connections after Close", f.handler.Connections())
	})
	return f
}

// backends runs a test on epoll and on the portable implementation.
func backends(t *testing.T, opts poll.Options, adjust func(*Config), run func(t *testing.T, f *fixture)) {
	for _, portable := range []bool{false, true} {
		opts.Portable = portable
		t.Run(map[bool]string{false: "native", true: "portable"}[portable], func(t *testing.T) {
			run(t, serve(t, opts, adjust))
		})
	}
}
