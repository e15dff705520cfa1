package redisbus

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/fraiseql/fraiseql-go/bus"
)

// Bus is a bus over Redis. Make one with Open.
type Bus struct {
	cfg     *config
	o       bus.Options
	link    link
	reports reports
	retain  atomic.Int64 // of the control channel, a time.Duration
	handler atomic.Pointer[bus.Handler]
	since   atomic.Uint64         // when the installation was founded, in its words
	table   atomic.Pointer[table] // nil until the installation's number of partitions is known

	client    atomic.Pointer[rueidis.Client]
	readers   atomic.Pointer[[]*reader]
	gathering gathering     // of what is published
	pubsub    *pubsub       // nil: streams
	pages     chan struct{} // one token per page of history that is read at a time

	ctx     context.Context // ends at Close
	end     context.CancelFunc
	started sync.Once
	running sync.WaitGroup
	closed  atomic.Bool
	ended   chan struct{} // closed when everything has ended

	mu       sync.Mutex
	early    map[string]struct{} // channels of interest before the table is known
	attached bool

	visits uint64 // of connect alone
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

const (
	defaultControlRetention = 24 * time.Hour
	pagesAtOnce             = 8
)

// Open returns the bus of a URL. It connects when it is attached.
func Open(rawURL string, o bus.Options) (*Bus, error) {
	cfg, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	b := &Bus{
		cfg: cfg, o: o.WithDefaults(), early: map[string]struct{}{}, ended: make(chan struct{}), pages: make(chan struct{}, pagesAtOnce),
	}
	b.ctx, b.end = context.WithCancel(context.Background())
	b.link.init()
	b.retain.Store(int64(defaultControlRetention))
	if cfg.pubsub {
		b.pubsub = newPubsub(b)
	}
	return b, nil
}

// Describe says what the bus promises.
func (b *Bus) Describe() bus.Description {
	if b.pubsub != nil {
		return bus.Description{Name: "redis-pubsub:" + b.cfg.prefix, Guarantee: bus.AtMostOnce, Shared: true}
	}
	return bus.Description{Name: "redis:" + b.cfg.prefix, Guarantee: bus.AtLeastOnce, Durable: true, Shared: true}
}

// RetainControl makes the bus keep control events for at least d. It is called before Attach.
func (b *Bus) RetainControl(d time.Duration) {
	if d > 0 {
		b.retain.Store(int64(d))
	}
}

// Attach sets the handler and begins to connect in the background; that Redis is away is no error.
func (b *Bus) Attach(_ context.Context, h bus.Handler) error {
	if b.closed.Load() {
		return bus.ErrClosed
	}
	if !b.handler.CompareAndSwap(nil, &h) {
		return errors.New("attach redis bus: it has a handler already")
	}
	b.start()
	b.poke()
	return nil
}

// start begins to connect, once.
func (b *Bus) start() {
	b.started.Do(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.closed.Load() {
			close(b.ended)
			return
		}
		b.attached = true
		b.running.Go(b.connect)
	})
}

// Close stops delivery and waits for it, or until ctx ends. Calling it again waits again. It must not be called from a
// Handler.
func (b *Bus) Close(ctx context.Context) error {
	if b.closed.CompareAndSwap(false, true) {
		b.end()
		b.mu.Lock()
		attached := b.attached
		b.mu.Unlock()
		b.started.Do(func() { close(b.ended) }) // nothing has begun, nor will
		if attached {
			go b.finish()
		}
	}
	select {
	case <-b.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close redis bus: %w", ctx.Err())
	}
}

// finish waits for every goroutine; Close waits for it.
func (b *Bus) finish() {
	b.running.Wait()
	if c := b.client.Load(); c != nil {
		(*c).Close()
	}
	close(b.ended)
}

// table is the partitions of an installation.
type table struct {
	ordinary      []*partition
	control, node *partition
	byStream      map[string]*partition
}

func (t *table) all() []*partition {
	return append(append([]*partition(nil), t.ordinary...), t.control, t.node)
}

// home returns the partition of a channel.
func (t *table) home(channel string) *partition {
	switch {
	case !bus.IsControl(channel):
		return t.ordinary[checksum(channel)%uint32(len(t.ordinary))]
	case bus.IsNode(channel):
		return t.node
	}
	return t.control
}

// checksum is crc32.ChecksumIEEE of a string, without a copy of it.
func checksum(s string) uint32 {
	sum := ^uint32(0)
	for i := range len(s) {
		sum = crc32.IEEETable[byte(sum)^s[i]] ^ sum>>8
	}
	return ^sum
}

// home returns the partition of a channel, nil while it is not known.
func (b *Bus) home(channel string) *partition {
	if t := b.table.Load(); t != nil {
		return t.home(channel)
	}
	return nil
}

// layout makes the partitions, once.
func (b *Bus) layout(n int) error {
	if t := b.table.Load(); t != nil {
		if len(t.ordinary) != n {
			return problem(fmt.Sprintf("the number of partitions was changed from %d to %d meanwhile: restart this node", len(t.ordinary), n))
		}
		return nil
	}
	t := &table{byStream: map[string]*partition{}}
	for i := range n {
		t.ordinary = append(t.ordinary, newPartition(b, uint32(i), fmt.Sprint(i), b.cfg.maxLen))
	}
	t.control = newPartition(b, controlNumber, "control", controlEvents)
	t.node = newPartition(b, nodeNumber, "node", nodeEvents)
	for _, p := range t.all() {
		t.byStream[p.stream] = p
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.table.Store(t)
	for channel := range b.early {
		t.home(channel).want(channel, true)
	}
	b.early = nil
	return nil
}

// Interest says whether this node wants a channel. It returns at once; what this node publishes afterwards is delivered.
func (b *Bus) Interest(channel string, wanted bool) {
	if b.pubsub != nil {
		b.pubsub.want(channel, wanted)
		return
	}
	p := b.home(channel)
	if p == nil {
		if p = b.earlyInterest(channel, wanted); p == nil {
			return
		}
	}
	if p.want(channel, wanted) {
		b.wake(p, wanted)
	}
}

// earlyInterest notes an interest while the partitions are not known; else it returns the channel's.
func (b *Bus) earlyInterest(channel string, wanted bool) *partition {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.home(channel); p != nil {
		return p
	}
	if wanted {
		b.early[channel] = struct{}{}
	} else {
		delete(b.early, channel)
	}
	return nil
}

// Established waits until the partition of the channel is read from a known place on.
func (b *Bus) Established(ctx context.Context, channel string) error {
	if b.closed.Load() {
		return bus.ErrClosed
	}
	if p := b.home(channel); p != nil && p.open() || b.pubsub != nil && b.pubsub.confirmed(channel) == nil {
		return nil
	}
	limit, cancel := context.WithTimeout(ctx, b.o.PublishTimeout)
	defer cancel()
	if b.pubsub != nil {
		return b.failure(ctx, "establish", b.pubsub.settle(limit, channel))
	}
	_, err := b.opened(limit, channel)
	return b.failure(ctx, "establish", err)
}

// opened waits until a channel's partition is known, open for publishing and, if it is wanted here, read.
func (b *Bus) opened(ctx context.Context, channel string) (*partition, error) {
	b.start()
	for {
		p := b.home(channel)
		wait := b.link.laidOut
		if p != nil {
			if wait = p.opening(); wait == nil {
				return p, nil
			}
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-b.ctx.Done():
			return nil, bus.ErrClosed
		}
	}
}

// failure turns what went wrong into what the caller is told: its own context's error, ErrClosed, or the problem,
// with ErrUnavailable in its chain where a retry may succeed.
func (b *Bus) failure(ctx context.Context, verb string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: redis bus: %w", verb, ctx.Err())
	case b.closed.Load(), errors.Is(err, bus.ErrClosed), errors.Is(err, rueidis.ErrClosing):
		return bus.ErrClosed
	case permanent(err):
		return fmt.Errorf("%s: redis bus: %w", verb, cause(err))
	}
	why, of := b.link.trouble()
	if why == "" {
		why, of = describe(err), causeOf(err)
	}
	return bus.Because(of, fmt.Errorf("%s: redis bus: %w: %s", verb, bus.ErrUnavailable, why))
}
