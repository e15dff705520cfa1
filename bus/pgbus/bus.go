package pgbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

const (
	// shards is over how many goroutines the channels are spread for delivery.
	shards = 4
	// pagesAhead is how many pages of the reader may be on their way through a shard, one of them in the handler.
	pagesAhead = 3
)

// Bus is a node's door to the outbox. See the package's comment.
//
// All methods may be called concurrently. Publish and History wait for the server, at most
// Options.PublishTimeout; Established for at most one reading; the others block on nothing but Close.
type Bus struct {
	settings
	options bus.Options
	log     *slog.Logger
	control time.Duration // kept at least so long
	answer  time.Duration // how long to wait for one before a connection is given up

	stop    context.CancelFunc
	ctx     context.Context // ends with Close
	running sync.WaitGroup  // everything that Attach started
	ended   chan struct{}   // closed when running is done

	requests chan *request // to the writers
	writers  []*writer
	idle     chan *session // connections for History and maintenance; nil entries may be dialled
	shards   [shards]chan delivery
	pages    [shards]chan struct{} // a place for each page on its way through a shard
	handler  bus.Handler
	horizon  horizon
	relay    relay

	mu        sync.Mutex
	attached  bool
	closed    bool
	status    bus.Status
	connected bool // once at least
	interest  interest
}

// interest is what is read. It is guarded by Bus.mu.
type interest struct {
	channels map[string]uint64 // to the version of the set in which the channel came
	version  uint64
	reading  uint64        // the version that the read in flight goes by, 0: none is
	located  bool          // there is a position to read from, and nothing before it is read again
	changed  chan struct{} // closed when reading or located changes; nil: nobody waits for that
}

// Open returns a bus for a URL, which is checked completely and not connected to.
func Open(rawURL string, o bus.Options) (*Bus, error) {
	s, err := parse(rawURL)
	if err != nil {
		return nil, err
	}
	o = o.WithDefaults()
	b := &Bus{
		settings: *s, options: o, log: o.Logger, answer: answerTime, ended: make(chan struct{}), requests: make(chan *request, maxQueued),
		status:   bus.Status{Since: time.Now(), Problem: "not attached yet", Cause: bus.Silent},
		interest: interest{channels: map[string]uint64{}, version: 1},
	}
	b.ctx, b.stop = context.WithCancel(context.Background())
	writers, others := b.split()
	b.idle = make(chan *session, others)
	for range others {
		b.idle <- nil
	}
	for i := range b.shards {
		b.pages[i] = make(chan struct{}, pagesAhead)
		b.shards[i] = make(chan delivery, pagesAhead+relayed)
	}
	for range writers {
		b.writers = append(b.writers, newWriter(b))
	}
	b.relay = relay{b: b, reading: true, own: map[uint64]*entry{}}
	return b, nil
}

// split divides the pool between writers and others.
func (b *Bus) split() (writers, others int) { return max(b.pool/2, 1), max(b.pool-b.pool/2, 1) }

// Describe implements bus.Describer.
func (b *Bus) Describe() bus.Description {
	return bus.Description{Name: "postgresql:" + b.schema, Guarantee: bus.AtLeastOnce, Durable: true, Shared: true}
}

// RetainControl implements bus.ControlRetainer. The database keeps the longest that any node asked for.
func (b *Bus) RetainControl(d time.Duration) { b.control = max(b.control, d) }

// Attach implements bus.Bus: it starts connecting and returns.
func (b *Bus) Attach(ctx context.Context, h bus.Handler) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return bus.ErrClosed
	}
	if b.attached {
		return errors.New("postgresql: attached already")
	}
	b.attached, b.handler = true, h
	b.status.Problem = "connecting"
	for i := range b.shards {
		b.running.Go(func() { b.deliver(b.shards[i], b.pages[i]) })
	}
	for _, w := range b.writers {
		b.running.Go(func() { w.run(b.ctx) })
	}
	b.running.Go(func() { (&reader{b: b}).run(b.ctx) })
	b.running.Go(func() { b.tend(b.ctx) })
	return nil
}

// Interest implements bus.Bus.
func (b *Bus) Interest(channel string, wanted bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, had := b.interest.channels[channel]
	switch {
	case wanted && !had:
		b.interest.version++
		b.interest.channels[channel] = b.interest.version
	case !wanted && had:
		b.interest.version++
		delete(b.interest.channels, channel)
	}
}

// Established implements bus.Establisher. A read that is under way may go by a set without the channel; the next one
// does not, and begins where that one ended.
func (b *Bus) Established(ctx context.Context, channel string) error {
	for {
		b.mu.Lock()
		if b.closed {
			b.mu.Unlock()
			return bus.ErrClosed
		}
		since := b.interest.channels[channel] // 0 without interest: there is nothing to wait for
		if b.interest.located && (b.interest.reading == 0 || b.interest.reading >= since) {
			b.mu.Unlock()
			return nil
		}
		if b.interest.changed == nil {
			b.interest.changed = make(chan struct{})
		}
		changed := b.interest.changed
		b.mu.Unlock()
		select {
		case <-changed:
		case <-b.ctx.Done():
			return bus.ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// beginRead returns the channels of interest and notes that they are being read: nil and false where there are so
// many that everything is read.
func (b *Bus) beginRead() (channels []string, some bool, version uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.interest.reading = b.interest.version
	if len(b.interest.channels) > maxFilter {
		return nil, false, b.interest.version
	}
	for c := range b.interest.channels {
		channels = append(channels, c)
	}
	return channels, true, b.interest.version
}

// version is that of the interest now.
func (b *Bus) version() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.interest.version
}

// seek says that the reader goes back: it cannot tell what is acknowledged from now on from what is older, until it has come to the end.
func (b *Bus) seek() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.interest.located = false
}

// endRead says that a read is over, and whether the reader knows where it stands.
func (b *Bus) endRead(located bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.interest.reading = 0
	b.interest.located = b.interest.located || located
	if b.interest.changed != nil {
		close(b.interest.changed)
		b.interest.changed = nil
	}
}

// wanted returns the channels of interest.
func (b *Bus) wanted() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]string, 0, len(b.interest.channels))
	for c := range b.interest.channels {
		list = append(list, c)
	}
	return list
}

// wants reports whether a channel is of interest.
func (b *Bus) wants(channel []byte) bool { return b.since(channel) > 0 }

// since is the version of the interest that a channel came with; 0: it is of none.
func (b *Bus) since(channel []byte) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.interest.channels[string(channel)]
}

// delivery is what a shard does next: messages, or a gap before those that follow.
type delivery struct {
	messages []bus.Message
	page     bool   // it has a place in Bus.pages
	gap      string // the channel
	head     event.Position
}

// deliver gives a shard's messages to the handler until the bus is closed.
func (b *Bus) deliver(queue <-chan delivery, places <-chan struct{}) {
	gaps, _ := b.handler.(bus.GapHandler)
	for {
		select {
		case <-b.ctx.Done():
			return
		case d := <-queue:
			if d.gap != "" && gaps != nil {
				gaps.Gap(d.gap, d.head)
			}
			for i := range d.messages {
				if b.ctx.Err() != nil {
					return
				}
				b.handler.Deliver(&d.messages[i])
				bus.Pace(b.handler, &d.messages[i])
			}
			if d.page {
				<-places
			}
		}
	}
}

// enqueue hands what was read over to a shard, waiting while it is busy. false: the bus is closed.
func (b *Bus) enqueue(shard int, d delivery) bool {
	d.page = true
	select {
	case b.pages[shard] <- struct{}{}:
	case <-b.ctx.Done():
		return false
	}
	select {
	case b.shards[shard] <- d:
		return true
	case <-b.ctx.Done():
		return false
	}
}

func shardOf(channel string) int { return int(event.HashName(channel) % shards) }

// Status implements bus.Reporter.
func (b *Bus) Status() bus.Status {
	b.mu.Lock()
	s := b.status
	b.mu.Unlock()
	lag := b.horizon.lag()
	if s.Connected && lag > b.maxLag {
		s.Problem = b.heldBack(lag)
	}
	s.Gauges = []bus.Gauge{{
		Name: "fraiseql_pg_horizon_lag_seconds", Help: "For how long the oldest writing transaction has been holding back events.", Value: lag.Seconds(),
	}}
	return s
}

// heldBack says what a lag of more than max_lag means.
func (b *Bus) heldBack(lag time.Duration) string {
	return fmt.Sprintf("a transaction that has been writing for %v or longer holds back all later events (max_lag is %v): `fraiseql pg status` names it",
		lag.Round(time.Millisecond), b.maxLag)
}

// horizon is the oldest writing transaction of the cluster, as the reader sees it.
type horizon struct {
	since atomic.Int64  // nanoseconds since 1970 at which it was seen first; 0: there is none
	xmin  atomic.Uint64 // its number, or that of the next one
}

// lag is how long it has been seen.
func (h *horizon) lag() time.Duration {
	since := h.since.Load()
	if since == 0 {
		return 0
	}
	return max(time.Since(time.Unix(0, since)), 0)
}

// see notes what a snapshot says: every transaction below xmin has ended, none has begun at xmax or above.
func (h *horizon) see(xmin, xmax uint64) {
	switch {
	case xmin >= xmax:
		h.since.Store(0)
	case h.xmin.Load() != xmin || h.since.Load() == 0:
		h.since.Store(time.Now().UnixNano())
	}
	h.xmin.Store(xmin)
}

// pass notes that every transaction up to xid has ended.
func (h *horizon) pass(xid uint64) {
	if h.xmin.Load() <= xid {
		h.since.Store(0)
		h.xmin.Store(xid + 1)
	}
}

// change applies a change to the status.
func (b *Bus) change(f func(*bus.Status)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(&b.status)
}

// Close implements bus.Bus.
func (b *Bus) Close(ctx context.Context) error {
	b.mu.Lock()
	first := !b.closed
	b.closed = true
	b.status.Connected, b.status.Problem = false, "closed"
	b.mu.Unlock()
	b.stop()
	if first {
		go b.finish()
	}
	select {
	case <-b.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// finish waits for everything that runs, then closes what is idle. Whoever closes waits for it, unless its context
// ends first.
func (b *Bus) finish() {
	b.running.Wait()
	for range cap(b.idle) {
		if s := <-b.idle; s != nil {
			closeConn(s.conn)
		}
	}
	close(b.ended)
}
