package jsontape

import "math"

// NameSet is a set of member names that are looked up together: what a projection reads of an object. Made
// by MakeNameSet, immutable.
type NameSet struct {
	names []selected
	// index leads from 5 bits of a fingerprint's hash to the first name with these bits, counted from 1.
	index [32]uint8
}

// selected is a name with the next of the same bits, counted from 1.
type selected struct {
	Name
	next uint8
}

// MaxNameSet is how many names a set may hold.
const MaxNameSet = 64

// MakeNameSet prepares a set; Select finds names[i] in found[i]. More than MaxNameSet names panic.
func MakeNameSet(names []string) NameSet {
	if len(names) > min(MaxNameSet, math.MaxUint8) {
		panic("jsontape: too many names in a set")
	}
	s := NameSet{names: make([]selected, len(names))}
	for i, text := range names {
		name := MakeName(text)
		slot := &s.index[spread(name.print)]
		s.names[i] = selected{name, *slot}
		*slot = uint8(i + 1)
	}
	return s
}

// Len returns how many names the set holds.
func (s *NameSet) Len() int { return len(s.names) }

func spread(print uint32) uint32 { return print * 0x9e3779b1 >> 27 }

// Select looks up every name of the set in one scan over an object's members: found[i] becomes the value of
// the last member of name i, or None. found must have room for the set. Anything but an object has no members.
func (t *Tape) Select(object Ref, set *NameSet, found []Ref) {
	found = found[:len(set.names)]
	for i := range found {
		found[i] = None
	}
	if t.Kind(object) != Object {
		return
	}
	names := set.names
	nodes := t.nodes[:t.nodes[object].next]
	guess := 0 // members often come in the order of the set
	for i := int(object) + 1; i+1 < len(nodes); {
		n := &nodes[i]
		if uint(guess) < uint(len(names)) {
			if s := &names[guess]; s.print == n.next && (len(s.text) <= 3 || t.textIs(n, s.text)) {
				found[guess] = Ref(i + 1)
				guess++
				i = int(nodes[i+1].next)
				continue
			}
		}
		for k := int(set.index[spread(n.next)]) - 1; uint(k) < uint(len(names)); k = int(names[k].next) - 1 {
			// Equal fingerprints mean equal lengths, first and last bytes: up to three bytes they are the name.
			if s := &names[k]; s.print == n.next && (len(s.text) <= 3 || t.textIs(n, s.text)) {
				found[k] = Ref(i + 1)
				guess = k + 1
				break
			}
		}
		i = int(nodes[i+1].next)
	}
}
