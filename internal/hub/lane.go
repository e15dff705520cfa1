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
	key      string // LATEST
	message  *queue.Message
	done     bool // guarded by the channel's mu
}

// enter appends the event to the group's lane. The resolver is called after the turn.
func (d *dispatch) enter(g *Group) {
	l := g.rest.lane
	if len(l.waiting) >= d.hub.cfg.Lane && !d.makeRoom(g) {
		return
	}
	r := &request{group: g, event: *d.event, audience: ownAudience(d.aud), seq: d.seq}
	var m queue.Message
	d.finish(g, &m)
	r.key = m.Key
	l.waiting = append(l.waiting, r)
	d.requests = append(d.requests, r)
	g.eachMember(func(s *Subscription) {
		if s.joined < d.seq && r.audience.AllowsUser(s.who.UserID) {
			d.out.Enqueued++
		}
	})
}

// makeRoom applies the queue policy to a full lane; it reports whether the event may enter.
func (d *dispatch) makeRoom(g *Group) bool {
	l := g.rest.lane
	switch g.projection.Plan.Delivery.Overflow {
	case gql.OverflowDropOldest, gql.OverflowLatest:
		l.waiting = slices.Delete(l.waiting, 0, 1)
		d.results[queue.Dropped]++
		return true
	case gql.OverflowDropNewest:
		d.results[queue.Refused]++
		return false
	}
	g.eachMember(func(s *Subscription) {
		s.Overflow()
		d.results[queue.Closed]++
	})
	return false
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

// settle puts a result in its place and enqueues what is then at the head of the lane.
func (r *request) settle(m *queue.Message) {
	g := r.group
	c := g.channel()
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.done {
		return
	}
	r.done, r.message = true, m
	l := g.rest.lane
	for len(l.waiting) > 0 && l.waiting[0].done {
		head := l.waiting[0]
		l.waiting[0] = nil
		l.waiting = l.waiting[1:]
		if head.message != nil {
			head.deliverLocked()
		}
	}
}

func (r *request) deliverLocked() {
	now := uint32(r.event.Timestamp.Unix())
	r.group.eachMember(func(s *Subscription) {
		if s.joined < r.seq && r.audience.AllowsUser(s.who.UserID) && (s.expires == 0 || s.expires > now) {
			s.Enqueue(r.message)
		}
	})
}
