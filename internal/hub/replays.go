package hub

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// replays work on the subscriptions that replay: a bounded number of goroutines, that are there while there is work.
// A replay whose client does not read is parked, without a page of history, until messages of its connection were
// taken; one whose bus is out of reach is tried again later, all of them by one timer.
type replays struct {
	hub    *Hub
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	conns   map[*queue.Conn][]*replay
	ready   []*replay // oldest first
	delayed []*replay
	timer   *time.Timer // nil until first used
	running int
	closed  bool
}

// work is where a replay stands with replays.
type work struct {
	state  workState
	kicked bool // while it was worked on
}

type workState uint8

const (
	working workState = iota
	waiting           // in ready or delayed
	resting           // parked
)

const (
	// stepsAtOnce is how many steps of one replay are taken before others have their turn.
	stepsAtOnce = 8
	// stepTimeout bounds one look into the bus' history.
	stepTimeout = 10 * time.Second
	retryAfter  = 500 * time.Millisecond
)

func (q *replays) init(h *Hub) {
	q.hub, q.conns = h, make(map[*queue.Conn][]*replay)
	q.ctx, q.cancel = context.WithCancel(context.Background())
}

// start takes the first steps of a replay in the caller's goroutine: most are done then.
func (q *replays) start(r *replay) {
	if !q.enter(r) {
		r.abandon()
		return
	}
	d := q.hub.scratch.Get().(*dispatch)
	defer q.hub.scratch.Put(d)
	q.advance(r, d)
}

func (q *replays) enter(r *replay) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	conn := r.sub.Conn()
	q.conns[conn] = append(q.conns[conn], r)
	return true
}

// advance works on a replay for a while.
func (q *replays) advance(r *replay, d *dispatch) {
	p := again
	for i := 0; i < stepsAtOnce && p == again; i++ {
		p = r.step(q.ctx, d)
		r.checked.report(q.hub.cfg.Observer)
	}
	q.settle(r, p)
}

// settle decides when a replay is worked on again.
func (q *replays) settle(r *replay, p progress) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case p == ended || q.closed:
		q.forgetLocked(r)
	case p == again || p == parked && r.work.kicked:
		q.readyLocked(r)
	case p == later:
		r.work.state = waiting
		if q.delayed = append(q.delayed, r); len(q.delayed) == 1 {
			q.armLocked()
		}
	default:
		r.work.state = resting
	}
}

func (q *replays) forgetLocked(r *replay) {
	conn := r.sub.Conn()
	list := q.conns[conn]
	for i := range list {
		if list[i] == r {
			list[i] = list[len(list)-1]
			list[len(list)-1] = nil
			list = list[:len(list)-1]
			break
		}
	}
	if len(list) == 0 {
		delete(q.conns, conn)
	} else {
		q.conns[conn] = list
	}
}

// readyLocked lists a replay for the next worker.
func (q *replays) readyLocked(r *replay) {
	r.work = work{state: waiting}
	q.ready = append(q.ready, r)
	if q.running < max(4, 2*runtime.GOMAXPROCS(0)) {
		q.running++
		q.wg.Go(q.run)
	}
}

func (q *replays) run() {
	d := q.hub.scratch.Get().(*dispatch)
	defer q.hub.scratch.Put(d)
	for r := q.next(); r != nil; r = q.next() {
		q.advance(r, d)
	}
}

// next returns the replay that waits longest; nil ends the worker.
func (q *replays) next() *replay {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.ready) == 0 || q.closed {
		q.running--
		q.ready = nil
		return nil
	}
	r := q.ready[0]
	q.ready[0] = nil
	q.ready = q.ready[1:]
	r.work = work{}
	return r
}

// kick says that something has changed for a replay.
func (q *replays) kick(r *replay) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.kickLocked(r)
}

func (q *replays) kickLocked(r *replay) {
	switch {
	case q.closed:
	case r.work.state == resting:
		q.readyLocked(r)
	case r.work.state == working:
		r.work.kicked = true
	}
}

// Room implements queue.Limits.Room: those that replay on a connection may go on.
func (h *Hub) Room(conn *queue.Conn) {
	q := &h.replays
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range q.conns[conn] {
		q.kickLocked(r)
	}
}

func (q *replays) armLocked() {
	if q.timer == nil {
		q.timer = time.AfterFunc(retryAfter, q.retry)
		return
	}
	q.timer.Reset(retryAfter)
}

// retry lists what waits for the bus. It runs when the timer fires, and starts workers only while it is not closed.
func (q *replays) retry() {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.delayed
	q.delayed = nil
	if q.closed {
		return
	}
	for _, r := range list {
		q.readyLocked(r)
	}
}

func (q *replays) close() {
	q.mu.Lock()
	q.closed = true
	if q.timer != nil {
		q.timer.Stop()
	}
	q.mu.Unlock()
	q.cancel()
	q.wg.Wait()
}
