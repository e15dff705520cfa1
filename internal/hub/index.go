package hub

import (
	"slices"

	"github.com/fraiseql/fraiseql-go/internal/filter"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/plan"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// The index of a channel: shape → canonical values → bucket → cells. Everything here is guarded by the
// channel's mu.

const (
	// flatCells is how many cells of a bucket are looked through one by one; beyond, by tenant.
	flatCells = 16
	// flatMembers is how many members of a cell are looked through one by one; beyond, by user.
	flatMembers = 16
	// maxShapes per channel; later subscriptions use their first path only, and twice that is refused.
	maxShapes = 64
	// maxKeys is how many combinations of IN values are index entries; beyond, the first path only.
	maxKeys = 64
)

// shape is a root field together with the set of equality paths that its subscriptions constrain.
type shape struct {
	plan  *plan.Plan // any plan of the shape: root field, types, @owner, @tenant
	paths []plan.KeyPath
	table map[string]*bucket
	// groups whose constraints have this shape; with an empty IN a group has no bucket.
	groups int
	// names of paths, @tenant and @owner, prepared for looking up
	keys          [][]jsontape.Name
	tenant, owner []jsontape.Name
}

func newShape(p *plan.Plan, paths []plan.KeyPath) *shape {
	s := &shape{plan: p, paths: paths, table: make(map[string]*bucket)}
	for _, k := range paths {
		s.keys = append(s.keys, jsontape.MakeNames(k.Path))
	}
	if p.Tenant != nil {
		s.tenant = jsontape.MakeNames(p.Tenant)
	}
	if p.Owner != nil {
		s.owner = jsontape.MakeNames(p.Owner)
	}
	return s
}

// fits reports whether subscriptions of p that constrain these paths belong to the shape.
func (s *shape) fits(p *plan.Plan, paths []plan.KeyPath) bool {
	if s.plan.Root != p.Root || len(s.paths) != len(paths) || s.plan.RootName != p.RootName {
		return false
	}
	for i := range paths {
		if s.paths[i].Leaf.Kind != paths[i].Leaf.Kind || !slices.Equal(s.paths[i].Path, paths[i].Path) {
			return false
		}
	}
	return true
}

// wants reports whether the shape takes events of that type.
func (s *shape) wants(eventType string) bool {
	return len(s.plan.Types) == 0 || slices.Contains(s.plan.Types, eventType)
}

// bucket holds the cells whose groups ask for the same values.
type bucket struct {
	shape    *shape
	key      string
	members  int
	groups   int // that have this bucket, those without members yet included
	flat     []*cell
	byTenant map[string]*tenantCells // instead of flat, above flatCells
}

type tenantCells struct {
	members int
	cells   []*cell
}

// cell holds the members of one group within one domain.
type cell struct {
	group   *Group
	domain  *internedDomain
	members []*Subscription
	byUser  map[string][]*Subscription // beside members, above flatMembers, once needed
	slot    int32                      // in its bucket's list, if the group has one bucket
}

func (b *bucket) add(c *cell) {
	if b.byTenant == nil && len(b.flat) < flatCells {
		c.slot = int32(len(b.flat))
		b.flat = append(b.flat, c)
		return
	}
	if b.byTenant == nil {
		b.byTenant = make(map[string]*tenantCells)
		for _, old := range b.flat {
			b.addToTenant(old)
			b.byTenant[old.domain.tenant].members += len(old.members)
		}
		b.flat = nil
	}
	b.addToTenant(c)
}

func (b *bucket) addToTenant(c *cell) {
	t := b.byTenant[c.domain.tenant]
	if t == nil {
		t = &tenantCells{}
		b.byTenant[c.domain.tenant] = t
	}
	c.slot = int32(len(t.cells))
	t.cells = append(t.cells, c)
}

func (b *bucket) remove(c *cell) {
	if b.byTenant == nil {
		b.flat = removeCell(b.flat, c)
		return
	}
	t := b.byTenant[c.domain.tenant]
	if t.cells = removeCell(t.cells, c); len(t.cells) == 0 {
		delete(b.byTenant, c.domain.tenant)
	}
}

func removeCell(list []*cell, c *cell) []*cell {
	i := int(c.slot)
	if i >= len(list) || list[i] != c { // a group of several buckets has one slot for all
		i = slices.Index(list, c)
	}
	last := len(list) - 1
	list[i] = list[last]
	list[i].slot = int32(i)
	list[last] = nil
	return list[:last]
}

// count adds n members of a domain.
func (b *bucket) count(d *internedDomain, n int) {
	b.members += n
	if b.byTenant != nil {
		b.byTenant[d.tenant].members += n
	}
}

func (c *cell) add(s *Subscription) {
	s.cell, s.slot = c, int32(len(c.members))
	c.members = append(c.members, s)
	if c.byUser != nil {
		c.byUser[s.who.UserID] = append(c.byUser[s.who.UserID], s)
	}
}

func (c *cell) remove(s *Subscription) {
	last := len(c.members) - 1
	c.members[s.slot] = c.members[last]
	c.members[s.slot].slot = s.slot
	c.members[last] = nil
	c.members = c.members[:last]
	if c.byUser == nil {
		return
	}
	list := c.byUser[s.who.UserID]
	i := slices.Index(list, s)
	list[i] = list[len(list)-1]
	list[len(list)-1] = nil
	if list = list[:len(list)-1]; len(list) == 0 {
		delete(c.byUser, s.who.UserID)
	} else {
		c.byUser[s.who.UserID] = list
	}
}

// users returns the table by user, built when first needed.
func (c *cell) users() map[string][]*Subscription {
	if c.byUser == nil {
		c.byUser = make(map[string][]*Subscription)
		for _, s := range c.members {
			c.byUser[s.who.UserID] = append(c.byUser[s.who.UserID], s)
		}
	}
	return c.byUser
}

// Group is the subscriptions that share filter, projection and bytes.
type Group struct {
	channel *channel
	key     string
	tenant  string // of the subscriber that made it, for the bound of groups per tenant
	bound   *plan.Projection
	filter  *filter.Pred
	shape   *shape
	bucket  *bucket
	more    []*bucket // further buckets, of IN
	only    *cell     // while the group has one cell
	cells   map[*internedDomain]*cell
	lane    *lane // with a resolver
	message *queue.Message
	stamp   uint64 // the event that pass and message belong to
	members int32
	pass    bool
	cursor  bool
}

func (g *Group) cell(d *internedDomain) *cell {
	if g.cells != nil {
		return g.cells[d]
	}
	if g.only != nil && g.only.domain == d {
		return g.only
	}
	return nil
}

func (g *Group) addCell(c *cell) {
	switch {
	case g.cells != nil:
		g.cells[c.domain] = c
	case g.only == nil:
		g.only = c
	default:
		g.cells = map[*internedDomain]*cell{g.only.domain: g.only, c.domain: c}
		g.only = nil
	}
	g.eachBucket(func(b *bucket) { b.add(c) })
}

func (g *Group) removeCell(c *cell) {
	g.eachBucket(func(b *bucket) { b.remove(c) })
	if g.cells != nil {
		delete(g.cells, c.domain)
	} else {
		g.only = nil
	}
}

func (g *Group) eachBucket(f func(*bucket)) {
	if g.bucket != nil {
		f(g.bucket)
	}
	for _, b := range g.more {
		f(b)
	}
}
