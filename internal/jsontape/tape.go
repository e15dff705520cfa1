// Package jsontape turns a JSON text into a flat tape of offsets in one validating pass: no maps, no
// reflection, no allocation once the tape has grown. Everything that reads an event reads its tape.
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
	src   []byte
	nodes []node
}

// node is one value, or one member name directly before its value.
type node struct {
	start, end uint32 // in src; strings without their quotes
	next       uint32 // index of the node after this value and all it contains; of a name: a fingerprint
	kind       Kind
	flags      uint8
}

// Limits bounds what Parse accepts; zero values mean 64 levels and 1 MiB.
type Limits struct {
	Depth int
	Bytes int
}

// Parse checks src (RFC 8259, UTF-8 included) and lays out its tape. On error the tape is empty.
func (t *Tape) Parse(src []byte, lim Limits) error { panic("jsontape: Parse") }

// Kind returns the kind of a node, Invalid for None.
func (t *Tape) Kind(r Ref) Kind { panic("") }

// Raw returns the text of a node as it stands in the source, strings with their quotes.
func (t *Tape) Raw(r Ref) []byte { panic("") }

// Member returns the value of the last member of that (unescaped) name, or None.
func (t *Tape) Member(object Ref, name string) Ref { panic("") }

// Lookup follows names through objects from r; None if any is missing or not an object.
func (t *Tape) Lookup(r Ref, path []string) Ref { panic("") }

// First returns the first element of an array, or the first member's value of an object (use Name for its
// name), or None. After returns the one that follows, or None.
func (t *Tape) First(r Ref) Ref { panic("") }

// After returns the sibling that follows child within parent, or None.
func (t *Tape) After(parent, child Ref) Ref { panic("") }

// AppendName appends the unescaped name of a member whose value is r.
func (t *Tape) AppendName(dst []byte, r Ref) []byte { panic("") }

// NameIs reports whether the member whose value is r has that unescaped name.
func (t *Tape) NameIs(r Ref, name string) bool { panic("") }

// AppendString appends the unescaped text of a String node.
func (t *Tape) AppendString(dst []byte, r Ref) []byte { panic("") }

// StringIs reports whether r is a String whose unescaped text is s.
func (t *Tape) StringIs(r Ref, s string) bool { panic("") }
