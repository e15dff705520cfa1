package hub

import (
	"github.com/fraiseql/fraiseql-go/internal/filter"
	"github.com/fraiseql/fraiseql-go/internal/plan"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// Group is the subscriptions that share filter, projection and bytes. Guarded by the channel's mu.
type Group struct {
	key        string          // what they have in common, see Join.appendKey
	maker      *internedDomain // of the subscriber that made it, for the bound of groups per tenant
	projection *plan.Projection
	filter     *filter.Pred
	shape      *shape
	bucket     *bucket
	rest       *groupRest // nil most of the time
	stamp      uint64     // the event that pass belongs to
	first      cell       // of the domain that came first, or none
	members    int32
	pass       bool
	keyed      bool // LATEST compares a value of the event
	cursors    bool // its members are followers: each message carries a cursor
}

// groupRest is what few groups have.
type groupRest struct {
	buckets []*bucket // further ones, of IN
	cells   map[*internedDomain]*cell
	lane    *lane          // with a resolver
	message *queue.Message // of several cells, of the event at work; nil between events
}

func (g *Group) tableKey() string { return g.key }

func (g *Group) channel() *channel { return g.shape.channel }

func (g *Group) lane() *lane {
	if g.rest == nil {
		return nil
	}
	return g.rest.lane
}

func (g *Group) more() *groupRest {
	if g.rest == nil {
		g.rest = &groupRest{}
	}
	return g.rest
}

// cellOf returns the cell of a domain, nil if it has none.
func (g *Group) cellOf(d *internedDomain) *cell {
	if g.first.domain == d {
		return &g.first
	}
	if g.rest == nil {
		return nil
	}
	return g.rest.cells[d]
}

// newCell makes the cell of a domain that has none.
func (g *Group) newCell(d *internedDomain) *cell {
	c := &g.first
	if c.domain != nil {
		c = &cell{}
		if g.more().cells == nil {
			g.rest.cells = make(map[*internedDomain]*cell)
		}
		g.rest.cells[d] = c
	}
	c.group, c.domain = g, d
	g.eachBucket(func(b *bucket) { b.add(c) })
	return c
}

func (g *Group) removeCell(c *cell) {
	g.eachBucket(func(b *bucket) { b.remove(c) })
	if c != &g.first {
		delete(g.rest.cells, c.domain)
	}
	c.domain = nil
}

func (g *Group) eachBucket(f func(*bucket)) {
	if g.bucket != nil {
		f(g.bucket)
	}
	if g.rest == nil {
		return
	}
	for _, b := range g.rest.buckets {
		f(b)
	}
}

func (g *Group) eachMember(f func(*Subscription)) {
	for i := range g.first.len() {
		f(g.first.at(i))
	}
	if g.rest == nil {
		return
	}
	for _, c := range g.rest.cells {
		for i := range c.len() {
			f(c.at(i))
		}
	}
}
