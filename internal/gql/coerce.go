package gql

import (
	"bytes"
	"math"
	"strconv"
	"unsafe"

	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

// maxInputErrors bounds the errors of one request's variables, as graphql-js does.
const maxInputErrors = 50

// CoerceVariables coerces the variables of a request to the letter of the specification. raw is the node of
// the request's `variables` member (None or null: none given). It appends the JSON object of the coerced
// variables in definition order, defaults applied, absent ones left out: equal objects mean equal variables.
// Errors have code BAD_USER_INPUT; dst is then returned as it was.
func (op *Operation) CoerceVariables(dst []byte, t *jsontape.Tape, raw jsontape.Ref) ([]byte, []*Error) {
	switch kindOf(t, raw) {
	case jsontape.Object:
	case jsontape.Invalid, jsontape.Null:
		raw = jsontape.None
	default:
		return dst, []*Error{{Code: code.BadUserInput, Message: "Variables must be provided as an Object where each property is a variable value."}}
	}
	start := len(dst)
	dst = append(dst, '{')
	for _, v := range op.Variables {
		r := jsontape.None
		if raw != jsontape.None {
			r = t.Member(raw, v.Name)
		}
		if r == jsontape.None && !v.HasDefault {
			if v.Type.NonNull {
				return dst[:start], op.variableErrors(t, raw)
			}
			continue
		}
		if len(dst) > start+1 {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(dst, v.Name...) // a GraphQL name needs no escapes
		dst = append(dst, '"', ':')
		if r == jsontape.None {
			dst = append(dst, v.Default...)
			continue
		}
		var ok bool
		if dst, ok = appendInput(dst, t, r, v.Type); !ok {
			return dst[:start], op.variableErrors(t, raw)
		}
	}
	return append(dst, '}'), nil
}

// appendInput appends the coerced JSON of a value given for an input type. ok is false when it does not fit;
// dst then holds rubbish after its old length, and inputCheck says why.
func appendInput(dst []byte, t *jsontape.Tape, r jsontape.Ref, typ *TypeRef) (out []byte, ok bool) {
	if t.Kind(r) == jsontape.Null {
		return append(dst, "null"...), !typ.NonNull
	}
	if typ.Elem == nil {
		if typ.Named.Kind == InputType {
			return appendInputObject(dst, t, r, typ.Named)
		}
		return appendInputLeaf(dst, t, r, &typ.Named.Leaf)
	}
	dst = append(dst, '[')
	if t.Kind(r) != jsontape.Array { // a single value is a list of one
		if dst, ok = appendInput(dst, t, r, typ.Elem); !ok {
			return dst, false
		}
		return append(dst, ']'), true
	}
	first := t.First(r)
	for e := first; e != jsontape.None; e = t.After(r, e) {
		if e != first {
			dst = append(dst, ',')
		}
		if dst, ok = appendInput(dst, t, e, typ.Elem); !ok {
			return dst, false
		}
	}
	return append(dst, ']'), true
}

func appendInputObject(dst []byte, t *jsontape.Tape, r jsontape.Ref, typ *Type) (out []byte, ok bool) {
	if t.Kind(r) != jsontape.Object {
		return dst, false
	}
	for m := t.First(r); m != jsontape.None; m = t.After(r, m) {
		if typ.inputNamed(t, m) == nil {
			return dst, false
		}
	}
	dst = append(dst, '{')
	given, first := 0, len(dst)
	for _, in := range typ.Inputs {
		m := t.Member(r, in.Name)
		if m == jsontape.None && !in.HasDefault {
			if in.Type.NonNull {
				return dst, false
			}
			continue
		}
		if len(dst) > first {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(dst, in.Name...)
		dst = append(dst, '"', ':')
		if m == jsontape.None {
			dst = append(dst, in.Default...)
			continue
		}
		if dst, ok = appendInput(dst, t, m, in.Type); !ok {
			return dst, false
		}
		if typ.OneOf && t.Kind(m) == jsontape.Null {
			return dst, false
		}
		given++
	}
	if typ.OneOf && given != 1 {
		return dst, false
	}
	return append(dst, '}'), true
}

// inputNamed returns the member definition that the name of member m names, or nil.
func (t *Type) inputNamed(tape *jsontape.Tape, m jsontape.Ref) *Argument {
	for _, in := range t.Inputs {
		if tape.NameIs(m, in.Name) {
			return in
		}
	}
	return nil
}

func appendInputLeaf(dst []byte, t *jsontape.Tape, r jsontape.Ref, leaf *scalar.Leaf) (out []byte, ok bool) {
	kind := t.Kind(r)
	switch leaf.Kind {
	case scalar.Int:
		if kind != jsontape.Number {
			return dst, false
		}
		n, problem := int32Of(t.Raw(r))
		return strconv.AppendInt(dst, n, 10), problem == intFits
	case scalar.Float:
		if kind != jsontape.Number {
			return dst, false
		}
		return scalar.AppendInput(dst, t.Raw(r))
	case scalar.String:
		if kind != jsontape.String {
			return dst, false
		}
		return appendString(dst, t, r), true
	case scalar.ID:
		switch kind {
		case jsontape.String:
			return appendString(dst, t, r), true
		case jsontape.Number:
			return appendIntegerID(dst, t, r)
		}
		return dst, false
	case scalar.Boolean:
		return append(dst, t.Raw(r)...), kind == jsontape.True || kind == jsontape.False
	case scalar.Enum:
		if kind != jsontape.String {
			return dst, false
		}
		start := len(dst)
		dst = append(dst, '"')
		dst = t.AppendString(dst, r)
		_, known := leaf.Names[string(dst[start+1:])]
		return append(dst, '"'), known
	}
	return appendCanonical(dst, t, r), true
}

// text views bytes as a string for the length of a call.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// appendString appends a string in its canonical form: the shortest escapes, only where needed.
func appendString(dst []byte, t *jsontape.Tape, r jsontape.Ref) []byte {
	raw := t.Raw(r)
	if bytes.IndexByte(raw, '\\') < 0 {
		return append(dst, raw...)
	}
	return requote(t.AppendString(dst, r), len(dst))
}

// requote turns the text that stands in buf after start into a JSON string. The string is made behind the text
// and moved over it: no buffer but buf.
func requote(buf []byte, start int) []byte {
	end := len(buf)
	buf = jsontape.AppendQuoted(buf, buf[start:])
	return buf[:start+copy(buf[start:], buf[end:])]
}

// appendCanonical appends any JSON without white space, strings in their canonical form.
func appendCanonical(dst []byte, t *jsontape.Tape, r jsontape.Ref) []byte {
	switch t.Kind(r) {
	case jsontape.String:
		return appendString(dst, t, r)
	case jsontape.Array:
		dst = append(dst, '[')
		for e := t.First(r); e != jsontape.None; e = t.After(r, e) {
			if e != t.First(r) {
				dst = append(dst, ',')
			}
			dst = appendCanonical(dst, t, e)
		}
		return append(dst, ']')
	case jsontape.Object:
		dst = append(dst, '{')
		for m := t.First(r); m != jsontape.None; m = t.After(r, m) {
			if m != t.First(r) {
				dst = append(dst, ',')
			}
			dst = requote(t.AppendName(dst, m), len(dst))
			dst = append(dst, ':')
			dst = appendCanonical(dst, t, m)
		}
		return append(dst, '}')
	}
	return append(dst, t.Raw(r)...)
}

type intProblem uint8

const (
	intFits intProblem = iota
	intFraction
	intRange
)

// int32Of reads a JSON number as an Int: integers of 32 bits, also where written as 1.0 or 1e2.
func int32Of(raw []byte) (int64, intProblem) {
	if len(raw) <= 11 && isDigits(raw) {
		n, neg := int64(0), raw[0] == '-'
		for _, c := range raw {
			if c != '-' {
				n = n*10 + int64(c-'0')
			}
		}
		if neg {
			n = -n
		}
		if n < math.MinInt32 || n > math.MaxInt32 {
			return 0, intRange
		}
		return n, intFits
	}
	f, err := strconv.ParseFloat(text(raw), 64)
	switch {
	case math.IsInf(f, 0), f != math.Trunc(f), err != nil && f != 0:
		return 0, intFraction
	case f < math.MinInt32 || f > math.MaxInt32:
		return 0, intRange
	}
	return int64(f), intFits
}

// isDigits reports whether a JSON number has neither fraction nor exponent.
func isDigits(raw []byte) bool {
	for _, c := range raw {
		if c == '.' || c|0x20 == 'e' {
			return false
		}
	}
	return true
}

// appendIntegerID appends an integer as an ID: its decimal digits, however long (graphql-js rounds what a
// double cannot hold; an ID must not change).
func appendIntegerID(dst []byte, t *jsontape.Tape, r jsontape.Ref) (out []byte, ok bool) {
	raw := t.Raw(r)
	if isDigits(raw) {
		if string(raw) == "-0" {
			raw = raw[1:]
		}
		dst = append(dst, '"')
		dst = append(dst, raw...)
		return append(dst, '"'), true
	}
	f, err := strconv.ParseFloat(text(raw), 64)
	if err != nil && f != 0 || f != math.Trunc(f) {
		return dst, false
	}
	dst = append(dst, '"')
	dst = appendFloat(dst, f)
	return append(dst, '"'), true
}
