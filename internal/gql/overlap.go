package gql

import (
	"fmt"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// checkOverlaps applies "Field Selection Merging" (https://spec.graphql.org, 5.3.2). The usual way compares all
// pairs of fields of one response key, which a client can make expensive. Here fields of one key are compared
// with one of them only: to have the same shape, and to be the same field, are equivalence relations. Fields of
// two different object types never meet in one object, so that only their shapes must agree; those of an
// interface or union meet with all. Without a schema, where no type excludes another, all meet.
//
// budget bounds the fields looked at: where interfaces and objects alternate over many levels, the sets that
// must be merged multiply. ok is false when it is used up.
func (s *Schema) checkOverlaps(doc *ast.QueryDocument, budget int) (errs gqlerror.List, ok bool) {
	o := overlaps{schema: s, fragments: map[string]*ast.FragmentDefinition{}, budget: budget}
	for _, f := range doc.Fragments {
		o.fragments[f.Name] = f
	}
	check := func(set ast.SelectionSet) {
		o.shapes(o.collect([]ast.SelectionSet{set}))
		o.names(o.collect([]ast.SelectionSet{set}))
	}
	for _, op := range doc.Operations {
		check(op.SelectionSet)
	}
	for _, f := range doc.Fragments { // those that no operation spreads
		check(f.SelectionSet)
	}
	return o.errs, o.budget >= 0
}

type overlaps struct {
	schema    *Schema
	fragments map[string]*ast.FragmentDefinition
	budget    int
	errs      gqlerror.List
	open      [][]*ast.Field // the groups being checked: meeting one again is a cycle of fragments
}

// group is the fields of one response key.
type group struct {
	key    string
	fields []*ast.Field
}

// collect gathers the fields that share a parent, fragments expanded, by response key.
func (o *overlaps) collect(sets []ast.SelectionSet) []*group {
	var groups []*group
	index := map[string]*group{}
	spread := map[string]bool{}
	var walk func(set ast.SelectionSet)
	walk = func(set ast.SelectionSet) {
		for _, sel := range set {
			if o.budget--; o.budget < 0 {
				return
			}
			switch sel := sel.(type) {
			case *ast.Field:
				g := index[sel.Alias]
				if g == nil {
					g = &group{key: sel.Alias}
					index[sel.Alias] = g
					groups = append(groups, g)
				}
				g.fields = append(g.fields, sel)
			case *ast.InlineFragment:
				walk(sel.SelectionSet)
			case *ast.FragmentSpread:
				if f := o.fragments[sel.Name]; f != nil && !spread[sel.Name] {
					spread[sel.Name] = true
					walk(f.SelectionSet)
				}
			}
		}
	}
	for _, set := range sets {
		walk(set)
	}
	return groups
}

// below returns the selections of fields.
func below(fields []*ast.Field) []ast.SelectionSet {
	var sets []ast.SelectionSet
	for _, f := range fields {
		if len(f.SelectionSet) > 0 {
			sets = append(sets, f.SelectionSet)
		}
	}
	return sets
}

// enter calls next for what is below fields, unless they are being checked already.
func (o *overlaps) enter(fields []*ast.Field, next func([]*group)) {
	sets := below(fields)
	if len(sets) == 0 || o.budget < 0 {
		return
	}
	for _, open := range o.open {
		if slices.Equal(open, fields) {
			return
		}
	}
	o.open = append(o.open, fields)
	next(o.collect(sets))
	o.open = o.open[:len(o.open)-1]
}

// shapes wants all fields of one key to have the same shape, whatever their parents are.
func (o *overlaps) shapes(groups []*group) {
	for _, g := range groups {
		var first *ast.Field
		for _, f := range g.fields {
			switch {
			case o.schema.Schemaless:
				if first == nil {
					first = f
				} else if (len(first.SelectionSet) == 0) != (len(f.SelectionSet) == 0) {
					o.conflict(first, f, "one selects the whole value and the other parts of it")
				}
			case f.Definition == nil:
			case first == nil:
				first = f
			case !o.sameResponse(responseType(first), responseType(f)):
				o.conflict(first, f, fmt.Sprintf(`they return conflicting types "%s" and "%s"`, responseType(first), responseType(f)))
			}
		}
		o.enter(g.fields, o.shapes)
	}
}

// typename is the type of __typename. The parser's walk says that it may be null.
var typename = ast.NonNullNamedType("String", nil)

func responseType(f *ast.Field) *ast.Type {
	if f.Name == "__typename" {
		return typename
	}
	return f.Definition.Type
}

// sameResponse compares the shapes of two output types.
func (o *overlaps) sameResponse(a, b *ast.Type) bool {
	if a.NonNull != b.NonNull || (a.Elem == nil) != (b.Elem == nil) {
		return false
	}
	if a.Elem != nil {
		return o.sameResponse(a.Elem, b.Elem)
	}
	if a.NamedType == b.NamedType {
		return true
	}
	x, y := o.schema.ast.Types[a.NamedType], o.schema.ast.Types[b.NamedType]
	return x == nil || y == nil || !x.IsLeafType() && !y.IsLeafType()
}

// names wants the fields of one key that can meet in one object to be the same field with the same arguments.
func (o *overlaps) names(groups []*group) {
	for _, g := range groups {
		if len(g.fields) == 1 {
			o.enter(g.fields, o.names)
			continue
		}
		var everywhere []*ast.Field
		byParent := map[*ast.Definition][]*ast.Field{}
		var parents []*ast.Definition
		for _, f := range g.fields {
			if p := f.ObjectDefinition; p != nil && p.Kind == ast.Object && f.Definition != nil {
				if byParent[p] == nil {
					parents = append(parents, p)
				}
				byParent[p] = append(byParent[p], f)
			} else {
				everywhere = append(everywhere, f)
			}
		}
		if len(parents) == 0 {
			o.meeting(everywhere)
		}
		for _, p := range parents {
			o.meeting(append(everywhere[:len(everywhere):len(everywhere)], byParent[p]...))
		}
	}
}

// meeting checks fields that can meet.
func (o *overlaps) meeting(fields []*ast.Field) {
	first := fields[0]
	for _, f := range fields[1:] {
		if first.Name != f.Name {
			o.conflict(first, f, fmt.Sprintf(`"%s" and "%s" are different fields`, first.Name, f.Name))
		} else if !sameArguments(first.Arguments, f.Arguments) {
			o.conflict(first, f, "they have differing arguments")
		}
	}
	o.budget -= len(fields)
	o.enter(fields, o.names)
}

func (o *overlaps) conflict(a, b *ast.Field, why string) {
	if len(o.errs) > 4*maxErrors {
		return
	}
	o.errs = append(o.errs, &gqlerror.Error{
		Rule:    "OverlappingFieldsCanBeMerged",
		Message: fmt.Sprintf(`Fields "%s" conflict because %s. Use different aliases on the fields to fetch both if this was intentional.`, a.Alias, why),
		Locations: []gqlerror.Location{
			{Line: a.Position.Line, Column: a.Position.Column}, {Line: b.Position.Line, Column: b.Position.Column},
		},
	})
}

// sameArguments compares arguments whatever their order.
func sameArguments(a, b ast.ArgumentList) bool {
	if len(a) != len(b) {
		return false
	}
	for i, x := range a {
		y := b[i]
		if y.Name != x.Name {
			y = b.ForName(x.Name)
		}
		if y == nil || !sameValue(x.Value, y.Value) {
			return false
		}
	}
	return true
}

// sameValue compares literals; the members of objects have no order.
func sameValue(a, b *ast.Value) bool {
	if a.Kind != b.Kind || a.Raw != b.Raw || len(a.Children) != len(b.Children) {
		return false
	}
	for i, x := range a.Children {
		y := b.Children[i].Value
		if a.Kind == ast.ObjectValue && b.Children[i].Name != x.Name {
			if y = b.Children.ForName(x.Name); y == nil {
				return false
			}
		}
		if !sameValue(x.Value, y) {
			return false
		}
	}
	return true
}
