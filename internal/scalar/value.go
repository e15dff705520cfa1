package scalar

import (
	"cmp"
	"strings"
	"sync"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// Value is a value of a leaf type, prepared to be compared with many nodes. Immutable.
type Value struct {
	key     string
	number  decimal // Int and Float
	small   int64   // number, where it has at most 18 digits and no fraction
	double  float64 // number, where shortDouble reads it
	isSmall bool
	isShort bool
}

// Key returns the canonical form (AppendKey).
func (v *Value) Key() string { return v.key }

// Value prepares node r, coerced as a result; ok is false for null, missing and what cannot be coerced.
func (l *Leaf) Value(t *jsontape.Tape, r jsontape.Ref) (v Value, ok bool) {
	key, ok := l.AppendKey(nil, t, r)
	if !ok {
		return v, false
	}
	v.key = string(key)
	if l.Kind == Int || l.Kind == Float {
		v.number = parseDecimal(key, nil)
		v.double, v.isShort = shortDouble(key)
		if len(key) <= maxSmallText && !strings.ContainsAny(v.key, ".e") {
			v.small, v.isSmall = smallInt(key), true
		}
	}
	return v, true
}

// Equals reports whether r, coerced as a result of l, is v, a value of l.
func (l *Leaf) Equals(t *jsontape.Tape, r jsontape.Ref, v *Value) bool {
	kind := t.Kind(r)
	switch l.Kind {
	case String, ID, Enum, Untyped:
		if kind == jsontape.String {
			return t.StringIs(r, v.key)
		}
		if raw := t.Raw(r); l.Kind != Enum && len(raw) <= maxSmallText && t.IsInteger(r) && string(raw) == v.key && v.key != "-0" {
			return true
		}
	case Int, Float:
		order, ok := l.compareNumber(t, r, v)
		return ok && order == 0
	}
	if l.isTree(t, r) {
		return l.equalsTree(t, r, v)
	}
	var buf [128]byte
	key, ok := l.appendFlatKey(buf[:0], t, r)
	return ok && string(key) == v.key
}

// scratches holds buffers for the keys of trees.
var scratches = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

// equalsTree costs no more than the text of v takes, however large the tree is.
func (l *Leaf) equalsTree(t *jsontape.Tape, r jsontape.Ref, v *Value) bool {
	at, opening := 0, byte('[')
	if l.Kind == Untyped {
		at = 1 // behind notText
	}
	if t.Kind(r) == jsontape.Object {
		opening = '{'
	}
	if len(v.key) <= at || v.key[at] != opening {
		return false
	}
	scratch := scratches.Get().(*[]byte)
	key, ok := l.appendTreeKey((*scratch)[:0], t, r, len(v.key))
	equal := ok && string(key) == v.key
	*scratch = key
	scratches.Put(scratch)
	return equal
}

// Compare orders r, coerced as a result of l, against v, a value of l: below 0 where r is less. Int and
// Float compare exactly as numbers, String and ID byte by byte. ok is false for null, missing, what cannot
// be coerced, and leaf types without an order.
func (l *Leaf) Compare(t *jsontape.Tape, r jsontape.Ref, v *Value) (order int, ok bool) {
	switch l.Kind {
	case Int, Float:
		return l.compareNumber(t, r, v)
	case String, ID:
		var buf [128]byte
		text, ok := l.Text(t, r, buf[:0])
		switch {
		case !ok || string(text) == v.key:
			return 0, ok
		case string(text) < v.key:
			return -1, true
		}
		return 1, true
	}
	return 0, false
}

// Ordered reports whether Compare knows an order of the kind.
func (k Kind) Ordered() bool { return k == Int || k == Float || k == String || k == ID }

// Text returns the text of r coerced as a result of l: a part of the tape's source where that is possible,
// else written over buf (grown if need be; not for arrays and objects). ok as in AppendKey.
func (l *Leaf) Text(t *jsontape.Tape, r jsontape.Ref, buf []byte) (text []byte, ok bool) {
	if t.Kind(r) == jsontape.String && (l.Kind == String || l.Kind == ID || l.Kind == Untyped) {
		return t.Text(r, buf), true
	}
	if l.isTree(t, r) {
		return l.AppendKey(nil, t, r)
	}
	return l.appendFlatKey(buf[:0], t, r)
}

// TextWithin is Text, but for arrays and objects ok is false, too, where the text has more than most bytes. That costs no
// more than so many take.
func (l *Leaf) TextWithin(t *jsontape.Tape, r jsontape.Ref, buf []byte, most int) (text []byte, ok bool) {
	if l.isTree(t, r) {
		return l.appendTreeKey(nil, t, r, most)
	}
	return l.Text(t, r, buf)
}

func (l *Leaf) compareNumber(t *jsontape.Tape, r jsontape.Ref, v *Value) (order int, ok bool) {
	if v.isSmall && t.IsInteger(r) {
		if raw := t.Raw(r); len(raw) <= maxSmallText {
			i := smallInt(raw)
			return cmp.Compare(i, v.small), l.Kind != Int || i == int64(int32(i))
		}
	}
	if l.Kind == Int {
		i, ok := int32Of(t, r)
		return cmp.Compare(int64(i), v.small), ok
	}
	if v.isShort && t.Kind(r) == jsontape.Number {
		if f, ok := shortDouble(t.Raw(r)); ok {
			return cmp.Compare(f, v.double), true
		}
	}
	var buf numberBuffer
	d, ok := finite(t, r, &buf)
	return compareDecimal(d, v.number), ok
}
