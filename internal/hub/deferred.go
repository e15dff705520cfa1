package hub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
)

// deferred are the requests that deferred resolvers have not answered yet. All of a list have the same time to live,
// so that its first is the first to die, and one timer, set for the earlier of both, is enough for all.
type deferred struct {
	hub    *Hub
	origin time.Time // deadlines count from here

	mu     sync.Mutex
	turns  requests // that wait for their turn, see Resolver.Queued
	begun  requests
	timer  *time.Timer // nil until first used
	armed  bool
	due    time.Duration // what the timer is set for, if it is
	closed bool
	sweeps sync.WaitGroup // one for each time that the timer is set
}

// requests is a list, oldest first.
type requests struct {
	first, last *Request
}

// Turns is how many times Config.Timeout a request may wait for its turn: however many are in front of it, it is
// answered that late, and once more that after its call has begun.
const Turns = 12

func (q *deferred) init(h *Hub) { q.hub, q.origin = h, time.Now() }

// HandOver calls the deferred resolvers of the events that p was dispatched for, in the order of the events. It
// is called without a lock and outside of the bus's turn: a resolver may publish to the same channel.
func (h *Hub) HandOver(p *Parsed) {
	if len(p.due) > 0 {
		h.deferred.handOver(p)
	}
}

// keptDue is the longest list of requests that is kept.
const keptDue = 1024

func (q *deferred) handOver(p *Parsed) {
	now := time.Since(q.origin)
	for i, r := range p.due {
		p.due[i] = nil
		if q.add(r, now) {
			r.call()
		}
	}
	if p.due = p.due[:0]; cap(p.due) > keptDue {
		p.due = nil
	}
}

// call runs user code; it never panics.
func (r *Request) call() {
	defer func() {
		if p := recover(); p != nil {
			r.Fail(panicError{p})
		}
	}()
	r.resolver.Deferred(r)
}

// add lists a request; false when it is not wanted any more.
func (q *deferred) add(r *Request, now time.Duration) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || r.answered.Load() {
		return false
	}
	if r.resolver.Queued {
		q.listLocked(r, true, now+Turns*q.hub.cfg.Timeout, now)
	} else {
		q.listLocked(r, false, now+q.hub.cfg.Timeout, now)
	}
	return true
}

// Begin says that it is the turn of a request: what its resolver may take counts from now. False when an answer would
// not count any more: then nothing needs to be called.
func (r *Request) Begin() bool {
	q := &r.group.channel().hub.deferred
	now := time.Since(q.origin)
	q.mu.Lock()
	defer q.mu.Unlock()
	if !r.listed || r.answered.Load() {
		return false
	}
	q.removeLocked(r)
	q.listLocked(r, false, now+q.hub.cfg.Timeout, now)
	return true
}

func (q *deferred) list(turn bool) *requests {
	if turn {
		return &q.turns
	}
	return &q.begun
}

func (q *deferred) listLocked(r *Request, turn bool, deadline, now time.Duration) {
	l := q.list(turn)
	r.deadline, r.listed, r.turn = deadline, true, turn
	r.prev = l.last
	if l.last != nil {
		l.last.next = r
	} else {
		l.first = r
	}
	l.last = r
	if !q.armed || deadline < q.due && q.disarmLocked() {
		q.armLocked(deadline - now)
		q.due = deadline
	}
}

func (q *deferred) removeLocked(r *Request) {
	if !r.listed {
		return
	}
	l := q.list(r.turn)
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		l.first = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	} else {
		l.last = r.prev
	}
	r.prev, r.next, r.listed = nil, nil, false
}

// armLocked sets the timer, which is not set.
func (q *deferred) armLocked(d time.Duration) {
	q.armed = true
	q.sweeps.Add(1)
	if q.timer == nil {
		q.timer = time.AfterFunc(d, q.sweep)
		return
	}
	q.timer.Reset(d)
}

// disarmLocked stops the timer, which is set; false when it has fired: then the sweep sets it again.
func (q *deferred) disarmLocked() bool {
	if !q.timer.Stop() {
		return false
	}
	q.armed = false
	q.sweeps.Done()
	return true
}

// minSweep is the least time between two sweeps: many requests that end one shortly after the other are ended
// together.
const minSweep = time.Millisecond

// sweep ends the requests whose time is over. It runs when the timer fires.
func (q *deferred) sweep() {
	defer q.sweeps.Done()
	now := time.Since(q.origin)
	var late *Request
	tail := &late
	q.mu.Lock()
	q.armed = false
	for _, l := range [...]*requests{&q.begun, &q.turns} {
		for r := l.first; r != nil && r.deadline <= now; {
			next := r.next
			if r.answered.CompareAndSwap(false, true) { // else it is being answered
				q.removeLocked(r)
				*tail, tail = r, &r.next
			}
			r = next
		}
	}
	if first := q.earliestLocked(); first != nil && !q.closed {
		d := max(first.deadline-now, minSweep)
		q.armLocked(d)
		q.due = now + d
	}
	q.mu.Unlock()
	for r := late; r != nil; {
		next := r.next
		r.next = nil
		r.expire()
		r = next
	}
}

// earliestLocked returns the request that dies first, nil if none is listed.
func (q *deferred) earliestLocked() *Request {
	a, b := q.begun.first, q.turns.first
	if a == nil || b != nil && b.deadline < a.deadline {
		return b
	}
	return a
}

// expire answers that there was no answer. It never panics: the timer runs in every process that has an engine.
func (r *Request) expire() {
	h := r.group.channel().hub
	defer func() {
		if p := recover(); p != nil {
			h.cfg.Failed(r.Field(), panicError{p})
		}
	}()
	h.answer(r, nil, errTimeout)
}

// close forgets what waits: nobody is left to be told. Answers report false from now on.
func (q *deferred) close() {
	q.mu.Lock()
	q.closed = true
	for r := q.earliestLocked(); r != nil; r = q.earliestLocked() {
		r.answered.Store(true)
		q.removeLocked(r)
	}
	if q.armed {
		q.disarmLocked()
	}
	q.mu.Unlock()
	q.sweeps.Wait()
}

// take reports whether the caller is the one who answers. The request is not listed afterwards.
func (r *Request) take() bool {
	if !r.answered.CompareAndSwap(false, true) {
		return false
	}
	q := &r.group.channel().hub.deferred
	q.mu.Lock()
	q.removeLocked(r)
	q.mu.Unlock()
	return true
}

// Event returns the event; it must not be changed.
func (r *Request) Event() *event.Event { return &r.event }

// Variables returns the JSON object of the coerced variables; it must not be changed.
func (r *Request) Variables() []byte { return r.group.rest.lane.variables }

// Who returns who asks, nil unless the resolver takes the context.
func (r *Request) Who() *identity.Identity {
	if !r.resolver.Context {
		return nil
	}
	return r.group.rest.lane.context
}

// Field returns the name of the root field.
func (r *Request) Field() string { return r.group.projection.Plan.RootName }

// Waits reports whether an answer would count now.
func (r *Request) Waits() bool { return !r.answered.Load() }

// Resolve answers with the JSON text of the field's value, which is read before it returns. It reports false when
// the request was answered before, has timed out, or nobody waits for it any more.
func (r *Request) Resolve(value []byte) bool { return r.answer(value, nil) }

// Skip answers that there is no message for the event. It reports as Resolve does.
func (r *Request) Skip() bool { return r.answer(nil, ErrSkip) }

// Fail answers that there is no value. The cause is logged; subscribers get a masked error. It reports as Resolve
// does.
func (r *Request) Fail(cause error) bool {
	if cause == nil {
		cause = errNoReason
	}
	return r.answer(nil, cause)
}

var errNoReason = errors.New("the resolver gave no reason")

func (r *Request) answer(value []byte, err error) bool {
	if !r.take() {
		return false
	}
	r.group.channel().hub.answer(r, value, err)
	return true
}

var errTimeout = fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
