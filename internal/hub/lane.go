package hub

import (
	"context"
	"slices"
	"strings"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/policy"
)

// Resolver computes the value of a root field for a group of subscriptions.
type Resolver struct {
	// Context: the function is given who asks; groups are split by it.
	Context bool
	// Resolve returns the JSON text of the field's value. who is nil without Context.
	Resolve func(ctx context.Context, ev *event.Event, variables []byte, who *identity.Identity) ([]byte, error)
}

// contextOf is the part of an identity that a resolver may depend on: exactly what the group's key holds.
func (r *Resolver) contextOf(id *identity.Identity) *identity.Identity {
	if !r.Context {
		return nil
	}
	return &identity.Identity{UserID: id.UserID, TenantID: id.TenantID, Roles: slices.Clone(id.Roles), Scopes: slices.Clone(id.Scopes)}
}

// lane is the order of a resolver group: events whose results are due, oldest first. Results come from any
// goroutine in any order; they are enqueued in the order of the lane. Guarded by the channel's mu.
type lane struct {
	resolver  *Resolver
	variables []byte
	context   *identity.Identity
	waiting   []*request
}

// request is one event of a lane.
type request struct {
	group    *Group
	event    event.Event
	audience policy.Audience
	seq      uint64
	extra    *queue.Extra // LATEST
	message  *queue.Message
	// Guarded by the channel's mu: a worker has taken it, its result is there.
	started, done bool
}

// enter appends the event to the group's lane. The resolver is called after the turn.
func (d *dispatch) enter(g *Group) {
	l := g.rest.lane
	promised := false
	if len(l.waiting) >= d.hub.cfg.Lane {
		var enters bool
		if enters, promised = d.makeRoom(g); !enters {
			return
		}
	}
	r := &request{group: g, event: *d.event, audience: ownAudience(d.aud), seq: d.seq}
	var m queue.Message
	d.finish(g, &m)
	r.extra = m.Extra
	l.waiting = append(l.waiting, r)
	if !promised {
		d.lanes = append(d.lanes, g)
	}
	r.eachReader(func(*Subscription) { d.out.Enqueued++ })
}

// makeRoom applies the queue policy to a full lane; it reports whether the event may enter, and whether a
// worker was promised to one that had to leave for it.
func (d *dispatch) makeRoom(g *Group) (enters, promised bool) {
	l := g.rest.lane
	newest := request{group: g, audience: d.aud, seq: d.seq}
	result := queue.Dropped
	switch g.projection.Plan.Delivery.Overflow {
	case gql.OverflowDropNewest:
		newest.eachReader(func(s *Subscription) {
			s.Missed()
			d.results[queue.Refused]++
		})
		return false, false
	case gql.OverflowClose:
		newest.eachReader(func(s *Subscription) {
			if s.Overflow() {
				d.results[queue.Closed]++
			}
		})
		return false, false
	case gql.OverflowLatest:
		result = queue.Replaced
	}
	oldest := l.waiting[0]
	l.waiting = slices.Delete(l.waiting, 0, 1)
	oldest.eachReader(func(s *Subscription) {
		s.Missed()
		d.results[result]++
	})
	l.deliverLocked(&d.results)
	return true, !oldest.started
}

// eachReader calls f for every member of the group that the event is for.
func (r *request) eachReader(f func(*Subscription)) {
	r.group.eachMember(func(s *Subscription) {
		if s.joined < r.seq && r.audience.AllowsUser(s.who.UserID) {
			f(s)
		}
	})
}

// ownAudience copies the texts that lie in scratch.
func ownAudience(a policy.Audience) policy.Audience {
	a.Tenant, a.User = strings.Clone(a.Tenant), strings.Clone(a.User)
	a.Users = slices.Clone(a.Users)
	for i, u := range a.Users {
		a.Users[i] = strings.Clone(u)
	}
	return a
}

// startRequest hands the oldest event of the lane that no worker has taken to one; nil when there is none any
// more, or nobody who waits for it.
func (g *Group) startRequest() *request {
	c := g.channel()
	c.mu.Lock()
	defer c.mu.Unlock()
	l := g.rest.lane
	if g.members == 0 {
		l.waiting = nil
	}
	for _, r := range l.waiting {
		if !r.started {
			r.started = true
			return r
		}
	}
	return nil
}

// settle puts a result in its place (nil: no message) and enqueues what is then at the head of the lane.
func (r *request) settle(m *queue.Message) {
	var dropped results
	c := r.group.channel()
	c.mu.Lock()
	if !r.done {
		r.done, r.message = true, m
		r.group.rest.lane.deliverLocked(&dropped)
	}
	c.mu.Unlock()
	dropped.report(c.hub.cfg.Observer)
}

// deliverLocked enqueues the results at the head of the lane, up to the first that is due.
func (l *lane) deliverLocked(rs *results) {
	for len(l.waiting) > 0 && l.waiting[0].done {
		head := l.waiting[0]
		l.waiting[0] = nil
		l.waiting = l.waiting[1:]
		if head.message == nil {
			continue
		}
		now := unixNow()
		head.eachReader(func(s *Subscription) {
			if s.expires == 0 || s.expires > now {
				r, messages := s.EnqueueCounted(head.message)
				rs[r] += messages
			}
		})
	}
}
