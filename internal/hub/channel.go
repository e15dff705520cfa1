package hub

import (
	"slices"
	"sync"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/plan"
)

// channel is one channel with subscribers: a turn and an index.
type channel struct {
	hub  *Hub
	name string

	turn sync.Mutex // see the package comment
	last event.Position

	mu      sync.Mutex
	seq     uint64 // the newest event that began
	shapes  []*shape
	groups  table[*Group]
	tenants map[string]int  // groups per tenant, for their bound
	leaving []*Subscription // completed while running
	// abandoned are groups in which a place was given back while running.
	abandoned []*Group
	members   int
	running   bool // between two parts of a dispatch: leaves are postponed
	dead      bool
	follow    *follow // nil: nobody asked for cursors
	seen      *seen   // nil: nothing comes again, or nothing came; guarded by turn and mu
}

// sawBefore reports whether an event of that key was delivered at an earlier position, lately as of now and as far as is
// remembered.
func (c *channel) sawBefore(key uint64, at event.Position, now uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen.before(key, at, now)
}

// leave takes a completed subscription out of the index.
func (c *channel) leave(s *Subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.cell == nil { // it was never in the index
		if c.follow != nil {
			c.follow.endLocked(s)
		}
		return
	}
	if c.running {
		c.leaving = append(c.leaving, s)
		return
	}
	c.removeLocked(s)
}

// removeLocked undoes addLocked; whatever became empty goes with it.
func (c *channel) removeLocked(s *Subscription) {
	cell := s.cell
	g := cell.group
	cell.remove(s)
	s.cell = nil
	g.eachBucket(func(b *bucket) { b.count(cell.domain, -1) })
	if cell.len() == 0 {
		c.hub.domains.release(cell.domain)
		g.removeCell(cell)
	}
	c.hub.subscriptions.Add(-1)
	if g.cursors {
		c.follow.followers--
		g.lane().forgetLocked(s.follower())
	}
	c.unreserveLocked(g)
}

// unreserveLocked gives a place in a group back; an empty group goes, and an empty channel. In the middle of a
// dispatch it waits for its end: a shape that goes moves another one, which the dispatch could then miss.
func (c *channel) unreserveLocked(g *Group) {
	if c.running {
		c.abandoned = append(c.abandoned, g)
		return
	}
	if g.members--; g.members == 0 {
		c.removeGroupLocked(g)
	}
	c.members--
	c.retireIfEmptyLocked()
}

func (c *channel) retireIfEmptyLocked() {
	if c.members == 0 && !c.dead {
		c.hub.retireLocked(c)
		c.seen.forget(&c.hub.seenEntries)
	}
}

func (c *channel) removeGroupLocked(g *Group) {
	if l := g.lane(); l != nil {
		l.abandonLocked()
	}
	c.groups.remove(g)
	if g.cursors {
		c.unfollowGroupLocked(g)
	}
	c.hub.groups.Add(-1)
	if c.tenants[g.maker.tenant]--; c.tenants[g.maker.tenant] == 0 {
		delete(c.tenants, g.maker.tenant)
	}
	g.eachBucket(func(b *bucket) {
		if b.groups--; b.groups == 0 {
			g.shape.remove(b)
		}
	})
	if g.shape.groups--; g.shape.groups == 0 {
		c.dropShapeLocked(g.shape)
	}
}

func (c *channel) dropShapeLocked(s *shape) {
	last := len(c.shapes) - 1
	i := slices.Index(c.shapes, s)
	c.shapes[i] = c.shapes[last]
	c.shapes[last] = nil
	c.shapes = c.shapes[:last]
}

// shapeLocked returns the shape for subscriptions of p that constrain these paths, nil when the channel has
// too many.
func (c *channel) shapeLocked(p *plan.Plan, paths []plan.KeyPath, limit int) *shape {
	for _, s := range c.shapes {
		if s.fits(p, paths) {
			return s
		}
	}
	if len(c.shapes) >= limit && c.shapesOf(p.Generation()) >= limit {
		return nil
	}
	s := newShape(c, p, slices.Clone(paths))
	c.shapes = append(c.shapes, s)
	return s
}

// shapesOf counts the shapes of a schema's plans: those of one that was replaced are about to go.
func (c *channel) shapesOf(generation uint64) (n int) {
	for _, s := range c.shapes {
		if s.plan.Generation() == generation {
			n++
		}
	}
	return n
}
