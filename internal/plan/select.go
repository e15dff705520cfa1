package plan

import (
	"math"
	"slices"

	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/policy"
)

// compileSelection walks the whole selection once, fragments included, and gathers what does not depend on
// conditions: requirements of check 5, claims of check 1, and the variables that conditions read. A field
// under @skip counts: what a caller may select does not depend on variables.
func (p *Plan) compileSelection() {
	p.access.bits = map[string]int{}
	w := walker{plan: p, seen: map[*gql.Selection]bool{}}
	if p.Root != nil {
		w.require(p.Root)
	}
	w.claim(p.root)
	for _, list := range p.selections {
		w.selections(list)
	}
	p.requirements = p.access.list
}

// countFields counts the selected fields wherever their fragments are used.
func (p *Plan) countFields() {
	known := map[*gql.Selection]int{} // by the first selection of a list
	var count func([]gql.Selection) int
	count = func(list []gql.Selection) (n int) {
		if len(list) == 0 {
			return 0
		}
		if n, ok := known[&list[0]]; ok {
			return n
		}
		for i := range list {
			switch s := &list[i]; {
			case s.Field != nil:
				n += 1 + count(s.Field.Selections)
			case s.Fragment != nil:
				n += count(s.Fragment.Selections)
			}
		}
		n = min(n, math.MaxInt32/2)
		known[&list[0]] = n
		return n
	}
	p.Fields = 1
	for _, list := range p.selections {
		p.Fields = min(p.Fields+count(list), math.MaxInt32)
	}
}

type walker struct {
	plan *Plan
	seen map[*gql.Selection]bool // by the first selection of a list
}

func (w *walker) selections(list []gql.Selection) {
	if len(list) == 0 || w.seen[&list[0]] {
		return
	}
	w.seen[&list[0]] = true
	for i := range list {
		s := &list[i]
		for _, c := range s.Conditions {
			if c.Variable != "" && !slices.Contains(w.plan.conditions, c.Variable) {
				w.plan.conditions = append(w.plan.conditions, c.Variable)
			}
		}
		switch {
		case s.Field != nil:
			if s.Field.Field != nil {
				w.require(s.Field.Field)
			}
			w.claim(s.Field)
			if s.Field.Field != nil && usesVariables(s.Field) {
				w.plan.nested = append(w.plan.nested, s.Field)
			}
			w.selections(s.Field.Selections)
		case s.Fragment != nil:
			if s.Fragment.On != nil {
				w.plan.access.addType(s.Fragment.On)
			}
			w.selections(s.Fragment.Selections)
		}
	}
}

// usesVariables reports whether the coercion of a field's arguments may fail after validation.
func usesVariables(f *gql.FieldSelection) bool {
	var uses func(v *gql.Value) bool
	uses = func(v *gql.Value) bool {
		for i := range v.List {
			if uses(&v.List[i]) {
				return true
			}
		}
		for i := range v.Fields {
			if uses(&v.Fields[i].Value) {
				return true
			}
		}
		return v.Kind == gql.VariableValue
	}
	for i := range f.Args {
		if uses(&f.Args[i].Value) {
			return true
		}
	}
	return false
}

// require adds what a selected field needs: its own access, that of the type it stands in and of the type it
// returns, and through an interface the same in every possible type (check rbac of docs/security.md).
func (w *walker) require(f *gql.Field) {
	a := &w.plan.access
	a.addType(f.Parent)
	a.addField(f)
	a.addType(f.Type.Name())
	if f.Parent == nil || f.Parent.Kind != gql.InterfaceType {
		return
	}
	for _, t := range f.Parent.Possible {
		a.addType(t)
		if own := t.Field(f.Name); own != nil {
			a.addField(own)
			a.addType(own.Type.Name())
		}
	}
}

// access gathers requirements, one per coordinate, and gives those with deny: MASK their bit.
type access struct {
	list []policy.Requirement
	bits map[string]int // coordinate → mask bit, -1 where a refusal
}

func (a *access) addField(f *gql.Field) { a.add(fieldCoordinate(f), &f.Access) }

func (a *access) addType(t *gql.Type) {
	if t != nil {
		a.add(t.Name, &t.Access)
	}
}

func fieldCoordinate(f *gql.Field) string {
	if f.Parent == nil {
		return f.Name
	}
	return f.Parent.Name + "." + f.Name
}

// add appends the requirements of one coordinate. Beyond 64 masks, falling short is a refusal: that denies
// more, never less.
func (a *access) add(coordinate string, need *gql.Access) {
	if need.Open() {
		return
	}
	if _, done := a.bits[coordinate]; done {
		return
	}
	bit := -1
	if need.Mask && len(need.Roles) > 0 {
		if used := a.masks(); used < 64 {
			bit = used
		}
	}
	a.bits[coordinate] = bit
	a.list = appendRequirements(a.list, coordinate, need, bit)
}

func (a *access) masks() (n int) {
	for _, bit := range a.bits {
		if bit >= 0 {
			n++
		}
	}
	return n
}

// appendRequirements turns an access into requirements: mask stands for roles only.
func appendRequirements(dst []policy.Requirement, coordinate string, need *gql.Access, bit int) []policy.Requirement {
	if bit < 0 {
		return append(dst, policy.Requirement{Coordinate: coordinate, Authenticated: need.Authenticated,
			Scopes: need.Scopes, Roles: need.Roles, MaskBit: -1})
	}
	if need.Authenticated || len(need.Scopes) > 0 {
		dst = append(dst, policy.Requirement{Coordinate: coordinate, Authenticated: need.Authenticated,
			Scopes: need.Scopes, MaskBit: -1})
	}
	return append(dst, policy.Requirement{Coordinate: coordinate, Roles: need.Roles, MaskBit: bit})
}

// maskOf returns the bits that make a field null; none for nil.
func (a *access) maskOf(f *gql.Field) policy.Mask {
	if f == nil {
		return 0
	}
	m := a.maskAt(fieldCoordinate(f)) | a.maskAt(f.Type.Name().Name)
	if f.Parent != nil {
		m |= a.maskAt(f.Parent.Name)
	}
	return m
}

func (a *access) maskAt(coordinate string) policy.Mask {
	if bit, ok := a.bits[coordinate]; ok && bit >= 0 {
		return 1 << bit
	}
	return 0
}
