// Package spool keeps events in memory while the carrier of a bus is away, for who asked for it: publishing then is
// acknowledged although the event is in this process only. What waits is published in order once the carrier is
// back; it is lost with the process, which is why nothing is kept unless it was asked for.
//
// Concurrency: Publish may be called by any number of goroutines. An event that was published after another one had
// been acknowledged comes after it, whether or not one of them waited here. One goroutine, which Close waits for,
// publishes what waits.
package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

const (
	// batchEvents bounds what is published at once of what waited.
	batchEvents = 256
	// overhead is what an event costs besides its texts.
	overhead = 256
	// firstPause and longestPause are the waits between attempts while the carrier is away.
	firstPause   = 20 * time.Millisecond
	longestPause = time.Second
)

// Bus is a bus that keeps events while its carrier is away. It has the optional abilities of the bus inside.
type Bus struct {
	inner bus.Bus
	limit int64
	log   *slog.Logger

	stop    context.CancelFunc // of the goroutine that publishes what waited
	stopped chan struct{}
	wake    chan struct{} // 1 slot: something waits

	mu      sync.Mutex
	waiting []bus.Message // guarded by mu; the oldest first
	bytes   int64         // of waiting; guarded by mu
	closed  bool          // guarded by mu
}

var (
	_ bus.Bus             = (*Bus)(nil)
	_ bus.Describer       = (*Bus)(nil)
	_ bus.ControlRetainer = (*Bus)(nil)
	_ bus.Reporter        = (*Bus)(nil)
	_ bus.Establisher     = (*Bus)(nil)
	_ bus.Worker          = (*Bus)(nil)
	_ bus.Recaller        = (*Bus)(nil)
)

// New puts a spool of at most limit bytes before a bus, which it closes when it is closed.
func New(inner bus.Bus, limit int64, log *slog.Logger) *Bus {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	ctx, stop := context.WithCancel(context.Background())
	b := &Bus{inner: inner, limit: limit, log: log, stop: stop, stopped: make(chan struct{}), wake: make(chan struct{}, 1)}
	go b.run(ctx)
	return b
}

// Publish hands the batch to the bus inside, or keeps what that does not take because its carrier is away. An error
// with bus.ErrUnavailable says that there is no room left: nothing from Receipt.Accepted on was kept. What nodes tell one
// another, such as a revocation, is never kept: it is worth nothing until they hear it.
func (b *Bus) Publish(ctx context.Context, batch []bus.Message) (bus.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return bus.Receipt{}, err
	}
	if len(batch) > 0 && bus.IsControl(batch[0].Event.Channel) {
		return b.inner.Publish(ctx, batch)
	}
	if bus.StatusOf(b.inner).Connected && b.empty() {
		r, err := b.inner.Publish(ctx, batch)
		if err == nil || ctx.Err() != nil || !errors.Is(err, bus.ErrUnavailable) {
			return r, err
		}
		kept, err := b.keep(batch[r.Accepted:])
		return bus.Receipt{Accepted: r.Accepted + kept, Delivered: -1}, err
	}
	kept, err := b.keep(batch)
	return bus.Receipt{Accepted: kept, Delivered: -1}, err
}

func (b *Bus) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting) == 0
}

// keep appends copies of messages as long as there is room, and says how many.
func (b *Bus) keep(batch []bus.Message) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, bus.ErrClosed
	}
	for i := range batch {
		m := bus.Message{Event: batch[i].Event}
		size := sizeOf(&m.Event)
		if b.bytes+size > b.limit {
			return i, fmt.Errorf("publish: %w, and the buffer for that time is full (%d bytes)", bus.ErrUnavailable, b.limit)
		}
		m.Event.Data = append([]byte(nil), m.Event.Data...)
		b.waiting = append(b.waiting, m)
		b.bytes += size
	}
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return len(batch), nil
}

func sizeOf(e *event.Event) int64 {
	return int64(overhead + len(e.Channel) + len(e.Type) + len(e.ID) + len(e.TenantID) + len(e.UserID) +
		len(e.FederationID) + len(e.ServiceName) + len(e.Data))
}

// run publishes what waits until ctx ends.
func (b *Bus) run(ctx context.Context) {
	defer close(b.stopped)
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.wake:
			b.flush(ctx)
		}
	}
}

// flush publishes until nothing waits or ctx ends.
func (b *Bus) flush(ctx context.Context) {
	pause, most := firstPause, batchEvents
	for ctx.Err() == nil {
		batch := b.head(most)
		if len(batch) == 0 {
			return
		}
		r, err := b.inner.Publish(ctx, batch)
		b.remove(r.Accepted)
		switch {
		case err == nil:
			pause, most = firstPause, min(2*most, batchEvents)
			continue
		case errors.Is(err, bus.ErrClosed):
			return
		case !errors.Is(err, bus.ErrUnavailable) && ctx.Err() == nil:
			if len(batch) > 1 { // which of them it is shows when it is alone: a carrier may take all or nothing
				most = 1
				continue
			}
			// The carrier will never take this one: it must not hold up those behind it.
			b.log.Error("an event that waited for the bus was refused by it", "error", err)
			b.remove(1)
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
			pause = min(2*pause, longestPause)
		}
	}
}

// head returns the oldest messages that wait, some at most. They stay there until the bus has acknowledged them.
func (b *Bus) head(most int) []bus.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]bus.Message(nil), b.waiting[:min(len(b.waiting), most)]...)
}

func (b *Bus) remove(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.waiting[:n] {
		b.bytes -= sizeOf(&b.waiting[i].Event)
		b.waiting[i] = bus.Message{}
	}
	if b.waiting = b.waiting[n:]; len(b.waiting) == 0 {
		b.waiting = nil
	}
}

// Attach attaches to the bus inside.
func (b *Bus) Attach(ctx context.Context, h bus.Handler) error { return b.inner.Attach(ctx, h) }

// Interest is that of the bus inside.
func (b *Bus) Interest(channel string, wanted bool) { b.inner.Interest(channel, wanted) }

// History is that of the bus inside: what waits here is not in it yet.
func (b *Bus) History(ctx context.Context, channel string, after event.Position, limit int) (bus.Page, error) {
	return b.inner.History(ctx, channel, after, limit)
}

// Describe is that of the bus inside. Its guarantee holds for what has left the spool.
func (b *Bus) Describe() bus.Description { return bus.Describe(b.inner) }

// RetainControl is that of the bus inside.
func (b *Bus) RetainControl(d time.Duration) {
	if r, ok := b.inner.(bus.ControlRetainer); ok {
		r.RetainControl(d)
	}
}

// Status is that of the bus inside, with what waits here.
func (b *Bus) Status() bus.Status {
	s := bus.StatusOf(b.inner)
	b.mu.Lock()
	bytes := b.bytes
	b.mu.Unlock()
	s.Gauges = append(s.Gauges[:len(s.Gauges):len(s.Gauges)], bus.Gauge{
		Name: "fraiseql_bus_buffered_bytes", Help: "Bytes of events that wait in this process until the bus is back.", Value: float64(bytes),
	})
	return s
}

// Recall is that of the bus inside, if it has one. What waits here has no position yet.
func (b *Bus) Recall(ctx context.Context, channel string, from, upTo event.Position) ([]bus.Recalled, bool, error) {
	if r, ok := b.inner.(bus.Recaller); ok {
		return r.Recall(ctx, channel, from, upTo)
	}
	return nil, true, nil
}

// Established is that of the bus inside.
func (b *Bus) Established(ctx context.Context, channel string) error {
	return bus.Established(ctx, b.inner, channel)
}

// Work is that of the bus inside.
func (b *Bus) Work(ctx context.Context, group, channel string, fn func(context.Context, *bus.Message) error) error {
	w, ok := b.inner.(bus.Worker)
	if !ok {
		return errors.ErrUnsupported
	}
	return w.Work(ctx, group, channel, fn)
}

// Close tries to publish what waits until ctx ends, then closes the bus inside. The error says how much was lost.
func (b *Bus) Close(ctx context.Context) error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.stop()
	<-b.stopped
	b.flush(ctx)
	err := b.inner.Close(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.waiting); n > 0 {
		return errors.Join(fmt.Errorf("close event bus: %d events that waited for it were not published", n), err)
	}
	return err
}
