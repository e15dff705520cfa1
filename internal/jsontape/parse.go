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
)

// Limits bounds what Parse accepts; zero values mean DefaultDepth and DefaultBytes. Texts above 2 GiB are
// always refused.
type Limits struct {
	Depth int
	Bytes int
}

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
		for c != ',' { // a value is complete, or the innermost container is at its end
			if c != closing || open == noParent { // noCloser itself may stand in a text that is not UTF-8
				if open == noParent && i == len(src) {
					t.nodes = nodes
					return i, fine
				}
				return i, wantComma
			}
			p := &nodes[open]
			open, p.end, p.next = p.next, uint32(i+1), uint32(len(nodes))
			depth--
			if closing = noCloser; open != noParent {
				closing = closerOf(nodes[open].tag)
			}
			c, i = t.token(src, i+1)
		}
		if open == noParent {
			return i, trailing
		}
		c, i = t.token(src, i+1)
	}
}

// noCloser closes nothing: no token is this byte.
const noCloser = 0xff

func containerTag(c byte) tag {
	if c == '{' {
		return tag(Object)
	}
	return tag(Array)
}

func closerOf(g tag) byte {
	if g == tag(Object) {
		return '}'
	}
	return ']'
}
