package hub

import (
	"sync"
	"sync/atomic"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/plan"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/policy"
)

// Another schema under live subscriptions: groups, not subscriptions, are compiled anew, outside of every lock. Then each
// group is spliced between two events: under the channel's turn its members leave it for the group that it has become.
// What was enqueued before stays; the next event is for the new group. So nothing is lost or comes twice, and the order
// holds. A group itself never changes: whoever looks at one without a lock, because he projects what a resolver has
// returned or replays, sees all of the old schema, or all of the new one.

// renewing is what a hub knows of schemas.
type renewing struct {
	sync.RWMutex // one renewal at a time, and no other changes of groups beside it
	// generation is that of the schema in force: plans of older ones are stale, and nobody joins with them any more.
	generation atomic.Uint64
	salts      atomic.Uint64
}

// Renewal is what a group of subscriptions becomes under another schema.
type Renewal struct {
	// Invalid says why they end; nil: they go on with the rest.
	Invalid   []*gql.Error
	Plan      *plan.Plan
	Variables []byte         // the object of the coerced variables
	Tape      *jsontape.Tape // of Variables
	// Admit runs checks 1 and 5 for one of them: its mask, or why it ends. It is called under the channel's turn: it must be
	// quick and must not call the hub.
	Admit func(*identity.Identity) (policy.Mask, []*gql.Error)
	// Policy bounds their queues from now on.
	Policy *queue.Policy
}

var (
	errChannel = []*gql.Error{{Code: code.SchemaChanged, Message: "The field listens to another channel now."}}
	// errApart ends those whose mask is not that of the first, while results of a resolver are due for all of them.
	errApart = []*gql.Error{{Code: code.SchemaChanged, Message: "Results are due that not all of its subscribers may see."}}
)

// Renewed counts subscriptions: those that were moved to another schema, and those that ended.
type Renewed struct{ Moved, Ended int }

// stale reports whether a plan is of a schema that was replaced.
func (h *Hub) stale(p *plan.Plan) bool { return p.Generation() < h.renewing.generation.Load() }

// Renew puts the schema of a generation in force. When it returns, no event is dispatched by an older one; a replay that
// is at work may finish the page that it has. No lock may be held.
func (h *Hub) Renew(generation uint64) (sum Renewed) {
	h.renewing.Lock()
	defer h.renewing.Unlock()
	h.renewing.generation.Store(generation)
	all := h.shards.Load()
	if all == nil { // whoever makes them sees the generation
		return sum
	}
	for i := range all {
		for _, c := range all[i].list() {
			for _, g := range c.stale() {
				h.renewGroup(c, g, &sum)
			}
		}
	}
	return sum
}

func (s *shard) list() []*channel {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]*channel, 0, len(s.channels))
	for _, c := range s.channels {
		list = append(list, c)
	}
	return list
}

// stale returns the groups of the channel whose plans are. Further members come to none of them.
func (c *channel) stale() (list []*Group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	add := func(g *Group) {
		if c.hub.stale(g.projection.Plan) {
			list = append(list, g)
		}
	}
	for _, g := range c.groups.byHash {
		add(g)
	}
	for _, g := range c.groups.clashes {
		add(g)
	}
	return list
}

// renewGroup compiles what a group has become, and splices it.
func (h *Hub) renewGroup(c *channel, g *Group, sum *Renewed) {
	c.mu.Lock()
	j := g.join()
	c.mu.Unlock()
	j.again = true
	r := h.cfg.Renew(&j)
	if r.Invalid == nil && r.Plan.Channel != c.name {
		r.Invalid = errChannel
	}
	j.Plan, j.Variables, j.Tape = r.Plan, r.Variables, r.Tape
	sp := splice{channel: c, old: g, join: j, renewal: r}
	sp.run()
	sum.Moved += sp.moved
	sum.Ended += len(sp.ending)
	for _, to := range sp.work {
		h.workers.submit(to)
	}
}

// renew puts into j what it is under the schema in force.
func (h *Hub) renew(j *Join) (errs []*gql.Error) {
	r := h.cfg.Renew(j)
	if r.Invalid != nil {
		return r.Invalid
	}
	j.Plan, j.Variables, j.Tape, j.Policy = r.Plan, r.Variables, r.Tape, r.Policy
	j.Mask, errs = r.Admit(j.Identity)
	return errs
}

// reserveNow keeps a place in the group for j, which is renewed if its schema was replaced since it was compiled.
func (h *Hub) reserveNow(j *Join) (*Group, []*gql.Error) {
	for h.stale(j.Plan) {
		if errs := h.renew(j); errs != nil {
			return nil, errs
		}
	}
	var scratch [256]byte
	return h.reserve(j, j.appendKey(scratch[:0]))
}

// reserveAgain gives up the place in a group whose schema was replaced, or that was kept for the identity of before, for one
// in what it has become. It returns nil when s, which has begun, ends with that.
func (h *Hub) reserveAgain(j *Join, old *Group, s *Subscription) (g *Group) {
	c, ended := old.channel(), h.cfg.Ended
	defer c.giveUp(old) // until then the channel stays
	if who := s.who.Load(); who != j.Identity {
		j.Identity, ended = who, h.cfg.Refused
	}
	errs := h.renew(j)
	if errs == nil && j.Plan.Channel != c.name {
		errs = errChannel
	}
	if errs == nil {
		j.again = true
		var scratch [256]byte
		g, errs = h.reserve(j, j.appendKey(scratch[:0]))
	}
	if errs != nil {
		s.End(ended(errs))
		return nil
	}
	s.SetPolicy(j.Policy)
	return g
}
