package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
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

// byRole is a resolver that takes the context: the total of an event negated for the role "new", the event for others.
func byRole(asked *sink) *Resolver {
	return &Resolver{Context: true, Deferred: func(r *Request) {
		asked.take(r)
		if r.Who().Roles[0] == "new" {
			r.Resolve(negated(r.Event()))
		} else {
			r.Resolve(r.Event().Data)
		}
	}}
}

func withRole(role string, ends time.Time) *identity.Identity {
	return &identity.Identity{TenantID: "a", UserID: "u", Roles: []string{role}, ExpiresAt: ends}
}

// Results that wait for their reader were asked for with the old identity: they are asked for again, and events whose results are
// due when the credentials end are not for the subscription.
func TestReadmitWithResultsThatWaitForRoom(t *testing.T) {
	w, b := onMemory(t, membus.Options{})
	w.limit(func(l *Limits) { l.Lane = 64 })
	publish := memoryPublish(t, b)
	var asked sink
	c := newClient(w, ordersQuery, withRole("old", time.Now().Add(time.Hour)))
	c.policy.Messages = 8
	c.answer = func(j *Join) { j.Resolver = byRole(&asked) }
	c.resume()
	c.first()
	c.sub.Complete()
	for i := 1; i <= 100; i++ {
		publish(numbered(i, "a"))
	}
	c.resume()
	waiting := c.sub.Len()
	if len(asked.list) < 2*waiting {
		t.Fatalf("asked %d times, and %d wait", len(asked.list), waiting)
	}
	if errs := w.hub.Readmit(c.sub, withRole("new", time.Now().Add(2*time.Hour)), allow(0)); errs != nil {
		t.Fatal(errs)
	}
	c.first()
	for i := 1; i <= 100; i++ {
		if i < waiting { // one is the first message
			c.wantEvents(i)
		} else {
			c.wantEvents(-i)
		}
	}
	c.sub.Complete()
	w.wantIdle()
}

func TestExpiryWithResultsThatWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b := onMemory(t, membus.Options{})
		publish := memoryPublish(t, b)
		var asked sink
		c := newClient(w, ordersQuery, withRole("old", time.Now().Add(time.Minute)))
		c.policy.Messages = 4
		c.answer = func(j *Join) { j.Resolver = byRole(&asked) }
		c.resume()
		c.first()
		c.sub.Complete()
		for i := 1; i <= 4; i++ {
			publish(numbered(i, "a"))
		}
		c.resume()
		synctest.Wait()
		waiting := c.sub.Len()
		<-time.After(2 * time.Minute)
		c.first()
		for i := 1; i < waiting; i++ {
			c.wantEvents(i)
		}
		synctest.Wait()
		if _, ok, _ := c.sub.Pop(); ok || len(asked.list) != 4 {
			t.Errorf("a result after the credentials have ended, or asked %d times", len(asked.list))
		}
		c.sub.Complete()
		synctest.Wait()
		w.hub.Close()
	})
}

// Whose credentials are refreshed while it waits for its first event, with results due, gets what the new ones give of each event.
func TestReadmitOfAReplayThatWaits(t *testing.T) {
	w, b := onMemory(t, membus.Options{})
	publish := memoryPublish(t, b)
	var asked sink
	c := newClient(w, ordersQuery, withRole("old", time.Time{}))
	by := NewTypes(map[string]*Resolver{"t": {Deferred: asked.take, Context: true}})
	c.answer = func(j *Join) { j.Types = by }
	c.resume()
	c.first()
	c.sub.Complete()
	for i := 1; i <= 3; i++ {
		ev := numbered(i, "a")
		if i == 2 {
			ev.Type = "unresolved"
		}
		publish(ev)
	}
	c.resume()
	if c.first() != queue.Recovered || len(asked.list) != 2 || c.sub.cell != nil {
		t.Fatalf("asked %d times", len(asked.list))
	}
	asked.list[1].Resolve(asked.list[1].Event().Data)
	if errs := w.hub.Readmit(c.sub, withRole("new", time.Time{}), allow(1)); errs != nil {
		t.Fatal(errs)
	}
	if asked.list[0].Resolve(asked.list[0].Event().Data) {
		t.Error("a result for the old identity is wanted")
	}
	publish(numbered(4, "a"))
	for _, r := range asked.list[2:] {
		if r.Who().Roles[0] != "new" || !r.Resolve(negated(r.Event())) {
			t.Errorf("asked as %v", r.Who().Roles)
		}
	}
	c.wantEvents(-1, 2, -3, -4)
	c.wantNothing()
	c.sub.Complete()
	w.wantIdle()
}

// History was read to its end, before the newest position of the bus, when the identity of one with many results due changes:
// what is asked for again is read again.
func TestReadmitAtTheEndOfHistory(t *testing.T) {
	w, carrier := onCarrier(t, 3)
	w.limit(func(l *Limits) { l.Lane = 64 })
	var asked sink
	c := newClient(w, ordersQuery, withRole("old", time.Time{}))
	c.policy.Messages = 8 // and may have two results due
	c.answer = func(j *Join) { j.Resolver = &Resolver{Deferred: asked.take, Context: true} }
	for i := 1; i <= 3; i++ {
		carrier.publish(numbered(i, "a"))
	}
	carrier.mu.Lock()
	carrier.wanted = true // nothing of that is delivered
	carrier.next++        // an event of another channel
	c.cursor = string(w.hub.cursor("orders", standing{at: carrier.history[0].Position.Before()}))
	carrier.mu.Unlock()
	c.resume()
	if c.first() != queue.Recovered || len(asked.list) != 3 {
		t.Fatalf("asked %d times", len(asked.list))
	}
	if errs := w.hub.Readmit(c.sub, withRole("new", time.Time{}), allow(0)); errs != nil {
		t.Fatal(errs)
	}
	w.hub.Room(c.conn)
	c.wantAsked(&asked, 6)
	for _, r := range asked.list[3:] {
		r.Resolve(negated(r.Event()))
	}
	c.wantEvents(-1, -2, -3)
	c.sub.Complete()
}

// wantAsked waits until a resolver was asked n times.
func (c *client) wantAsked(s *sink, n int) {
	c.w.tb.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		s.mu.Lock()
		got := len(s.list)
		s.mu.Unlock()
		if got == n {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			c.w.tb.Fatalf("asked %d times, want %d", got, n)
		}
	}
}

// replaying returns the subscription that replays on a channel, nil if none has begun.
func (w *world) replaying(channel string) *Subscription {
	_, c := w.hub.lookup(channel)
	c.mu.Lock()
	defer c.mu.Unlock()
	for s, r := range c.follow.replays {
		if r.begun {
			return s
		}
	}
	return nil
}

// Whose credentials are refreshed before they end, while a page of history is on its way, sees the page with the new ones.
func TestReadmitDuringAPage(t *testing.T) {
	for _, resolved := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w, b := onMemory(t, membus.Options{})
			publish := memoryPublish(t, b)
			c := newClient(w, ordersQuery, withRole("old", time.Now().Add(time.Minute)))
			if resolved {
				c.answer = func(j *Join) { j.Resolver = byRole(&sink{}) }
			}
			c.resume()
			c.first()
			c.sub.Complete()
			for i := 1; i <= 3; i++ {
				publish(numbered(i, "a"))
			}
			w.hub.cfg.Bus.History = func(ctx context.Context, channel string, after event.Position, limit int) (bus.Page, error) {
				page, err := b.History(ctx, channel, after, limit)
				if s := w.replaying(channel); s != nil && s.Identity() == c.who {
					w.hub.Readmit(s, withRole("old", time.Now().Add(time.Hour)), allow(0))
					<-time.After(2 * time.Minute)
				}
				return page, err
			}
			c.resume()
			c.first()
			c.wantEvents(1, 2, 3)
			c.sub.Complete()
			synctest.Wait()
			w.hub.Close()
		})
	}
}
