// Package membus is the event bus within one process: ordered per channel, parallel over channels, with a
// bounded history. It is at most once: events end with the process.
//
// Concurrency. Publish delivers in the caller's goroutine. A channel's turn is held from the moment that an
// event gets its position until the Handler has returned, so that the Handler sees each channel in order
// and one event at a time; other channels run in parallel. An event is in the history before it is
// delivered. History never waits for a Handler, and may be called from one. A Handler must not publish to
// the channel that it is being called for (it would wait for itself); any other goroutine may.
//
// Memory. Each channel keeps its newest events, up to Options.Events of them, and all channels together up
// to Options.Bytes (the channels themselves included, about 0.3 KB each: this is what bounds their number).
// Over that, a channel that holds more than its equal share loses its oldest events first; else the channel
// that was silent longest is forgotten. What was lost shows as Page.Complete false, never as silence.
package membus

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// Options sets the bounds of a Bus. Zero members mean the default in the comment.
type Options struct {
	// Events is how many events of one channel are kept, default 10,000; negative: none.
	Events int
	// Bytes is the budget of all channels together, default 64 MiB.
	Bytes int64
	// ControlRetention is how long the events of bus.ControlChannel are kept, default 24 h.
	ControlRetention time.Duration
}

const (
	defaultEvents           = 10_000
	defaultBytes            = 64 << 20
	defaultControlRetention = 24 * time.Hour
	// controlEvents and nodeEvents bound the channels that are outside the byte budget.
	controlEvents = 100_000
	controlBytes  = 4 << 20 // of each
	nodeEvents    = 1_000
	nodeRetention = time.Minute
	nodeChannels  = 4_096
)

// Bus is a memory bus. It implements bus.Bus, bus.Describer, bus.ControlRetainer and bus.Worker. Make one with New.
type Bus struct {
	epoch   uint64
	seed    maphash.Seed
	events  int
	budget  int64
	slack   int64 // a shard tells the sum of held bytes only about changes of more than this
	handler atomic.Pointer[bus.Handler]
	closed  atomic.Bool
	retain  atomic.Int64 // of ControlChannel, a time.Duration
	nodes   atomic.Int64 // control channels held

	held     atomic.Int64  // bytes
	channels atomic.Int64  // ordinary and control
	tick     atomic.Uint32 // advances as bytes are published: a coarse age

	work struct {
		count  atomic.Int64 // workers
		mu     sync.Mutex
		groups map[groupKey]*group // guarded by mu
		news   map[string]*news    // by channel; guarded by mu
	}

	evicting sync.Mutex
	hand     hand // under evicting

	shards atomic.Pointer[shards] // nil until there is a channel
}

var (
	_ bus.Bus             = (*Bus)(nil)
	_ bus.Describer       = (*Bus)(nil)
	_ bus.ControlRetainer = (*Bus)(nil)
	_ bus.Worker          = (*Bus)(nil)
)

// New makes an empty bus. Its positions have an epoch of their own, so that cursors of another one (of the
// process before a restart, too) are recognised as foreign.
func New(o Options) *Bus {
	if o.Events == 0 {
		o.Events = defaultEvents
	}
	if o.Bytes <= 0 {
		o.Bytes = defaultBytes
	}
	if o.ControlRetention <= 0 {
		o.ControlRetention = defaultControlRetention
	}
	b := &Bus{
		epoch:  rand.Uint64() | 1,
		seed:   maphash.MakeSeed(),
		events: max(o.Events, 0),
		budget: o.Bytes,
		slack:  min(o.Bytes>>(shardBits+4), 32<<10),
	}
	b.retain.Store(int64(o.ControlRetention))
	return b
}

// Describe says that the bus is at most once, neither durable nor shared.
func (b *Bus) Describe() bus.Description {
	return bus.Description{Name: "memory", Guarantee: bus.AtMostOnce}
}

// RetainControl sets Options.ControlRetention.
func (b *Bus) RetainControl(d time.Duration) {
	if d > 0 {
		b.retain.Store(int64(d))
	}
}

// Attach sets the handler. Events published before are in the history only.
func (b *Bus) Attach(_ context.Context, h bus.Handler) error {
	if b.closed.Load() {
		return bus.ErrClosed
	}
	if !b.handler.CompareAndSwap(nil, &h) {
		return errors.New("attach memory bus: it has a handler already")
	}
	return nil
}

// Interest does nothing: what is published here is delivered here.
func (b *Bus) Interest(string, bool) {}

// Publish delivers each message in the caller's goroutine and returns when the last Handler call has. A ctx
// that ends is noticed between messages.
func (b *Bus) Publish(ctx context.Context, batch []bus.Message) (bus.Receipt, error) {
	var r bus.Receipt
	if b.closed.Load() {
		return r, bus.ErrClosed
	}
	for i := range batch {
		if err := ctx.Err(); err != nil {
			return r, fmt.Errorf("publish to memory bus: %w", err)
		}
		delivered, ok := b.publish(&batch[i])
		if !ok {
			return r, bus.ErrClosed
		}
		if batch[i].Filled {
			bus.Pace(*b.handler.Load(), &batch[i])
		}
		r.Accepted++
		r.Delivered += delivered
	}
	return r, nil
}

func (b *Bus) publish(m *bus.Message) (delivered int, ok bool) {
	c := b.turn(m.Event.Channel)
	if c == nil {
		return 0, false
	}
	delivered = b.deliver(c, m)
	if b.work.count.Load() > 0 {
		b.tell(m.Event.Channel)
	}
	if b.held.Load() > b.budget {
		b.evict()
	}
	return delivered, true
}

// turn returns the channel of that name with its turn taken, or nil when the bus is closed.
func (b *Bus) turn(name string) *channel {
	for {
		c := b.channel(name)
		if c == nil {
			return nil
		}
		c.turn.Lock()
		switch {
		case b.closed.Load():
			c.turn.Unlock()
			return nil
		case !c.dead:
			return c
		}
		c.turn.Unlock() // freed meanwhile: the name has another channel now, or none
	}
}

// deliver is the turn of one message.
func (b *Bus) deliver(c *channel, m *bus.Message) int {
	defer c.turn.Unlock()
	m.Position, m.Filled = b.position(b.append(c, &m.Event)), false
	h := b.handler.Load()
	if h == nil {
		return 0
	}
	return (*h).Deliver(m)
}

func (b *Bus) position(seq uint64) event.Position {
	return event.Position{Epoch: b.epoch, Minor: seq}
}

// Close refuses what is published from now on and waits until every Handler call has returned, or until ctx
// ends (it then returns ctx's error; the calls that hang are left alone). It must not be called from a
// Handler. Calling it again waits again.
func (b *Bus) Close(ctx context.Context) error {
	b.closed.Store(true)
	b.tellAll()
	all := b.shards.Load()
	if all == nil || all.idle() { // no goroutine for what most find
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range all {
			all[i].wait()
		}
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close memory bus: %w", ctx.Err())
	}
}

// idle reports whether no turn of a channel is taken. Called once the bus is closed: none is taken for long after it.
func (all *shards) idle() bool {
	for i := range all {
		t := all[i].slots.Load()
		for k := range t.at {
			c := t.at[k].Load()
			if c == nil || c == tomb {
				continue
			}
			if !c.turn.TryLock() {
				return false
			}
			c.turn.Unlock()
		}
	}
	return true
}

// wait returns when no turn of the shard's channels is taken.
func (sh *shard) wait() {
	sh.mu.Lock()
	t := sh.slots.Load()
	sh.mu.Unlock()
	for i := range t.at {
		if c := t.at[i].Load(); c != nil && c != tomb {
			c.turn.Lock()
			//lint:ignore SA2001 the turn is taken only to have waited for it
			c.turn.Unlock()
		}
	}
}
