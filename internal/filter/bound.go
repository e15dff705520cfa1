package filter

import (
	"math"
	"slices"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

// Bound is a condition without which a predicate is false: a value of an event lies in an interval, or is one of
// several values. An index can look up who has it; whether the predicate holds is for Match to say. Intervals are
// closed and may be a little wider than the predicate, never narrower.
type Bound struct {
	Path []jsontape.Name
	Leaf scalar.Leaf // Int, Float, String or ID
	// Elements: the condition is on the elements of a list, one of which must have it; texts may have it otherwise.
	Elements bool
	// Of Int and Float: the interval, or several points.
	Low, High float64
	Points    []float64
	// Of String and ID likewise.
	LowText, HighText string
	Texts             []string
	rank              int
}

// endOfTexts is behind all texts: none has this byte.
const endOfTexts = "\xff"

// maxPoints is how many values a bound may have; lists that are longer bound nothing.
const maxPoints = 256

// How much a bound narrows, presumably.
const (
	rankHalf     = iota // an interval with one end
	rankElements        // of a list there are several
	rankInterval
	rankPoints
)

// Numeric reports whether the bound is on numbers.
func (b *Bound) Numeric() bool { return b.Leaf.Kind == scalar.Int || b.Leaf.Kind == scalar.Float }

// Same reports whether two bounds are on the same values of an event.
func (b *Bound) Same(o *Bound) bool {
	return b.Leaf.Kind == o.Leaf.Kind && b.Elements == o.Elements && slices.Equal(b.Path, o.Path)
}

// Bounds appends the bounds of a predicate, those that narrow most first. There are none below `or` and `not`.
func (p *Pred) Bounds(dst []Bound) []Bound {
	switch {
	case p == nil:
		return dst
	case p.test == testAnd:
		for _, kid := range p.kids {
			if kid.test != testAnd {
				dst = kid.appendBound(dst)
			}
		}
	default:
		dst = p.appendBound(dst)
	}
	slices.SortStableFunc(dst, func(a, b Bound) int { return b.rank - a.rank })
	return dst
}

// appendBound appends the bound of a comparison, or narrows the interval that another one gave the same value.
func (p *Pred) appendBound(dst []Bound) []Bound {
	b, ok := p.bound()
	if !ok {
		return dst
	}
	if b.Points == nil && b.Texts == nil {
		for i := range dst {
			if o := &dst[i]; o.Points == nil && o.Texts == nil && o.Same(&b) {
				o.narrow(&b)
				return dst
			}
		}
	}
	return append(dst, b)
}

// narrow makes an interval the intersection with another one.
func (b *Bound) narrow(o *Bound) {
	b.Low, b.High = max(b.Low, o.Low), min(b.High, o.High)
	b.LowText, b.HighText = max(b.LowText, o.LowText), min(b.HighText, o.HighText)
	b.rank = rankInterval
}

// bound is that of one comparison; ok is false if there is none.
func (p *Pred) bound() (b Bound, ok bool) {
	switch p.leaf.Kind {
	case scalar.Int, scalar.Float, scalar.String, scalar.ID:
	default:
		return b, false
	}
	if p.negated {
		return b, false
	}
	b = Bound{Path: p.path, Leaf: p.leaf, Low: math.Inf(-1), High: math.Inf(1), HighText: endOfTexts, rank: rankInterval}
	switch p.test {
	case testEqual, testIn:
		return b, b.points(p.values, rankPoints)
	case testContains:
		b.Elements = true
		return b, b.points(p.values, rankElements)
	case testGreater, testAtLeast:
		b.rank = rankHalf
		b.from(&p.values[0])
	case testLess, testAtMost:
		b.rank = rankHalf
		b.to(&p.values[0])
	case testBetween:
		b.from(&p.values[0])
		b.to(&p.values[1])
	case testStart:
		b.from(&p.values[0])
		b.HighText = p.values[0].Key() + endOfTexts
	default:
		return b, false
	}
	return b, true
}

func (b *Bound) from(v *scalar.Value) {
	if b.Numeric() {
		b.Low = v.Double()
	} else {
		b.LowText = v.Key()
	}
}

func (b *Bound) to(v *scalar.Value) {
	if b.Numeric() {
		b.High = v.Double()
	} else {
		b.HighText = v.Key()
	}
}

// points takes over values, each once; false if there are too many, or none.
func (b *Bound) points(values []scalar.Value, rank int) bool {
	if len(values) == 0 || len(values) > maxPoints {
		return false
	}
	b.rank = rank
	if b.Numeric() {
		b.Points = make([]float64, 0, len(values))
		for i := range values {
			b.Points = append(b.Points, values[i].Double())
		}
		slices.Sort(b.Points)
		b.Points = slices.Compact(b.Points)
		return true
	}
	b.Texts = make([]string, 0, len(values))
	for i := range values {
		b.Texts = append(b.Texts, values[i].Key())
	}
	slices.Sort(b.Texts)
	b.Texts = slices.Compact(b.Texts)
	return true
}
