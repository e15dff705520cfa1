package plan

import (
	"github.com/fraiseql/fraiseql-go/internal/filter"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
	"github.com/fraiseql/fraiseql-go/policy"
)

// argument is how an argument of the root field filters.
type argument struct {
	name     string
	path     []string
	op       filter.Op
	leaf     scalar.Leaf
	equality int                  // index into Plan.Equality, -1 for none
	needs    []policy.Requirement // who may filter by it
	where    *whereArgument       // instead of path, op and leaf
}

// whereArgument is a @where.
type whereArgument struct {
	filter  *gql.Filter
	payload *gql.Type
	keys    []whereKey
}

// whereKey is `eq` and `in` of a member at the top level of a @where: as good as an argument.
type whereKey struct {
	member   string
	equality int
	in       bool // `in` compares by the type of the key, too
}

// compileArguments finds the arguments that filter and what of them can be an index key.
func (p *Plan) compileArguments() {
	if p.Root == nil {
		p.compileUntypedArguments()
		return
	}
	payload := p.Root.Type.Name()
	for _, def := range p.Root.Args {
		switch {
		case def.Match != nil:
			a := argument{name: def.Name, path: def.Match.Path, op: def.Match.Op, leaf: def.Match.Leaf, equality: -1}
			if a.op == filter.EQ && def.Type.Elem == nil || a.op == filter.IN && def.Type.Elem != nil {
				a.equality = p.addEquality(a.path, a.leaf, a.name)
			}
			n := needs{payload: payload}
			n.path(a.path, a.op != filter.Exists)
			a.needs = n.list
			p.guarded = p.guarded || len(a.needs) > 0
			p.args = append(p.args, a)
		case def.Where != nil:
			p.args = append(p.args, argument{name: def.Name, equality: -1, where: p.compileWhere(def, payload)})
			p.guarded = p.guarded || guards(p.Operation.Document.Schema)
		}
	}
}

// guards reports whether any part of a schema asks something of the caller.
func guards(s *gql.Schema) bool {
	for _, t := range s.Types {
		if !t.Access.Open() {
			return true
		}
		for _, f := range t.Fields {
			if !f.Access.Open() {
				return true
			}
		}
	}
	return false
}

// compileUntypedArguments: without a schema every argument is an equality.
func (p *Plan) compileUntypedArguments() {
	leaf := scalar.Leaf{Kind: scalar.Untyped}
	for i := range p.root.Args {
		name := p.root.Args[i].Name
		path := []string{name}
		p.args = append(p.args, argument{name: name, path: path, op: filter.EQ, leaf: leaf, equality: p.addEquality(path, leaf, name)})
	}
}

func (p *Plan) addEquality(path []string, leaf scalar.Leaf, name string) int {
	p.Equality = append(p.Equality, KeyPath{Path: path, Leaf: leaf, Name: name})
	return len(p.Equality) - 1
}

func (p *Plan) compileWhere(def *gql.Argument, payload *gql.Type) *whereArgument {
	w := &whereArgument{filter: def.Where, payload: payload}
	for _, in := range def.Type.Name().Inputs {
		named := in.Type.Name()
		if combines(in.Name) || !named.WhereLeaf() {
			continue
		}
		operand, list := named.Input("eq"), named.Input("in")
		if operand == nil {
			operand = list
		}
		if operand == nil {
			continue
		}
		of := operand.Type.Name()
		at := p.addEquality([]string{def.Where.Members[in.Name].Member}, of.Leaf, def.Name+"."+in.Name)
		w.keys = append(w.keys, whereKey{in.Name, at, list != nil && alike(of, list.Type.Name())})
	}
	return w
}

// alike reports whether two leaf types coerce alike, so that equal values have equal keys.
func alike(a, b *gql.Type) bool {
	return a == b || a.Leaf.Kind == b.Leaf.Kind && a.Leaf.Kind != scalar.Enum
}

// Requirements returns what check 5 asks of the subscriber: for the selection through all fragments, and for
// what the given arguments filter by. Who may not read a field may not filter by it: there, deny: MASK is a
// refusal too. vars is the object made by CoerceVariables. The result must not be changed.
func (p *Plan) Requirements(vars Variables) []policy.Requirement {
	if !p.guarded {
		return p.requirements
	}
	list := p.requirements
	list = list[:len(list):len(list)]
	s := getScratch()
	defer s.free()
	args, errs := s.arguments(p.root, vars)
	if errs != nil {
		return list // Bind reports them
	}
	for i := range p.args {
		a := &p.args[i]
		node := args.Member(rootNode, a.name)
		switch {
		case !given(args, node):
		case a.where == nil:
			list = append(list, a.needs...)
		default:
			n := needs{payload: a.where.payload}
			w := whereReader{tape: args, needs: &n}
			w.object(a.where.filter, node)
			list = append(list, n.list...)
		}
	}
	return list
}
