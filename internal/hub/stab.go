package hub

import (
	"cmp"
	"math/bits"
	"unsafe"
)

// intervals is a set of closed intervals, each of a cell, that finds those in which a value lies. It is a treap ordered
// by where intervals begin, in which each node knows the farthest end below it: joins and leaves take O(log n)
// expected, whatever values clients choose, a look-up O(log n + found) for intervals that overlap little. Nodes with
// equal intervals are told apart by the addresses of their cells, which do not move.
type intervals[K cmp.Ordered] struct {
	root *interval[K]
	n    int
}

type interval[K cmp.Ordered] struct {
	low, high   K
	far         K // the farthest end of this and all below
	cell        *cell
	left, right *interval[K]
}

// weight orders nodes from root to leaves, at random: where a node lies says nothing about its interval.
func (i *interval[K]) weight(seed uint64) uint64 {
	high, low := bits.Mul64(uint64(uintptr(unsafe.Pointer(i)))^seed, 0x9e3779b97f4a7c15)
	return high ^ low
}

func before[K cmp.Ordered](low, high K, c *cell, o *interval[K]) bool {
	switch {
	case low != o.low:
		return low < o.low
	case high != o.high:
		return high < o.high
	}
	return uintptr(unsafe.Pointer(c)) < uintptr(unsafe.Pointer(o.cell))
}

func (i *interval[K]) update() {
	i.far = i.high
	if i.left != nil {
		i.far = max(i.far, i.left.far)
	}
	if i.right != nil {
		i.far = max(i.far, i.right.far)
	}
}

// add enters an interval; a cell enters each once.
func (t *intervals[K]) add(seed uint64, low, high K, c *cell) {
	t.n++
	t.root = insert(t.root, &interval[K]{low: low, high: high, far: high, cell: c}, seed)
}

func insert[K cmp.Ordered](at, i *interval[K], seed uint64) *interval[K] {
	if at == nil {
		return i
	}
	if i.weight(seed) > at.weight(seed) {
		i.left, i.right = split(at, i)
		i.update()
		return i
	}
	if before(i.low, i.high, i.cell, at) {
		at.left = insert(at.left, i, seed)
	} else {
		at.right = insert(at.right, i, seed)
	}
	at.far = max(at.far, i.far)
	return at
}

// split parts a tree into what lies before i and what lies behind.
func split[K cmp.Ordered](at, i *interval[K]) (left, right *interval[K]) {
	if at == nil {
		return nil, nil
	}
	if before(i.low, i.high, i.cell, at) {
		left, at.left = split(at.left, i)
		at.update()
		return left, at
	}
	at.right, right = split(at.right, i)
	at.update()
	return at, right
}

// remove takes out the interval of a cell and reports whether it was there.
func (t *intervals[K]) remove(seed uint64, low, high K, c *cell) bool {
	root, found := without(t.root, low, high, c, seed)
	if found {
		t.root = root
		t.n--
	}
	return found
}

func without[K cmp.Ordered](at *interval[K], low, high K, c *cell, seed uint64) (root *interval[K], found bool) {
	switch {
	case at == nil:
		return nil, false
	case at.cell == c && at.low == low && at.high == high:
		return join(at.left, at.right, seed), true
	case before(low, high, c, at):
		at.left, found = without(at.left, low, high, c, seed)
	default:
		at.right, found = without(at.right, low, high, c, seed)
	}
	if found {
		at.update()
	}
	return at, found
}

// join makes one tree of two, the first of which lies before the second.
func join[K cmp.Ordered](left, right *interval[K], seed uint64) *interval[K] {
	switch {
	case left == nil:
		return right
	case right == nil:
		return left
	case left.weight(seed) > right.weight(seed):
		left.right = join(left.right, right, seed)
		left.update()
		return left
	}
	right.left = join(left, right.left, seed)
	right.update()
	return right
}

// appendStabbed appends the cells in whose interval v lies.
func (i *interval[K]) appendStabbed(dst []*cell, v K) []*cell {
	for i != nil && v <= i.far {
		dst = i.left.appendStabbed(dst, v)
		if v < i.low { // and so is everything to the right
			return dst
		}
		if v <= i.high {
			dst = append(dst, i.cell)
		}
		i = i.right
	}
	return dst
}
