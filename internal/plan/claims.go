package plan

import (
	"github.com/fraiseql/fraiseql-go/internal/filter"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
	"github.com/fraiseql/fraiseql-go/policy"
)

// claimSite is a field whose arguments may claim a user or a tenant.
type claimSite struct {
	field *gql.FieldSelection
	args  []*gql.Argument // nil without a schema: all
}

// claim notes a selected field if its arguments may hold claims, in whatever value a variable brings.
func (w *walker) claim(f *gql.FieldSelection) {
	p := w.plan
	if f.Field == nil {
		if len(f.Args) > 0 {
			p.claims = append(p.claims, claimSite{field: f})
		}
		return
	}
	site := claimSite{field: f}
	for _, a := range f.Field.Args {
		if p.mayClaim(a, map[*gql.Type]bool{}) {
			site.args = append(site.args, a)
		}
	}
	if len(site.args) > 0 {
		p.claims = append(p.claims, site)
	}
}

func (p *Plan) mayClaim(a *gql.Argument, seen map[*gql.Type]bool) bool {
	if a.Unscoped {
		return false
	}
	if _, claims := p.scope.Match(a.Name); claims {
		return true
	}
	t := a.Type.Name()
	if t.Kind == gql.ScalarType {
		return t.Leaf.Kind == scalar.Custom
	}
	if seen[t] {
		return false
	}
	seen[t] = true
	for _, in := range t.Inputs {
		if p.mayClaim(in, seen) {
			return true
		}
	}
	return false
}

// Claims appends what check 1 must verify: the user and tenant values given in arguments, input members at
// any depth, filters, and, without a schema, variables, those that the document does not define too. vars is
// the object made by CoerceVariables, sent the one of the request; nil stands for none.
//
// An argument that filters by another operator than EQ, IN, CONTAINS or CONTAINS_ANY could reach others' events
// with the caller's own value (NE, LT, …): such a claim is invalid, within an object that is compared, too. So is
// every operator but eq and in in a @where, and anything under its `not`. @unscoped exempts an argument or member with all that is in it.
func (p *Plan) Claims(dst []policy.Claim, vars, sent Variables) []policy.Claim {
	schemaless := p.Root == nil
	if len(p.claims) == 0 && !schemaless {
		return dst
	}
	s := getScratch()
	defer s.free()
	c := claimer{scope: &p.scope, claims: dst}
	for i := range p.claims {
		site := &p.claims[i]
		args, errs := s.arguments(site.field, vars)
		if errs != nil {
			continue // Bind reports those of the root field; others have no effect
		}
		c.tape = args
		if site.args == nil {
			c.untyped(rootNode)
		}
		for _, a := range site.args {
			c.argument(a, args.Member(rootNode, a.Name))
		}
	}
	for _, c.tape = range [...]Variables{vars, sent} {
		if schemaless && c.tape != nil {
			c.untyped(rootNode)
		}
	}
	return c.claims
}

// claimer walks values for claims.
type claimer struct {
	scope  *policy.ScopeNames
	tape   *jsontape.Tape
	claims []policy.Claim
}

// argument looks at an argument or a member of an input object.
func (c *claimer) argument(a *gql.Argument, r jsontape.Ref) {
	if a.Unscoped || !given(c.tape, r) {
		return
	}
	if tenant, claims := c.scope.Match(a.Name); claims {
		if a.Match != nil && !ownOnly(a.Match.Op) {
			c.invalid(tenant, a.Name)
			return
		}
		c.value(tenant, a.Name, r)
		return
	}
	switch t := a.Type.Name(); {
	case a.Where != nil:
		c.where(t, r, false)
	case t.Kind == gql.InputType:
		c.members(t, r)
	default:
		c.compared(r, a.Match == nil || ownOnly(a.Match.Op))
	}
}

// ownOnly reports whether an operator with the caller's own value selects what is the caller's.
func ownOnly(op filter.Op) bool {
	return op == filter.EQ || op == filter.IN || op == filter.Contains || op == filter.ContainsAny
}

// members looks at an input object, or lists of them.
func (c *claimer) members(t *gql.Type, r jsontape.Ref) {
	object := c.tape.Kind(r) == jsontape.Object
	for m := c.tape.First(r); m != jsontape.None; m = c.tape.After(r, m) {
		if !object {
			c.members(t, m)
		} else if in := t.Input(string(c.tape.AppendName(nil, m))); in != nil {
			c.argument(in, m)
		}
	}
}

// where looks at a filter.
func (c *claimer) where(t *gql.Type, r jsontape.Ref, negated bool) {
	object := c.tape.Kind(r) == jsontape.Object
	for m := c.tape.First(r); m != jsontape.None; m = c.tape.After(r, m) {
		if !object {
			c.where(t, m, negated)
			continue
		}
		in := t.Input(string(c.tape.AppendName(nil, m)))
		if in == nil || in.Unscoped || !given(c.tape, m) {
			continue
		}
		tenant, claims := c.scope.Match(in.Name)
		switch {
		case combines(in.Name):
			c.where(in.Type.Name(), m, negated || in.Name == "not")
		case claims:
			c.operators(tenant, in, m, negated)
		case !in.Type.Name().WhereLeaf():
			c.where(in.Type.Name(), m, negated)
		default:
			c.operands(in.Type.Name(), m, negated)
		}
	}
}

// operands looks into the values that a leaf of a filter is compared with: those of a custom scalar may be
// objects that hold claims.
func (c *claimer) operands(leaf *gql.Type, r jsontape.Ref, negated bool) {
	for m := c.tape.First(r); m != jsontape.None; m = c.tape.After(r, m) {
		op := leaf.Input(string(c.tape.AppendName(nil, m)))
		if op == nil || op.Unscoped || !given(c.tape, m) {
			continue
		}
		c.compared(m, !negated && (op.Name == "eq" || op.Name == "in"))
	}
}

// compared looks into a value that something is compared with: where that reaches what is not the caller's, its claims are
// invalid.
func (c *claimer) compared(r jsontape.Ref, own bool) {
	before := len(c.claims)
	c.untyped(r)
	for i := range c.claims[before:] {
		c.claims[before+i].Invalid = c.claims[before+i].Invalid || !own
	}
}

// operators looks at the leaf of a filter that a claim stands in.
func (c *claimer) operators(tenant bool, in *gql.Argument, r jsontape.Ref, negated bool) {
	for m := c.tape.First(r); m != jsontape.None; m = c.tape.After(r, m) {
		op := in.Type.Name().Input(string(c.tape.AppendName(nil, m)))
		if op == nil || op.Unscoped || !given(c.tape, m) {
			continue
		}
		if negated || op.Name != "eq" && op.Name != "in" {
			c.invalid(tenant, in.Name)
		} else {
			c.value(tenant, in.Name, m)
		}
	}
}

// untyped looks at JSON whose type is not known.
func (c *claimer) untyped(r jsontape.Ref) {
	object := c.tape.Kind(r) == jsontape.Object
	for m := c.tape.First(r); m != jsontape.None; m = c.tape.After(r, m) {
		if !object {
			c.untyped(m)
			continue
		}
		name := string(c.tape.AppendName(nil, m))
		if tenant, claims := c.scope.Match(name); !claims {
			c.untyped(m)
		} else if given(c.tape, m) {
			c.value(tenant, name, m)
		}
	}
}

// value makes a claim of a scalar, or of a list of scalars that must all be the caller's.
func (c *claimer) value(tenant bool, name string, r jsontape.Ref) {
	claim := policy.Claim{Tenant: tenant, Name: name}
	add := func(r jsontape.Ref) {
		switch {
		case c.tape.Kind(r) == jsontape.String:
			claim.Values = append(claim.Values, string(c.tape.AppendString(nil, r)))
		case c.tape.IsInteger(r):
			claim.Values = append(claim.Values, string(c.tape.Raw(r)))
		default:
			claim.Invalid = true
		}
	}
	if c.tape.Kind(r) == jsontape.Array {
		for e := c.tape.First(r); e != jsontape.None; e = c.tape.After(r, e) {
			add(e)
		}
	} else {
		add(r)
	}
	c.claims = append(c.claims, claim)
}

func (c *claimer) invalid(tenant bool, name string) {
	c.claims = append(c.claims, policy.Claim{Tenant: tenant, Name: name, Invalid: true})
}
