package natsbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// defaultControlRetention is how long revocations are kept unless RetainControl says otherwise.
const defaultControlRetention = 24 * time.Hour

// Bus is an event bus on NATS. Make one with Open. All methods are safe for concurrent use.
type Bus struct {
	config  config
	log     *slog.Logger
	timeout time.Duration
	server  nats.InProcessConnProvider // nil: over the network
	retain  atomic.Int64               // of bus.ControlChannel, a time.Duration
	core    *core                      // nil: JetStream

	handler bus.Handler // set once by Attach, before anything is delivered
	ctx     context.Context
	end     context.CancelFunc
	running sync.WaitGroup // the connecting goroutine and the lanes
	done    chan struct{}  // closed when they have ended after Close

	mu       sync.Mutex // guards what follows; nothing that waits happens under it
	attached bool
	closed   bool
	current  *session
	changed  chan struct{} // closed when current changes
	since    time.Time
	problem  string
	cause    bus.Cause
	extra    []string // servers of the cluster that a server named

	lanesMu sync.Mutex // guards the table of lanes, not the lanes; before lane.mu
	lanes   map[laneKey]*lane

	reconnects, gaps, repeated, unreadable, unordered atomic.Uint64
	reading                                           atomic.Pointer[string] // what keeps a lane from reading
}

var (
	_ bus.Bus             = (*Bus)(nil)
	_ bus.Describer       = (*Bus)(nil)
	_ bus.Reporter        = (*Bus)(nil)
	_ bus.Establisher     = (*Bus)(nil)
	_ bus.Recaller        = (*Bus)(nil)
	_ bus.ControlRetainer = (*Bus)(nil)
)

// Check reports what Open would refuse.
func Check(rawURL string) error {
	_, err := configured(rawURL)
	return err
}

// configured is parseURL, of files that can be read.
func configured(rawURL string) (config, error) {
	c, err := parseURL(rawURL)
	if err != nil {
		return c, err
	}
	return c, c.readable()
}

// Open returns the bus of a URL, not connected: Attach begins with that. The package comment lists the parameters.
func Open(rawURL string, o bus.Options) (*Bus, error) { return OpenInProcess(rawURL, o, nil) }

// OpenInProcess is Open with a NATS server that runs in this process and is connected to without a network; the hosts
// of the URL are not used then.
func OpenInProcess(rawURL string, o bus.Options, server nats.InProcessConnProvider) (*Bus, error) {
	c, err := configured(rawURL)
	if err != nil {
		return nil, err
	}
	o = o.WithDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	b := &Bus{
		config: c, log: o.Logger, timeout: o.PublishTimeout, server: server, ctx: ctx, end: cancel, done: make(chan struct{}),
		changed: make(chan struct{}), since: time.Now(), problem: "not connected yet", cause: bus.Silent, lanes: map[laneKey]*lane{},
	}
	b.retain.Store(int64(defaultControlRetention))
	if c.core {
		b.core = newCore(b)
	}
	return b, nil
}

// Describe says that JetStream delivers at least once, from a durable history, and core NATS at most once, from none.
func (b *Bus) Describe() bus.Description {
	if b.core != nil {
		return bus.Description{Name: "nats-core:" + b.config.prefix, Guarantee: bus.AtMostOnce, Shared: true}
	}
	return bus.Description{Name: "nats:" + b.config.prefix + ":" + b.config.stream, Guarantee: bus.AtLeastOnce, Durable: true, Shared: true}
}

// RetainControl makes the stream of bus.ControlChannel keep at least d. A longer retention that another node asked for
// stays.
func (b *Bus) RetainControl(d time.Duration) {
	if d > 0 {
		b.retain.Store(int64(d))
	}
}

func (b *Bus) retention() time.Duration { return time.Duration(b.retain.Load()) }

// Attach sets the handler and begins to connect in the background. It does not fail because NATS is away.
func (b *Bus) Attach(_ context.Context, h bus.Handler) error {
	b.lanesMu.Lock()
	defer b.lanesMu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return bus.ErrClosed
	case b.attached:
		return errors.New("attach nats bus: it has a handler already")
	}
	b.attached, b.handler = true, h
	b.running.Go(b.connecting)
	for _, l := range b.lanes {
		b.running.Go(l.run)
	}
	if b.core != nil {
		b.core.start()
	}
	return nil
}

// Close ends delivery and the connection and waits until every Handler call has returned, or until ctx ends (it then
// returns ctx's error; what hangs is left alone). It must not be called from a Handler. Calling it again waits again.
func (b *Bus) Close(ctx context.Context) error {
	b.mu.Lock()
	if !b.closed {
		b.closed = true
		b.end()
		go func() {
			defer close(b.done)
			b.running.Wait()
		}()
	}
	b.mu.Unlock()
	select {
	case <-b.done:
		return nil
	default:
	}
	select {
	case <-b.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close nats bus: %w", ctx.Err())
	}
}

// Status says how the bus is with NATS.
func (b *Bus) Status() bus.Status {
	b.mu.Lock()
	s := bus.Status{Connected: b.current != nil, Since: b.since, Problem: b.problem, Cause: b.cause}
	b.mu.Unlock()
	if p := b.reading.Load(); p != nil && s.Problem == "" {
		s.Problem = *p
	}
	s.Reconnects, s.Gaps, s.Repeated = b.reconnects.Load(), b.gaps.Load(), b.repeated.Load()
	b.lanesMu.Lock()
	lanes := len(b.lanes)
	b.lanesMu.Unlock()
	if b.core != nil {
		lanes = b.core.count()
	}
	s.Gauges = []bus.Gauge{
		{Name: "fraiseql_nats_lanes", Help: "Partitions (JetStream consumers, or in core mode subscriptions) that this node reads.", Value: float64(lanes)},
		{Name: "fraiseql_nats_unreadable_events", Help: "Messages that were no events of a known version, left out since the start.", Value: float64(b.unreadable.Load())},
		{Name: "fraiseql_nats_unordered_batches", Help: "Publishes of which an event failed while a later one was stored, since the start.", Value: float64(b.unordered.Load())},
	}
	return s
}

// live returns the session, waiting for one until ctx ends.
func (b *Bus) live(ctx context.Context) (*session, error) {
	for {
		b.mu.Lock()
		s, changed, closed := b.current, b.changed, b.closed
		b.mu.Unlock()
		switch {
		case closed:
			return nil, bus.ErrClosed
		case s != nil:
			return s, nil
		}
		select {
		case <-changed:
		case <-b.ctx.Done():
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// bounded is live for at most the publish timeout. The error is ctx's, or says that the bus is unavailable.
func (b *Bus) bounded(ctx context.Context) (*session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	s, err := b.live(wait)
	if err != nil && ctx.Err() == nil && !errors.Is(err, bus.ErrClosed) {
		b.mu.Lock()
		why, of := b.problem, b.cause
		b.mu.Unlock()
		return nil, bus.Because(of, fmt.Errorf("%w: no connection to NATS for %v: %s", bus.ErrUnavailable, b.timeout, why))
	}
	return s, err
}

// report takes what a step said and logs it when it is news.
func (b *Bus) report(s *session, problem string, of bus.Cause) {
	b.mu.Lock()
	news := b.problem != problem
	b.problem, b.cause = problem, of
	if (b.current != nil) != (s != nil) {
		b.since = time.Now()
	}
	if b.current != s {
		b.current = s
		close(b.changed)
		b.changed = make(chan struct{})
	}
	b.mu.Unlock()
	switch {
	case !news:
	case problem == "":
		b.log.Info("connected", "bus", "nats")
	case s != nil:
		b.log.Warn("connected, but not well", "bus", "nats", "problem", problem)
	default:
		b.log.Warn("not connected", "bus", "nats", "problem", problem)
	}
}

// position is a position of a JetStream channel.
func position(epoch uint64, partition uint32, seq uint64) event.Position {
	return event.Position{Epoch: epoch, Partition: partition, Minor: seq}
}
