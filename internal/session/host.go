package session

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// HostConfig says what the drivers of one endpoint share. Zero members mean the default in the comment.
type HostConfig struct {
	Engine  Engine
	Options Options
	// Workers bounds the goroutines for calls of the engine that may take long; 16 per CPU, at least 32. They
	// are started when needed.
	Workers int
	// Waiting bounds the calls that wait for a worker; 65,536. Beyond it, connection_init is answered with
	// close 1013 and subscribe with RATE_LIMITED.
	Waiting int
	// CallTimeout bounds the context of such a call; 30 s.
	CallTimeout time.Duration
	// Panicked, if set, is told of a panic of the engine (of an authenticator, for example) in such a call; the
	// client is answered as for an internal error. Without it the panic goes on.
	Panicked func(value any, stack []byte)
}

// Host is what the drivers of one endpoint share.
type Host struct {
	engine   Engine
	options  *Options
	panicked func(value any, stack []byte)
	pool     pool
}

// NewHost makes a host. It must be closed.
func NewHost(cfg HostConfig) *Host {
	if cfg.Workers <= 0 {
		cfg.Workers = max(32, 16*runtime.GOMAXPROCS(0))
	}
	if cfg.Waiting <= 0 {
		cfg.Waiting = 1 << 16
	}
	if cfg.CallTimeout <= 0 {
		cfg.CallTimeout = 30 * time.Second
	}
	h := &Host{engine: cfg.Engine, options: NewOptions(cfg.Options), panicked: cfg.Panicked}
	h.pool.init(cfg.Workers, cfg.Waiting, cfg.CallTimeout)
	return h
}

// Close cancels what runs, refuses what comes later and waits for the workers. Connections should be closed
// before. Idempotent.
func (h *Host) Close() { h.pool.close() }

// guard is deferred in calls of the engine: after a panic it reports it and runs answer.
func (h *Host) guard(answer func()) {
	if h.panicked == nil {
		return
	}
	if v := recover(); v != nil {
		h.panicked(v, debug.Stack())
		answer()
	}
}

// pool runs jobs on a bounded number of goroutines, which end when there is nothing to do.
type pool struct {
	ctx     context.Context
	cancel  context.CancelFunc
	timeout time.Duration
	workers int
	waiting int
	wg      sync.WaitGroup

	mu      sync.Mutex
	jobs    []func(context.Context) // FIFO from next on
	next    int
	running int
	closed  bool
}

func (p *pool) init(workers, waiting int, timeout time.Duration) {
	p.workers, p.waiting, p.timeout = workers, waiting, timeout
	p.ctx, p.cancel = context.WithCancel(context.Background())
}

// do queues a job; false means that too many wait or that the pool is closed.
func (p *pool) do(job func(context.Context)) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.jobs)-p.next >= p.waiting {
		return false
	}
	p.jobs = append(p.jobs, job)
	if p.running < p.workers {
		p.running++
		p.wg.Add(1)
		go p.work()
	}
	return true
}

func (p *pool) work() {
	defer p.wg.Done()
	for {
		job := p.take()
		if job == nil {
			return
		}
		ctx, cancel := context.WithTimeout(p.ctx, p.timeout)
		job(ctx)
		cancel()
	}
}

// take returns the oldest job; nil ends the worker.
func (p *pool) take() func(context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == len(p.jobs) {
		p.running--
		p.jobs, p.next = nil, 0
		return nil
	}
	job := p.jobs[p.next]
	p.jobs[p.next] = nil
	p.next++
	if p.next == len(p.jobs) {
		p.jobs, p.next = p.jobs[:0], 0
	} else if p.next >= 1024 && p.next*2 >= len(p.jobs) {
		n := copy(p.jobs, p.jobs[p.next:])
		clear(p.jobs[n:])
		p.jobs, p.next = p.jobs[:n], 0
	}
	return job
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.cancel()
	p.wg.Wait()
}
