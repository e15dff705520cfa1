package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus/membus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/plan"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/policy"
)

// negated is the value of an event with its total negated, so that a raw event is told from a resolved one.
func negated(ev *event.Event) []byte {
	var v struct{ Total int }
	_ = json.Unmarshal(ev.Data, &v)
	return fmt.Appendf(nil, `{"total":%d}`, -v.Total)
}

// asker is a deferred resolver whose requests are answered from other goroutines, the later ones first.
type asker struct {
	mu   sync.Mutex
	open []*Request
	wait sync.WaitGroup
}

func (a *asker) ask(r *Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open = append(a.open, r)
	a.wait.Go(a.answerLast)
}

func (a *asker) answerLast() {
	a.mu.Lock()
	r := a.open[len(a.open)-1]
	a.open = a.open[:len(a.open)-1]
	a.mu.Unlock()
	r.Resolve(negated(r.Event()))
}

// resolvedCarrier replays 300 events to a client with a resolver while 300 others are published: each comes once, in
// order, and never raw.
func resolvedReplay(t *testing.T, resolver *Resolver) {
	const n = 300
	w, bus := onCarrier(t, 3)
	c := newClient(w, ordersQuery, tenant("a"))
	c.answer = func(j *Join) { j.Resolver = resolver }
	c.resume()
	c.first()
	c.sub.Complete()
	for i := 1; i <= n; i++ {
		bus.publish(numbered(i, "a"))
		bus.publish(numbered(i, "b"))
	}
	c.resume()
	if c.first() != queue.Recovered {
		t.Error("not recovered")
	}
	var wait sync.WaitGroup
	defer wait.Wait()
	wait.Go(func() {
		for i := n + 1; i <= 2*n; i++ {
			bus.publish(numbered(i, "a"))
		}
	})
	for want := 1; want <= 2*n; {
		m, ok := c.next(10 * time.Second)
		switch {
		case m.overflowed: // the lane, or the queue, by live events: the client comes again
			c.sub.Complete()
			c.resume()
			c.first()
		case !ok:
			t.Fatalf("event %d does not come", want)
		case m.recovered == queue.Lost:
			t.Fatal("lost")
		case m.data != "":
			if got := total(t, m.data); got != -want {
				t.Fatalf("got %d, want %d", got, -want)
			}
			want++
		}
	}
	c.wantNothing()
	c.sub.Complete()
}

func TestReplayThroughResolver(t *testing.T) {
	t.Run("workers", func(t *testing.T) {
		resolvedReplay(t, &Resolver{Resolve: func(_ context.Context, ev *event.Event, _ []byte, _ *identity.Identity) ([]byte, error) {
			return negated(ev), nil
		}})
	})
	t.Run("deferred", func(t *testing.T) {
		a := &asker{}
		resolvedReplay(t, &Resolver{Deferred: a.ask})
		a.wait.Wait()
	})
}

// A resolver that never answers holds its subscription only, and what it was asked for is given up with it.
func TestReplayOfAResolverThatIsSilent(t *testing.T) {
	w, b := onMemory(t, membus.Options{})
	publish := memoryPublish(t, b)
	var asked []*Request
	var mu sync.Mutex
	c := newClient(w, ordersQuery, tenant("a"))
	silent := &Resolver{Deferred: func(r *Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r)
	}}
	c.answer = func(j *Join) { j.Resolver = silent }
	c.resume()
	c.first()
	c.sub.Complete()
	for i := range 20 {
		publish(numbered(i, "a"))
	}
	c.resume()
	c.first()
	mu.Lock()
	if n := len(asked); n != w.hub.limits.Load().Lane {
		t.Errorf("%d were asked for, want %d", n, w.hub.limits.Load().Lane)
	}
	c.sub.Complete()
	w.wantIdle()
	for _, r := range asked {
		if r.Waits() || r.Resolve([]byte(`{"total":1}`)) {
			t.Error("a result is wanted of a subscription that has ended")
		}
	}
	mu.Unlock()
}

// Whose credentials are refreshed while events are replayed is judged by the new ones from then on, and nothing is
// lost or repeated.
func TestReadmitDuringReplay(t *testing.T) {
	for _, resolved := range []bool{false, true} {
		w, b := onMemory(t, membus.Options{})
		publish := memoryPublish(t, b)
		c := newClient(w, ordersQuery, &identity.Identity{TenantID: "a", UserID: "u", Roles: []string{"old"}, ExpiresAt: time.Now().Add(time.Hour)})
		c.policy.Messages = 8
		if resolved {
			by := &Resolver{Context: true, Resolve: func(_ context.Context, ev *event.Event, _ []byte, _ *identity.Identity) ([]byte, error) {
				return ev.Data, nil
			}}
			c.answer = func(j *Join) { j.Resolver = by }
		}
		c.resume()
		c.first()
		c.sub.Complete()
		for i := range 100 {
			publish(numbered(i, "a"))
		}
		c.resume()
		c.first()
		c.wantEvents(0, 1, 2)
		fresh := &identity.Identity{TenantID: "a", UserID: "u", Roles: []string{"new"}, ExpiresAt: time.Now().Add(2 * time.Hour)}
		if errs := w.hub.Readmit(c.sub, fresh, func(*plan.Plan, *jsontape.Tape) (policy.Mask, []*gql.Error) { return 0, nil }); errs != nil {
			t.Error(errs)
		}
		for i := 3; i < 100; i++ {
			c.wantEvents(i)
		}
		publish(numbered(100, "a"))
		c.wantEvents(100)
		if c.sub.Identity() != fresh {
			t.Error("the old identity")
		}
		c.sub.Complete()
		w.wantIdle()
	}
}
