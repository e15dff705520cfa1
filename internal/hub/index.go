package hub

import (
	"slices"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/plan"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

// The index of a channel: shape → canonical values → bucket → cells. Everything here is guarded by the
// channel's mu.

const (
	// flatCells is how many cells of a bucket are looked through one by one; beyond, by tenant.
	flatCells = 16
	// flatMembers is how many members of a cell are looked through one by one; beyond, by user.
	flatMembers = 16
	// maxShapes per channel; later subscriptions use their first path only, and beyond twice that none.
	maxShapes = 64
	// maxKeys is how many combinations of IN values are index entries; beyond, the first path only.
	maxKeys = 64
)

// shape is a root field together with the set of equality paths that its subscriptions constrain.
type shape struct {
	types         []string          // of events; empty: every one
	keys          [][]jsontape.Name // paths, prepared for looking up
	all           *bucket           // the one bucket of a shape without paths
	tenant, owner []jsontape.Name   // @tenant and @owner
	table         table[*bucket]

	channel *channel
	plan    *plan.Plan // any plan of the shape
	paths   []plan.KeyPath
	groups  int // that have this shape; with an empty IN a group has no bucket
}

func newShape(c *channel, p *plan.Plan, paths []plan.KeyPath) *shape {
	s := &shape{types: p.Types, channel: c, plan: p, paths: paths}
	s.table.init(c.hub.seed)
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
		if s.paths[i].Leaf.Kind == scalar.Enum && s.paths[i].Name != paths[i].Name { // of two enums, maybe
			return false
		}
	}
	return true
}

// find returns the bucket of a key, nil if there is none.
func (s *shape) find(key []byte) *bucket {
	if len(s.keys) == 0 {
		return s.all
	}
	b, _ := s.table.get(key)
	return b
}

func (s *shape) put(b *bucket) {
	if len(s.keys) == 0 {
		s.all = b
		return
	}
	s.table.put(b)
}

func (s *shape) remove(b *bucket) {
	if len(s.keys) == 0 {
		s.all = nil
		return
	}
	s.table.remove(b)
}

// wants reports whether the shape takes events of that type.
func (s *shape) wants(eventType string) bool {
	return len(s.types) == 0 || slices.Contains(s.types, eventType)
}
