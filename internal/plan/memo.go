package plan

import (
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

// Memo remembers what projections of one event have in common: where the members of the event's data are, and
// the text of those that were written. The zero value is ready; Reset before each event. Measured: 100
// different projections of an event in two thirds of the instructions.
type Memo struct {
	members  *jsontape.NameSet // whose places are in found
	found    [jsontape.MaxNameSet]jsontape.Ref
	rendered [jsontape.MaxNameSet]rendered
	text     []byte
}

// rendered is the text of a member as a result of a leaf type.
type rendered struct {
	leaf       *scalar.Leaf // nil: not written yet
	start, end int32        // in Memo.text
}

// Reset forgets the event.
func (m *Memo) Reset() { m.members = nil }

func (m *Memo) find(t *jsontape.Tape, members *jsontape.NameSet) {
	if m.members == members {
		return
	}
	t.Select(rootNode, members, m.found[:])
	clear(m.rendered[:members.Len()])
	m.members, m.text = members, m.text[:0]
}

// AppendShared is AppendPayload for an event whose data several projections read one after the other.
func (p *Projection) AppendShared(dst []byte, t *jsontape.Tape, memo *Memo) []byte {
	start := len(dst)
	if p.flat != nil && t.Kind(rootNode) == jsontape.Object {
		memo.find(t, p.flat.members)
		if out, ok := memo.appendLeaves(append(dst, p.head...), t, p.flat.leaves); ok {
			return append(out, "}}"...)
		}
		return p.appendWithErrors(dst[:start], t, rootNode)
	}
	quick := run{tape: t, memo: memo}
	if out, ok := quick.value(append(dst, p.head...), &p.root, rootNode); ok {
		return append(out, '}')
	}
	return p.appendWithErrors(dst[:start], t, rootNode)
}

// sharedChunk is chunk for the event's data itself.
func (x *run) sharedChunk(dst []byte, c *chunk) ([]byte, bool) {
	m := x.memo
	m.find(x.tape, c.members)
	ok := true
	if c.leaves != nil {
		return m.appendLeaves(dst, x.tape, c.leaves)
	}
	for i := range c.fields {
		f := &c.fields[i]
		dst = append(dst, f.lead...)
		if f.value.kind == leafValue {
			dst, ok = m.appendLeaf(dst, x.tape, f.value.leaf, int32(f.member), f.value.nonNull)
		} else {
			dst, ok = x.field(dst, f, m.found[f.member])
		}
		if !ok {
			return dst, false
		}
	}
	return dst, true
}

func (m *Memo) appendLeaves(dst []byte, t *jsontape.Tape, leaves []leafField) ([]byte, bool) {
	for i := range leaves {
		f := &leaves[i]
		dst = append(dst, f.lead...)
		if known := &m.rendered[f.member&(jsontape.MaxNameSet-1)]; known.leaf == f.leaf {
			dst = append(dst, m.text[known.start:known.end]...)
			continue
		}
		var ok bool
		if dst, ok = m.appendLeaf(dst, t, f.leaf, f.member, f.nonNull); !ok {
			return dst, false
		}
	}
	return dst, true
}

// appendLeaf appends a member as a result of a leaf type, from what was written before if it was.
func (m *Memo) appendLeaf(dst []byte, t *jsontape.Tape, leaf *scalar.Leaf, member int32, nonNull bool) ([]byte, bool) {
	known := &m.rendered[member&(jsontape.MaxNameSet-1)]
	if known.leaf == leaf {
		return append(dst, m.text[known.start:known.end]...), true
	}
	at := m.found[member]
	if t.Kind(at) <= jsontape.Null {
		return append(dst, "null"...), !nonNull
	}
	start := len(dst)
	dst, ok := leaf.AppendResult(dst, t, at)
	if !ok {
		return dst, false
	}
	*known = rendered{leaf, int32(len(m.text)), int32(len(m.text) + len(dst) - start)}
	m.text = append(m.text, dst[start:]...)
	return dst, true
}
