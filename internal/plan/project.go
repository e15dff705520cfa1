package plan

import (
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// AppendPayload appends the ExecutionResult of an event without its closing brace, so that extensions can
// follow: `{"data":{…}` and, if there are any, `,"errors":[…]`. data is the value of the root field. It
// allocates nothing unless there are field errors.
//
// It runs the program first without keeping track of anything; an event with field errors is run again with a
// report of where they are.
func (p *Projection) AppendPayload(dst []byte, t *jsontape.Tape, data jsontape.Ref) []byte {
	start := len(dst)
	quick := run{tape: t}
	if out, ok := quick.value(append(dst, p.head...), &p.root, data); ok {
		return append(out, '}')
	}
	return p.appendWithErrors(dst[:start], t, data)
}

// AppendResolved does the same for the root field's value that a resolver returned.
func (p *Projection) AppendResolved(dst []byte, t *jsontape.Tape, value jsontape.Ref) []byte {
	return p.AppendPayload(dst, t, value)
}

// AppendFailed appends the result, without its closing brace, of an event whose root field has no value: the
// field is null and the one error has this code (of internal/code) and message.
func (p *Projection) AppendFailed(dst []byte, errorCode, message string) []byte {
	if p.root.nonNull {
		dst = append(dst, `{"data":null`...)
	} else {
		dst = append(append(dst, p.head...), "null}"...)
	}
	var r report
	r.push(segment{key: p.key})
	r.add(errorCode, message)
	return r.append(dst)
}

func (p *Projection) appendWithErrors(dst []byte, t *jsontape.Tape, data jsontape.Ref) []byte {
	start := len(dst)
	full := run{tape: t, report: &report{}}
	full.report.push(segment{key: p.key})
	out, ok := full.value(append(dst, p.head...), &p.root, data)
	if ok {
		out = append(out, '}')
	} else {
		out = append(out[:start], `{"data":null`...)
	}
	return full.report.append(out)
}

// run is one execution of a program. Its methods append the JSON of a value; false means that the value is
// null by an error and that its parent must take the null (with a report), or that the run ends (without).
type run struct {
	tape   *jsontape.Tape
	report *report // nil: the first error ends the run
	memo   *Memo   // nil: the event is for this program alone
}

// value completes a value (https://spec.graphql.org, section 6.4.3).
func (x *run) value(dst []byte, v *value, r jsontape.Ref) ([]byte, bool) {
	start, depth, ok := len(dst), 0, false
	if x.report != nil {
		depth = len(x.report.path)
	}
	if x.tape.Kind(r) <= jsontape.Null && v.kind != invalidValue {
		if !v.nonNull {
			return append(dst, "null"...), true
		}
		x.failNull(v)
		return dst, false
	}
	switch v.kind {
	case invalidValue:
		x.failArguments(v)
	case leafValue:
		if dst, ok = v.leaf.AppendResult(dst, x.tape, r); !ok {
			x.failLeaf(v)
		}
	case listValue:
		dst, ok = x.list(dst, v, r)
	case objectValue:
		dst, ok = x.object(dst, v.object, r)
	case abstractValue:
		if o := x.choose(v.choice, r); o != nil {
			dst, ok = x.object(dst, o, r)
		} else {
			x.failType(v)
		}
	case untypedValue:
		if x.tape.Kind(r) == jsontape.Array {
			dst, ok = x.elements(dst, v, r)
		} else {
			dst, ok = x.object(dst, x.choose(v.choice, r), r)
		}
	case maskedValue:
		return append(dst, "null"...), true
	}
	if ok || v.nonNull || x.report == nil {
		return dst, ok
	}
	x.report.path = x.report.path[:depth]
	return append(dst[:start], "null"...), true
}

func (x *run) object(dst []byte, o *object, r jsontape.Ref) ([]byte, bool) {
	if len(o.chunks) == 0 {
		if o.failed {
			x.fail(code.BadUserInput, "A condition of @skip or @include in the selection is null.")
			return dst, false
		}
		return append(dst, "{}"...), true
	}
	var ok bool
	for i := range o.chunks {
		if dst, ok = x.chunk(dst, &o.chunks[i], r); !ok {
			return dst, false
		}
	}
	return append(dst, '}'), true
}

func (x *run) chunk(dst []byte, c *chunk, r jsontape.Ref) ([]byte, bool) {
	if x.memo != nil && r == rootNode && c.members != nil {
		return x.sharedChunk(dst, c)
	}
	var found [chunkFields]jsontape.Ref
	x.tape.Select(r, &c.set, found[:])
	if c.plain && x.report == nil && x.verbatim(c, found[:len(c.fields)]) {
		return x.tape.AppendMembers(append(dst, c.fields[0].lead[0]), found[0], found[len(c.fields)-1]), true
	}
	ok := true
	for i := range c.fields {
		f := &c.fields[i]
		dst = append(dst, f.lead...)
		// Most fields are leaves that have a value: they take the short way.
		if at := found[f.slot]; f.value.kind == leafValue && x.report == nil && x.tape.Kind(at) > jsontape.Null {
			dst, ok = f.value.leaf.AppendResult(dst, x.tape, at)
		} else {
			dst, ok = x.field(dst, f, at)
		}
		if !ok {
			return dst, false
		}
	}
	return dst, true
}

// verbatim reports whether the event has what is selected as one piece: one copy is the result then.
func (x *run) verbatim(c *chunk, found []jsontape.Ref) bool {
	if !x.tape.Verbatim(found) {
		return false
	}
	for i, r := range found {
		if !c.fields[i].value.leaf.Verbatim(x.tape, r) {
			return false
		}
	}
	return true
}

func (x *run) field(dst []byte, f *field, r jsontape.Ref) ([]byte, bool) {
	if f.constant != "" {
		return append(dst, f.constant...), true
	}
	if x.report == nil {
		return x.value(dst, &f.value, r)
	}
	x.report.push(segment{key: f.key})
	dst, ok := x.value(dst, &f.value, r)
	if ok {
		x.report.pop()
	}
	return dst, ok
}

func (x *run) list(dst []byte, v *value, r jsontape.Ref) ([]byte, bool) {
	if x.tape.Kind(r) != jsontape.Array {
		if !v.wrap {
			x.failList(v)
			return dst, false
		}
		out, ok := x.element(append(dst, '['), v.elem, r, 0)
		return append(out, ']'), ok
	}
	return x.elements(dst, v.elem, r)
}

func (x *run) elements(dst []byte, elem *value, r jsontape.Ref) ([]byte, bool) {
	dst = append(dst, '[')
	i := 0
	for e := x.tape.First(r); e != jsontape.None; e = x.tape.After(r, e) {
		if i > 0 {
			dst = append(dst, ',')
		}
		var ok bool
		if dst, ok = x.element(dst, elem, e, i); !ok {
			return dst, false
		}
		i++
	}
	return append(dst, ']'), true
}

func (x *run) element(dst []byte, v *value, r jsontape.Ref, index int) ([]byte, bool) {
	if x.report == nil {
		return x.value(dst, v, r)
	}
	x.report.push(segment{index: index})
	dst, ok := x.value(dst, v, r)
	if ok {
		x.report.pop()
	}
	return dst, ok
}

const typenameMember = "__typename"

var typename = jsontape.MakeName(typenameMember)

// choose picks the object that a value is, nil if its __typename is not one of them.
func (x *run) choose(ch *choice, r jsontape.Ref) *object {
	if ch.bare != nil && len(ch.objects) == 0 {
		return ch.bare
	}
	name := x.tape.MemberNamed(r, typename)
	if ch.bare != nil && x.tape.Kind(name) <= jsontape.Null {
		return ch.bare
	}
	if ch.byName != nil {
		if text, plain := x.tape.PlainString(name); plain {
			if o := ch.byName[string(text)]; o != nil {
				return o
			}
			return ch.other
		}
	}
	for _, o := range ch.objects {
		if x.tape.StringIs(name, o.name) {
			return o
		}
	}
	return ch.other
}
