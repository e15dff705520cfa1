package gql

import (
	"fmt"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/fraiseql/fraiseql-go/internal/filter"
)

// WhereOp returns the operator that a member of a leaf of a @where filter is; ok is false for other names.
func WhereOp(name string) (op filter.Op, ok bool) { return filter.ParseWhereName(name) }

// resolveWhere checks the input object of a @where argument.
func (l *loader) resolveWhere(a *Argument, pos *ast.Position, coordinate string, payload *Type) {
	named := a.Type.Name()
	if a.Type.Elem != nil || named.Kind != InputType {
		l.errorAt(pos, fmt.Sprintf("%s: @where needs an input object, not %s", coordinate, a.Type))
		return
	}
	a.Where = &Where{}
	w := whereCheck{loader: l, seen: map[whereAt]bool{}}
	if named.WhereLeaf() {
		l.errorAt(pos, fmt.Sprintf("%s: %s has operators only; the members of a filter name members of data", coordinate, named.Name))
		return
	}
	w.object(named, payload)
}

// WhereLeaf reports whether an input object is a leaf of a @where filter: all its members are operators.
func (t *Type) WhereLeaf() bool {
	for _, in := range t.Inputs {
		if _, ok := WhereOp(in.Name); !ok {
			return false
		}
	}
	return t.Kind == InputType && len(t.Inputs) > 0
}

type whereAt struct{ input, payload *Type }

// whereCheck walks the input types of a filter; they may contain themselves.
type whereCheck struct {
	*loader
	seen map[whereAt]bool
}

func (w *whereCheck) report(in *Argument, t *Type, message string) {
	w.errs = append(w.errs, &SchemaError{Position: in.Position, Message: fmt.Sprintf("@where filter %s.%s: %s", t.Name, in.Name, message)})
}

// object checks an input object that names members of data, or combines.
func (w *whereCheck) object(t, payload *Type) {
	if w.seen[whereAt{t, payload}] {
		return
	}
	w.seen[whereAt{t, payload}] = true
	for _, in := range t.Inputs {
		named, list := in.Type.Name(), in.Type.Elem != nil
		switch in.Name {
		case "and", "or":
			if !list || in.Type.Elem.Elem != nil || named.Kind != InputType {
				w.report(in, t, fmt.Sprintf("%s takes a list of filters, not %s", in.Name, in.Type))
				continue
			}
			w.object(named, payload)
			continue
		case "not":
			if list || named.Kind != InputType {
				w.report(in, t, fmt.Sprintf("not takes one filter, not %s", in.Type))
				continue
			}
			w.object(named, payload)
			continue
		}
		w.member(in, t, payload)
	}
}

// member checks a member that names a member of data: an object of operators, or one that nests.
func (w *whereCheck) member(in *Argument, t, payload *Type) {
	named := in.Type.Name()
	if in.Type.Elem != nil || named.Kind != InputType {
		problem := fmt.Sprintf("it needs an input object of operators or of nested members, not %s", in.Type)
		if _, ok := WhereOp(in.Name); ok {
			problem = fmt.Sprintf("it is an operator, but not all members of %s are", t.Name)
		}
		w.report(in, t, problem+operatorHint(in.Name, t))
		return
	}
	if named.WhereLeaf() {
		w.leaf(named)
		return
	}
	var inner *Type
	if payload != nil {
		if f := payload.reads(w.schema.Member(payload, in.Name)); f != nil {
			if f.Type.Elem != nil {
				w.report(in, t, fmt.Sprintf("the path crosses the list %s.%s", payload.Name, f.Name))
				return
			}
			inner = f.Type.Name()
		}
	}
	w.object(named, inner)
}

// operatorHint names the operators that a member looks like; where no other member is one, only those a letter away, for
// age is near gte.
func operatorHint(name string, t *Type) string {
	among := slices.ContainsFunc(t.Inputs, func(in *Argument) bool { _, ok := WhereOp(in.Name); return ok })
	var near []string
	for _, op := range filter.WhereNames() {
		d := editDistance(name, op)
		if d == 0 {
			return ""
		}
		if among || d == 1 && len(name) > 2 {
			near = append(near, op)
		}
	}
	if hint := didYouMean("the operator", name, near); hint != "" {
		return "." + hint
	}
	return ""
}

func (w *whereCheck) leaf(t *Type) {
	if w.seen[whereAt{t, nil}] {
		return
	}
	w.seen[whereAt{t, nil}] = true
	for _, in := range t.Inputs {
		op, _ := WhereOp(in.Name)
		if problem := operatorProblem(op, in.Type); problem != "" {
			w.report(in, t, problem)
		}
	}
}
