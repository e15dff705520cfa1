package hub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// leave completes a subscription and waits until the node has forgotten its channel.
func (c *client) leave() {
	c.w.tb.Helper()
	c.sub.Complete()
	c.w.wantIdle()
}

// comeBack resumes where nothing may be missing.
func (c *client) comeBack() {
	c.w.tb.Helper()
	c.resume()
	if r := c.first(); r != queue.Recovered {
		c.w.tb.Errorf("not recovered: %v", r)
	}
}

// What was before the cursor of somebody who comes to a node that knows nothing of the channel, and is published again
// while nobody is there, does not come again; nor what is published again once it has come. Ids of another tenant are
// other events.
func TestRepeatedIDsOfAnotherNode(t *testing.T) {
	for seed := range uint64(8) { // of what is delivered again
		w, bus := onCarrier(t, seed)
		c, other := newClient(w, ordersQuery, tenant("a")), newClient(w, ordersQuery, tenant("b"))
		c.resume()
		c.first()
		for i := range 5 {
			bus.publish(numbered(i, "a"))
		}
		c.wantEvents(0, 1, 2, 3, 4)
		other.cursor = c.cursor
		c.leave()
		bus.publish(numbered(3, "a"))
		bus.publish(numbered(3, "b"))
		bus.publish(numbered(5, "a"))
		c.comeBack()
		c.wantEvents(5)
		other.comeBack()
		other.wantEvents(3)
		bus.publish(numbered(4, "a"))
		bus.publish(numbered(4, "b"))
		bus.publish(numbered(5, "a")) // was replayed
		bus.publish(numbered(3, "b"))
		bus.publish(numbered(6, "a"))
		bus.publish(numbered(6, "b"))
		c.wantEvents(6)
		other.wantEvents(4, 6)
		c.wantNothing()
		other.wantNothing()
		other.sub.Complete()
		c.leave()
	}
}

// An id that was there more than two minutes before is a new event, live and replayed, whatever else the bus has told.
func TestIDsThatComeAnewLater(t *testing.T) {
	w, b := onCarrier(t, 1)
	publish := func(ago time.Duration, list ...int) {
		b.mu.Lock()
		b.ago = ago
		b.mu.Unlock()
		for _, n := range list {
			b.publish(numbered(n, "a"))
		}
	}
	c, other := newClient(w, ordersQuery, tenant("a")), newClient(w, ordersQuery, tenant("a"))
	c.resume()
	c.first()
	publish(time.Hour, 1, 2, 3)
	publish(time.Minute, 4, 5)
	c.wantEvents(1, 2, 3, 4, 5)
	other.cursor = c.cursor
	c.leave()
	publish(59*time.Minute, 1) // one minute after the first
	publish(50*time.Second, 2, 4, 6)
	publish(0, 6, 7)
	c.comeBack()
	c.wantEvents(2, 6, 7)
	publish(0, 5, 3, 3, 2, 1, 8)
	c.wantEvents(3, 1, 8)
	c.wantNothing()
	other.comeBack()
	other.wantEvents(2, 6, 7, 3, 1, 8)
	other.wantNothing()
	other.sub.Complete()
	c.leave()
}

// What is replayed is compared by when it was stored: the same id came twice while somebody was away for longer.
func TestIDsThatComeAnewWithinAReplay(t *testing.T) {
	w, b := onCarrier(t, 1)
	c := newClient(w, ordersQuery, tenant("a"))
	c.resume()
	c.first()
	b.publish(numbered(0, "a"))
	c.wantEvents(0)
	c.leave()
	for _, minutes := range []time.Duration{10, 9, 7, 6, 0} {
		b.mu.Lock()
		b.ago = minutes * time.Minute
		b.mu.Unlock()
		b.publish(numbered(1, "a"))
	}
	c.comeBack()
	c.wantEvents(1, 1, 1)
	c.wantNothing()
	c.leave()
}

// What is delivered while the bus is asked what was before is looked at when it has answered; a subscription without
// cursors does not wait for that.
func TestRepeatedIDsWhileAsked(t *testing.T) {
	w, b := onCarrier(t, 1)
	c := newClient(w, ordersQuery, tenant("a"))
	c.resume()
	c.first()
	b.publish(numbered(0, "a"))
	b.publish(numbered(1, "a"))
	c.wantEvents(0, 1)
	c.leave()
	plain := newConn()
	asking := func(context.Context) error {
		s := w.join(plain, w.plan(ordersQuery), `{}`, tenant("a"))
		b.publish(numbered(2, "a"))
		b.publish(numbered(1, "a"))
		b.publish(numbered(3, "a"))
		waitFor(t, "the events of others", func() bool { return lastOf(w, "orders") == b.newest() })
		if n := s.Len(); n < 2 {
			t.Errorf("%d events", n)
		}
		s.Complete()
		return nil
	}
	b.mu.Lock()
	b.recalled = asking
	b.mu.Unlock()
	c.comeBack()
	c.wantEvents(2, 3)
	c.wantNothing()
	c.leave()
}

// waitFor looks until something is so.
func waitFor(t testing.TB, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(10 * time.Second); !so(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("not in time: ", what)
		}
	}
}

// Many who come back at once ask once; whoever was away for longer than all others asks anew, and so does, when two
// minutes have passed, everybody.
func TestRecallIsShared(t *testing.T) {
	w, b := onCarrier(t, 1)
	c := newClient(w, ordersQuery, tenant("a"))
	c.resume()
	c.first()
	old := c.cursor
	for i := range 3 {
		b.publish(numbered(i, "a"))
	}
	c.wantEvents(0, 1, 2)
	at := c.cursor
	c.leave()
	all := make([]*client, 30)
	var wait sync.WaitGroup
	for i := range all {
		all[i] = newClient(w, ordersQuery, tenant("a"))
		all[i].cursor = at
		wait.Go(all[i].comeBack)
	}
	wait.Wait()
	if n := b.asked(); n != 1 {
		t.Errorf("asked %d times for %d subscriptions", n, len(all))
	}
	b.publish(numbered(2, "a"))
	b.publish(numbered(3, "a"))
	for _, c := range all {
		c.wantEvents(3)
	}
	c.cursor = all[0].cursor
	c.comeBack()
	if n := b.asked(); n != 1 {
		t.Errorf("asked %d times, though what was delivered since is known", n)
	}
	c.sub.Complete()
	c.cursor = old
	c.comeBack()
	c.wantEvents(0, 1, 2, 3)
	if n := b.asked(); n != 2 {
		t.Errorf("asked %d times, one of them by somebody who was away for longer", n)
	}
	c.sub.Complete()
	for _, c := range all {
		c.sub.Complete()
	}
	w.wantIdle()
}

// A cursor that is far behind is asked for apart; the channel learns what was before now.
func TestRecallOfOneWhoWasAwayForLong(t *testing.T) {
	w, b := onCarrier(t, 1)
	c := newClient(w, ordersQuery, tenant("a"))
	c.resume()
	c.first()
	for i := range 3 {
		b.publish(numbered(i, "a"))
	}
	c.wantEvents(0, 1, 2)
	c.leave()
	b.mu.Lock()
	b.reach = 5
	b.mu.Unlock()
	b.publish(numbered(1, "a"))
	for i := 3; i < 20; i++ {
		b.publish(numbered(i, "a"))
	}
	c.comeBack()
	for i := 3; i < 20; i++ {
		c.wantEvents(i)
	}
	if n := b.asked(); n != 2 {
		t.Errorf("asked %d times", n)
	}
	b.publish(numbered(18, "a"))
	b.publish(numbered(20, "a"))
	c.wantEvents(20)
	c.wantNothing()
	c.leave()
}

// A bus that is away refuses who comes back, as it always did; who waited for the answer of somebody else asks himself.
func TestRecallFails(t *testing.T) {
	w, b := onCarrier(t, 1)
	c := newClient(w, ordersQuery, tenant("a"))
	c.resume()
	c.first()
	b.publish(numbered(0, "a"))
	c.wantEvents(0)
	c.leave()
	asked := make(chan struct{}, 2)
	var first sync.Once
	b.mu.Lock()
	b.recalled = func(ctx context.Context) (err error) {
		first.Do(func() {
			asked <- struct{}{}
			<-ctx.Done()
			err = ctx.Err()
		})
		return err
	}
	b.mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() {
		j := w.request(newConn(), w.plan(ordersQuery), `{}`, tenant("a"))
		j.Cursors = true
		if _, _, err := w.hub.Follow(ctx, j, c.cursor, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	<-asked
	second := newClient(w, ordersQuery, tenant("a"))
	second.cursor = c.cursor
	wait.Go(second.comeBack)
	waitFor(t, "the second", func() bool { return replaysOf(w, "orders") == 2 })
	cancel()
	wait.Wait()
	b.mu.Lock()
	b.recalled = func(context.Context) error { return bus.ErrUnavailable }
	b.mu.Unlock()
	second.leave()
	j := w.request(newConn(), w.plan(ordersQuery), `{}`, tenant("a"))
	j.Cursors = true
	if _, _, err := w.hub.Follow(t.Context(), j, c.cursor, nil); !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	w.wantIdle()
}

// lastOf is the position up to which a channel was delivered.
func lastOf(w *world, name string) event.Position {
	_, c := w.hub.lookup(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

func replaysOf(w *world, name string) int {
	_, c := w.hub.lookup(name)
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.follow == nil {
		return 0
	}
	return len(c.follow.replays)
}

// What was recalled counts as long as a replay has it, though the channel has a newer one; who has caught up has none.
func TestRecalledCountsWhileAReplayHasIt(t *testing.T) {
	w, b := onCarrier(t, 1)
	c := newClient(w, ordersQuery, tenant("a"))
	c.resume()
	c.first()
	old := c.cursor
	for i := range 3 {
		b.publish(numbered(i, "a"))
	}
	c.wantEvents(0, 1, 2)
	at := c.cursor
	c.leave()
	for i := 3; i < 1000; i++ { // more than a queue has room for
		b.publish(numbered(i, "a"))
	}
	slow, other := newClient(w, ordersQuery, tenant("a")), newClient(w, ordersQuery, tenant("a"))
	slow.cursor = at
	slow.resume()
	waitFor(t, "a full queue", func() bool { return !slow.sub.Room() })
	if n := w.hub.recalledIDs.Load(); n != 1000 {
		t.Errorf("%d ids", n)
	}
	other.cursor = old
	other.comeBack()
	if n := w.hub.recalledIDs.Load(); n != 2000 {
		t.Errorf("%d ids, of what a slow one and the others have", n)
	}
	for i := range 1000 {
		other.wantEvents(i)
	}
	slow.first()
	for i := 3; i < 1000; i++ {
		slow.wantEvents(i)
	}
	waitFor(t, "the slow one to have caught up", func() bool { return w.hub.recalledIDs.Load() == 1000 })
	slow.sub.Complete()
	other.leave()
}

// What was recalled is bounded over all channels, the newest is kept, and it is forgotten after two minutes.
func TestRecalledIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Addressing{})
		h := w.hub
		list := make([]bus.Recalled, 100)
		at := func(i int) event.Position { return event.Position{Epoch: 1, Minor: uint64(i)} }
		for i := range list {
			list[i] = bus.Recalled{TenantID: "a", ID: fmt.Sprint(i % 50), Position: at(i), At: time.Now()}
		}
		k := h.newRecalled(list, at(20), at(99), unixNow())
		if n := h.recalledIDs.Load(); n != 50 || len(k.keys) != 50 {
			t.Errorf("%d counted, %d known", n, len(k.keys))
		}
		key := h.identityOf("a", "30")
		now := unixNow()
		if k.before(key, at(30), now) || !k.before(key, at(31), now) || k.before(h.identityOf("b", "30"), at(40), now) || k.before(key, event.Position{Epoch: 2, Minor: 99}, now) {
			t.Error("an id counts from its first position on, in its run and for its tenant")
		}
		k.useLocked()
		k.useLocked()
		if k.forgetLocked(h); h.recalledIDs.Load() != 50 {
			t.Error("given back while somebody uses it")
		}
		k.forgetLocked(h)
		h.recalledIDs.Store(recalledTotal)
		k = h.newRecalled(list, at(20), at(99), unixNow())
		if len(k.keys) != seenLeast || !k.before(h.identityOf("a", "49"), at(100), now) || k.before(h.identityOf("a", "1"), at(100), now) {
			t.Errorf("%d known, where others have all", len(k.keys))
		}
		c := &channel{hub: h, name: "c"}
		c.follow = &follow{channel: c, recalled: k.useLocked()}
		if !c.servesLocked(k, at(20)) || c.servesLocked(k, at(19)) || c.servesLocked(k, at(120)) || c.servesLocked(k, event.Position{Epoch: 2, Minor: 20}) {
			t.Error("not those cursors are served that should be")
		}
		c.last = at(120)
		c.seen = new(seen)
		if !c.servesLocked(k, at(120)) {
			t.Error("what was delivered since is known")
		}
		c.seen.dropped = k.made
		if c.servesLocked(k, at(20)) {
			t.Error("what was delivered since was forgotten")
		}
		c.follow.expireLocked()
		<-time.After((seenSeconds + 2) * time.Second)
		if c.seen = nil; c.servesLocked(k, at(20)) {
			t.Error("after two minutes")
		}
		if c.follow.expireLocked(); c.follow.recalled != nil || h.recalledIDs.Load() != recalledTotal {
			t.Error("it is held after two minutes")
		}
		h.Close()
	})
}
