package gql

import (
	"fmt"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// checkMerges wants the fields of one response key to be the same field with the same arguments, where no
// schema says which type conditions exclude each other (the typed documents have the parser's rule for it).
func checkMerges(doc *ast.QueryDocument) gqlerror.List {
	m := merges{doc: doc}
	for _, op := range doc.Operations {
		m.object([]ast.SelectionSet{op.SelectionSet})
	}
	return m.errs
}

type merges struct {
	doc  *ast.QueryDocument
	errs gqlerror.List
}

// object checks the fields that share a parent, then those below each key. checkLimits has bounded both.
func (m *merges) object(sets []ast.SelectionSet) {
	byKey := map[string][]*ast.Field{}
	var keys []string
	spread := map[string]bool{}
	var collect func(set ast.SelectionSet)
	collect = func(set ast.SelectionSet) {
		for _, sel := range set {
			switch sel := sel.(type) {
			case *ast.Field:
				if byKey[sel.Alias] == nil {
					keys = append(keys, sel.Alias)
				}
				byKey[sel.Alias] = append(byKey[sel.Alias], sel)
			case *ast.InlineFragment:
				collect(sel.SelectionSet)
			case *ast.FragmentSpread:
				if f := m.doc.Fragments.ForName(sel.Name); f != nil && !spread[sel.Name] {
					spread[sel.Name] = true
					collect(f.SelectionSet)
				}
			}
		}
	}
	for _, set := range sets {
		collect(set)
	}
	for _, key := range keys {
		fields := byKey[key]
		var inner []ast.SelectionSet
		for _, f := range fields {
			m.same(fields[0], f)
			if len(f.SelectionSet) > 0 {
				inner = append(inner, f.SelectionSet)
			}
		}
		if len(inner) > 0 {
			m.object(inner)
		}
	}
}

func (m *merges) same(a, b *ast.Field) {
	why := ""
	switch {
	case a == b:
		return
	case a.Name != b.Name:
		why = fmt.Sprintf(`"%s" and "%s" are different fields`, a.Name, b.Name)
	case !sameArguments(a.Arguments, b.Arguments):
		why = "they have differing arguments"
	case (len(a.SelectionSet) == 0) != (len(b.SelectionSet) == 0):
		why = "one selects the whole value and the other parts of it"
	default:
		return
	}
	m.errs = append(m.errs, &gqlerror.Error{
		Rule:    "OverlappingFieldsCanBeMerged",
		Message: fmt.Sprintf(`Fields "%s" conflict because %s. Use different aliases on the fields to fetch both if this was intentional.`, a.Alias, why),
		Locations: []gqlerror.Location{
			{Line: a.Position.Line, Column: a.Position.Column}, {Line: b.Position.Line, Column: b.Position.Column},
		},
	})
}

func sameArguments(a, b ast.ArgumentList) bool {
	if len(a) != len(b) {
		return false
	}
	for _, x := range a {
		y := b.ForName(x.Name)
		if y == nil || x.Value.String() != y.Value.String() {
			return false
		}
	}
	return true
}
