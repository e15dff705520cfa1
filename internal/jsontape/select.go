package jsontape

// NameSet finds the members of several names in one pass over an object. Immutable, safe for concurrent use.
type NameSet struct {
	names  []Name
	table  []int16 // by slot of the fingerprint: index into names + 1
	chain  []int16 // names of equal slot
	factor uint32
	shift  uint8
}

// MakeNameSet prepares a set of (unescaped) names, at most 32,767. Names that repeat are filled alike.
func MakeNameSet(names []string) *NameSet {
	s := &NameSet{names: MakeNames(names), chain: make([]int16, len(names)), factor: 0x9e3779b1, shift: 32}
	size := 1
	for size < 2*len(names) {
		size *= 2
		s.shift--
	}
	s.fill(size)
	for try := 0; try < 64 && s.collides(); try++ { // another factor often parts them
		s.factor = s.factor*0x85ebca6b | 1
		s.fill(size)
	}
	return s
}

func (s *NameSet) fill(size int) {
	s.table = make([]int16, size)
	for i := len(s.names) - 1; i >= 0; i-- {
		slot := s.slot(s.names[i].print)
		s.chain[i] = s.table[slot]
		s.table[slot] = int16(i + 1)
	}
}

func (s *NameSet) slot(print uint32) uint32 { return uint32(uint64(print*s.factor) >> s.shift) }

func (s *NameSet) collides() bool {
	for i, next := range s.chain {
		if next != 0 && s.names[next-1].print != s.names[i].print {
			return true
		}
	}
	return false
}

// Len returns the number of names.
func (s *NameSet) Len() int { return len(s.names) }

// Select sets dst[i] to the value of the last member of object that has name i of the set, or to None, in
// one pass. dst must be as long as the set. Without an object all are None.
func (t *Tape) Select(dst []Ref, object Ref, set *NameSet) {
	dst = dst[:len(set.names)]
	for i := range dst {
		dst[i] = None
	}
	if t.Kind(object) != Object {
		return
	}
	nodes := t.nodes[:t.nodes[object].next]
	for i := uint32(object) + 1; i+1 < uint32(len(nodes)); i = nodes[i+1].next {
		n := &nodes[i]
		for k := set.table[set.slot(n.next)]; k != 0; k = set.chain[k-1] {
			if name := &set.names[k-1]; name.print == n.next && t.nameIs(n, name.text) {
				dst[k-1] = Ref(i + 1)
			}
		}
	}
}

// Duplicate returns the first member of object whose name an earlier member has, or None.
func (t *Tape) Duplicate(object Ref) Ref {
	if t.Kind(object) != Object {
		return None
	}
	if t.Len(object) > 32 {
		return t.duplicateAmongMany(object)
	}
	for r := t.First(object); r != None; r = t.After(object, r) {
		for earlier := t.First(object); earlier != r; earlier = t.After(object, earlier) {
			if t.nodes[r-1].next == t.nodes[earlier-1].next && t.sameText(&t.nodes[r-1], &t.nodes[earlier-1]) {
				return r
			}
		}
	}
	return None
}

func (t *Tape) duplicateAmongMany(object Ref) Ref {
	seen := make(map[string]struct{})
	for r := t.First(object); r != None; r = t.After(object, r) {
		name := string(t.AppendName(nil, r))
		if _, ok := seen[name]; ok {
			return r
		}
		seen[name] = struct{}{}
	}
	return None
}

func (t *Tape) sameText(a, b *node) bool {
	if (a.flags|b.flags)&flagEscaped == 0 {
		return string(t.src[a.start:a.end]) == string(t.src[b.start:b.end])
	}
	return string(t.appendText(nil, a)) == string(t.appendText(nil, b))
}
