package jsontape

// fingerprint is cheap and tells most names apart: length (up to 255), first, middle and last byte.
func fingerprint[T []byte | string](s T) uint32 {
	n := len(s)
	if n == 0 {
		return 0
	}
	return uint32(min(n, 255)) | uint32(s[0])<<8 | uint32(s[n>>1])<<16 | uint32(s[n-1])<<24
}

// Name is a member name that is looked up again and again: a plan's. Made by MakeName.
type Name struct {
	text  string
	print uint32
}

// MakeName prepares a (unescaped) member name.
func MakeName(name string) Name { return Name{name, fingerprint(name)} }

// MakeNames prepares a path.
func MakeNames(path []string) []Name {
	names := make([]Name, len(path))
	for i, s := range path {
		names[i] = MakeName(s)
	}
	return names
}

// String returns the name.
func (n Name) String() string { return n.text }

// Member returns the value of the last member of that (unescaped) name, or None.
func (t *Tape) Member(object Ref, name string) Ref {
	return t.MemberNamed(object, Name{name, fingerprint(name)})
}

// MemberNamed is Member for a prepared name.
func (t *Tape) MemberNamed(object Ref, name Name) Ref {
	found := None
	if t.Kind(object) != Object {
		return found
	}
	nodes := t.nodes[:t.nodes[object].next]
	for v := uint(object) + 2; v < uint(len(nodes)); v = uint(nodes[v].next) + 1 {
		if n := &nodes[v-1]; n.next == name.print && t.textIs(n, name.text) {
			found = Ref(v)
		}
	}
	return found
}

// PairNamed is MemberNamed for two names at once.
func (t *Tape) PairNamed(object Ref, a, b Name) (first, second Ref) {
	first, second = None, None
	if t.Kind(object) != Object {
		return first, second
	}
	nodes := t.nodes[:t.nodes[object].next]
	for v := uint(object) + 2; v < uint(len(nodes)); v = uint(nodes[v].next) + 1 {
		switch n := &nodes[v-1]; {
		case n.next == a.print && t.textIs(n, a.text):
			first = Ref(v)
		case n.next == b.print && t.textIs(n, b.text):
			second = Ref(v)
		}
	}
	return first, second
}

// textIs compares the text of a name, or of a string.
func (t *Tape) textIs(n *node, text string) bool {
	if n.tag&flagEscaped == 0 {
		return string(t.src[n.start:n.end]) == text
	}
	return equalUnescaped(t.src[n.start:n.end], text)
}

// Lookup follows names through objects from r; None if any is missing or not an object.
func (t *Tape) Lookup(r Ref, path []string) Ref {
	for i := 0; i < len(path) && r != None; i++ {
		r = t.Member(r, path[i])
	}
	return r
}

// LookupNames is Lookup for a prepared path.
func (t *Tape) LookupNames(r Ref, path []Name) Ref {
	for i := 0; i < len(path) && r != None; i++ {
		r = t.MemberNamed(r, path[i])
	}
	return r
}

// AppendName appends the unescaped name of a member whose value is r.
func (t *Tape) AppendName(dst []byte, r Ref) []byte { return t.appendText(dst, &t.nodes[r-1]) }

// NameIs reports whether the member whose value is r has that unescaped name.
func (t *Tape) NameIs(r Ref, name string) bool {
	return t.nodes[r-1].next == fingerprint(name) && t.textIs(&t.nodes[r-1], name)
}
