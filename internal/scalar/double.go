package scalar

import (
	"strconv"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// Double returns the double nearest to r, coerced as a result of l, an Int or Float. Rounding keeps order: of two
// numbers the greater one has no smaller double, so that doubles tell apart what is certainly not in a range. ok as
// in Compare.
func (l *Leaf) Double(t *jsontape.Tape, r jsontape.Ref) (f float64, ok bool) {
	switch l.Kind {
	case Int:
		i, ok := int32Of(t, r)
		return float64(i), ok
	case Float:
		if t.Kind(r) == jsontape.Number {
			if f, ok := shortDouble(t.Raw(r)); ok {
				return f, true
			}
		}
		var buf [64]byte
		text, f, ok := numeric(t, r, buf[:0])
		if text == nil || !ok {
			return f, ok
		}
		return double(text)
	}
	return 0, false
}

// Double is Leaf.Double of a value that was prepared as an Int or Float.
func (v *Value) Double() float64 {
	switch {
	case v.isSmall:
		return float64(v.small)
	case v.isShort:
		return v.double
	}
	f, _ := strconv.ParseFloat(v.key, 64) // finite: it was coerced
	return f
}
