//go:build linux

package embed

import (
	"context"
	"errors"
	"sync"

	fraiseql "github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/internal/code"
)

// workers are those of an engine, by the host's token.
type workers struct {
	running sync.WaitGroup
	stops   map[int64]context.CancelFunc // guarded by Engine.mu
}

// endWork stops every worker; none is added any more.
func (e *Engine) endWork() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, stop := range e.workers.stops {
		stop()
	}
}

// Work asks the host to work on the events of a channel that are this node's among those of the group: one call at a
// time, which carries the token.
func (e *Engine) Work(group, channel []byte, token int64) error {
	name, of := string(group), string(channel)
	if err := e.facade.CheckWork(name, of); err != nil {
		if errors.Is(err, fraiseql.ErrNoWork) {
			return &Fault{Code: code.BusUnavailable, Member: "bus", Message: err.Error()}
		}
		return &Fault{Code: code.InvalidValue, Message: err.Error()}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.connections == nil {
		return errClosed
	}
	if e.workers.stops[token] != nil {
		return bad("token", "works already")
	}
	ctx, stop := context.WithCancel(context.Background())
	if e.workers.stops == nil {
		e.workers.stops = make(map[int64]context.CancelFunc)
	}
	e.workers.stops[token] = stop
	e.workers.running.Go(func() {
		err := e.facade.Work(ctx, name, of, func(ctx context.Context, ev *fraiseql.Event) error { return e.work(ctx, token, ev) })
		if ctx.Err() == nil {
			e.log.Error("work has ended", "group", name, "channel", of, "error", err)
		}
		e.StopWork(token)
	})
	return nil
}

// StopWork ends the worker with that token; false when there is none. It does not wait: the host may be at work, and
// what it answers then counts no more.
func (e *Engine) StopWork(token int64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	stop, ok := e.workers.stops[token]
	if !ok {
		return false
	}
	stop()
	delete(e.workers.stops, token)
	return true
}

// work waits until the host has worked on an event.
func (e *Engine) work(ctx context.Context, token int64, ev *fraiseql.Event) error {
	c := &call{engine: e, kind: CallWork, token: token, event: ev, reply: make(chan reply, 1)}
	if !e.queue.add(c, true) {
		return errClosed
	}
	select {
	case r := <-c.reply:
		return r.err
	case <-ctx.Done():
	case <-e.stopped:
	}
	if e.queue.forget(c) {
		return errClosed
	}
	select {
	case r := <-c.reply: // it has been answered meanwhile
		return r.err
	case <-e.stopped: // or it was forgotten with the engine
		return errClosed
	}
}
