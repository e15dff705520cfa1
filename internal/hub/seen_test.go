package hub

import (
	"fmt"
	"hash/maphash"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fraiseql/fraiseql-go/bus/membus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// An id that was published again under a new position is delivered once, live and replayed; one of another tenant is
// another event.
func TestRepeatedIDs(t *testing.T) {
	w, bus := onCarrier(t, 1)
	c, stays := newClient(w, ordersQuery, tenant("a")), newClient(w, ordersQuery, tenant("a"))
	c.resume()
	c.first()
	stays.resume()
	stays.first()
	bus.publish(numbered(1, "a"))
	bus.publish(numbered(1, "a"))
	bus.publish(numbered(1, "b"))
	bus.publish(numbered(2, "a"))
	c.wantEvents(1, 2)
	if n := w.counts.of("duplicate"); n != 1 {
		t.Errorf("%d counted", n)
	}
	c.sub.Complete()
	bus.publish(numbered(3, "a"))
	bus.publish(numbered(2, "a")) // was delivered before the cursor
	bus.publish(numbered(3, "a")) // within what is replayed
	bus.publish(numbered(4, "a"))
	stays.wantEvents(1, 2, 3, 4)
	c.resume()
	if c.first() != queue.Recovered {
		t.Error("not recovered")
	}
	c.wantEvents(3, 4)
	c.wantNothing()
	stays.wantNothing()
}

// Within what is replayed, a node that was not there before knows repetition as well.
func TestRepeatedIDsOnAnotherNode(t *testing.T) {
	w, bus := onCarrier(t, 1)
	c := newClient(w, ordersQuery, tenant("a"))
	c.resume()
	c.first()
	c.sub.Complete()
	w.wantIdle()
	for _, n := range []int{1, 2, 1, 2, 3, 1} {
		bus.publish(numbered(n, "a"))
	}
	c.resume()
	c.first()
	c.wantEvents(1, 2, 3)
	c.wantNothing()
}

func TestSeenIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Hub{seed: maphash.MakeSeed()}
		c := &channel{hub: h, name: "c"}
		d := newDispatch(h)
		repeats := func(id int) bool {
			ev := event.Event{Channel: "c", ID: fmt.Sprint(id)}
			d.event, d.now = &ev, 0
			d.at.Minor++
			return c.repeatsLocked(d)
		}
		for i := range seenEvents + 5 {
			if repeats(i) {
				t.Fatal("new, and yet seen")
			}
		}
		if n := len(c.seen.known); n != seenEvents || h.seenEntries.Load() != seenEvents {
			t.Errorf("%d known, %d counted", n, h.seenEntries.Load())
		}
		if !repeats(5) || repeats(4) {
			t.Error("the last 10,000 are known, and no more")
		}
		<-time.After((seenSeconds + 2) * time.Second)
		if repeats(seenEvents) || len(c.seen.known) != 1 || h.seenEntries.Load() != 1 {
			t.Errorf("after two minutes %d are known, %d counted", len(c.seen.known), h.seenEntries.Load())
		}
		h.seenEntries.Add(seenTotal)
		for i := range 100 {
			repeats(100_000 + i)
		}
		if n := len(c.seen.known); n != seenLeast {
			t.Errorf("%d known though others have all", n)
		}
		c.seen.forget(&h.seenEntries)
		if n := h.seenEntries.Load(); n != seenTotal {
			t.Errorf("%d counted", n)
		}
	})
}

// The memory bus delivers once: nothing is remembered for it.
func TestTheMemoryBusRemembersNothing(t *testing.T) {
	w, b := onMemory(t, membus.Options{})
	publish := memoryPublish(t, b)
	s := w.join(newConn(), w.plan(ordersQuery), `{}`, tenant("a"))
	publish(numbered(1, "a"))
	publish(numbered(1, "a"))
	for range 2 {
		if next(s) == "" {
			t.Error("an event is missing")
		}
	}
	if _, c := w.hub.lookup("orders"); c.seen != nil || c.follow != nil {
		t.Error("something is remembered")
	}
}

// What those who come back and do not read have replayed is remembered within a bound for all of them, and given back.
func TestSeenOfReplaysIsBounded(t *testing.T) {
	const clients, events = 50, 5000
	w, b := onCarrier(t, 1)
	first := newClient(w, ordersQuery, tenant("a"))
	first.resume()
	first.first()
	first.sub.Complete()
	for i := range events {
		b.publish(numbered(i, []string{"a", "b", "b", "b", "b"}[i%5]))
	}
	var all []*client
	for range clients {
		c := newClient(w, ordersQuery, tenant("a"))
		c.cursor = first.cursor
		c.policy.Messages = 1800 // of which 900 wait for their reader
		c.resume()
		all = append(all, c)
	}
	w.until(func() bool { // they are parked
		for _, c := range all {
			if c.sub.Len() < 900 {
				return false
			}
		}
		return true
	})
	held := 0
	_, channel := w.hub.lookup("orders")
	channel.mu.Lock()
	for _, r := range channel.follow.replays {
		held += len(r.seen.known)
	}
	channel.mu.Unlock()
	if most := seenTotal + seenLeast*clients; held > most || held < seenTotal/2 {
		t.Errorf("they remember %d ids, want at most %d", held, most)
	}
	for _, c := range all {
		c.sub.Complete()
	}
	w.wantIdle()
}
