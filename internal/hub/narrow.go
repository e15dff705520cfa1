package hub

import (
	"math/rand/v2"
	"slices"
	"unsafe"

	"github.com/fraiseql/fraiseql-go/internal/filter"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/policy"
)

// narrowing finds, among the cells of a bucket's tenant, those whose group an event may match by what no equality key
// says: ranges, prefixes and sets (filter.Bound). Groups go into it by the one bound that narrows most; those without
// any are candidates always. What it finds is a superset: the group's filter has the last word, so that answers do
// not depend on whether there is an index. Guarded by the channel's mu.
type narrowing struct {
	seed    uint64
	sets    []boundSet
	rest    intervals[float64]      // of groups without a bound: all the same interval
	domains map[*internedDomain]int // members
	idle    int                     // events for which looking through all is cheaper
}

// boundSet is the groups with a bound on the same value of an event.
type boundSet struct {
	on      filter.Bound // any of its bounds, for path and type
	numbers intervals[float64]
	texts   intervals[string]
}

const (
	// minNarrowed is from how many cells with a bound on there is an index, half as many until when.
	minNarrowed = 64
	// maxBoundSets is how many values of events the index of one tenant looks at; groups that have only further ones
	// are candidates always.
	maxBoundSets = 8
	// idleEvents is how many events do without the index after one whose candidates were a third of all, or were found as
	// often as if they were all.
	idleEvents = 16
)

// bounded reports whether a group has a bound to be found by.
func (g *Group) bounded() bool {
	var buf [2]filter.Bound
	return len(g.filter.Bounds(buf[:0])) > 0
}

// narrow takes in a cell of the tenant's.
func (t *tenantCells) narrow(c *cell) {
	bounded := c.group.bounded()
	if bounded {
		t.bounded++
	}
	switch {
	case t.narrowing != nil:
		t.narrowing.add(c)
	case bounded && t.bounded >= minNarrowed:
		t.narrowing = newNarrowing(t.cells)
	}
}

// widen undoes narrow.
func (t *tenantCells) widen(c *cell) {
	if c.group.bounded() {
		t.bounded--
	}
	switch {
	case t.narrowing == nil:
	case t.bounded < minNarrowed/2:
		t.narrowing = nil
	default:
		t.narrowing.remove(c)
	}
}

// newNarrowing indexes the cells of a tenant.
func newNarrowing(cells []*cell) *narrowing {
	n := &narrowing{seed: rand.Uint64(), domains: map[*internedDomain]int{}}
	for _, c := range cells {
		n.add(c)
		n.count(c.domain, c.len())
	}
	return n
}

// count adds members of a domain.
func (n *narrowing) count(d *internedDomain, members int) {
	if n == nil || members == 0 {
		return
	}
	if n.domains[d] += members; n.domains[d] == 0 {
		delete(n.domains, d)
	}
}

func (n *narrowing) add(c *cell) {
	var buf [2]filter.Bound
	for _, b := range c.group.filter.Bounds(buf[:0]) {
		if s := n.set(&b); s != nil {
			s.each(&b, func(low, high float64) { s.numbers.add(n.seed, low, high, c) }, func(low, high string) { s.texts.add(n.seed, low, high, c) })
			return
		}
	}
	n.rest.add(n.seed, 0, 0, c)
}

// set returns the set for a bound, made if need be; nil if there are too many.
func (n *narrowing) set(b *filter.Bound) *boundSet {
	for i := range n.sets {
		if n.sets[i].on.Same(b) {
			return &n.sets[i]
		}
	}
	if len(n.sets) == maxBoundSets {
		return nil
	}
	n.sets = append(n.sets, boundSet{on: filter.Bound{Path: b.Path, Leaf: b.Leaf, Elements: b.Elements}})
	return &n.sets[len(n.sets)-1]
}

// each calls one of two functions with the intervals of a bound.
func (s *boundSet) each(b *filter.Bound, numbers func(low, high float64), texts func(low, high string)) {
	switch {
	case b.Points != nil:
		for _, v := range b.Points {
			numbers(v, v)
		}
	case b.Texts != nil:
		for _, v := range b.Texts {
			texts(v, v)
		}
	case b.Numeric():
		numbers(b.Low, b.High)
	default:
		texts(b.LowText, b.HighText)
	}
}

// remove takes a cell out of the set that it is in. That set may not be the first that its group has a bound for:
// there was no room for it then.
func (n *narrowing) remove(c *cell) {
	var buf [2]filter.Bound
	for _, b := range c.group.filter.Bounds(buf[:0]) {
		i := slices.IndexFunc(n.sets, func(s boundSet) bool { return s.on.Same(&b) })
		if i < 0 {
			continue
		}
		s, found := &n.sets[i], false
		s.each(&b, func(low, high float64) { found = s.numbers.remove(n.seed, low, high, c) || found },
			func(low, high string) { found = s.texts.remove(n.seed, low, high, c) || found })
		if !found {
			continue
		}
		if s.numbers.n+s.texts.n == 0 {
			n.sets = slices.Delete(n.sets, i, i+1)
		}
		return
	}
	n.rest.remove(n.seed, 0, 0, c)
}

// appendCandidates appends the cells that the event may match, each once; ok is false when all have to be looked
// through.
func (n *narrowing) appendCandidates(dst []*cell, d *dispatch, all int) (cells []*cell, ok bool) {
	if n.idle > 0 {
		n.idle--
		return dst, false
	}
	dst = n.rest.root.appendStabbed(dst, 0)
	for i := range n.sets {
		s := &n.sets[i]
		r := d.tape.LookupNames(jsontape.Root, s.on.Path)
		switch {
		case !s.on.Elements:
			dst = s.appendAt(dst, d.tape, r)
		case d.tape.Kind(r) == jsontape.Array:
			from := len(dst)
			for e := d.tape.First(r); e != jsontape.None; e = d.tape.After(r, e) {
				if dst = s.appendAt(dst, d.tape, e); len(dst) >= all { // several elements may have found the same: not all are in it
					n.idle = idleEvents
					return dst, false
				}
			}
			dst = append(dst[:from], unique(dst[from:])...)
		case !s.on.Numeric() && d.tape.Kind(r) > jsontape.Null: // a part of a text
			return dst, false
		}
	}
	if len(dst) > all/3 {
		n.idle = idleEvents
		return dst, false
	}
	return dst, true
}

// appendAt appends the cells whose bound the value r satisfies; what is missing or cannot be coerced does so never.
func (s *boundSet) appendAt(dst []*cell, t *jsontape.Tape, r jsontape.Ref) []*cell {
	if s.on.Numeric() {
		if v, ok := s.on.Leaf.Double(t, r); ok {
			return s.numbers.root.appendStabbed(dst, v)
		}
		return dst
	}
	var buf [128]byte
	if text, ok := s.on.Leaf.Text(t, r, buf[:0]); ok {
		return s.texts.root.appendStabbed(dst, view(text))
	}
	return dst
}

// unique removes what is there more than once, and the order.
func unique(cells []*cell) []*cell {
	slices.SortFunc(cells, func(a, b *cell) int {
		if uintptr(unsafe.Pointer(a)) < uintptr(unsafe.Pointer(b)) {
			return -1
		}
		return 1
	})
	return slices.Compact(cells)
}

// dispatchTenantLocked serves the cells of a tenant whom the audience allows.
func (c *channel) dispatchTenantLocked(d *dispatch, t *tenantCells) {
	if t.narrowing != nil && d.aud.AnyUser() {
		cells, ok := t.narrowing.appendCandidates(d.cells[:0], d, len(t.cells))
		if d.cells = cells; ok {
			c.dispatchCandidatesLocked(d, t)
			return
		}
	}
	for _, cell := range t.cells {
		c.dispatchCellLocked(d, cell)
	}
}

// dispatchCandidatesLocked counts every member of the tenant, as dispatchCellLocked does for each cell, and serves
// d.cells. Members that join meanwhile are neither counted nor served.
func (c *channel) dispatchCandidatesLocked(d *dispatch, t *tenantCells) {
	for domain, n := range t.narrowing.domains {
		d.out.Allowed[policy.Tenant] += n
		d.out.Allowed[policy.Row] += n
		if d.federated(domain) {
			d.out.Allowed[policy.Federation] += n
		} else {
			d.out.Denied[policy.Federation] += n
		}
	}
	for _, cell := range d.cells {
		if d.federated(cell.domain) {
			c.serveAllLocked(d, cell)
		}
	}
}

func (d *dispatch) federated(i *internedDomain) bool {
	return policy.FederationAllows(d.aud.FederationID, d.aud.ServiceName, i.federationID, i.serviceName)
}
