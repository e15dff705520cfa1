package plan

import (
	"slices"

	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

// anyValue copies JSON.
var anyValue = &scalar.Leaf{Kind: scalar.Custom}

// untyped compiles a field without a schema (docs/reference/directives.md): without a selection its value is copied whole; with
// one, lists are mapped and a missing member is null. A type condition holds if the value has no __typename or
// an equal one.
func (c *compiler) untyped(fields []*gql.FieldSelection, lists [][]gql.Selection) value {
	name := fields[0].Name
	if len(lists) == 0 {
		return value{kind: leafValue, leaf: anyValue, field: name}
	}
	ch := &choice{bare: c.untypedObject("", lists, func(string) bool { return true })}
	named := conditionNames(lists, nil, map[*gql.Selection]bool{})
	if len(named) == 0 {
		return value{kind: untypedValue, choice: ch, field: name}
	}
	for _, typ := range named {
		ch.objects = append(ch.objects, c.untypedObject(typ, lists, func(s string) bool { return s == typ }))
	}
	ch.other = c.untypedObject("", lists, func(string) bool { return false })
	ch.indexNames()
	return value{kind: untypedValue, choice: ch, field: name}
}

func (c *compiler) untypedObject(typ string, lists [][]gql.Selection, condition func(string) bool) *object {
	groups, ok := c.collect(lists, func(f *gql.FragmentSelection) bool { return f.TypeName == "" || condition(f.TypeName) })
	if !ok {
		return &object{name: typ, failed: true}
	}
	key := c.objectKey(typ, groups)
	if o := c.objects[key]; o != nil {
		return o
	}
	o := &object{name: typ}
	c.objects[key] = o
	b := builder{object: o}
	for _, g := range groups {
		if c.size++; c.size > maxProgram {
			break
		}
		b.member(g.key, g.fields[0].Name, 0, c.untyped(g.fields, g.lists()))
	}
	b.close()
	return o
}

// conditionNames lists the types that conditions of these selection sets name, fragments included.
func conditionNames(lists [][]gql.Selection, names []string, seen map[*gql.Selection]bool) []string {
	for _, list := range lists {
		if len(list) == 0 || seen[&list[0]] {
			continue
		}
		seen[&list[0]] = true
		for i := range list {
			f := list[i].Fragment
			if f == nil {
				continue
			}
			if f.TypeName != "" && !slices.Contains(names, f.TypeName) {
				names = append(names, f.TypeName)
			}
			names = conditionNames([][]gql.Selection{f.Selections}, names, seen)
		}
	}
	return names
}
