package fraiseql_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fraiseql/fraiseql-go"
)

// asked is an authenticator that keeps what it was asked.
type asked struct{ got []fraiseql.Credentials }

func (a *asked) Authenticate(_ context.Context, c fraiseql.Credentials) (*fraiseql.Identity, error) {
	a.got = append(a.got, c)
	return &fraiseql.Identity{}, nil
}

// What the host says of the request is judged as a request of our own would be, and reaches the authenticator.
func TestSessionRequest(t *testing.T) {
	const ours, theirs = "https://app.example.com", "https://evil.org"
	for _, tt := range []struct {
		name    string
		request fraiseql.SessionRequest
		want    fraiseql.Credentials
		err     error
	}{
		{"nothing", fraiseql.SessionRequest{}, fraiseql.Credentials{}, nil},
		{"all", fraiseql.SessionRequest{Authorization: "Bearer x", Cookie: "a=b; token=t", Origin: ours, RemoteAddr: "1.2.3.4:5", Value: 7},
			fraiseql.Credentials{Authorization: "Bearer x", Cookie: "t", RemoteAddr: "1.2.3.4:5", Request: 7}, nil},
		{"own page", fraiseql.SessionRequest{Cookie: "token=t", Origin: "https://api.example.com", Host: "api.example.com"}, fraiseql.Credentials{Cookie: "t"}, nil},
		{"no page", fraiseql.SessionRequest{Cookie: "token=t", Host: "api.example.com"}, fraiseql.Credentials{}, nil},
		{"another page", fraiseql.SessionRequest{Cookie: "token=t", Origin: theirs, Host: "api.example.com"}, fraiseql.Credentials{}, fraiseql.ErrForeignOrigin},
		{"two origins", fraiseql.SessionRequest{Origin: ours + ", " + theirs}, fraiseql.Credentials{}, fraiseql.ErrForeignOrigin},
	} {
		synctest.Test(t, func(t *testing.T) {
			e, who := newEngine(t, fraiseql.Config{}), &asked{}
			sessions, err := e.Sessions(fraiseql.HandlerConfig{Authenticator: who, Cookie: "token", Origins: []string{ours}})
			if err != nil {
				t.Fatal(err)
			}
			s, err := sessions.Open(tt.request, func() {})
			if !errors.Is(err, tt.err) {
				t.Fatalf("%s: %v, want %v", tt.name, err, tt.err)
			}
			if err != nil {
				return
			}
			defer s.Close()
			s.Receive([]byte(`{"type":"connection_init","payload":{"p":1}}`))
			synctest.Wait()
			tt.want.Payload = []byte(`{"p":1}`)
			if diff := cmp.Diff([]fraiseql.Credentials{tt.want}, who.got); diff != "" {
				t.Errorf("%s: %s", tt.name, diff)
			}
		})
	}
}

func TestSessionsNeedAConfiguration(t *testing.T) {
	e := newEngine(t, fraiseql.Config{})
	for _, cfg := range []fraiseql.HandlerConfig{{}, {Anonymous: true, Origins: []string{"example.com"}}} {
		if _, err := e.Sessions(cfg); err == nil {
			t.Errorf("%+v accepted", cfg)
		}
	}
}

func anonymous(t testing.TB, e *fraiseql.Engine, cfg fraiseql.HandlerConfig) *fraiseql.Sessions {
	t.Helper()
	cfg.Anonymous = true
	sessions, err := e.Sessions(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

func TestMaxConnectionsOfSessions(t *testing.T) {
	e := newEngine(t, fraiseql.Config{})
	sessions := anonymous(t, e, fraiseql.HandlerConfig{MaxConnections: 2})
	var open []*fraiseql.Session
	for range 2 {
		s, err := sessions.Open(fraiseql.SessionRequest{}, func() {})
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, s)
	}
	if _, err := sessions.Open(fraiseql.SessionRequest{}, func() {}); !errors.Is(err, fraiseql.ErrTooManyConnections) {
		t.Errorf("got %v", err)
	}
	if n := e.Stats().Connections; n != 2 {
		t.Errorf("%d connections", n)
	}
	open[0].Close()
	open[0].Close()
	s, err := sessions.Open(fraiseql.SessionRequest{}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	open[1].Close()
	if n := e.Stats().Connections; n != 0 {
		t.Errorf("%d connections", n)
	}
}

// A drain lets out what waits, then closes with 1012, and ends when the hosts have closed their sessions.
func TestDrainOfSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := chatEngine(t)
		sessions := anonymous(t, e, fraiseql.HandlerConfig{})
		hosts := make([]*host, 4)
		for i := range hosts {
			hosts[i] = &host{t: t, engine: e}
			hosts[i].open(sessions, fraiseql.SessionRequest{})
			hosts[i].play(subscribed)
		}
		publish(t, e, "chat", `{"text":"last"}`)
		drained := make(chan error)
		start := time.Now()
		go func() { drained <- e.Drain(t.Context(), time.Second) }()
		<-time.After(990 * time.Millisecond)
		closed := 0
		for _, h := range hosts {
			if h.take(); len(h.got) > 1 {
				closed++
			}
		}
		if closed != 3 { // the last at the end of the window
			t.Errorf("%d closed after a second", closed)
		}
		<-time.After(20 * time.Millisecond)
		if _, err := sessions.Open(fraiseql.SessionRequest{}, func() {}); !errors.Is(err, fraiseql.ErrDraining) {
			t.Errorf("opened: %v", err)
		}
		for _, h := range hosts {
			h.take()
			h.play(`
				< {"id":"1","type":"next","payload":{"data":{"everything":{"text":"last"}}}}
				< close 1012 the server restarts, connect again
				publish chat {"text":"late"}`)
			synctest.Wait()
			select {
			case err := <-drained:
				t.Fatalf("drained after %v, %v", time.Since(start), err)
			default:
			}
			h.session.Close()
		}
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}

// A host that does not close its sessions holds a drain up until its context ends.
func TestDrainGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := chatEngine(t)
		sessions := anonymous(t, e, fraiseql.HandlerConfig{})
		for range 2 {
			if _, err := sessions.Open(fraiseql.SessionRequest{}, func() {}); err != nil {
				t.Fatal(err)
			}
		}
		for _, window := range []time.Duration{0, time.Hour} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := e.Drain(ctx, window); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			cancel()
		}
	})
}

// Closing the engine ends sessions at once. Their hosts can still read why.
func TestCloseEndsSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := chatEngine(t)
		sessions := anonymous(t, e, fraiseql.HandlerConfig{})
		h := &host{t: t, engine: e}
		h.open(sessions, fraiseql.SessionRequest{})
		h.play(subscribed)
		if err := e.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.take()
		h.play(`
			< close 1001 the server stops
			> {"type":"ping"}
			wait 1h`)
		if n := e.Stats().Connections; n != 0 {
			t.Errorf("%d connections", n)
		}
		h.session.Close()
		if _, err := sessions.Open(fraiseql.SessionRequest{}, func() {}); !errors.Is(err, fraiseql.ErrDraining) {
			t.Errorf("got %v", err)
		}
		if _, err := e.Sessions(fraiseql.HandlerConfig{Anonymous: true}); err == nil {
			t.Error("sessions that nobody would close")
		}
	})
}

// Sessions that come and go leave nothing behind, however they end.
func TestTenThousandSessions(t *testing.T) {
	const n, at = 10_000, 500
	e := chatEngine(t)
	sessions := anonymous(t, e, fraiseql.HandlerConfig{InitTimeout: time.Hour, PingInterval: time.Hour})
	round := func(n int) {
		for from := 0; from < n; from += at {
			var work sync.WaitGroup
			for i := range at {
				work.Go(func() { visit(t, sessions, i%4) })
			}
			work.Wait()
		}
	}
	round(at)
	before, goroutines := heap(), runtime.NumGoroutine()
	round(n)
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("%d bytes more after %d sessions", grown, n)
	}
	if more := runtime.NumGoroutine() - goroutines; more > 64 { // workers, which end when there is nothing to do
		t.Errorf("%d goroutines more", more)
	}
	if s := e.Stats(); s.Connections+s.Subscriptions+s.Groups+s.Channels != 0 || s.QueueBytes != 0 {
		t.Errorf("left over: %+v", s)
	}
}

// visit opens a session, subscribes and goes, in one of the ways there are.
func visit(t *testing.T, sessions *fraiseql.Sessions, how int) {
	woken := make(chan struct{}, 4)
	s, err := sessions.Open(fraiseql.SessionRequest{}, func() { woken <- struct{}{} })
	if err != nil {
		t.Error(err)
		return
	}
	defer s.Close()
	if how == 0 {
		return
	}
	s.Receive([]byte(`{"type":"connection_init"}`))
	if how == 1 {
		return // while it is being judged
	}
	<-woken
	s.Take(nil, 0)
	s.Receive([]byte(`{"id":"1","type":"subscribe","payload":{"query":"subscription { everything { text } }"}}`))
	if how == 2 {
		s.Receive([]byte(`x`)) // 4400
		<-woken
		s.Take(nil, 0)
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Hosts that sleep until they are woken get every message, in order, and no wake too many but one for a close.
func TestSessionsWakeTheirHosts(t *testing.T) {
	const hosts, events = 8, 1000
	e := newEngine(t, fraiseql.Config{})
	sessions := anonymous(t, e, fraiseql.HandlerConfig{})
	ctx := limited(t)
	var work sync.WaitGroup
	for range hosts {
		work.Go(func() {
			if err := follow(ctx, sessions, events); err != nil {
				t.Error(err)
			}
		})
	}
	for e.Stats().Subscriptions < hosts && ctx.Err() == nil {
		runtime.Gosched()
	}
	for i := range events {
		publish(t, e, "x", fmt.Sprintf(`{"i":%d}`, i))
	}
	work.Wait()
}

// follow subscribes to x and reads that many events, always asleep when there is nothing to take.
func follow(ctx context.Context, sessions *fraiseql.Sessions, events int) error {
	woken := make(chan struct{}, 1)
	twice := make(chan struct{})
	s, err := sessions.Open(fraiseql.SessionRequest{}, func() {
		select {
		case woken <- struct{}{}:
		default:
			close(twice)
		}
	})
	if err != nil {
		return err
	}
	defer s.Close()
	s.Receive([]byte(`{"type":"connection_init"}`))
	var out []fraiseql.Outgoing
	for n := -1; n < events; {
		select {
		case <-woken:
		case <-ctx.Done():
			return fmt.Errorf("nobody woke us after %d", n)
		}
		for more := true; more; {
			out, more = s.Take(out[:0], 200)
			for _, o := range out {
				want := fmt.Sprintf(`{"i":%d}`, n)
				if n < 0 {
					want = "connection_ack"
				}
				if !strings.Contains(string(o.Data), want) {
					return fmt.Errorf("got %s, want %s", o.Data, want)
				}
				if n++; n == 0 {
					s.Receive([]byte(`{"id":"1","type":"subscribe","payload":{"query":"subscription { x { i } }"}}`))
				}
			}
		}
	}
	select {
	case <-twice:
		return errors.New("woken twice")
	default:
		return nil
	}
}
