package gql

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// checkRoots applies "Single Root Field" (https://spec.graphql.org, 5.2.4.1): a subscription selects exactly
// one field by response key once fragments are expanded, no introspection field, and no @skip or @include
// stands at that level. Fragments whose type condition does not apply are skipped.
func (s *Schema) checkRoots(doc *ast.QueryDocument) gqlerror.List {
	var errs gqlerror.List
	for _, op := range doc.Operations {
		if op.Operation != ast.Subscription || s.Subscription == nil && !s.Schemaless {
			continue
		}
		c := rootCheck{schema: s, doc: doc, visited: map[string]bool{}}
		c.collect(op.SelectionSet)
		who := "Anonymous Subscription"
		if op.Name != "" {
			who = `Subscription "` + op.Name + `"`
		}
		add := func(message string, at []*ast.Position) {
			e := &gqlerror.Error{Rule: "SingleFieldSubscriptions", Message: who + message}
			for _, p := range at {
				e.Locations = append(e.Locations, gqlerror.Location{Line: p.Line, Column: p.Column})
			}
			errs = append(errs, e)
		}
		if len(c.forbidden) > 0 {
			add(" must not use `@skip` or `@include` directives in the top level selection.", c.forbidden)
			continue
		}
		switch len(c.keys) {
		case 0:
			if c.cyclic {
				break // the rule about cycles has said so
			}
			add(" must select one top level field.", []*ast.Position{op.Position})
		case 1:
		default:
			var extra []*ast.Position
			for _, f := range c.fields {
				if f.Alias != c.keys[0] {
					extra = append(extra, f.Position)
				}
			}
			add(" must select only one top level field.", extra)
		}
		for _, f := range c.fields {
			if strings.HasPrefix(f.Name, "__") {
				add(" must not select an introspection top level field.", []*ast.Position{f.Position})
				break
			}
		}
	}
	return errs
}

// checkMeta keeps __schema and __type out of subscriptions. A payload may have a field of the query root's type, but those two
// are for the root of a query, and no event has a value for them.
func (s *Schema) checkMeta(doc *ast.QueryDocument) gqlerror.List {
	var errs gqlerror.List
	visited := map[string]bool{}
	var walk func(set ast.SelectionSet)
	walk = func(set ast.SelectionSet) {
		for _, sel := range set {
			switch sel := sel.(type) {
			case *ast.Field:
				if (sel.Name == "__schema" || sel.Name == "__type") && sel.Definition != nil {
					errs = append(errs, &gqlerror.Error{
						Rule:      "FieldsOnCorrectType",
						Message:   fmt.Sprintf("Cannot query field %q in a subscription.", sel.Name),
						Locations: []gqlerror.Location{{Line: sel.Position.Line, Column: sel.Position.Column}},
					})
				}
				walk(sel.SelectionSet)
			case *ast.InlineFragment:
				walk(sel.SelectionSet)
			case *ast.FragmentSpread:
				if visited[sel.Name] {
					continue
				}
				visited[sel.Name] = true
				if f := doc.Fragments.ForName(sel.Name); f != nil {
					walk(f.SelectionSet)
				}
			}
		}
	}
	for _, op := range doc.Operations {
		if op.Operation == ast.Subscription {
			walk(op.SelectionSet)
		}
	}
	return errs
}

type rootCheck struct {
	schema    *Schema
	doc       *ast.QueryDocument
	visited   map[string]bool
	open      []string // fragments being collected
	cyclic    bool
	keys      []string
	fields    []*ast.Field
	forbidden []*ast.Position
}

func (c *rootCheck) collect(set ast.SelectionSet) {
	for _, sel := range set {
		switch sel := sel.(type) {
		case *ast.Field:
			c.directives(sel.Directives)
			c.field(sel)
		case *ast.InlineFragment:
			c.directives(sel.Directives)
			if c.applies(sel.TypeCondition) {
				c.collect(sel.SelectionSet)
			}
		case *ast.FragmentSpread:
			c.directives(sel.Directives)
			f := c.doc.Fragments.ForName(sel.Name)
			c.cyclic = c.cyclic || slices.Contains(c.open, sel.Name)
			if f == nil || c.visited[sel.Name] {
				continue
			}
			c.visited[sel.Name] = true
			if c.applies(f.TypeCondition) {
				c.open = append(c.open, sel.Name)
				c.collect(f.SelectionSet)
				c.open = c.open[:len(c.open)-1]
			}
		}
	}
}

func (c *rootCheck) directives(list ast.DirectiveList) {
	for _, d := range list {
		if d.Name == "skip" || d.Name == "include" {
			c.forbidden = append(c.forbidden, d.Position)
		}
	}
}

func (c *rootCheck) field(f *ast.Field) {
	known := false
	for _, k := range c.keys {
		known = known || k == f.Alias
	}
	if !known {
		c.keys = append(c.keys, f.Alias)
	}
	c.fields = append(c.fields, f)
}

// applies reports whether a type condition holds for the subscription root.
func (c *rootCheck) applies(condition string) bool {
	if condition == "" || c.schema.Schemaless {
		return true
	}
	t := c.schema.Types[condition]
	if t == nil {
		return false
	}
	for _, p := range t.Possible {
		if p == c.schema.Subscription {
			return true
		}
	}
	return false
}
