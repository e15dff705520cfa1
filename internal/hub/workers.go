package hub

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/observe"
)

// ErrSkip from a resolver means: no message for this event.
var ErrSkip = errors.New("no message for this event")

// workers run resolvers: a bounded number of goroutines, started when there is work. backlog names a group
// once for each event in its lane that no worker has taken, so that the lanes bound it.
type workers struct {
	hub     *Hub
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	mu      sync.Mutex
	backlog []*Group
	running int
	closed  bool
}

func (w *workers) init(h *Hub) {
	w.hub = h
	w.ctx, w.cancel = context.WithCancel(context.Background())
}

func (w *workers) close() {
	w.mu.Lock()
	w.closed, w.backlog = true, nil
	w.mu.Unlock()
	w.cancel()
	w.wg.Wait()
}

// submit asks for one event of a group's lane to be resolved.
func (w *workers) submit(g *Group) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	w.backlog = append(w.backlog, g)
	if w.running < w.hub.cfg.Workers {
		w.running++
		w.wg.Go(w.run)
	}
}

// run resolves until nothing is left.
func (w *workers) run() {
	var tape jsontape.Tape
	for {
		w.mu.Lock()
		if len(w.backlog) == 0 {
			w.running--
			w.mu.Unlock()
			return
		}
		g := w.backlog[0]
		w.backlog[0] = nil
		w.backlog = w.backlog[1:]
		w.mu.Unlock()
		if r := g.startRequest(); r != nil {
			w.resolve(r, &tape)
		}
	}
}

// resolve calls the resolver, bounded by the timeout even if the function ignores its context: the worker goes
// on then, and the function's late result is dropped.
func (w *workers) resolve(r *request, tape *jsontape.Tape) {
	ctx, cancel := context.WithTimeout(w.ctx, w.hub.cfg.Timeout)
	defer cancel()
	type result struct {
		value []byte
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := r.group.rest.lane.call(ctx, r)
		done <- result{value, err}
	}()
	select {
	case res := <-done:
		w.finish(r, tape, res.value, res.err)
	case <-ctx.Done():
		w.finish(r, tape, nil, ctx.Err())
	}
}

type panicError struct{ value any }

func (e panicError) Error() string { return fmt.Sprintf("resolver panicked: %v", e.value) }

// call runs user code; it never panics.
func (l *lane) call(ctx context.Context, r *request) (value []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicError{p}
		}
	}()
	ev := r.event
	return l.resolver.Resolve(ctx, &ev, l.variables, l.context)
}

// finish turns a resolver's result into the group's message. What went wrong is logged, never sent: the client
// gets a masked error and nothing of the event.
func (w *workers) finish(r *request, tape *jsontape.Tape, value []byte, err error) {
	b := r.group.projection
	field := b.Plan.RootName
	if err == nil {
		if err = tape.Parse(value, jsontape.Limits{Depth: w.hub.cfg.Events.Depth, Bytes: w.hub.cfg.Events.Bytes}); err == nil {
			m := &queue.Message{Extra: r.extra, Payload: b.AppendResolved(nil, tape, jsontape.Root)}
			w.hub.cfg.Observer.Counted(observe.Resolved, "ok", 1)
			r.settle(m)
			return
		}
		err = fmt.Errorf("result of resolver %s: %w", field, err)
	}
	if errors.Is(err, ErrSkip) {
		w.hub.cfg.Observer.Counted(observe.Resolved, "ok", 1)
		r.settle(nil)
		return
	}
	label, code, text := "error", "RESOLVER_FAILED", "The resolver failed."
	var p panicError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		label, code, text = "timeout", "RESOLVER_TIMEOUT", "The resolver took too long."
	case errors.As(err, &p):
		label = "panic"
	}
	w.hub.cfg.Observer.Counted(observe.Resolved, label, 1)
	w.hub.cfg.Failed(field, err)
	r.settle(&queue.Message{Extra: r.extra, Payload: b.AppendFailed(nil, code, text)})
}
