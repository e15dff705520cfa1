package natsbus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// laneKey names a lane: a partition of a stream.
type laneKey struct {
	kind      kind
	partition uint32
}

// lane reads one partition for all channels of it that have subscribers here, with one consumer, and calls the handler
// in its own goroutine. It keeps its position over connections.
type lane struct {
	bus *Bus
	key laneKey

	mu       sync.Mutex        // guards what follows; nothing is taken under it, nor called
	channels map[string]string // token → channel

	ready chan struct{} // closed once what is acknowledged from then on will be delivered
	poke  chan struct{} // holds one when the lane is to look at its stream, or at whether anybody wants it
	stale atomic.Bool   // somebody said that the stream was changed

	// What follows belongs to the lane's goroutine.
	at       mark
	known    bool      // at is a position that delivery goes on from
	pending  uint64    // what the server had for us behind the last message
	view     state     // the stream when it was last looked at
	checked  time.Time // when that was, since the consumer was made
	covered  int       // so many of the next messages had been sent by then
	proven   uint64    // where the lane was then: nothing before is missing that was not told of
	trusting bool      // since then numbers were passed over without a look
}

// mark is where a lane stands.
type mark struct {
	created time.Time
	epoch   uint64
	seq     uint64
	stored  time.Time // of the message seq, by the server; zero: none was read
}

// linger is how long a lane reads on when its last channel lost its last subscriber.
const linger = 5 * time.Second

func newLane(b *Bus, key laneKey) *lane {
	return &lane{bus: b, key: key, channels: map[string]string{}, ready: make(chan struct{}), poke: make(chan struct{}, 1)}
}

// keyOf is the lane of a channel's token.
func keyOf(channel, tok string) laneKey {
	k := kindOf(channel)
	return laneKey{k, partitionOf(tok, partitionsOf(k))}
}

// Interest starts or ends delivery of a channel. It returns at once; Established waits.
func (b *Bus) Interest(channel string, wanted bool) {
	tok := token(channel)
	if b.core != nil {
		b.core.interest(channel, tok, wanted)
		return
	}
	b.lanesMu.Lock()
	defer b.lanesMu.Unlock()
	key := keyOf(channel, tok)
	l := b.lanes[key]
	if l == nil {
		if !wanted || b.ctx.Err() != nil {
			return
		}
		l = newLane(b, key)
		b.lanes[key] = l
		if b.isAttached() {
			b.running.Go(l.run)
		}
	}
	l.mu.Lock()
	if wanted {
		l.channels[tok] = channel
	} else {
		delete(l.channels, tok)
	}
	l.mu.Unlock()
	l.nudge()
}

func (b *Bus) isAttached() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.attached && !b.closed
}

// Established returns once the channel's lane has a position: what is acknowledged from then on comes, after a
// reconnect too. It waits for at most the publish timeout.
func (b *Bus) Established(ctx context.Context, channel string) error {
	tok := token(channel)
	if b.core != nil {
		return b.core.established(ctx, tok)
	}
	b.lanesMu.Lock()
	l := b.lanes[keyOf(channel, tok)]
	b.lanesMu.Unlock()
	if l == nil {
		return errors.New("established: nobody said that there is interest in the channel")
	}
	return b.await(ctx, l.ready)
}

// await returns when a channel is closed, within the publish timeout.
func (b *Bus) await(ctx context.Context, ready <-chan struct{}) error {
	select {
	case <-ready:
		return nil
	default:
	}
	timer := time.NewTimer(b.timeout)
	defer timer.Stop()
	select {
	case <-ready:
		return nil
	case <-b.ctx.Done():
		return bus.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		b.mu.Lock()
		defer b.mu.Unlock()
		return bus.Because(b.cause, fmt.Errorf("%w: %s", bus.ErrUnavailable, cmp.Or(b.problem, "no answer in time")))
	}
}

func (l *lane) nudge() {
	select {
	case l.poke <- struct{}{}:
	default:
	}
}

// lookAgain makes the lanes of a stream look at it: it was created, changed or deleted.
func (b *Bus) lookAgain(k kind) {
	b.lanesMu.Lock()
	defer b.lanesMu.Unlock()
	for key, l := range b.lanes {
		if key.kind == k {
			l.stale.Store(true)
			l.nudge()
		}
	}
}

// run reads until the bus is closed or nobody wants the lane any more.
func (l *lane) run() {
	pause := firstPause
	for {
		s, err := l.bus.live(l.bus.ctx)
		if err != nil {
			return
		}
		err = l.read(l.bus.ctx, s)
		switch {
		case l.bus.ctx.Err() != nil:
			return
		case errors.Is(err, errUnwanted):
			if l.retire() {
				return
			}
			continue
		case errors.Is(err, errGone):
			pause = firstPause
			l.await(s)
			continue
		case errors.Is(err, errRestart):
			pause = firstPause
		default:
			problem := "cannot read: " + describe(err)
			l.bus.reading.Store(&problem)
			l.bus.log.Warn("cannot read a partition", "bus", "nats", "problem", describe(err))
		}
		if !l.bus.rest(l.bus.ctx, &pause) {
			return
		}
	}
}

// await returns when a session is no longer the bus's.
func (l *lane) await(s *session) {
	for {
		l.bus.mu.Lock()
		current, changed := l.bus.current, l.bus.changed
		l.bus.mu.Unlock()
		if current != s {
			return
		}
		select {
		case <-changed:
		case <-l.bus.ctx.Done():
			return
		}
	}
}

// retire takes the lane out of the table if still nobody wants it.
func (l *lane) retire() bool {
	l.bus.lanesMu.Lock()
	defer l.bus.lanesMu.Unlock()
	if l.wanted() {
		return false
	}
	delete(l.bus.lanes, l.key)
	return true
}

func (l *lane) wanted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.channels) > 0
}

// channel returns the channel of a token that somebody here wants.
func (l *lane) channel(tok string) (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, ok := l.channels[tok]
	return c, ok
}

// gap tells every channel of the lane, in the order of deliveries, that something may be missing before the event
// behind seq.
func (l *lane) gap(epoch, seq uint64) {
	l.bus.gaps.Add(1)
	h, ok := l.bus.handler.(bus.GapHandler)
	if !ok {
		return
	}
	l.mu.Lock()
	names := make([]string, 0, len(l.channels))
	for _, name := range l.channels {
		names = append(names, name)
	}
	l.mu.Unlock()
	for _, name := range names {
		h.Gap(name, event.Position{Epoch: epoch, Partition: l.key.partition, Minor: seq})
	}
}
