// Package scalar knows the leaf types of GraphQL: how a value found in an event is coerced as a result
// (https://spec.graphql.org, "Result Coercion", as graphql-js 17 does it) and which values are the same.
//
// Numbers are read as JavaScript reads them, as doubles, with one exception: an integer written in digits
// alone keeps them all where it becomes a String or an ID, and numbers compare exactly, as written.
// graphql-js does the same with a bigint.
package scalar

import "github.com/fraiseql/fraiseql-go/internal/jsontape"

// Kind is how a leaf type coerces.
type Kind uint8

const (
	Custom Kind = iota // any JSON value, copied; equal by equal JSON
	Int                // 32 bit
	Float
	String
	ID
	Boolean
	Enum
	Untyped // without a schema: strings and numbers by their text, as ID does, else equal JSON
)

// Leaf is a leaf type.
type Leaf struct {
	Kind Kind
	// Names holds the values of an Enum.
	Names map[string]struct{}
}

// AppendResult appends the JSON text of r coerced as a result of the leaf type. ok is false when the value
// cannot be coerced (a field error); dst is then returned as it was. Null is not a leaf: callers check first.
func (l *Leaf) AppendResult(dst []byte, t *jsontape.Tape, r jsontape.Ref) (out []byte, ok bool) {
	switch l.Kind {
	case Int:
		return appendInt(dst, t, r)
	case Float:
		return appendFloat(dst, t, r)
	case String, ID:
		if t.Kind(r) == jsontape.String {
			return append(dst, t.Raw(r)...), true
		}
		out, ok = appendStringText(append(dst, '"'), t, r, l.Kind == ID)
		if !ok {
			return dst, false
		}
		return append(out, '"'), true
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
		return append(dst, t.Raw(r)...), true
	default:
		if t.Kind(r) == jsontape.Invalid {
			return dst, false
		}
		return t.AppendCompact(dst, r), true
	}
}

// Verbatim reports whether the result of r is its text as it stands, in a text without white space between tokens.
// False where that takes a closer look, too.
func (l *Leaf) Verbatim(t *jsontape.Tape, r jsontape.Ref) bool {
	switch kind := t.Kind(r); l.Kind {
	case Custom, Untyped:
		return kind > jsontape.Null
	case String, ID:
		return kind == jsontape.String
	case Boolean:
		return kind == jsontape.True || kind == jsontape.False
	case Int:
		return isShortInt(t, r)
	}
	return false
}

// isName reports whether r is a String that names a value of the enum.
func (l *Leaf) isName(t *jsontape.Tape, r jsontape.Ref) bool {
	var buf [64]byte
	if t.Kind(r) != jsontape.String {
		return false
	}
	_, ok := l.Names[string(t.Text(r, buf[:0]))]
	return ok
}

// boolean coerces to Boolean: of numbers all but 0 are true.
func boolean(t *jsontape.Tape, r jsontape.Ref) (value, ok bool) {
	switch t.Kind(r) {
	case jsontape.True:
		return true, true
	case jsontape.False:
		return false, true
	case jsontape.Number:
		f, ok := double(t.Raw(r))
		return f != 0, ok
	}
	return false, false
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, "true"...)
	}
	return append(dst, "false"...)
}
