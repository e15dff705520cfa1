package gql

import (
	"fmt"
	"math"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/fraiseql/fraiseql-go/internal/code"
)

// literalDepth bounds the nesting of lists and objects in a literal: coerced values stay within the 64 levels
// of a tape.
const literalDepth = 48

// checkLimits bounds what the rules of validation and the plan will have to do, in time linear in the
// document: the depth of selections and of literals, the number of fields once fragments are expanded (a few
// fragments can stand for millions), and then, over that bounded number, the fields that share a parent.
func checkLimits(doc *ast.QueryDocument, lim Limits) *Error {
	c := limitCheck{doc: doc, lim: lim, fragments: map[string]*fragmentSize{}}
	for _, f := range doc.Fragments {
		if c.fragments[f.Name] == nil {
			c.fragments[f.Name] = &fragmentSize{def: f}
		}
	}
	for _, op := range doc.Operations {
		for _, v := range op.VariableDefinitions {
			c.value(v.DefaultValue, 1)
			c.directives(v.Directives)
		}
		c.directives(op.Directives)
		c.operation(op.SelectionSet, op.Position)
	}
	for _, f := range doc.Fragments { // those that no operation reaches, too: they are validated
		c.directives(f.Directives)
		c.operation(f.SelectionSet, f.Position)
	}
	return c.err
}

type limitCheck struct {
	doc       *ast.QueryDocument
	lim       Limits
	fragments map[string]*fragmentSize
	total     int // fields of all operations and fragments, expanded: what a walk visits
	err       *Error
}

// fragmentSize is what expanding a fragment costs, measured once.
type fragmentSize struct {
	def    *ast.FragmentDefinition
	state  uint8 // 0 not measured, 1 under way (meeting it again is a cycle), 2 measured
	depth  int
	fields int
}

func (c *limitCheck) fail(p *ast.Position, limit, format string, args ...any) {
	if c.err == nil {
		c.err = &Error{Code: code.LimitExceeded, Limit: limit, Message: fmt.Sprintf(format, args...), Locations: []Location{locationOf(p)}}
	}
}

func (c *limitCheck) operation(set ast.SelectionSet, at *ast.Position) {
	depth, fields := c.measure(set)
	switch {
	case c.err != nil:
	case depth > c.lim.Depth:
		c.fail(at, "document_depth", tooDeep, c.lim.Depth)
	case fields > c.lim.Fields:
		c.fail(at, "document_fields", tooManyFields, c.lim.Fields)
	case c.total+fields > 10*c.lim.Tokens:
		c.fail(at, "document_tokens", "The document's operations and fragments share fragments too often: they have more than 10 x %d fields (limits.document_tokens).", c.lim.Tokens)
	case fields > c.lim.Aliases:
		c.shared([]ast.SelectionSet{set})
	}
	c.total += fields
}

// measure returns the depth of a selection and its number of fields, fragments expanded.
func (c *limitCheck) measure(set ast.SelectionSet) (depth, fields int) {
	for _, sel := range set {
		d, n := 0, 0
		switch sel := sel.(type) {
		case *ast.Field:
			c.directives(sel.Directives)
			c.arguments(sel.Arguments)
			d, n = c.measure(sel.SelectionSet)
			d, n = d+1, n+1
		case *ast.InlineFragment:
			c.directives(sel.Directives)
			d, n = c.measure(sel.SelectionSet)
		case *ast.FragmentSpread:
			c.directives(sel.Directives)
			d, n = c.fragment(sel)
		}
		depth = max(depth, d)
		fields = min(fields+n, math.MaxInt32)
	}
	return depth, fields
}

func (c *limitCheck) fragment(spread *ast.FragmentSpread) (depth, fields int) {
	f := c.fragments[spread.Name]
	if f == nil {
		return 0, 0
	}
	if f.state == 1 {
		c.fail(spread.Position, "", "Cannot spread fragment %q within itself.", spread.Name)
		c.err.Code = code.ValidationFailed
		return 0, 0
	}
	if f.state == 0 {
		f.state = 1
		f.depth, f.fields = c.measure(f.def.SelectionSet)
		f.state = 2
	}
	return f.depth, f.fields
}

// shared counts the fields of each object of the response, wherever they were written.
func (c *limitCheck) shared(sets []ast.SelectionSet) {
	byKey := map[string][]*ast.Field{}
	var keys []string
	count := 0
	spread := map[string]bool{}
	var collect func(set ast.SelectionSet)
	collect = func(set ast.SelectionSet) {
		for _, sel := range set {
			switch sel := sel.(type) {
			case *ast.Field:
				if count++; count > c.lim.Aliases {
					c.fail(sel.Position, "document_aliases", tooManyAliases, c.lim.Aliases)
					return
				}
				if byKey[sel.Alias] == nil {
					keys = append(keys, sel.Alias)
				}
				byKey[sel.Alias] = append(byKey[sel.Alias], sel)
			case *ast.InlineFragment:
				collect(sel.SelectionSet)
			case *ast.FragmentSpread:
				if f := c.fragments[sel.Name]; f != nil && !spread[sel.Name] {
					spread[sel.Name] = true
					collect(f.def.SelectionSet)
				}
			}
			if c.err != nil {
				return
			}
		}
	}
	for _, set := range sets {
		collect(set)
	}
	if c.err != nil {
		return
	}
	for _, key := range keys {
		var inner []ast.SelectionSet
		for _, f := range byKey[key] {
			if len(f.SelectionSet) > 0 {
				inner = append(inner, f.SelectionSet)
			}
		}
		if len(inner) > 0 {
			c.shared(inner)
		}
	}
}

func (c *limitCheck) directives(list ast.DirectiveList) {
	for _, d := range list {
		c.arguments(d.Arguments)
	}
}

func (c *limitCheck) arguments(list ast.ArgumentList) {
	for _, a := range list {
		c.value(a.Value, 1)
	}
}

func (c *limitCheck) value(v *ast.Value, depth int) {
	if v == nil {
		return
	}
	if depth > literalDepth {
		c.fail(v.Position, "document_depth", "A value is more than %d levels deep.", literalDepth)
		return
	}
	for _, child := range v.Children {
		c.value(child.Value, depth+1)
	}
}
