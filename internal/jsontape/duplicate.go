package jsontape

// fewMembers is up to how many members comparing each with each is faster than a map.
const fewMembers = 32

// Duplicate returns the value of the first member of object whose name an earlier member has, or None: for
// objects in which a repeated name is refused.
func (t *Tape) Duplicate(object Ref) Ref {
	if t.Kind(object) != Object {
		return None
	}
	if t.Len(object) > fewMembers {
		return t.duplicateAmongMany(object)
	}
	for r := t.First(object); r != None; r = t.After(object, r) {
		for earlier := t.First(object); earlier != r; earlier = t.After(object, earlier) {
			if t.sameName(&t.nodes[earlier-1], &t.nodes[r-1]) {
				return r
			}
		}
	}
	return None
}

func (t *Tape) duplicateAmongMany(object Ref) Ref {
	seen := make(map[string]struct{})
	var buf [64]byte
	for r := t.First(object); r != None; r = t.After(object, r) {
		name := t.NameText(r, buf[:0])
		if _, ok := seen[string(name)]; ok {
			return r
		}
		seen[string(name)] = struct{}{}
	}
	return None
}

func (t *Tape) sameName(a, b *node) bool {
	if a.next != b.next {
		return false
	}
	var bufA, bufB [64]byte
	return string(t.text(a, bufA[:0])) == string(t.text(b, bufB[:0]))
}
