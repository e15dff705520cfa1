package hub

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/plan"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// lane is the order of a group with a resolver: events whose results are due, oldest first. Results come from any
// goroutine in any order; they are enqueued in the order of the lane. Guarded by the channel's mu; resolver,
// types, variables and context never change.
type lane struct {
	resolver  *Resolver // of every event; nil: by its type
	types     *Types
	variables []byte
	context   *identity.Identity // nil: no resolver asks for it
	waiting   []*Request         // those before head have left
	head      int
	idle      int // of waiting, for a worker, and none has taken it
	promised  int // workers that will look here, see workers.backlog
	own       own // what is due to one subscription alone
	// held: results wait, too. Members are on their way from the group that the lane was taken over from.
	held bool
	// salt is part of the group's key where requests of another group were taken over, see Hub.Renew; else 0.
	salt uint64
}

// of returns the resolver of events of a type, nil when they pass unresolved.
func (l *lane) of(eventType string) *Resolver {
	if l.resolver != nil {
		return l.resolver
	}
	return l.types.Of(eventType)
}

func (l *lane) len() int { return len(l.waiting) - l.head }

// idles reports whether nothing is due, to all or to one.
func (l *lane) idles() bool { return l.len() == 0 && len(l.own) == 0 }

func (l *lane) first() *Request { return l.waiting[l.head] }

// push appends, in the room of those that left before it grows. What is for one subscription alone goes to its own.
func (l *lane) push(r *Request) {
	if fo := r.followed(); fo != nil && fo.only != nil {
		l.pushOwn(fo.only, r)
		return
	}
	if l.head > 0 && len(l.waiting) == cap(l.waiting) {
		n := copy(l.waiting, l.waiting[l.head:])
		clear(l.waiting[n:])
		l.waiting, l.head = l.waiting[:n], 0
	}
	l.waiting = append(l.waiting, r)
}

// pop takes the first out.
func (l *lane) pop() *Request {
	r := l.waiting[l.head]
	l.waiting[l.head] = nil
	if l.head++; l.head == len(l.waiting) {
		l.waiting, l.head = l.waiting[:0], 0
	}
	if !r.started {
		l.idle--
	}
	return r
}

// Request is one event of a lane, and what a deferred resolver is asked. All methods are safe for concurrent use;
// the first of Resolve, Skip and Fail answers.
type Request struct {
	group    *Group    // that asked; it does not change
	home     *Group    // whose members get the result: group, unless it was renewed; guarded by the channel's mu
	resolver *Resolver // nil: it passed unresolved and its message is there
	event    event.Event
	readers  readers
	seq      uint64
	extra    *queue.Extra // LATEST; for a group with cursors part of a followed
	// Guarded by the channel's mu: no worker need take it, its result is there, and what it is.
	started, done bool
	message       *queue.Message

	answered   atomic.Bool // or not wanted any more
	listed     bool        // the rest is guarded by deferred.mu
	turn       bool        // it is listed as one that waits for its turn
	prev, next *Request
	deadline   time.Duration
}

// readers are the users that an event is for; none: everybody in the group, which is of one tenant and
// federation.
type readers struct {
	user  string
	users []string
}

func (r *readers) include(user string) bool {
	switch {
	case r.user != "":
		return r.user == user
	case len(r.users) > 0:
		return user != "" && slices.Contains(r.users, user)
	}
	return true
}

// ownReaders copies the texts that lie in scratch.
func (d *dispatch) ownReaders() (r readers) {
	if r.user = d.aud.User; r.user == d.event.UserID {
		r.user = d.event.UserID
	} else {
		r.user = strings.Clone(r.user)
	}
	r.users = slices.Clone(d.aud.Users)
	for i, u := range r.users {
		r.users[i] = strings.Clone(u)
	}
	return r
}

// enter appends the event to the group's lane; resolvers are called after the turn. It returns false for an event
// that needs none while nothing waits: it is served like any other.
func (d *dispatch) enter(g *Group, l *lane) bool {
	by := l.of(d.event.Type)
	if l.len() >= d.hub.limits.Load().Lane && !d.makeRoom(g) {
		return true
	}
	if by == nil && l.idles() {
		return false
	}
	r := &Request{group: g, home: g, resolver: by, readers: d.ownReaders(), seq: d.seq}
	switch {
	case by == nil:
		r.message = d.compose(g)
		if g.cursors {
			r.follow(d)
		}
		r.started, r.done = true, true
	case by.Deferred != nil:
		r.prepare(d)
		r.started = true
		d.parsed.due = append(d.parsed.due, r)
	default:
		r.prepare(d)
		if l.idle++; l.promised < l.idle {
			l.promised++
			d.lanes = append(d.lanes, g)
		}
	}
	l.push(r)
	r.eachReader(func(*Subscription) { d.out.Enqueued++ })
	if r.done && l.len() == 1 { // only those wait to whom something is due alone
		l.deliverLocked(&d.results)
	}
	return true
}

// prepare sets what a resolver and its result need of the event.
func (r *Request) prepare(d *dispatch) {
	r.event = *d.event
	if r.group.cursors {
		r.follow(d)
		return
	}
	if r.group.keyed {
		if x := new(queue.Extra); d.describe(r.group, x) {
			r.extra = x
		}
	}
}

// makeRoom applies the queue policy to a full lane; it reports whether the event may enter.
func (d *dispatch) makeRoom(g *Group) bool {
	l, overflow := g.rest.lane, g.projection.Plan.Delivery.Overflow
	if !dropsOldest(overflow) {
		newest := Request{group: g, home: g, readers: readers{d.aud.User, d.aud.Users}, seq: d.seq}
		newest.eachReader(func(s *Subscription) { leaveOut(s, overflow, &d.results) })
		return false
	}
	oldest := l.pop()
	oldest.take()
	oldest.eachReader(func(s *Subscription) { leaveOut(s, overflow, &d.results) })
	l.deliverLocked(&d.results)
	return true
}

// dropsOldest reports whether the oldest event makes room for the newest one.
func dropsOldest(o gql.Overflow) bool { return o == gql.OverflowDropOldest || o == gql.OverflowLatest }

// leaveOut applies the queue policy to a subscription that does not get an event, and counts.
func leaveOut(s *Subscription, o gql.Overflow, rs *results) {
	result := queue.Dropped
	switch o {
	case gql.OverflowClose:
		if s.Overflow() {
			rs[queue.Closed]++
		}
		return
	case gql.OverflowDropNewest:
		result = queue.Refused
	case gql.OverflowLatest:
		result = queue.Replaced
	}
	s.Missed()
	rs[result]++
}

// eachReader calls f for every member of the group that the event is for, if it is not for one alone.
func (r *Request) eachReader(f func(*Subscription)) {
	r.home.eachMember(func(s *Subscription) {
		if r.includes(s) {
			f(s)
		}
	})
}

// includes reports whether the event is for a member of the group.
func (r *Request) includes(s *Subscription) bool {
	return s.joined < r.seq && r.readers.include(s.who.Load().UserID)
}

// startRequest hands the oldest event of the lane that no worker has taken to one; nil when there is none any
// more.
func (g *Group) startRequest() *Request {
	c := g.channel()
	c.mu.Lock()
	defer c.mu.Unlock()
	l := g.rest.lane
	l.promised--
	for _, r := range l.waiting[l.head:] {
		if !r.started {
			r.started = true
			l.idle--
			return r
		}
	}
	return nil
}

// abandonLocked empties the lane of a group without members: nobody waits for the results.
func (l *lane) abandonLocked() {
	for l.len() > 0 {
		l.pop().take()
	}
	l.waiting = nil
	for of := range l.own {
		l.forgetLocked(of)
	}
}

// projection is by what the result is projected now.
func (r *Request) projection() *plan.Projection {
	c := r.group.channel()
	c.mu.Lock()
	defer c.mu.Unlock()
	return r.home.projection
}

// settle puts a result in its place (nil: no message) and enqueues what is then at the head of the lane. It reports
// false, and does nothing, when the message was projected by p and another projection has taken its place meanwhile.
func (r *Request) settle(m *queue.Message, p *plan.Projection) bool {
	var dropped results
	c := r.group.channel()
	ok := r.place(c, m, p, &dropped)
	c.dropped(&dropped)
	return ok
}

func (r *Request) place(c *channel, m *queue.Message, p *plan.Projection, dropped *results) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.done {
		return true
	}
	if m != nil && p != r.home.projection {
		return false
	}
	r.done, r.message = true, m
	switch fo := r.followed(); {
	case fo == nil || fo.only == nil:
		r.home.rest.lane.deliverLocked(dropped)
	case fo.replay != nil:
		c.hub.replays.kick(fo.replay)
	default:
		r.home.rest.lane.deliverOwnLocked(fo.only, &delivery{results: dropped})
	}
	return true
}

// deliverLocked enqueues the results at the head of the lane, up to the first that is due. While the lane is held it
// enqueues none.
func (l *lane) deliverLocked(rs *results) {
	out := delivery{results: rs}
	for !l.held && l.len() > 0 && l.first().done {
		head := l.pop()
		if head.message == nil {
			continue
		}
		head.eachReader(func(s *Subscription) {
			if len(l.own) == 0 || !l.waitsLocked(s, head, &out) {
				out.enqueue(s, head)
			}
		})
	}
}

// delivery is a run of results on their way into queues.
type delivery struct {
	now     uint32 // second; 0: not read yet
	results *results
}

func (o *delivery) enqueue(s *Subscription, r *Request) {
	if s.expires != 0 {
		if o.now == 0 {
			o.now = unixNow()
		}
		if s.expires <= o.now {
			return
		}
	}
	result, messages := s.EnqueueCounted(r.message)
	o.results[result] += messages
	if fo := r.followed(); fo != nil {
		s.follower().told = fo.told
	}
}
