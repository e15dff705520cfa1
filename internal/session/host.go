package session

import (
	"context"
	"runtime"
	"runtime/debug"
	"time"
)

// HostConfig says what the drivers of one endpoint share. Zero members mean the default in the comment.
type HostConfig struct {
	Engine  Engine
	Options Options
	// Workers bounds the goroutines for calls of the engine that may take long; 16 per CPU, at least 32. They
	// are started when needed.
	Workers int
	// Waiting and WaitingBytes bound the calls that wait for a worker, and their messages; 65,536 and 256 MiB.
	// Beyond them, connection_init is answered with close 1013 and subscribe with RATE_LIMITED.
	Waiting, WaitingBytes int
	// CallTimeout bounds the context of such a call; 30 s.
	CallTimeout time.Duration
	// Limited, if set, is told of each time that a limit acts; name is a label of observe.Limited.
	Limited func(name string)
	// Panicked, if set, is told of a panic in such a call (of an authenticator, for example), after which the client is
	// answered as for an internal error, and of others that Guard finds. Without it the panic goes on.
	Panicked func(value any, stack []byte)
}

// Host is what the drivers of one endpoint share.
type Host struct {
	engine   Engine
	options  *Options
	legacy   *Options
	panicked func(value any, stack []byte)
	limited  func(name string)
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
	if cfg.WaitingBytes <= 0 {
		cfg.WaitingBytes = 256 << 20
	}
	if cfg.CallTimeout <= 0 {
		cfg.CallTimeout = 30 * time.Second
	}
	if cfg.Limited == nil {
		cfg.Limited = func(string) {}
	}
	h := &Host{engine: cfg.Engine, options: NewOptions(cfg.Options), panicked: cfg.Panicked, limited: cfg.Limited}
	speaking := *h.options
	speaking.legacy = true
	h.legacy = &speaking
	h.pool.init(&cfg)
	return h
}

// Close cancels what runs, soon also what nobody waits for (Later), refuses what comes later and waits for the workers. Connections should be closed
// before. Idempotent.
func (h *Host) Close() { h.pool.close() }

// Engine is the one that the host was made with.
func (h *Host) Engine() Engine { return h.engine }

// Call runs f on a worker, of which there is a bounded number, and waits for it: for hosts whose clients each have a
// goroutine of their own. size is that of the client's message. It returns false, without a call, when too many
// calls wait or the host is closed. A panic of f ends f only.
func (h *Host) Call(size int, f func(context.Context)) bool {
	done := make(chan struct{})
	queued := h.pool.do(nil, size, func(ctx context.Context) {
		defer close(done)
		h.guarded(ctx, func() {}, f)
	})
	if queued {
		<-done
	}
	return queued
}

// do runs f on a worker for a client. After a panic, and when f ends the goroutine, answer runs in its place, as with Guard.
func (h *Host) do(client *Driver, size int, answer func(), f func(context.Context)) bool {
	return h.pool.do(client, size, func(ctx context.Context) { h.guarded(ctx, answer, f) })
}

func (h *Host) guarded(ctx context.Context, answer func(), f func(context.Context)) {
	returned := false
	defer func() {
		if returned || h.panicked == nil {
			return
		}
		v := recover()
		if v == nil {
			v = "runtime.Goexit was called"
		}
		h.panicked(v, debug.Stack())
		answer()
	}()
	f(ctx)
	returned = true
}

// Later runs f on a worker some time. It returns false, and f does not run, when too many calls wait or the host is closed. Close gives
// what was accepted before two seconds more.
func (h *Host) Later(f func(context.Context)) bool { return h.pool.later(f) }

// Guard is deferred by what runs for one client: after a panic it reports it and runs answer, which tells the client or
// ends it, so that the others go on. Without HostConfig.Panicked the panic does.
func (h *Host) Guard(answer func()) {
	if h.panicked == nil {
		return
	}
	if v := recover(); v != nil {
		h.panicked(v, debug.Stack())
		answer()
	}
}
