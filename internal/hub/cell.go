package hub

import (
	"slices"
	"unsafe"
)

// cell holds the members of one group within one domain. Most cells have one member: it is kept without a
// list.
type cell struct {
	group  *Group
	domain *internedDomain // nil: the cell is not in use
	one    *Subscription
	many   *memberList // from the second member on, one is among them then
	slot   int32       // in its bucket's list, if the group has one bucket
}

// memberList is the members of a cell that has or had several.
type memberList struct {
	list   []*Subscription
	byUser map[string][]*Subscription // beside list, above flatMembers, once needed
}

func (c *cell) len() int {
	switch {
	case c.many != nil:
		return len(c.many.list)
	case c.one != nil:
		return 1
	}
	return 0
}

// members returns all of them; the list is valid until somebody joins or leaves.
func (c *cell) members() []*Subscription {
	switch {
	case c.many != nil:
		return c.many.list
	case c.one != nil:
		return unsafe.Slice(&c.one, 1)
	}
	return nil
}

func (c *cell) at(i int) *Subscription {
	if c.many != nil {
		return c.many.list[i]
	}
	return c.one
}

func (c *cell) add(s *Subscription) {
	s.cell, s.slot = c, int32(c.len())
	if c.many == nil {
		if c.one == nil {
			c.one = s
			return
		}
		c.many = &memberList{list: []*Subscription{c.one}}
		c.one = nil
	}
	m := c.many
	m.list = append(m.list, s)
	if m.byUser != nil {
		m.byUser[s.who.Load().UserID] = append(m.byUser[s.who.Load().UserID], s)
	}
}

func (c *cell) remove(s *Subscription) {
	if c.many == nil {
		c.one = nil
		return
	}
	m := c.many
	last := len(m.list) - 1
	m.list[s.slot] = m.list[last]
	m.list[s.slot].slot = s.slot
	m.list[last] = nil
	if m.list = m.list[:last]; last == 0 {
		c.many = nil
		return
	}
	if m.byUser != nil {
		m.removeUser(s)
	}
}

func (m *memberList) removeUser(s *Subscription) {
	list := m.byUser[s.who.Load().UserID]
	i, last := slices.Index(list, s), len(list)-1
	list[i] = list[last]
	list[last] = nil
	if last == 0 {
		delete(m.byUser, s.who.Load().UserID)
	} else {
		m.byUser[s.who.Load().UserID] = list[:last]
	}
}

// users returns the table by user, built when first needed. The cell has several members.
func (c *cell) users() map[string][]*Subscription {
	m := c.many
	if m.byUser == nil {
		m.byUser = make(map[string][]*Subscription)
		for _, s := range m.list {
			m.byUser[s.who.Load().UserID] = append(m.byUser[s.who.Load().UserID], s)
		}
	}
	return m.byUser
}

// bucket holds the cells whose groups ask for the same values. Most buckets have one cell.
type bucket struct {
	key     string
	one     *cell
	many    *cellSet // from the second cell on
	members int32
	groups  int32 // that have this bucket, those without members yet included
}

func (b *bucket) tableKey() string { return b.key }

// cellSet is the cells of a bucket that has or had several: a list, above flatCells by tenant instead.
type cellSet struct {
	flat     []*cell
	byTenant map[string]*tenantCells
}

type tenantCells struct {
	members   int
	cells     []*cell
	bounded   int        // cells whose groups have a bound
	narrowing *narrowing // once those are many
}

func (b *bucket) add(c *cell) {
	if b.many == nil {
		if b.one == nil {
			b.one = c
			return
		}
		b.many = &cellSet{flat: []*cell{b.one}}
		b.one.slot = 0
		b.one = nil
	}
	b.many.add(c)
}

func (s *cellSet) add(c *cell) {
	if s.byTenant == nil && len(s.flat) < flatCells {
		c.slot = int32(len(s.flat))
		s.flat = append(s.flat, c)
		return
	}
	if s.byTenant == nil {
		s.byTenant = make(map[string]*tenantCells)
		for _, old := range s.flat {
			s.addToTenant(old)
			s.byTenant[old.domain.tenant].members += old.len()
		}
		s.flat = nil
	}
	s.addToTenant(c)
}

func (s *cellSet) addToTenant(c *cell) {
	t := s.byTenant[c.domain.tenant]
	if t == nil {
		t = &tenantCells{}
		s.byTenant[c.domain.tenant] = t
	}
	c.slot = int32(len(t.cells))
	t.cells = append(t.cells, c)
	t.narrow(c)
}

func (b *bucket) remove(c *cell) {
	if b.many == nil {
		b.one = nil
		return
	}
	s := b.many
	if s.byTenant == nil {
		s.flat = removeCell(s.flat, c)
		return
	}
	t := s.byTenant[c.domain.tenant]
	if t.cells = removeCell(t.cells, c); len(t.cells) == 0 {
		delete(s.byTenant, c.domain.tenant)
		return
	}
	t.widen(c)
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

// count adds n members of a domain whose cell is in the bucket.
func (b *bucket) count(d *internedDomain, n int) {
	b.members += int32(n)
	if b.many != nil && b.many.byTenant != nil {
		t := b.many.byTenant[d.tenant]
		t.members += n
		t.narrowing.count(d, n)
	}
}
