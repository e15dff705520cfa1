package hub

import (
	"context"
	"sync"
)

// workers run resolvers: a bounded number of goroutines, started when there is work. backlog names a group
// once for each event in its lane that no worker has taken, and each request of a replay, so that the lanes bound it.
type workers struct {
	hub     *Hub
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	mu      sync.Mutex
	backlog []job
	running int
	closed  bool
}

// job is one event to be resolved: the next of a group's lane, or one of a replay.
type job struct {
	group   *Group
	request *Request
}

func (j job) start() *Request {
	if j.request != nil {
		return j.request
	}
	return j.group.startRequest()
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
func (w *workers) submit(g *Group) { w.add(job{group: g}) }

func (w *workers) add(j job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	w.backlog = append(w.backlog, j)
	if w.running < w.hub.limits.Load().Workers {
		w.running++
		w.wg.Go(w.run)
	}
}

// run resolves until nothing is left.
func (w *workers) run() {
	for {
		w.mu.Lock()
		if len(w.backlog) == 0 {
			w.running--
			w.mu.Unlock()
			return
		}
		j := w.backlog[0]
		w.backlog[0] = job{}
		w.backlog = w.backlog[1:]
		w.mu.Unlock()
		if r := j.start(); r != nil {
			w.resolve(r)
		}
	}
}

// resolve calls the resolver, bounded by the timeout even if the function ignores its context: the worker goes
// on then, and the function's late result is dropped.
func (w *workers) resolve(r *Request) {
	ctx, cancel := context.WithTimeout(w.ctx, w.hub.cfg.Timeout)
	defer cancel()
	type result struct {
		value []byte
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := r.resolve(ctx)
		done <- result{value, err}
	}()
	select {
	case res := <-done:
		w.hub.answer(r, res.value, res.err)
	case <-ctx.Done():
		w.hub.answer(r, nil, ctx.Err())
	}
}

// resolve runs user code; it never panics.
func (r *Request) resolve(ctx context.Context) (value []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicError{p}
		}
	}()
	ev := r.event
	return r.resolver.Resolve(ctx, &ev, r.Variables(), r.Who())
}
