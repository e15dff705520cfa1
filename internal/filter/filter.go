// Package filter compiles what a subscription asks for into predicates on an event's tape. Constants are
// fixed when a subscription is made; matching an event allocates nothing.
//
// The value at the path is coerced as a result of the argument's leaf type and then compared (docs/reference/directives.md,
// "Filters"). What is missing, null or cannot be coerced makes every operator false, except the exact
// negations NE, NOT_IN and NOT_CONTAINS, and EXISTS: false. A list where a leaf is compared cannot be
// coerced, except to custom scalars and without a schema; CONTAINS, NOT_CONTAINS and CONTAINS_ANY look into
// it. EXISTS does not coerce: anything but null exists.
package filter

import (
	"bytes"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

// test is what a node of the predicate tree does. Operators that negate another are that one with negated
// set.
type test uint8

const (
	testAnd test = iota
	testOr
	testNot
	testEqual
	testGreater
	testAtLeast
	testLess
	testAtMost
	testIn
	testContains
	testStart
	testEnd
	testExists
	testBetween
)

// Pred is a compiled predicate, immutable and safe for concurrent use. The nil *Pred is true.
type Pred struct {
	test    test
	negated bool
	leaf    scalar.Leaf
	path    []jsontape.Name
	values  []scalar.Value // one; of Between two; of In and Contains any number
	texts   [][]byte       // of Start, End and Contains: what to look for in a text
	set     *keySet        // of values where they are many
	kids    []*Pred
}

// keySet is the keys of values.
type keySet struct {
	keys    map[string]struct{}
	longest int // bytes
}

// Match reports whether the data at root satisfies the predicate.
func (p *Pred) Match(t *jsontape.Tape, root jsontape.Ref) bool {
	if p == nil {
		return true
	}
	switch p.test {
	case testAnd:
		for _, kid := range p.kids {
			if !kid.Match(t, root) {
				return false
			}
		}
		return true
	case testOr:
		for _, kid := range p.kids {
			if kid.Match(t, root) {
				return true
			}
		}
		return false
	case testNot:
		return !p.kids[0].Match(t, root)
	}
	return p.holds(t, t.LookupNames(root, p.path)) != p.negated
}

// holds applies the test, before negation, to the value r.
func (p *Pred) holds(t *jsontape.Tape, r jsontape.Ref) bool {
	switch p.test {
	case testEqual:
		return p.leaf.Equals(t, r, &p.values[0])
	case testGreater:
		order, ok := p.leaf.Compare(t, r, &p.values[0])
		return ok && order > 0
	case testAtLeast:
		order, ok := p.leaf.Compare(t, r, &p.values[0])
		return ok && order >= 0
	case testLess:
		order, ok := p.leaf.Compare(t, r, &p.values[0])
		return ok && order < 0
	case testAtMost:
		order, ok := p.leaf.Compare(t, r, &p.values[0])
		return ok && order <= 0
	case testBetween:
		low, ok := p.leaf.Compare(t, r, &p.values[0])
		if !ok || low < 0 {
			return false
		}
		high, _ := p.leaf.Compare(t, r, &p.values[1])
		return high <= 0
	case testIn:
		return p.isOneOf(t, r)
	case testContains:
		return p.contains(t, r)
	case testExists:
		return t.Kind(r) > jsontape.Null
	}
	return p.inText(t, r)
}

// isOneOf reports whether r equals one of the values.
func (p *Pred) isOneOf(t *jsontape.Tape, r jsontape.Ref) bool {
	if p.set != nil {
		var buf [128]byte
		key, ok := p.leaf.TextWithin(t, r, buf[:0], p.set.longest)
		if ok {
			_, ok = p.set.keys[string(key)]
		}
		return ok
	}
	for i := range p.values {
		if p.leaf.Equals(t, r, &p.values[i]) {
			return true
		}
	}
	return false
}

// contains looks for one of the values among the elements of a list, or for one of the texts in a text.
func (p *Pred) contains(t *jsontape.Tape, r jsontape.Ref) bool {
	if t.Kind(r) != jsontape.Array {
		return p.inText(t, r)
	}
	for e := t.First(r); e != jsontape.None; e = t.After(r, e) {
		if p.isOneOf(t, e) {
			return true
		}
	}
	return false
}

// inText looks for one of the texts in the text of r.
func (p *Pred) inText(t *jsontape.Tape, r jsontape.Ref) bool {
	if len(p.texts) == 0 {
		return false
	}
	if text, ok := t.PlainString(r); ok {
		return p.finds(text)
	}
	scratch := scratches.Get().(*[]byte)
	defer scratches.Put(scratch)
	switch k := t.Kind(r); {
	case k == jsontape.String:
		*scratch = t.AppendString((*scratch)[:0], r)
	case k == jsontape.Number && p.leaf.Kind == scalar.Untyped, p.leaf.Kind == scalar.String, p.leaf.Kind == scalar.ID:
		var ok bool
		if *scratch, ok = p.leaf.AppendKey((*scratch)[:0], t, r); !ok {
			return false
		}
	default:
		return false
	}
	return p.finds(*scratch)
}

func (p *Pred) finds(text []byte) bool {
	for _, want := range p.texts {
		switch {
		case p.test == testStart && bytes.HasPrefix(text, want),
			p.test == testEnd && bytes.HasSuffix(text, want),
			p.test == testContains && bytes.Contains(text, want):
			return true
		}
	}
	return false
}
