package gql

import (
	"fmt"
	"slices"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/fraiseql/fraiseql-go/internal/filter"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
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
	if named.WhereLeaf() {
		l.errorAt(pos, fmt.Sprintf("%s: %s has operators only; the members of a filter name members of data", coordinate, named.Name))
		return
	}
	w := whereCheck{loader: l, made: map[whereAt]*Filter{}, leaves: map[*Type]bool{}}
	a.Where = w.filter(named, payloadOf(payload))
	w.defaults(a)
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

type whereAt struct {
	input   *Type
	payload string // its key
}

// whereCheck walks the input types of a filter; they may contain themselves.
type whereCheck struct {
	*loader
	made   map[whereAt]*Filter
	order  []*Filter
	leaves map[*Type]bool
	faulty bool // a default of an operator is
}

func (w *whereCheck) report(in *Argument, t *Type, message string) {
	w.errs = append(w.errs, &SchemaError{Position: in.Position, Message: fmt.Sprintf("@where filter %s.%s: %s", t.Name, in.Name, message)})
}

// filter checks an input object that names members of data, or combines.
func (w *whereCheck) filter(t *Type, p payload) *Filter {
	at := whereAt{t, p.key()}
	if f := w.made[at]; f != nil {
		return f
	}
	f := &Filter{Members: make(map[string]FilterMember, len(t.Inputs))}
	w.made[at] = f
	w.order = append(w.order, f)
	for _, in := range t.Inputs {
		if m, ok := w.combining(in, t, p); ok {
			f.Members[in.Name] = m
		} else if m, ok := w.member(in, t, p); ok {
			f.Members[in.Name] = m
		}
	}
	return f
}

// combining checks a member that combines filters; ok is false for others.
func (w *whereCheck) combining(in *Argument, t *Type, p payload) (m FilterMember, ok bool) {
	named, list := in.Type.Name(), in.Type.Elem != nil
	switch in.Name {
	case "and", "or":
		if !list || in.Type.Elem.Elem != nil || named.Kind != InputType {
			w.report(in, t, fmt.Sprintf("%s takes a list of filters, not %s", in.Name, in.Type))
			return m, true
		}
	case "not":
		if list || named.Kind != InputType {
			w.report(in, t, fmt.Sprintf("not takes one filter, not %s", in.Type))
			return m, true
		}
	default:
		return m, false
	}
	return FilterMember{Input: in, Filter: w.filter(named, p)}, true
}

// member checks a member that names a member of data: an object of operators, or one that nests.
func (w *whereCheck) member(in *Argument, t *Type, p payload) (m FilterMember, ok bool) {
	named := in.Type.Name()
	if in.Type.Elem != nil || named.Kind != InputType {
		problem := fmt.Sprintf("it needs an input object of operators or of nested members, not %s", in.Type)
		if _, ok := WhereOp(in.Name); ok {
			problem = fmt.Sprintf("it is an operator, but not all members of %s are", t.Name)
		}
		w.report(in, t, problem+operatorHint(in.Name, t))
		return m, false
	}
	name, problem := w.schema.member(p, in.Name)
	if problem != "" {
		w.report(in, t, problem+": a filter by that name cannot say which of them it compares")
		return m, false
	}
	m = FilterMember{Input: in, Member: name}
	if named.WhereLeaf() {
		w.leaf(named)
		return m, true
	}
	inner, list := p.at(name)
	if list != nil {
		w.report(in, t, fmt.Sprintf("the path crosses the list %s.%s", list.Parent.Name, list.Name))
		return m, false
	}
	m.Filter = w.filter(named, inner)
	return m, true
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
	if w.leaves[t] {
		return
	}
	w.leaves[t] = true
	for _, in := range t.Inputs {
		op, _ := WhereOp(in.Name)
		if problem := operatorProblem(op, in.Type); problem != "" {
			w.report(in, t, problem)
			w.faulty = true
			continue
		}
		w.checkDefault(in, func(tape *jsontape.Tape) error { return operand(in, op, tape, jsontape.Root) })
	}
}

// defaults checks the defaults of filters, which rest on those of operators.
func (w *whereCheck) defaults(a *Argument) {
	if w.faulty {
		return
	}
	for _, f := range w.order {
		for _, m := range f.Members {
			if m.Input != nil {
				w.checkDefault(m.Input, func(t *jsontape.Tape) error { return m.operands(t, jsontape.Root) })
			}
		}
	}
	w.checkDefault(a, func(t *jsontape.Tape) error { return a.Where.operands(t, jsontape.Root) })
}

func (w *whereCheck) checkDefault(in *Argument, check func(*jsontape.Tape) error) {
	if err := defaultProblem(in, check); err != nil {
		w.errorAt(w.pending[in].value.Position, fmt.Sprintf("default of %s: %v", in.Name, err))
		w.faulty = true
	}
}

// operands says what an operator finds wrong with a value of a filter.
func (f *Filter) operands(t *jsontape.Tape, r jsontape.Ref) error {
	for m := t.First(r); m != jsontape.None; m = t.After(r, m) {
		if err := f.Members[string(t.AppendName(nil, m))].operands(t, m); err != nil {
			return err
		}
	}
	return nil
}

func (m FilterMember) operands(t *jsontape.Tape, r jsontape.Ref) error {
	switch {
	case m.Input == nil || t.Kind(r) == jsontape.Null:
		return nil
	case m.Filter == nil:
		return leafOperands(m.Input.Type.Name(), t, r)
	case m.Input.Type.Elem == nil:
		return m.Filter.operands(t, r)
	}
	for e := t.First(r); e != jsontape.None; e = t.After(r, e) {
		if err := m.Filter.operands(t, e); err != nil {
			return err
		}
	}
	return nil
}

func leafOperands(leaf *Type, t *jsontape.Tape, r jsontape.Ref) error {
	for m := t.First(r); m != jsontape.None; m = t.After(r, m) {
		in := leaf.Input(string(t.AppendName(nil, m)))
		if in == nil {
			continue
		}
		op, _ := WhereOp(in.Name)
		if err := operand(in, op, t, m); err != nil {
			return err
		}
	}
	return nil
}
