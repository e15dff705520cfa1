package fraiseql_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/membus"
	"github.com/fraiseql/fraiseql-go/observe"
)

// slowBus is a bus on which interest may take effect late: not before whoever waits gives up.
type slowBus struct {
	*membus.Bus
	slow atomic.Bool
}

func (b *slowBus) Established(ctx context.Context, channel string) error {
	if !b.slow.Load() || bus.IsControl(channel) {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

// connectionCounts counts connections in and out, and subscribes that were refused.
type connectionCounts struct {
	observe.Discard
	open, opened, refused atomic.Int64
}

func (c *connectionCounts) Counted(k observe.Counter, _ string, n int) {
	switch k {
	case observe.ConnectionsOpened:
		c.open.Add(int64(n))
		c.opened.Add(int64(n))
	case observe.ConnectionsClosed:
		c.open.Add(-int64(n))
	case observe.SubscribesRefused:
		c.refused.Add(int64(n))
	}
}

// Registrations that are given up while they wait for the bus leave nothing, but for connections that the host knows of.
func TestGivenUpRegistrationsLeaveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, seen := &slowBus{Bus: membus.New(membus.Options{})}, &connectionCounts{}
		e := newEngine(t, fraiseql.Config{Bus: b, Observer: seen})
		register := func(connection, id string) error {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			_, err := e.Register(ctx, fraiseql.Registration{ConnectionID: connection, SubscriptionID: id, Query: `subscription { x { n } }`})
			return err
		}
		if err := register("kept", "a"); err != nil {
			t.Fatal(err)
		}
		e.Complete("kept", "a")
		b.slow.Store(true)
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() { // two on each of ten connections
				if err := register(fmt.Sprint(i/2), fmt.Sprint(i)); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
			})
		}
		all.Wait()
		if err := register("kept", "b"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if s := e.Stats(); s.Connections != 1 || s.Subscriptions+s.Groups+s.Channels != 0 || !e.CompleteConnection("kept") {
			t.Errorf("left over: %+v", s)
		}
		if n := seen.open.Load(); n != 0 || seen.opened.Load() != 11 {
			t.Errorf("%d of %d connections were not counted out", n, seen.opened.Load())
		}
	})
}

// A context that ends is no outage of the bus, neither for who resumes nor for the counts.
func TestResumeWithAContextThatEnds(t *testing.T) {
	seen := &connectionCounts{}
	e := newEngine(t, fraiseql.Config{Observer: seen})
	r := fraiseql.Registration{ConnectionID: "c", SubscriptionID: "s", Query: `subscription { x { n } }`}
	s, err := e.Register(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Resume(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("Resume: %v", err)
	}
	publish(t, e, "x", `{"n":1}`)
	if text, ok, err := s.Next(nil); !ok || err != nil || !strings.Contains(string(text), `"n":1`) {
		t.Errorf("got %s, %v, %v", text, ok, err)
	}
	r.ConnectionID, r.Extensions = "d", []byte(`{"resume":true}`)
	if _, err := e.Register(ctx, r); !errors.Is(err, context.Canceled) {
		t.Errorf("Register: %v", err)
	}
	if n := e.Stats().Connections; n != 1 || seen.refused.Load() != 0 {
		t.Errorf("%d connections, %d refused", n, seen.refused.Load())
	}
}
