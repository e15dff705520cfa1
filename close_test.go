package fraiseql_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fraiseql/fraiseql-go"
)

// stuck is an authenticator that ignores its context until it is released.
type stuck chan struct{}

func (s stuck) Authenticate(context.Context, fraiseql.Credentials) (*fraiseql.Identity, error) {
	<-s
	return &fraiseql.Identity{}, nil
}

// Close does not wait beyond its context for what hangs. Everything else has ended by then, and the rest once it returns.
func TestCloseHeedsItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, hangs := chatEngine(t), make(stuck)
		pulled := register(t, e, "1", `subscription { everything { text } }`, "")
		hung, err := e.Sessions(fraiseql.HandlerConfig{Authenticator: hangs})
		if err != nil {
			t.Fatal(err)
		}
		s, err := hung.Open(fraiseql.SessionRequest{}, func() {})
		if err != nil {
			t.Fatal(err)
		}
		s.Receive([]byte(`{"type":"connection_init"}`))
		other := &host{t: t, engine: e}
		other.open(anonymous(t, e, fraiseql.HandlerConfig{}), fraiseql.SessionRequest{})
		synctest.Wait()

		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		for range 2 {
			if err := e.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 50*time.Millisecond {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
		}
		if _, _, err := pulled.Next(nil); !errors.Is(err, fraiseql.ErrEnded) {
			t.Errorf("the pulled subscription: %v", err)
		}
		other.take()
		if len(other.got) != 1 || other.got[0] != "close 1001 the server stops" {
			t.Errorf("the other session got %q", other.got)
		}
		time.AfterFunc(time.Minute, func() { close(hangs) })
		for range 2 {
			if err := e.Close(t.Context()); err != nil || time.Since(start) != time.Minute+50*time.Millisecond {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
		}
		if n := e.Stats().Connections; n != 0 {
			t.Errorf("%d connections", n)
		}
	})
}

// A context that has ended before is no bound: connections are closed before Close returns, and a healthy engine ends in the
// second that it has all the same. What hangs is not waited for longer.
func TestCloseWithAContextThatHasEnded(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, hangs := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			e := newEngine(t, fraiseql.Config{})
			var told atomic.Int32
			awake := make(chan struct{})
			sessions, err := e.Sessions(fraiseql.HandlerConfig{Authenticator: byToken, PingInterval: -1, Hooks: fraiseql.Hooks{
				OnDisconnect: func(context.Context, *fraiseql.Identity) error {
					<-time.After(500 * time.Millisecond)
					told.Add(1)
					return nil
				},
				OnSubscribe: func(_ context.Context, s fraiseql.Subscribing) error {
					if s.Identity.UserID == "deaf" {
						<-awake
					}
					return nil
				},
			}})
			if err != nil {
				t.Fatal(err)
			}
			healthy := join(t, sessions, "u/t/j/1m")
			if got := healthy.state(); got != ack {
				t.Error(got)
			}
			pulled := register(t, e, "1", `subscription { x { n } }`, "")
			if hangs {
				join(t, sessions, "deaf/t/j/1m")
				synctest.Wait()
			}
			start := time.Now()
			err = e.Close(over)
			out, _ := healthy.Take(nil, 0)
			if len(out) != 1 || out[0].Kind != fraiseql.OutgoingClose || out[0].Code != fraiseql.CloseGoingAway {
				t.Errorf("when Close had returned the client got %v", out)
			}
			if _, _, err := pulled.Next(nil); !errors.Is(err, fraiseql.ErrEnded) {
				t.Errorf("the pulled subscription: %v", err)
			}
			switch took := time.Since(start); {
			case hangs && (!errors.Is(err, context.Canceled) || took != time.Second):
				t.Errorf("after %v: %v", took, err)
			case !hangs && (err != nil || took != 500*time.Millisecond || told.Load() != 1):
				t.Errorf("after %v: %v; told %d times", took, err, told.Load())
			}
			close(awake)
			if err := e.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A call of OnRecheck that hangs keeps Close waiting, and no connection open.
func TestCloseWithARecheckThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, fraiseql.Config{})
		awake := make(chan struct{})
		sessions, err := e.Sessions(fraiseql.HandlerConfig{Authenticator: byToken, PingInterval: -1, Hooks: fraiseql.Hooks{
			RecheckEvery: 10 * time.Millisecond,
			OnRecheck: func(context.Context, *fraiseql.Identity) error {
				<-awake
				return nil
			},
		}})
		if err != nil {
			t.Fatal(err)
		}
		m := join(t, sessions, "u/t/j/1m")
		<-time.After(time.Second)
		if got := m.state(); got != ack {
			t.Error(got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := e.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if got := m.state(); got != "close the server stops" {
			t.Errorf("the client got %q", got)
		}
		close(awake)
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A drain that waits for another one does so for as long as its own context lets it.
func TestDrainHeedsItsContextBehindAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := chatEngine(t)
		sessions := anonymous(t, e, fraiseql.HandlerConfig{})
		s, err := sessions.Open(fraiseql.SessionRequest{}, func() {})
		if err != nil {
			t.Fatal(err)
		}
		first := make(chan error)
		go func() { first <- e.Drain(t.Context(), 0) }()
		synctest.Wait()
		for name, drain := range map[string]func(context.Context) error{
			"engine":   func(ctx context.Context) error { return e.Drain(ctx, 0) },
			"sessions": func(ctx context.Context) error { return sessions.Drain(ctx, 0, 1001, "") },
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			start := time.Now()
			if err := drain(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
				t.Errorf("%s: after %v: %v", name, time.Since(start), err)
			}
			cancel()
		}
		s.Close()
		if err := <-first; err != nil {
			t.Error(err)
		}
		if err := e.Drain(t.Context(), 0); err != nil {
			t.Error(err)
		}
	})
}
