package hub

import (
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus/membus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// slowForOne is a deferred resolver that answers at once what is for all, and keeps what is for one subscription alone.
type slowForOne struct{ kept sink }

func (f *slowForOne) resolver() *Resolver {
	return &Resolver{Deferred: func(r *Request) {
		if r.followed().only == nil {
			r.Resolve(negated(r.Event()))
			return
		}
		f.kept.take(r)
	}}
}

func (f *slowForOne) asked() int {
	f.kept.mu.Lock()
	defer f.kept.mu.Unlock()
	return len(f.kept.list)
}

func (f *slowForOne) answer() {
	f.kept.mu.Lock()
	list := f.kept.list
	f.kept.list = nil
	f.kept.mu.Unlock()
	for _, r := range list {
		r.Resolve(negated(r.Event()))
	}
}

// joinedWithDue is a world in which two subscribe in one group, of whom the second went away for due events and has joined with
// their results due.
func joinedWithDue(t *testing.T, slow *slowForOne, due int, answer func(*Join)) (w *world, publish func(event.Event), stays, back *client) {
	t.Helper()
	w, b := onMemory(t, membus.Options{})
	publish = memoryPublish(t, b)
	stays, back = newClient(w, ordersQuery, tenant("a")), newClient(w, ordersQuery, tenant("a"))
	p := w.plan(ordersQuery)
	shared := func(j *Join) {
		j.Plan = p
		answer(j)
	}
	stays.answer, back.answer = shared, shared
	stays.resume()
	stays.first()
	back.resume()
	back.first()
	back.sub.Complete()
	for i := 1; i <= due; i++ {
		publish(numbered(i, "a"))
		stays.wantTotals(-i)
	}
	back.resume()
	if r := back.first(); r != queue.Recovered || slow.asked() != due {
		t.Fatalf("%v, %d were asked for", r, slow.asked())
	}
	return w, publish, stays, back
}

// wantTotals takes messages of events with these totals.
func (c *client) wantTotals(totals ...int) {
	c.w.tb.Helper()
	for _, want := range totals {
		m, ok := c.next(10 * time.Second)
		if !ok || m.data == "" {
			c.w.tb.Fatalf("%+v in place of %d", m, want)
		}
		if got := total(c.w.tb, m.data); got != want {
			c.w.tb.Fatalf("got %d, want %d", got, want)
		}
	}
}

// What is due to one who came back delays nobody else, and comes before what is newer.
func TestOthersDoNotWaitForWhatIsDueToOne(t *testing.T) {
	slow := &slowForOne{}
	r := slow.resolver()
	w, publish, stays, back := joinedWithDue(t, slow, 4, func(j *Join) { j.Resolver = r })
	for i := 5; i <= 8; i++ {
		publish(numbered(i, "a"))
		stays.wantTotals(-i)
	}
	back.wantNothing()
	slow.answer()
	back.wantTotals(-1, -2, -3, -4, -5, -6, -7, -8)
	publish(numbered(9, "a"))
	back.wantTotals(-9)
	stays.wantTotals(-9)
	back.sub.Complete()
	stays.sub.Complete()
	w.wantIdle()
}

// The bound of what waits behind results that are due to one concerns that one.
func TestWhatWaitsForOneIsBounded(t *testing.T) {
	slow := &slowForOne{}
	r := slow.resolver()
	_, publish, stays, back := joinedWithDue(t, slow, 4, func(j *Join) { j.Resolver = r })
	for i := 5; i <= 9; i++ {
		publish(numbered(i, "a"))
		stays.wantTotals(-i)
	}
	if m, _ := back.next(10 * time.Second); !m.overflowed {
		t.Errorf("%+v though more wait than may", m)
	}
}

// Who goes away leaves no request behind.
func TestWhatIsDueToOneGoesWithIt(t *testing.T) {
	slow := &slowForOne{}
	r := slow.resolver()
	w, publish, stays, back := joinedWithDue(t, slow, 4, func(j *Join) { j.Resolver = r })
	publish(numbered(5, "a"))
	back.sub.Complete()
	for _, q := range slow.kept.list {
		if q.Waits() {
			t.Error("a result is wanted of a subscription that has ended")
		}
	}
	slow.answer()
	stays.wantTotals(-5)
	stays.wantNothing()
	if n := len(stays.sub.cell.group.lane().own); n != 0 || w.listed() != 0 {
		t.Errorf("%d have something due, %d requests are listed", n, w.listed())
	}
}

// Events that need no resolver pass those who wait for one, for all but the subscription to which something is due.
func TestUnresolvedEventsBesideWhatIsDueToOne(t *testing.T) {
	slow := &slowForOne{}
	types := NewTypes(map[string]*Resolver{"t": slow.resolver()})
	_, publish, stays, back := joinedWithDue(t, slow, 2, func(j *Join) { j.Types = types })
	for i := 3; i <= 4; i++ {
		ev := numbered(i, "a")
		ev.Type = "plain"
		publish(ev)
		stays.wantTotals(i)
	}
	back.wantNothing()
	slow.answer()
	back.wantTotals(-1, -2, 3, 4)
}

// A subscription whose queue is short does not join with more results due than find room in it.
func TestNoMoreIsDueToWhoJoinsThanFindsRoom(t *testing.T) {
	w, b := onMemory(t, membus.Options{})
	publish := memoryPublish(t, b)
	slow := &slowForOne{}
	r := slow.resolver()
	c := newClient(w, ordersQuery, tenant("a"))
	c.policy.Messages = 8
	c.answer = func(j *Join) { j.Resolver = r }
	c.resume()
	c.first()
	c.sub.Complete()
	for i := 1; i <= 3; i++ {
		publish(numbered(i, "a"))
	}
	c.resume()
	c.first()
	publish(numbered(4, "a"))
	last := slow.kept.list[2]
	last.Resolve(negated(last.Event())) // not the head; it looks again
	w.until(func() bool { return slow.asked() == 4 })
	_, channel := w.hub.lookup("orders")
	channel.mu.Lock()
	if channel.replayLocked(c.sub) == nil {
		t.Error("it has joined")
	}
	channel.mu.Unlock()
	slow.answer()
	c.wantTotals(-1, -2, -3, -4)
	publish(numbered(5, "a"))
	w.until(func() bool { return c.sub.Len() > 0 || slow.asked() > 0 })
	slow.answer()
	c.wantTotals(-5)
}

// until waits for a condition.
func (w *world) until(is func() bool) {
	w.tb.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			w.tb.Fatal("it does not come to it")
		}
	}
}
