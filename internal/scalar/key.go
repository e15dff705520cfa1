package scalar

import (
	"bytes"
	"math"
	"slices"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// notText precedes the keys of untyped values that are neither strings nor numbers. No text has this byte.
const notText = 0xff

// AppendKey appends the canonical form of r coerced as a result: two values are equal exactly when their
// canonical forms are the same bytes (docs/reference/directives.md, "Filters"). ok is false for null, missing and what
// cannot be coerced; dst is then returned as it was.
//
// Strings, IDs and enums are their unescaped text; numbers their one exact decimal text (1, 1.0 and 1e0 are
// "1"); custom scalars canonical JSON: members sorted by name, the last of a name, one form of each number
// and string.
func (l *Leaf) AppendKey(dst []byte, t *jsontape.Tape, r jsontape.Ref) (out []byte, ok bool) {
	if !l.isTree(t, r) {
		return l.appendFlatKey(dst, t, r)
	}
	return l.appendTreeKey(dst, t, r, math.MaxInt)
}

// appendTreeKey is AppendKey for trees. ok is false where dst would be longer than most.
func (l *Leaf) appendTreeKey(dst []byte, t *jsontape.Tape, r jsontape.Ref, most int) (out []byte, ok bool) {
	if l.Kind == Untyped {
		dst = append(dst, notText)
	}
	return appendCanonical(dst, t, r, most)
}

// isTree reports whether the key of r is that of an array or object.
func (l *Leaf) isTree(t *jsontape.Tape, r jsontape.Ref) bool {
	k := t.Kind(r)
	return (k == jsontape.Array || k == jsontape.Object) && (l.Kind == Custom || l.Kind == Untyped)
}

// appendFlatKey is AppendKey for all but trees. It stands alone so that dst may be a buffer on the caller's
// stack, which recursion would move to the heap.
func (l *Leaf) appendFlatKey(dst []byte, t *jsontape.Tape, r jsontape.Ref) (out []byte, ok bool) {
	kind := t.Kind(r)
	if kind == jsontape.Invalid || kind == jsontape.Null {
		return dst, false
	}
	switch l.Kind {
	case Int:
		return appendInt(dst, t, r)
	case Float:
		var buf numberBuffer
		d, ok := finite(t, r, &buf)
		if !ok {
			return dst, false
		}
		return appendDecimal(dst, d), true
	case String, ID:
		if kind == jsontape.String {
			return t.AppendString(dst, r), true
		}
		return appendStringText(dst, t, r, l.Kind == ID)
	case Boolean:
		b, ok := boolean(t, r)
		if !ok {
			return dst, false
		}
		return appendBool(dst, b), true
	case Enum:
		if !l.isName(t, r) {
			return dst, false
		}
		return t.AppendString(dst, r), true
	case Untyped:
		switch kind {
		case jsontape.String:
			return t.AppendString(dst, r), true
		case jsontape.Number:
			return appendUntypedNumber(dst, t, r), true
		}
		return append(append(dst, notText), t.Raw(r)...), true
	default:
		return appendFlat(dst, t, r), true
	}
}

// numberBuffer is where finite lays what is not in the source as it needs it.
type numberBuffer struct{ text, digits [64]byte }

// finite coerces to Float, exactly. What is infinite as a double is refused, what is 0 as a double is 0, and a double that was printed with
// all its digits is that double.
func finite(t *jsontape.Tape, r jsontape.Ref, buf *numberBuffer) (d decimal, ok bool) {
	text, f, ok := numeric(t, r, buf.text[:0])
	if !ok {
		return d, false
	}
	if text == nil {
		text = appendDouble(buf.text[:0], f)
	}
	d = parseDecimal(text, buf.digits[:0])
	inside := d.far == nil && d.point <= 300 && d.point >= -300
	if inside && (len(d.digits) < 16 || len(d.digits) > 17) {
		return d, true
	}
	switch f, ok = double(text); {
	case f == 0:
		return decimal{}, ok
	case isPrinted(d, f):
		d = parseDecimal(appendDouble(buf.text[:0], f), buf.digits[:0])
	}
	return d, ok || inside
}

// appendNumber appends the exact decimal text of a Number node.
func appendNumber(dst []byte, t *jsontape.Tape, r jsontape.Ref) []byte {
	raw := t.Raw(r)
	if t.IsInteger(r) && raw[len(raw)-1] != '0' {
		return append(dst, raw...)
	}
	var buf [64]byte
	return appendDecimal(dst, parseDecimal(raw, buf[:0]))
}

// appendUntypedNumber appends the text of a Number node that equals strings, too: as an ID, an integer of up to
// maxIntegerText bytes is its digits, whether it is written so or with a fraction or an exponent.
func appendUntypedNumber(dst []byte, t *jsontape.Tape, r jsontape.Ref) []byte {
	raw := t.Raw(r)
	if t.IsInteger(r) && isKept(raw) {
		return append(dst, raw...)
	}
	var buf [64]byte
	d := parseDecimal(raw, buf[:0])
	room := maxIntegerText - len(d.digits)
	if d.neg {
		room--
	}
	return appendFilled(dst, d, max(room, maxZeros))
}

// appendFlat appends the one JSON text of a literal, number or string.
func appendFlat(dst []byte, t *jsontape.Tape, r jsontape.Ref) []byte {
	switch t.Kind(r) {
	case jsontape.Number:
		return appendNumber(dst, t, r)
	case jsontape.String:
		if _, plain := t.PlainString(r); !plain {
			var buf [64]byte
			return jsontape.AppendQuoted(dst, t.Text(r, buf[:0]))
		}
	}
	return append(dst, t.Raw(r)...)
}

// appendCanonical appends the one JSON text of any value. ok is false where dst would be longer than most: it stops then,
// having done little more than that takes.
func appendCanonical(dst []byte, t *jsontape.Tape, r jsontape.Ref, most int) (out []byte, ok bool) {
	switch t.Kind(r) {
	case jsontape.Array:
		dst, ok = append(dst, '['), true
		for e := t.First(r); e != jsontape.None && ok; e = t.After(r, e) {
			dst, ok = appendCanonical(dst, t, e, most)
			dst = append(dst, ',')
		}
		dst = closeList(dst, '[', ']')
		return dst, ok && len(dst) <= most
	case jsontape.Object:
		return appendCanonicalObject(dst, t, r, most)
	case jsontape.String:
		if len(t.Raw(r))/longestEscape > most-len(dst) {
			return dst, false
		}
	}
	dst = appendFlat(dst, t, r)
	return dst, len(dst) <= most
}

const (
	// longestEscape is how many bytes may stand for one in a string: \u0061.
	longestEscape = 6
	// shortestMember is how many bytes a member has at least: "":0,
	shortestMember = 5
)

func appendCanonicalObject(dst []byte, t *jsontape.Tape, r jsontape.Ref, most int) (out []byte, ok bool) {
	var buf [16]jsontape.Ref
	members := buf[:0]
	tooMany := (most-len(dst))/shortestMember + 1
	for m := t.First(r); m != jsontape.None; m = t.After(r, m) {
		if members = append(members, m); len(members) >= max(2*tooMany, cap(buf)) {
			if members = lastOfEach(t, members); len(members) >= tooMany {
				return dst, false
			}
		}
	}
	sortMembers(t, members)
	dst = append(dst, '{')
	for i, m := range members {
		if i+1 < len(members) && compareNames(t, m, members[i+1]) == 0 {
			continue
		}
		var buf [64]byte
		dst = append(jsontape.AppendQuoted(dst, t.NameText(m, buf[:0])), ':')
		if len(dst) > most {
			return dst, false
		}
		if dst, ok = appendCanonical(dst, t, m, most); !ok {
			return dst, false
		}
		dst = append(dst, ',')
	}
	dst = closeList(dst, '{', '}')
	return dst, len(dst) <= most
}

// sortMembers sorts by name, those of one name as they stand.
func sortMembers(t *jsontape.Tape, members []jsontape.Ref) {
	slices.SortStableFunc(members, func(a, b jsontape.Ref) int { return compareNames(t, a, b) })
}

// lastOfEach sorts members, and of those with one name leaves the last.
func lastOfEach(t *jsontape.Tape, members []jsontape.Ref) []jsontape.Ref {
	sortMembers(t, members)
	kept := members[:0]
	for i, m := range members {
		if i+1 == len(members) || compareNames(t, m, members[i+1]) != 0 {
			kept = append(kept, m)
		}
	}
	return kept
}

func compareNames(t *jsontape.Tape, a, b jsontape.Ref) int {
	var bufA, bufB [64]byte
	return bytes.Compare(t.NameText(a, bufA[:0]), t.NameText(b, bufB[:0]))
}

// closeList writes the closing byte over the last comma, or after the opening byte of an empty list.
func closeList(dst []byte, opening, closing byte) []byte {
	if dst[len(dst)-1] == opening {
		return append(dst, closing)
	}
	dst[len(dst)-1] = closing
	return dst
}
