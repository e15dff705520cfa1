package jsontape

import "math"

const (
	// DefaultDepth is the nesting that Parse accepts where Limits says nothing: that many arrays and objects
	// inside each other.
	DefaultDepth = 64
	// DefaultBytes is the size of text that Parse accepts where Limits says nothing.
	DefaultBytes = 1 << 20

	// maxBytes keeps offsets and references within 31 bits.
	maxBytes = math.MaxInt32 - 1
	// noParent is the parent of the document.
	noParent = math.MaxUint32
	// keepNodes is how many nodes (1 MiB) a tape keeps for texts that cannot need them.
	keepNodes = 1 << 16
)

// Limits bounds what Parse accepts; zero values mean DefaultDepth and DefaultBytes. Texts above 2 GiB are
// always refused.
type Limits struct {
	Depth int
	Bytes int
}

// Admitted are the limits for what was parsed before, within others that may have changed since: they refuse nothing.
var Admitted = Limits{Depth: math.MaxInt, Bytes: math.MaxInt}

// Parse checks src (RFC 8259, UTF-8 included) and lays out its tape. On error, which is an *Error, the tape
// is empty: its functions find nothing at Root.
func (t *Tape) Parse(src []byte, lim Limits) error {
	if lim.Depth <= 0 {
		lim.Depth = DefaultDepth
	}
	if lim.Bytes <= 0 {
		lim.Bytes = DefaultBytes
	}
	t.src, t.nodes, t.spaced = nil, t.nodes[:0], false
	if cap(t.nodes) > keepNodes && len(src) < keepNodes {
		t.nodes = nil
	}
	if size := min(lim.Bytes, maxBytes); len(src) > size {
		return &Error{Kind: TooLarge, Offset: size, Limit: size}
	}
	if at, why := t.lay(src, lim.Depth); why != fine {
		t.nodes = t.nodes[:0]
		return explain(src, at, why, lim.Depth)
	}
	t.src = src
	return nil
}

// Forget makes the tape empty, so that it keeps no text alive; its room is kept for the next Parse.
func (t *Tape) Forget() { t.src, t.nodes = nil, t.nodes[:0] }

// lay writes the nodes of src. It returns the offset at which the text stops being JSON, and why. An open
// container's next holds its parent until it is closed: that is the stack.
func (t *Tape) lay(src []byte, maxDepth int) (int, problem) {
	nodes, open, closing, depth := t.nodes, uint32(noParent), byte(noCloser), 0
	c, i := t.token(src, 0)
	for { // c, the token at i, begins a value, or in an object a member
		if closing == '}' {
			if c != '"' {
				return i, wantName
			}
			end, g, why := stringEnd(src, i+1)
			if why != fine {
				return end, why
			}
			nodes = append(nodes, node{uint32(i + 1), uint32(end), t.print(src[i+1:end], g), g})
			if c, i = t.token(src, end+1); c != ':' {
				return i, wantColon
			}
			c, i = t.token(src, i+1)
		}
		switch c {
		case '"':
			end, g, why := stringEnd(src, i+1)
			if why != fine {
				return end, why
			}
			nodes = append(nodes, node{uint32(i + 1), uint32(end), uint32(len(nodes) + 1), g})
			c, i = t.token(src, end+1)
		case '{', '[':
			if depth++; depth > maxDepth {
				return i, tooDeep
			}
			nodes = append(nodes, node{start: uint32(i), next: open, tag: containerTag(c)})
			open, closing = uint32(len(nodes)-1), c+2
			if c, i = t.token(src, i+1); c != closing {
				continue
			}
		default:
			end, g, why := scalarEnd(src, i, c)
			if why != fine {
				return end, why
			}
			nodes = append(nodes, node{uint32(i), uint32(end), uint32(len(nodes) + 1), g})
			c, i = t.token(src, end)
		}
		for c == closing { // a value is complete; the innermost container may be, too
			open, closing = closed(nodes, open, i+1)
			depth--
			c, i = t.token(src, i+1)
		}
		switch {
		case open == noParent && i == len(src):
			t.nodes = nodes
			return i, fine
		case open == noParent:
			return i, trailing
		case c != ',':
			return i, wantComma
		}
		c, i = t.token(src, i+1)
	}
}

// noCloser closes nothing: no token is white space.
const noCloser = ' '

func containerTag(c byte) tag {
	if c == '{' {
		return tag(Object)
	}
	return tag(Array)
}

// closed completes the innermost container, which ends before end, and returns the one around it and what
// closes that.
func closed(nodes []node, open uint32, end int) (parent uint32, closing byte) {
	p := &nodes[open]
	parent, p.end, p.next = p.next, uint32(end), uint32(len(nodes))
	switch {
	case parent == noParent:
		return parent, noCloser
	case nodes[parent].tag == tag(Object):
		return parent, '}'
	}
	return parent, ']'
}
