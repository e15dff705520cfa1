package loadgen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"
)

// run is one call of Run.
type run struct {
	cfg       *Config
	server    *url.URL
	loopback  bool
	channels  []string
	pad       string
	start     time.Time
	readers   []*reader
	process   *process // of the server; nil when it is not known
	stalled   []net.Conn
	published int // with a window: events so far; belongs to the publisher until it has ended

	mu      sync.Mutex
	clients []*client
}

func newRun(cfg *Config, server *url.URL) (*run, error) {
	r := &run{cfg: cfg, server: server, pad: makePad(cfg.PayloadBytes), start: time.Now()}
	ip := net.ParseIP(server.Hostname())
	r.loopback = server.Hostname() == "localhost" || ip != nil && ip.IsLoopback() && ip.To4() != nil
	for room := range cfg.Rooms {
		r.channels = append(r.channels, cfg.ChannelOf(room))
	}
	r.process = findProcess(cfg.PID, server.Port(), r.loopback)
	if err := r.startReaders(); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *run) startReaders() error {
	for range r.cfg.Readers {
		rd, err := newReader(r)
		if err != nil {
			return err
		}
		r.readers = append(r.readers, rd)
	}
	return nil
}

func (r *run) close() {
	for _, rd := range r.readers {
		rd.close()
	}
	for _, conn := range r.stalled {
		conn.Close()
	}
}

// load is a run with events.
func (r *run) load(ctx context.Context) (*Result, error) {
	base := r.process.memory()
	opened, err := r.open(ctx, 0, r.cfg.Connections)
	if err != nil {
		return nil, err
	}
	result := &Result{Connections: r.cfg.Connections, Subscriptions: r.cfg.Connections * r.cfg.Subscriptions,
		Channels: r.cfg.Rooms, Rate: r.cfg.Rate, ConnectSeconds: opened.Seconds()}
	if err := r.awaitReady(ctx); err != nil {
		return nil, err
	}
	if memory := r.process.memory(); memory > base && base > 0 {
		result.Server.RSSKBPerConnection = float64(memory-base) / 1024 / float64(r.cfg.Connections)
	}
	if err := r.stall(ctx); err != nil {
		return nil, err
	}
	r.cfg.Progress(fmt.Sprintf("publishing %g events/s for %v", r.cfg.Rate, r.cfg.Warmup+r.cfg.Duration))
	if err := r.measure(ctx, result); err != nil {
		return nil, err
	}
	r.collect(result)
	result.Stalled, result.StalledClosed = len(r.stalled), r.stalledClosed()
	return result, nil
}

// open opens the connections from number from up to to, several at a time.
func (r *run) open(ctx context.Context, from, to int) (time.Duration, error) {
	r.cfg.Progress(fmt.Sprintf("opening connections %d to %d", from+1, to))
	began := time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	numbers := make(chan int)
	var wg sync.WaitGroup
	for range min(64, to-from) {
		wg.Go(func() {
			for n := range numbers {
				if err := r.openOne(ctx, n); err != nil {
					cancel(fmt.Errorf("connection %d: %w", n+1, err))
				}
			}
		})
	}
	for n := from; n < to && ctx.Err() == nil; n++ {
		select {
		case numbers <- n:
		case <-ctx.Done():
		}
	}
	close(numbers)
	wg.Wait()
	return time.Since(began), context.Cause(ctx)
}

func (r *run) openOne(ctx context.Context, n int) error {
	conn, rest, err := r.dial(ctx, n)
	if err != nil {
		return err
	}
	c := &client{number: n, subs: make([]subscription, r.cfg.Subscriptions)}
	r.mu.Lock()
	r.clients = append(r.clients, c)
	r.mu.Unlock()
	return r.readers[n%len(r.readers)].add(c, conn, rest)
}

// awaitReady publishes probes until every subscription has received one.
func (r *run) awaitReady(ctx context.Context) error {
	want := r.cfg.Connections * r.cfg.Subscriptions
	r.cfg.Progress(fmt.Sprintf("waiting until %d subscriptions receive", want))
	deadline := time.Now().Add(r.cfg.ConnectTimeout)
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		if err := r.probe(ctx); err != nil {
			return err
		}
		until := time.Now().Add(wait)
		for {
			t := r.totals()
			switch {
			case t.closed > 0:
				return errors.New(t.problem)
			case t.ready == want:
				return nil
			case t.corrupt > 0:
				return errors.New(t.problem)
			case time.Now().After(deadline):
				return fmt.Errorf("only %d of %d subscriptions received a first event within %v: does the channel fit the document?",
					t.ready, want, r.cfg.ConnectTimeout)
			}
			if time.Now().After(until) {
				break
			}
			if err := pause(ctx, 5*time.Millisecond); err != nil {
				return err
			}
		}
	}
}

// measure publishes and waits until everything has arrived.
func (r *run) measure(ctx context.Context, result *Result) error {
	for _, rd := range r.readers {
		rd.begin(uint32(r.cfg.Warmup.Microseconds()))
	}
	r.setStart(time.Now())
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	published := make([]int, r.cfg.Publishers)
	for p := range r.cfg.Publishers {
		wg.Go(func() {
			n, err := r.publishLoad(ctx, p)
			published[p] = n
			if err != nil {
				cancel(err)
			}
		})
	}
	stop := r.churn(ctx, cancel, &result.Churned)
	defer stop()
	if err := pause(ctx, r.cfg.Warmup); err != nil {
		wg.Wait()
		return err
	}
	cpu, own, from := r.process.cpu(), ownCPU(), r.totals().all
	use := func() {
		result.Server.CPUSeconds, result.Client.CPUSeconds = (r.process.cpu() - cpu).Seconds(), (ownCPU() - own).Seconds()
	}
	wg.Wait()
	// A window is full at both ends of the measured time: what arrives between them is what its CPU time was for.
	result.arrived = r.totals().all - from
	use()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	for _, n := range published {
		result.Events += n
	}
	stop()
	sent := time.Since(r.start)
	err := r.drain(ctx)
	if r.cfg.Window == 0 {
		use()
	}
	result.PublishSeconds = sent.Seconds()
	return err
}

// setStart sets the zero of all times; no event is under way.
func (r *run) setStart(t time.Time) {
	for _, rd := range r.readers {
		rd.mu.Lock()
		defer rd.mu.Unlock()
	}
	r.start = t
}

// drain waits until every expected delivery has arrived, or none has for a while.
func (r *run) drain(ctx context.Context) error {
	want := uint64(0)
	for n := range r.cfg.Connections {
		for i := range r.cfg.Subscriptions {
			want += uint64(r.expected(r.roomOf(n, i)))
		}
	}
	deadline := time.Now().Add(r.cfg.DrainTimeout)
	for time.Now().Before(deadline) {
		if r.totals().all >= want {
			return nil
		}
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// totals adds up what the readers have counted, without the latencies.
func (r *run) totals() (t tally) {
	for _, rd := range r.readers {
		rd.mu.Lock()
		p := &rd.parser
		t.deliveries += p.deliveries
		t.all += p.all
		t.duplicates += p.duplicates
		t.disorder += p.disorder
		t.corrupt += p.corrupt
		t.ready += p.ready
		t.closed += p.closed
		t.last = max(t.last, p.last)
		if t.problem == "" {
			t.problem = p.problem
		}
		rd.mu.Unlock()
	}
	return t
}

// collect fills in the result after the run.
func (r *run) collect(result *Result) {
	t := r.totals()
	var latency histogram
	lost := uint64(0)
	for _, rd := range r.readers {
		rd.mu.Lock()
		latency.merge(&rd.parser.latency)
		rd.mu.Unlock()
	}
	for _, c := range r.clients {
		for i := range c.subs {
			lost += uint64(r.expected(r.roomOf(c.number, i))) - uint64(c.subs[i].received)
		}
	}
	result.Deliveries, result.Measured, result.Lost = t.all, t.deliveries, lost
	result.Duplicates, result.OutOfOrder, result.Corrupt = t.duplicates, t.disorder, t.corrupt
	result.ClosedConnections, result.Problem = t.closed, t.problem
	span, counted := (max(t.last, r.cfg.Warmup+r.cfg.Duration) - r.cfg.Warmup).Seconds(), t.deliveries
	if result.Window = r.cfg.Window; result.Window > 0 {
		span, counted = result.PublishSeconds-r.cfg.Warmup.Seconds(), result.arrived
	}
	if span > 0 {
		result.DeliveriesPerSecond = float64(counted) / span
	}
	result.Latency = summarise(&latency)
	result.Server.PID, result.Server.RSSKB = r.process.id(), r.process.memory()/1024
	if counted > 0 {
		million := float64(counted) / 1e6
		result.Server.CPUSecondsPerMillion = result.Server.CPUSeconds / million
		result.Client.CPUSecondsPerMillion = result.Client.CPUSeconds / million
	}
}

// pause waits, or returns why ctx ended.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
