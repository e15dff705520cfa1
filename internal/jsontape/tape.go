// Package jsontape turns a JSON text into a flat tape of offsets in one validating pass: no maps, no
// reflection, no allocation once the tape has grown. Everything that reads an event reads its tape.
//
// The grammar is that of RFC 8259, to the letter, and the text must be valid UTF-8. Where an object has
// several members of one name, the last one counts, in every function of this package. Names and strings
// compare after unescaping. An escape of half a surrogate pair stands for itself: it unescapes to its
// three-byte (WTF-8) form, so that different strings stay different.
package jsontape

// Kind is the JSON type of a node.
type Kind uint8

const (
	Invalid Kind = iota // the kind of None
	Null
	False
	True
	Number
	String
	Array
	Object
)

// Ref names a node of a Tape. The document itself is Root.
type Ref int32

const (
	// None is the reference to nothing: a missing member.
	None Ref = -1
	// Root is the whole document.
	Root Ref = 0
)

// Tape is a parsed JSON text. It refers to the text, which must not change while the tape is in use. The
// zero value is ready for Parse; a Tape may be parsed into again and again. Reads may run concurrently.
type Tape struct {
	src     []byte
	nodes   []node
	scratch []byte // names with escapes, while parsing
	spaced  bool   // there is white space between tokens
}

// node is one value, or one member name directly before its value.
type node struct {
	start, end uint32 // in src; strings without their quotes
	next       uint32 // index of the node after this value and all it contains; of a name: a fingerprint
	tag        tag
}

// tag is the kind in the low byte, and flags. (Four members of a word each: the compiler keeps such a struct
// in registers, which a fifth would prevent; measured 2× on Parse.)
type tag uint32

const (
	flagEscaped  tag = 0x100 << iota // a string or name with at least one backslash
	flagFraction                     // a number with a fraction or an exponent
)

func (g tag) kind() Kind { return Kind(g) }

// Source returns the text that was parsed.
func (t *Tape) Source() []byte { return t.src }

// Kind returns the kind of a node, Invalid for None.
func (t *Tape) Kind(r Ref) Kind {
	if uint(r) >= uint(len(t.nodes)) {
		return Invalid
	}
	return t.nodes[r].tag.kind()
}

// Raw returns the text of a node as it stands in the source, strings with their quotes; nil for None.
func (t *Tape) Raw(r Ref) []byte {
	if uint(r) >= uint(len(t.nodes)) {
		return nil
	}
	n := &t.nodes[r]
	if n.tag.kind() == String {
		return t.src[n.start-1 : n.end+1]
	}
	return t.src[n.start:n.end]
}

// IsInteger reports whether r is a Number written without fraction and exponent.
func (t *Tape) IsInteger(r Ref) bool {
	return t.Kind(r) == Number && t.nodes[r].tag&flagFraction == 0
}

// First returns the first element of an array, or the first member's value of an object (use AppendName for
// its name), or None.
func (t *Tape) First(r Ref) Ref {
	switch t.Kind(r) {
	case Array:
		if t.nodes[r].next > uint32(r)+1 {
			return r + 1
		}
	case Object:
		if t.nodes[r].next > uint32(r)+1 {
			return r + 2
		}
	}
	return None
}

// After returns the sibling that follows child within parent, or None.
func (t *Tape) After(parent, child Ref) Ref {
	next, p := t.nodes[child].next, &t.nodes[parent]
	if next >= p.next {
		return None
	}
	if p.tag.kind() == Object {
		next++
	}
	return Ref(next)
}

// Len returns how many elements an array or members an object has (repeated names counted), else 0.
func (t *Tape) Len(r Ref) int {
	n := 0
	for c := t.First(r); c != None; c = t.After(r, c) {
		n++
	}
	return n
}
