package hub

import (
	"encoding/binary"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/plan"
	"github.com/fraiseql/fraiseql-go/observe"
	"github.com/fraiseql/fraiseql-go/policy"
)

// Readmit gives a live subscription another identity of the same user, tenant and federation: no event is lost or
// repeated. judge decides on what the new identity may see of the plan (check 5); errors end the subscription with
// them, and Readmit returns them. Where the identity is part of what the group shares (a mask, a resolver that takes
// the context), the subscription changes its group between two events, and results of a resolver that were asked for
// with the old one are not delivered to it: they count as dropped, and a subscriber that wants to know of drops is told with the
// next message.
//
// One that replays changes in the same way between two events, and what was asked for with the old identity is asked for
// again. One that has joined since is as live as others: what is still due to it counts as dropped.
//
// One that has begun and is not in the index yet gets there as the new identity: Join asks what it is for that.
//
// It may wait for an event of the channel to be dispatched. No lock may be held. A subscription that has ended is left as it
// is.
func (h *Hub) Readmit(s *Subscription, who *identity.Identity, judge func(*plan.Plan, *jsontape.Tape) (policy.Mask, []*gql.Error)) []*gql.Error {
	var m moving
	defer m.end(s.channel) // without a lock
	h.renewing.RLock()     // the group stays what it is meanwhile
	defer h.renewing.RUnlock()
	c := s.channel
	j, old := c.presentOrAs(s, who)
	if old == nil {
		return nil
	}
	var vars jsontape.Tape
	if err := vars.Parse(j.Variables, jsontape.Admitted); err != nil { // it must not go on as who it was
		return []*gql.Error{{Code: code.InternalServerError, Message: "The variables cannot be read again: " + err.Error() + "."}}
	}
	j.Identity, j.Tape = who, &vars
	mask, errs := judge(j.Plan, &vars)
	if errs != nil {
		return errs
	}
	j.Mask, j.again = mask, true
	var scratch [256]byte
	key := j.appendKey(scratch[:0])
	if string(key) == old.key {
		c.replace(s, who)
		return nil
	}
	g, errs := h.reserve(&j, key)
	if errs != nil {
		return errs
	}
	c.move(s, g, who, &m)
	return nil
}

// moving is what is left to do for a subscription that has changed its group, once no lock is held.
type moving struct {
	missed  int
	dropped results
	asks    []*Request
}

func (m *moving) end(c *channel) {
	h := c.hub
	if m.missed > 0 {
		h.cfg.Observer.Counted(observe.Dropped, "identity", m.missed)
	}
	c.dropped(&m.dropped)
	h.ask(m.asks)
}

// presentOrAs is present, and has a subscription that is about to join do so as who.
func (c *channel) presentOrAs(s *Subscription, who *identity.Identity) (j Join, g *Group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if j, g = c.presentLocked(s); g == nil && !s.Ended() {
		s.who.Store(who)
		s.expires = expiry(who)
	}
	return j, g
}

// present returns what s joined with, as far as its group knows, and the group; nil when it is in none.
func (c *channel) present(s *Subscription) (j Join, g *Group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.presentLocked(s)
}

func (c *channel) presentLocked(s *Subscription) (j Join, g *Group) {
	if s.Ended() {
		return j, nil
	}
	if r := c.replayLocked(s); r != nil {
		g = r.groupLocked()
	} else if s.cell != nil {
		g = s.cell.group
	} else {
		return j, nil
	}
	return g.join(), g
}

// join is what the members of a group joined with, as far as it knows. The channel's mu is held.
func (g *Group) join() Join {
	j := Join{Plan: g.projection.Plan, Variables: g.variables(), Cursors: g.cursors}
	if l := g.lane(); l != nil {
		j.Resolver, j.Types, j.salt = l.resolver, l.types, l.salt
	}
	return j
}

// variables returns the object of the coerced variables, which is the end of the group's key.
func (g *Group) variables() []byte {
	if l := g.lane(); l != nil {
		return l.variables
	}
	rest := []byte(g.key[8:])
	_, n := binary.Uvarint(rest)
	if rest = rest[n:]; g.cursors {
		return rest[1:]
	}
	return rest
}

// replace puts another identity in the place of that of s, which stays in its group.
func (c *channel) replace(s *Subscription, who *identity.Identity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.replayLocked(s); r != nil {
		r.changeLocked(adoption{group: r.change.group, who: who})
		return
	}
	s.who.Store(who)
	s.expires = expiry(who)
}

// move takes s from its group to g, in which a place is kept for it, between two events.
func (c *channel) move(s *Subscription, g *Group, who *identity.Identity, m *moving) {
	c.turn.Lock()
	defer c.turn.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.replayLocked(s)
	switch {
	case s.Ended(), r == nil && s.cell == nil:
		c.unreserveLocked(g)
		return
	case r != nil:
		if old := r.change.group; old != nil {
			c.unreserveLocked(old)
		}
		r.moveLocked(adoption{group: g, who: who}, m)
		return
	}
	m.missed = s.cell.group.missedLocked(s)
	c.removeLocked(s) // what a channel needs to live is reserved
	s.who.Store(who)
	s.expires = expiry(who)
	c.addLocked(g, s)
}

// missedLocked counts the events whose results are due to a member that leaves for another group, and tells its queue.
func (g *Group) missedLocked(s *Subscription) (n int) {
	l := g.lane()
	if l == nil {
		return 0
	}
	miss := func(r *Request) {
		if !r.done || r.message != nil { // else its resolver has said that there is none
			s.Missed()
			n++
		}
	}
	for _, r := range l.waiting[l.head:] {
		if r.includes(s) {
			miss(r)
		}
	}
	if g.cursors {
		for _, r := range l.own[s.follower()] {
			miss(r)
		}
	}
	return n
}
