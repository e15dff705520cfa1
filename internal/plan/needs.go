package plan

import (
	"slices"

	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/policy"
)

// needs gathers the requirements of what filters of a payload compare: each coordinate once, and all of them refusals.
type needs struct {
	payload *gql.Type
	list    []policy.Requirement
	whole   map[*gql.Type]bool // types whose objects are compared
}

// path adds those of every field that reads a member on a path, in any type that the value there may have. What no field
// reads needs nothing: the author of the schema chose the path. What is at the end is compared with all that is in it,
// unless only its being there counts.
func (n *needs) path(path []string, compares bool) {
	types := withPossible(nil, n.payload)
	for _, segment := range path {
		var next []*gql.Type
		for _, t := range types {
			for _, f := range t.Fields {
				if f.Reads(segment) {
					n.add(t.Name, &t.Access)
					n.field(f)
					next = withPossible(next, f.Type.Name())
				}
			}
		}
		types = next
	}
	if compares {
		for _, t := range types {
			n.object(t)
		}
	}
}

// object adds those of a type, of its fields and of what these lead to.
func (n *needs) object(t *gql.Type) {
	if t.IsLeaf() || n.whole[t] {
		return
	}
	if n.whole == nil {
		n.whole = map[*gql.Type]bool{}
	}
	n.whole[t] = true
	n.add(t.Name, &t.Access)
	for _, f := range t.Fields {
		n.field(f)
		n.object(f.Type.Name())
	}
	for _, possible := range t.Possible {
		n.object(possible)
	}
}

func (n *needs) field(f *gql.Field) {
	n.add(fieldCoordinate(f), &f.Access)
	n.add(f.Type.Name().Name, &f.Type.Name().Access)
}

func (n *needs) add(coordinate string, need *gql.Access) {
	if need.Open() || slices.ContainsFunc(n.list, func(r policy.Requirement) bool { return r.Coordinate == coordinate }) {
		return
	}
	n.list = appendRequirements(n.list, coordinate, need, -1)
}

// withPossible appends a type and the object types that it can be, each once.
func withPossible(list []*gql.Type, t *gql.Type) []*gql.Type {
	if !slices.Contains(list, t) {
		list = append(list, t)
	}
	for _, possible := range t.Possible {
		if !slices.Contains(list, possible) {
			list = append(list, possible)
		}
	}
	return list
}
