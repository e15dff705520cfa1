package hub

import (
	"context"
	"fmt"
	"sync"
)

// workers run resolvers: a bounded number of goroutines, started when there is work. backlog names a group
// once for each event in its lane that no worker has taken, so that the lanes bound it; requests of replays wait beside it.
type workers struct {
	hub     *Hub
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	mu      sync.Mutex
	backlog []job
	replays replayJobs
	running int
	closed  bool
	calls   int            // of all resolvers that have not returned, whether in time or not
	callsOf map[uint64]int // of each resolver that has some, by Resolver.address
}

const (
	// callsPerWorker bounds how many calls of one resolver may be under way, as a multiple of Limits.Workers. Those beyond one
	// per worker have outlived their time: they ignore their context. Workers that are to end, since the limit was lowered, count
	// as long as their calls last.
	callsPerWorker = 2
	// allCallsPerWorker bounds those of all resolvers together.
	allCallsPerWorker = 16
)

// errHangs fails an event for which the resolver was not called.
var errHangs = fmt.Errorf("not called, because too many calls ignore that their time is over: %w", context.DeadlineExceeded)

// job is one event to be resolved: the next of a group's lane, or one of a replay.
type job struct {
	group   *Group
	request *Request
}

// start returns the request, nil when nobody waits for it any more.
func (j job) start() *Request {
	switch {
	case j.request == nil:
		return j.group.startRequest()
	case j.request.Waits():
		return j.request
	}
	return nil
}

func (w *workers) init(h *Hub) {
	w.hub, w.callsOf = h, make(map[uint64]int)
	w.ctx, w.cancel = context.WithCancel(context.Background())
}

func (w *workers) close() {
	w.mu.Lock()
	w.closed, w.backlog, w.replays.waiting = true, nil, nil
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
	if j.request == nil {
		w.backlog = append(w.backlog, j)
	} else if w.replays.waiting = append(w.replays.waiting, j); !w.replayNextLocked() {
		return
	}
	if w.running < w.hub.limits.Load().Workers {
		w.running++
		w.wg.Go(w.run)
	}
}

// run resolves until nothing is left for it.
func (w *workers) run() {
	for j, ok := w.next(job{}); ok; j, ok = w.next(j) {
		if r := j.start(); r != nil {
			w.resolve(r)
		}
	}
}

// next returns what a worker does after a job, or first, after none; not ok: it ends.
func (w *workers) next(after job) (j job, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := &w.replays
	if after.request != nil {
		r.running--
	}
	if w.running > w.hub.limits.Load().Workers { // the limit was lowered; the others see to what there is
		w.running--
		return job{}, false
	}
	switch {
	case w.replayNextLocked() && (r.turn || len(w.backlog) == 0):
		r.turn = false
		r.running++
		return takeFirst(&r.waiting), true
	case len(w.backlog) > 0:
		r.turn = true
		return takeFirst(&w.backlog), true
	}
	w.running--
	return job{}, false
}

// replayNextLocked reports whether a worker may take the next request of a replay.
func (w *workers) replayNextLocked() bool {
	return len(w.replays.waiting) > 0 && w.replays.running < max(1, w.hub.limits.Load().Workers/2)
}

// replayJobs are requests of replays, each of which may have as many as a lane: they are neither in front of live events, nor
// do they take more than half of the workers.
type replayJobs struct {
	waiting []job
	running int
	turn    bool // the job before was of a live event
}

func takeFirst(list *[]job) job {
	j := (*list)[0]
	(*list)[0] = job{}
	*list = (*list)[1:]
	return j
}

// resolve calls the resolver, bounded by the timeout even if the function ignores its context: the worker goes
// on then, and the function's late result is dropped. A resolver of which too many calls go on like that is not called.
func (w *workers) resolve(r *Request) {
	if !w.enter(r.resolver) {
		w.hub.answer(r, nil, errHangs)
		return
	}
	ctx, cancel := context.WithTimeout(w.ctx, w.hub.cfg.Timeout)
	defer cancel()
	type result struct {
		value []byte
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := w.call(ctx, r)
		done <- result{value, err}
	}()
	select {
	case res := <-done:
		w.hub.answer(r, res.value, res.err)
	case <-ctx.Done():
		w.hub.answer(r, nil, ctx.Err())
	}
}

// call counts the call as returned even when the function ends its goroutine.
func (w *workers) call(ctx context.Context, r *Request) ([]byte, error) {
	defer w.leave(r.resolver)
	return r.resolve(ctx)
}

// enter counts a call of a resolver that is about to begin; false: too many have not returned.
func (w *workers) enter(r *Resolver) bool {
	of := r.address()
	w.mu.Lock()
	defer w.mu.Unlock()
	most := max(w.hub.limits.Load().Workers, w.running)
	if w.callsOf[of] >= callsPerWorker*most || w.calls >= allCallsPerWorker*most {
		return false
	}
	w.calls++
	w.callsOf[of]++
	return true
}

// leave counts a call that has returned.
func (w *workers) leave(r *Resolver) {
	of := r.address()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls--
	if w.callsOf[of]--; w.callsOf[of] == 0 {
		delete(w.callsOf, of)
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
