package gql

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// payload is the object types that the value at a path can be, each once, by name. An interface that no object
// implements, or a leaf, stands for itself; empty where no type says what is there.
type payload []*Type

func payloadOf(t *Type) payload {
	var p payload
	return p.with(t).sorted()
}

// with adds what values of a type can be.
func (p payload) with(t *Type) payload {
	all := t.Possible
	if len(all) == 0 {
		all = []*Type{t}
	}
	for _, one := range all {
		if !slices.Contains(p, one) {
			p = append(p, one)
		}
	}
	return p
}

func (p payload) sorted() payload {
	slices.SortFunc(p, func(a, b *Type) int { return cmp.Compare(a.Name, b.Name) })
	return p
}

// key is equal for equal payloads.
func (p payload) key() string {
	names := make([]string, len(p))
	for i, t := range p {
		names[i] = t.Name
	}
	return strings.Join(names, " ")
}

// at returns what the value at a member can be, and a field of list type that reads it, nil if there is none.
func (p payload) at(member string) (inner payload, list *Field) {
	for _, t := range p {
		for _, f := range t.Fields {
			if f.From != member {
				continue
			}
			if f.Type.Elem != nil && list == nil {
				list = f
			}
			inner = inner.with(f.Type.Name())
		}
	}
	return inner.sorted(), list
}

// member returns the member of data that a name stands for: what the fields of that name read, else the name under the
// naming rule. problem says which of them read different members, "" if none do.
func (s *Schema) member(p payload, name string) (member, problem string) {
	var first *Field
	for _, t := range p {
		f := t.Field(name)
		switch {
		case f == nil:
		case first == nil:
			first = f
		case f.From != first.From:
			return first.From, fmt.Sprintf("%s.%s reads %q, but %s.%s reads %q", first.Parent.Name, name, first.From, f.Parent.Name, name, f.From)
		}
	}
	switch {
	case first != nil:
		return first.From, ""
	case s.snakeCase:
		return snakeCase(name), ""
	}
	return name, ""
}

// Reads reports whether a field reads a member of data. A field of an interface reads what it does in the objects that
// the interface can be.
func (f *Field) Reads(member string) bool {
	if f.Parent == nil || f.Parent.Kind != InterfaceType || len(f.Parent.Possible) == 0 {
		return f.From == member
	}
	return slices.ContainsFunc(f.Parent.Possible, func(t *Type) bool {
		own := t.Field(f.Name)
		return own != nil && own.From == member
	})
}

// reads returns the field that reads a member of data, or nil; of a union the field of any possible type.
func (t *Type) reads(member string) *Field {
	for _, f := range t.Fields {
		if f.Reads(member) {
			return f
		}
	}
	if t.Kind == UnionType {
		for _, p := range t.Possible {
			if f := p.reads(member); f != nil {
				return f
			}
		}
	}
	return nil
}

// checkFrom refuses a @from on a field of an interface that says otherwise than the objects, which read.
func (l *loader) checkFrom(f *Field, u *use) {
	for _, t := range f.Parent.Possible {
		if own := t.Field(f.Name); own != nil && own.From != f.From {
			l.errorAt(u.pos, fmt.Sprintf("@from(path: %q) on %s.%s has no effect: %s.%s reads %q; @from belongs on the fields of object types",
				f.From, f.Parent.Name, f.Name, t.Name, f.Name, own.From))
			return
		}
	}
}
