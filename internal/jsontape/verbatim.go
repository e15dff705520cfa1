package jsontape

// Verbatim reports whether the members whose values are list stand in the text one after the other, with plain names
// and without white space: then AppendMembers may copy them as one. list must not be empty.
func (t *Tape) Verbatim(list []Ref) bool {
	if t.spaced {
		return false
	}
	next := list[0]
	for _, r := range list {
		if r != next || r <= Root || t.nodes[r-1].tag&flagEscaped != 0 {
			return false
		}
		next = Ref(t.nodes[r].next) + 1
	}
	return true
}

// AppendMembers appends the text of the members from the one whose value is first to the one whose value is last,
// names and all.
func (t *Tape) AppendMembers(dst []byte, first, last Ref) []byte {
	n := &t.nodes[last]
	end := n.end
	if n.tag.kind() == String {
		end++
	}
	return append(dst, t.src[t.nodes[first-1].start-1:end]...)
}
