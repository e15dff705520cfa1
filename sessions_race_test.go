package fraiseql_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go"
)

// Everything that a host may do with a session at the same time, beside events, a drain and the end of the engine.
func TestSessionsAtOnce(t *testing.T) {
	for round := range 5 {
		e, err := fraiseql.New(fraiseql.Config{Limits: fraiseql.Limits{QueueMessages: 50, SubscriptionsPerUser: 1, SubscribeRate: 1000}})
		if err != nil {
			t.Fatal(err)
		}
		sessions := anonymous(t, e, fraiseql.HandlerConfig{MaxConnections: 30, InitTimeout: 2 * time.Millisecond, PingInterval: time.Millisecond, PongTimeout: 5 * time.Millisecond})
		stop, cancel := context.WithCancel(t.Context())
		var work sync.WaitGroup
		for k := range 4 {
			work.Go(func() {
				for i := 0; stop.Err() == nil; i++ {
					abuse(t, sessions, k+i)
				}
			})
		}
		for i := range 500 {
			publish(t, e, "x", fmt.Sprintf(`{"i":%d}`, i))
		}
		if round%2 == 0 {
			if err := e.Drain(t.Context(), 5*time.Millisecond); err != nil {
				t.Error(err)
			}
		}
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
		cancel()
		work.Wait()
		if s := e.Stats(); s.Connections+s.Subscriptions+s.Groups+s.Channels != 0 || s.QueueBytes != 0 {
			t.Errorf("left over: %+v", s)
		}
	}
}

// abuse opens a session and lets one goroutine receive, one take, and, depending on how, others shut and close.
func abuse(t *testing.T, sessions *fraiseql.Sessions, how int) {
	woken := make(chan struct{}, 1)
	s, err := sessions.Open(fraiseql.SessionRequest{}, func() {
		select {
		case woken <- struct{}{}:
		default:
		}
	})
	if err != nil {
		if !errors.Is(err, fraiseql.ErrDraining) && !errors.Is(err, fraiseql.ErrTooManyConnections) {
			t.Error(err)
		}
		return
	}
	defer s.Close()
	var work sync.WaitGroup
	work.Go(func() {
		for _, m := range []string{
			`{"type":"connection_init"}`, `{"type":"ping"}`, `{"id":"1","type":"subscribe","payload":{"query":"subscription { x { i } }"}}`,
			`{"id":"1","type":"complete"}`, `{"id":"1","type":"subscribe","payload":{"query":"subscription { x }"}}`, `{"type":"pong"}`,
		} {
			s.Receive([]byte(m))
		}
	})
	done := make(chan struct{})
	work.Go(func() {
		defer close(done)
		var out []fraiseql.Outgoing
		for turn := 0; turn < 20; turn++ {
			select {
			case <-woken:
			case <-time.After(3 * time.Millisecond):
				return
			}
			for more := true; more; {
				out, more = s.Take(out[:0], 100)
				if n := len(out); n > 0 && out[n-1].Kind == fraiseql.OutgoingClose {
					return
				}
			}
		}
	})
	switch how % 3 {
	case 0:
		work.Go(func() { s.Shut(1000, "enough") })
	case 1:
		work.Go(s.Close)
	}
	work.Wait()
	<-done
}
