package redisbus

import (
	"runtime"
	"sync"

	"github.com/fraiseql/fraiseql-go/bus"
)

// crew are the goroutines that deliver. A partition is with one of them at a time, which keeps its order; there are few,
// so that an answer that has entries of many partitions wakes few.
type crew struct {
	bus  *Bus
	h    bus.Handler
	gaps bus.GapHandler // nil: the handler does not want to know
	call chan struct{}  // one token for each that should come

	mu    sync.Mutex
	ready []*partition // with batches in their queue, first come first served
	busy  int          // goroutines that were called and have not found ready empty since
}

// crewSize is how many deliver at once. A handler that waits for another channel needs a second one.
func crewSize() int { return max(4, runtime.GOMAXPROCS(0)) }

func newCrew(b *Bus, h bus.Handler) *crew {
	c := &crew{bus: b, h: h, call: make(chan struct{}, crewSize())}
	c.gaps, _ = h.(bus.GapHandler)
	for range crewSize() {
		b.running.Go(c.work)
	}
	return c
}

// push says that a partition has batches in its queue. It is delivered once rouse is called.
func (c *crew) push(p *partition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !p.queued {
		p.queued = true
		c.ready = append(c.ready, p)
	}
}

// rouse wakes one goroutine if there is something to deliver; it wakes others.
func (c *crew) rouse() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rouseLocked()
}

func (c *crew) rouseLocked() {
	if len(c.ready) > 0 && c.busy < crewSize() {
		c.busy++
		c.call <- struct{}{} // which has space: there are no more tokens than busy ones
	}
}

// work delivers until the bus is closed.
func (c *crew) work() {
	var m bus.Message // each in turn
	for {
		select {
		case <-c.call:
		case <-c.bus.ctx.Done():
			return
		}
		for p := c.take(); p != nil; p = c.take() {
			p.drain(c.h, c.gaps, &m)
			c.done(p)
		}
	}
}

// take returns the next partition, nil if there is none: the goroutine is not busy then.
func (c *crew) take() *partition {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.ready) == 0 {
		c.busy--
		return nil
	}
	p := c.ready[0]
	copy(c.ready, c.ready[1:])
	c.ready = c.ready[:len(c.ready)-1]
	c.rouseLocked()
	return p
}

// done puts a partition back if something has come meanwhile.
func (c *crew) done(p *partition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.queued = len(p.queue) > 0; p.queued {
		c.ready = append(c.ready, p)
	}
}

// drain delivers what is in the queue, in the order of the stream.
func (p *partition) drain(h bus.Handler, gaps bus.GapHandler, m *bus.Message) {
	for range queueLength {
		select {
		case b := <-p.queue:
			p.deliverBatch(h, gaps, b, m)
		default:
			return
		}
		if p.starved.Load() && p.starved.CompareAndSwap(true, false) {
			p.reader.wake()
		}
	}
}

func (p *partition) deliverBatch(h bus.Handler, gaps bus.GapHandler, b batch, m *bus.Message) {
	switch {
	case b.doubt:
		p.gap(gaps, p.at, id{p.at.epoch, p.at.seq + 1})
	case b.entries == nil:
		p.at = b.start
	}
	for i := range b.entries {
		if p.bus.ctx.Err() != nil {
			return
		}
		p.at = p.deliver(h, gaps, p.at, &b.entries[i], m)
	}
}
