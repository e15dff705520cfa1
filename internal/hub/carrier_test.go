package hub

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// carrier is a bus outside of the process, as the hub sees one: an event is in its history from the moment that it is
// acknowledged, and is delivered some time later; interest takes effect late; positions are shared with other
// channels, so that they have holes; old events are forgotten.
type carrier struct {
	hub  *Hub
	name string

	mu      sync.Mutex
	wake    sync.Cond
	random  *rand.Rand
	epoch   uint64
	next    uint64
	history []bus.Message
	keep    int // events, 0: all
	lost    event.Position
	due     []bus.Message // to be delivered
	wanted  bool          // interest has taken effect
	closed  bool
	reads   int
	failing int // of the next reads
	recalls int
	// recalled is called with each question of what was before, without the lock; nil: nothing is.
	recalled func(context.Context) error
	// reach is how many events a question of what was before is answered with, 0: all.
	reach int
	// ago is how long ago what is published next was stored; stored is when what is in history was.
	ago    time.Duration
	stored map[event.Position]time.Time
	done   chan struct{}
}

func newCarrier(t testing.TB, seed uint64) *carrier {
	c := &carrier{name: "orders", epoch: 7, next: 100, random: rand.New(rand.NewPCG(seed, 1)), stored: map[event.Position]time.Time{}, done: make(chan struct{})}
	c.wake.L = &c.mu
	t.Cleanup(func() {
		c.mu.Lock()
		c.closed = true
		c.wake.Broadcast()
		c.mu.Unlock()
		<-c.done
	})
	return c
}

func (c *carrier) access() BusAccess {
	return BusAccess{Name: event.HashName("fake"), Redelivers: true, History: c.read, Established: c.established, Recall: c.recall}
}

// run delivers what is due, in order, a few events at a time.
func (c *carrier) run() {
	defer close(c.done)
	for {
		c.mu.Lock()
		for len(c.due) == 0 && !c.closed {
			c.wake.Wait()
		}
		if c.closed {
			c.mu.Unlock()
			return
		}
		n := 1 + c.random.IntN(min(len(c.due), 8))
		list := c.due[:n]
		c.due = c.due[n:]
		c.mu.Unlock()
		for i := range list {
			m := list[i]
			c.hub.Deliver(&m)
		}
	}
}

// publish acknowledges an event.
func (c *carrier) publish(ev event.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next += 1 + c.random.Uint64N(3)
	ev.Channel = c.name
	m := bus.Message{Event: ev, Position: event.Position{Epoch: c.epoch, Partition: 3, Minor: c.next}}
	c.history = append(c.history, m)
	c.stored[m.Position] = time.Now().Add(-c.ago)
	for c.keep > 0 && len(c.history) > c.keep {
		c.lost = c.history[0].Position
		c.history = c.history[1:]
	}
	if c.wanted {
		c.due = append(c.due, m)
		c.wake.Broadcast()
	}
}

func (c *carrier) established(ctx context.Context, _ string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.wanted {
		c.wanted = true
		// What was acknowledged a moment ago may be delivered, too.
		late := c.history[len(c.history)-c.random.IntN(min(len(c.history), 5)+1):]
		for len(late) > 0 && time.Since(c.stored[late[0].Position]) > 30*time.Second {
			late = late[1:]
		}
		c.due = append(c.due, late...)
		c.wake.Broadcast()
	}
	return ctx.Err()
}

func (c *carrier) interest(_ string, wanted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !wanted {
		c.wanted = false
	}
}

func (c *carrier) read(ctx context.Context, _ string, after event.Position, limit int) (bus.Page, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads++
	if c.failing > 0 {
		c.failing--
		return bus.Page{}, bus.ErrUnavailable
	}
	page := bus.Page{Head: event.Position{Epoch: c.epoch, Partition: 3, Minor: c.next}}
	if !after.IsZero() && (!after.SameRun(page.Head) || after.Compare(page.Head) > 0) {
		return page, ctx.Err()
	}
	page.Complete = after.IsZero() && c.lost.IsZero() || !after.IsZero() && (c.lost.IsZero() || c.lost.Compare(after) <= 0)
	for _, m := range c.history {
		if len(page.Messages) < limit && (after.IsZero() || m.Position.Compare(after) > 0) {
			page.Messages = append(page.Messages, m)
		}
	}
	return page, ctx.Err()
}

// gap loses what is due, as a carrier does that was cut off for too long.
func (c *carrier) gap() {
	c.mu.Lock()
	c.due = nil
	if n := len(c.history); n > 0 {
		c.lost, c.history = c.history[n-1].Position, nil
	}
	c.mu.Unlock()
	c.hub.Gap(c.name, event.Position{})
}

func (c *carrier) recall(ctx context.Context, _ string, from, upTo event.Position) (list []bus.Recalled, whole bool, err error) {
	c.mu.Lock()
	c.recalls++
	ask := c.recalled
	c.mu.Unlock()
	if ask != nil {
		if err := ask(ctx); err != nil {
			return nil, false, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	between := 0
	for _, m := range slices.Backward(c.history) {
		switch {
		case m.Position.Compare(upTo) > 0:
			continue
		case m.Position.Compare(from) > 0:
			if between++; between == c.reach {
				return list, false, nil
			}
		}
		list = append(list, bus.Recalled{TenantID: m.Event.TenantID, ID: m.Event.ID, Position: m.Position, At: c.stored[m.Position]})
	}
	return list, true, nil
}

// newest is the position of the newest event.
func (c *carrier) newest() event.Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.history[len(c.history)-1].Position
}

// asked is how often what was before was asked for.
func (c *carrier) asked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.recalls
}
