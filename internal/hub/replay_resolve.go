package hub

import (
	"time"
	"unsafe"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// Subscriptions with resolvers replay like others, but for this: the events that need a resolver are asked for ahead,
// as many as a lane may hold, and their results wait in results, in the order of the events, until there is room in the
// queue. What is still due when the subscription joins goes into its group's lane as its own, in front of everything that is
// dispatched to it from then on; others do not wait for it.

// followed is what a request has in a group with cursors: Request.extra is its first member. Others pay nothing.
type followed struct {
	queue.Extra
	told standing // where the event is
	// only: it is for one subscription, which replays, or joined with this in its lane.
	only   *follower
	replay *replay // that waits for the result; guarded by the channel's mu
}

// followed is nil for groups without cursors.
func (r *Request) followed() *followed {
	if !r.group.cursors {
		return nil
	}
	return (*followed)(unsafe.Pointer(r.extra))
}

// follow sets what a request has in a group with cursors.
func (r *Request) follow(d *dispatch) {
	fo := &followed{told: d.standing()}
	d.describe(r.group, &fo.Extra)
	r.extra = &fo.Extra
}

// mayBeDue is how many results may be due when a subscription joins: what a lane may hold, or what finds room in a short
// queue, of which less than half is in use.
func (r *replay) mayBeDue() int {
	return min(r.hub.limits.Load().Lane, r.sub.Policy().MaxMessages()/4)
}

func (r *replay) resolves() bool { return r.match.lane != nil }

// enterLocked asks for the result of the event at work; false when it needs none and nothing is due before it.
func (r *replay) enterLocked(d *dispatch) bool {
	by := r.match.lane.of(d.event.Type)
	if by == nil && len(r.results) == 0 {
		return false
	}
	q := &Request{group: r.group, home: r.group, resolver: by, started: true}
	q.prepare(d)
	fo := q.followed()
	fo.only, fo.replay = r.sub, r
	r.results = append(r.results, q)
	if by != nil {
		r.calls = append(r.calls, q)
		return true
	}
	q.done = true
	q.message = d.slab.add(q.extra, func(dst []byte) []byte { return r.match.projection.AppendPayload(dst, d.tape, 0) })
	return true
}

// call asks the resolvers, outside every lock.
func (r *replay) call() {
	calls := r.calls
	r.calls = nil
	r.hub.ask(calls)
}

// ask asks the resolvers of requests that are each for one subscription alone, outside every lock.
func (h *Hub) ask(list []*Request) {
	for _, q := range list {
		if q.resolver.Deferred == nil {
			h.workers.add(job{request: q})
			continue
		}
		if df := &h.deferred; df.add(q, time.Since(df.origin)) {
			q.call()
		}
	}
}

// deliver offers the results at the head; false when there is no room for the next one. Those that the subscription
// asked for as what it is not any more are not offered: it changes first.
func (r *replay) deliver() bool {
	c := r.channel
	c.mu.Lock()
	defer c.mu.Unlock()
	r.adoptLocked()
	expired := len(r.results) > 0 && r.sub.expires != 0 && r.sub.expires <= unixNow()
	for len(r.results) > 0 && r.results[0].done {
		if m := r.results[0].message; m != nil && !expired {
			if result, wait := r.sub.Offer(m); wait || result == queue.Gone && !r.sub.Ended() {
				return false
			}
		}
		r.results[0] = nil
		r.results = r.results[1:]
	}
	return true
}

// due reports whether results are.
func (r *replay) due() bool {
	c := r.channel
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(r.results) > 0
}

// handOverLocked puts what is due into the lane of the group, as the subscription's own.
func (r *replay) handOverLocked() {
	if len(r.results) == 0 {
		return
	}
	l := r.group.rest.lane
	for _, q := range r.results {
		q.followed().replay = nil
		l.push(q)
	}
	r.results = nil
	var dropped results
	l.deliverOwnLocked(r.sub, &delivery{results: &dropped}) // there was room
}

// forgetLocked gives up what is due.
func (r *replay) forgetLocked() {
	for _, q := range r.results {
		q.take()
	}
	r.results = nil
}

// moveLocked is changeLocked for a change of the group. What is due to a replay that waits is in a lane already: it is
// asked for again, in the lane of the other group. m has what is to be asked, outside of every lock.
func (r *replay) moveLocked(a adoption, m *moving) {
	from := r.group.lane()
	if from == nil || !r.waits {
		r.changeLocked(a)
		return
	}
	due := from.withdrawLocked(r.sub)
	r.changeLocked(a)
	to := r.match.lane
	for _, q := range due {
		q.take()
		fo := *q.followed()
		again := &Request{group: r.group, home: r.group, resolver: q.resolver, event: q.event, extra: &fo.Extra, started: true}
		to.push(again)
		if again.resolver != nil {
			m.asks = append(m.asks, again)
		} else {
			again.done, again.message = true, r.hub.unresolved(again)
		}
	}
	to.deliverOwnLocked(r.sub, &delivery{results: &m.dropped})
}

// unresolved makes the message of an event that needs no resolver; nil if it is above the bounds of today.
func (h *Hub) unresolved(r *Request) *queue.Message {
	a := h.answering.Get().(*answering)
	defer h.answering.Put(a)
	defer a.tape.Forget()
	if a.tape.Parse(r.event.Data, h.limits.Load().Events) != nil {
		return nil
	}
	return a.slab.add(r.extra, func(dst []byte) []byte { return r.group.projection.AppendPayload(dst, &a.tape, jsontape.Root) })
}
