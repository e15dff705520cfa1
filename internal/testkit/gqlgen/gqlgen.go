// Package gqlgen makes GraphQL cases for differential tests: schemas, documents, variables and events, valid
// and invalid ones. Everything follows from the seed: the same seed gives the same cases on every machine.
package gqlgen

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Case is one question to two implementations.
type Case struct {
	SDL           string
	Document      string
	OperationName string // empty when the document holds one operation
	Variables     string // JSON object
	Event         string // JSON object: the event's data
	// Mutated says that the document was damaged on purpose; it may still be valid.
	Mutated bool
}

// Generator makes cases. It is not safe for concurrent use.
type Generator struct {
	rnd *rand.Rand
	// Invalid is the share of documents, values and event members made invalid, in percent.
	Invalid int
}

// New returns a generator for a seed.
func New(seed uint64) *Generator {
	return &Generator{rnd: rand.New(rand.NewPCG(seed, 0x5eed)), Invalid: 12}
}

// Case makes one case over a schema.
func (g *Generator) Case(s *Schema) Case {
	d := g.document(s)
	c := Case{SDL: s.SDL, Document: d.text(), Variables: g.variables(s, d)}
	if len(d.operations) > 1 {
		c.OperationName = d.operations[g.rnd.IntN(len(d.operations))].name
	}
	if g.percent(g.Invalid) {
		c.Document, c.Mutated = g.mutate(d, c.Document), true
	}
	c.Event = g.Event(s, d.rootType())
	return c
}

func (g *Generator) percent(p int) bool { return g.rnd.IntN(100) < p }

func pick[T any](g *Generator, list []T) T { return list[g.rnd.IntN(len(list))] }

// Type is a type with its wrappers; exactly one of Elem and Name is set.
type Type struct {
	Name    string
	Elem    *Type
	NonNull bool
}

// String returns the type as GraphQL writes it.
func (t *Type) String() string {
	s := t.Name
	if t.Elem != nil {
		s = "[" + t.Elem.String() + "]"
	}
	if t.NonNull {
		s += "!"
	}
	return s
}

// Named returns the name inside all wrappers.
func (t *Type) Named() string {
	for t.Elem != nil {
		t = t.Elem
	}
	return t.Name
}

func (t *Type) nullable() *Type { return &Type{Name: t.Name, Elem: t.Elem} }

// Schema is a random schema. Fields come from one pool, so that a field has the same type wherever it
// stands: selections of different types then merge.
type Schema struct {
	SDL string
	// Root fields of Subscription.
	Roots []*Field

	enums   map[string][]string
	scalars []string
	inputs  map[string]*input
	inNames []string
	types   map[string]*composite
	order   []string
	pool    []*Field
}

// Field is a field of an object, an interface or the subscription root.
type Field struct {
	Name string
	Type *Type
	Args []*Argument
}

// Argument is an argument or a member of an input object.
type Argument struct {
	Name    string
	Type    *Type
	Default string // literal, empty for none
	suffix  string // directives
}

func (a *Argument) required() bool { return a.Type.NonNull && a.Default == "" }

type input struct {
	fields []*Argument
	oneOf  bool
}

type composite struct {
	name       string
	kind       string // type, interface, union
	fields     []*Field
	interfaces []string
	possible   []string // object types that it can be
}

var builtins = []string{"Int", "Float", "String", "ID", "Boolean"}

// Schema makes a schema with enums, a custom scalar, input objects (@oneOf too), interfaces, unions, objects
// and subscription fields that our loader accepts and that graphql-js can build.
func (g *Generator) Schema() *Schema {
	s := &Schema{enums: map[string][]string{}, inputs: map[string]*input{}, types: map[string]*composite{}}
	for i := range 2 {
		var values []string
		for j := range 2 + g.rnd.IntN(3) {
			values = append(values, fmt.Sprintf("%c_%d", 'A'+j, i))
		}
		s.enums[fmt.Sprintf("E%d", i)] = values
	}
	s.scalars = []string{"Any"}
	g.makeInputs(s)
	g.makePool(s)
	g.makeComposites(s)
	g.makeRoots(s)
	s.SDL = s.text()
	return s
}

func (g *Generator) leafName(s *Schema) string {
	switch g.rnd.IntN(8) {
	case 0:
		return fmt.Sprintf("E%d", g.rnd.IntN(len(s.enums)))
	case 1:
		return s.scalars[0]
	}
	return pick(g, builtins)
}

// wrap puts lists and non-null marks around a named type.
func (g *Generator) wrap(name string, lists int) *Type {
	t := &Type{Name: name, NonNull: g.percent(25)}
	for range lists {
		if g.percent(25) {
			t = &Type{Elem: t, NonNull: g.percent(25)}
		}
	}
	return t
}

func (g *Generator) makeInputs(s *Schema) {
	for i := range 3 {
		name := fmt.Sprintf("In%d", i)
		in := &input{oneOf: i == 2}
		for j := range 2 + g.rnd.IntN(3) {
			a := &Argument{Name: fmt.Sprintf("m%d", j)}
			switch {
			case in.oneOf:
				a.Type = &Type{Name: g.leafName(s)}
			case i > 0 && g.percent(25):
				a.Type = g.wrap(fmt.Sprintf("In%d", g.rnd.IntN(i)), 1)
			case g.percent(10):
				a.Type = &Type{Name: name} // recursive, nullable
			default:
				a.Type = g.wrap(g.leafName(s), 2)
			}
			if !in.oneOf && g.percent(20) && s.inputs[a.Type.Named()] == nil && a.Type.Named() != name {
				a.Default = g.literal(s, a.Type, nil, 0)
			}
			in.fields = append(in.fields, a)
		}
		s.inputs[name] = in
		s.inNames = append(s.inNames, name)
	}
}

func (g *Generator) arguments(s *Schema, n int) []*Argument {
	var out []*Argument
	for j := range n {
		name := g.leafName(s)
		if g.percent(40) {
			name = pick(g, s.inNames)
		}
		a := &Argument{Name: fmt.Sprintf("x%d", j), Type: g.wrap(name, 2)}
		if g.percent(25) {
			a.Default = g.literal(s, a.Type, nil, 0)
		}
		out = append(out, a)
	}
	return out
}

const objectCount = 4

func (g *Generator) makePool(s *Schema) {
	for i := range 10 {
		f := &Field{Name: fmt.Sprintf("f%d", i), Type: g.wrap(g.leafName(s), 2)}
		if g.percent(40) {
			f.Args = g.arguments(s, 1+g.rnd.IntN(3))
		}
		s.pool = append(s.pool, f)
	}
	for i := range 5 {
		name := []string{"T0", "T1", "T2", "N0", "U0"}[i]
		s.pool = append(s.pool, &Field{Name: fmt.Sprintf("o%d", i), Type: g.wrap(name, 2)})
	}
}

func (g *Generator) makeComposites(s *Schema) {
	add := func(c *composite) { s.types[c.name] = c; s.order = append(s.order, c.name) }
	n0 := &composite{name: "N0", kind: "interface", fields: g.someFields(s, nil, 4)}
	n1 := &composite{name: "N1", kind: "interface", fields: g.someFields(s, n0.fields, 2), interfaces: []string{"N0"}}
	add(n0)
	add(n1)
	for i := range objectCount {
		t := &composite{name: fmt.Sprintf("T%d", i), kind: "type"}
		var base []*Field
		switch i {
		case 0:
			t.interfaces, base = []string{"N0", "N1"}, n1.fields
		case 1:
			t.interfaces, base = []string{"N0"}, n0.fields
		}
		t.fields = g.someFields(s, base, 5)
		t.possible = []string{t.name}
		for _, name := range t.interfaces {
			s.types[name].possible = append(s.types[name].possible, t.name)
		}
		add(t)
	}
	add(&composite{name: "U0", kind: "union", possible: []string{"T1", "T2"}})
	add(&composite{name: "U1", kind: "union", possible: []string{"T0", "T3"}})
}

// someFields adds n fields of the pool to those of base.
func (g *Generator) someFields(s *Schema, base []*Field, n int) []*Field {
	out := append([]*Field(nil), base...)
	for _, i := range g.rnd.Perm(len(s.pool))[:n] {
		known := false
		for _, f := range out {
			known = known || f == s.pool[i]
		}
		if !known {
			out = append(out, s.pool[i])
		}
	}
	return out
}

func (g *Generator) makeRoots(s *Schema) {
	for i, name := range []string{"T0", "N0", "U0", "T3"} {
		f := &Field{Name: fmt.Sprintf("event%d", i), Type: &Type{Name: name, NonNull: g.percent(20)}}
		if i == 3 {
			f.Type = &Type{Elem: f.Type}
		}
		for j := range g.rnd.IntN(3) {
			a := &Argument{Name: fmt.Sprintf("r%d", j), Type: &Type{Name: g.leafName(s), NonNull: g.percent(20)},
				suffix: fmt.Sprintf(` @match(path: "p.q%d")`, j)}
			if g.percent(25) {
				a.Type, a.suffix = &Type{Elem: &Type{Name: g.leafName(s)}}, fmt.Sprintf(` @match(path: "p.q%d", op: IN)`, j)
			}
			if g.percent(25) {
				a.Default = g.literal(s, a.Type, nil, 0)
			}
			f.Args = append(f.Args, a)
		}
		s.Roots = append(s.Roots, f)
	}
}

func (s *Schema) text() string {
	var b strings.Builder
	b.WriteString("type Query { ok: Boolean }\nscalar Any\n")
	for i := range len(s.enums) {
		name := fmt.Sprintf("E%d", i)
		fmt.Fprintf(&b, "enum %s { %s }\n", name, strings.Join(s.enums[name], " "))
	}
	for _, name := range s.inNames {
		in := s.inputs[name]
		mark := ""
		if in.oneOf {
			mark = " @oneOf"
		}
		fmt.Fprintf(&b, "input %s%s { %s }\n", name, mark, argumentText(in.fields))
	}
	for _, name := range s.order {
		c := s.types[name]
		if c.kind == "union" {
			fmt.Fprintf(&b, "union %s = %s\n", name, strings.Join(c.possible, " | "))
			continue
		}
		implements := ""
		if len(c.interfaces) > 0 {
			implements = " implements " + strings.Join(c.interfaces, " & ")
		}
		fmt.Fprintf(&b, "%s %s%s {\n%s}\n", c.kind, name, implements, fieldText(c.fields))
	}
	fmt.Fprintf(&b, "type Subscription {\n%s}\n", fieldText(s.Roots))
	return b.String()
}

func fieldText(fields []*Field) string {
	var b strings.Builder
	for _, f := range fields {
		args := ""
		if len(f.Args) > 0 {
			args = "(" + argumentText(f.Args) + ")"
		}
		fmt.Fprintf(&b, "  %s%s: %s\n", f.Name, args, f.Type)
	}
	return b.String()
}

func argumentText(args []*Argument) string {
	parts := make([]string, len(args))
	for i, a := range args {
		parts[i] = a.Name + ": " + a.Type.String()
		if a.Default != "" {
			parts[i] += " = " + a.Default
		}
		parts[i] += a.suffix
	}
	return strings.Join(parts, " ")
}
