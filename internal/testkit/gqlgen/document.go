package gqlgen

import (
	"fmt"
	"strings"
)

// document is a generated document before it becomes text.
type document struct {
	operations []*operation
	fragments  []*fragment
}

type operation struct {
	name       string
	root       *Field
	variables  []*variable
	selections []*selection
}

type variable struct {
	name string
	typ  *Type
	dflt string
}

type fragment struct {
	name, on   string
	selections []*selection
}

// selection is a field, an inline fragment (on may be empty) or a spread.
type selection struct {
	field, alias, args string
	on                 string
	inline             bool
	spread             string
	directives         string
	selections         []*selection
}

func (d *document) rootType() *Type { return d.operations[0].root.Type }

// writer makes the selections of one document.
type docWriter struct {
	*Generator
	s     *Schema
	d     *document
	op    *operation
	alias int
	inUse map[string]bool // fragments under construction
}

func (g *Generator) document(s *Schema) *document {
	d := &document{}
	w := &docWriter{Generator: g, s: s, d: d, inUse: map[string]bool{}}
	root := pick(g, s.Roots)
	n := 1
	if g.percent(10) {
		n = 2
	}
	for i := range n {
		w.op = &operation{root: root}
		if n > 1 || g.percent(50) {
			w.op.name = fmt.Sprintf("S%d", i)
		}
		// Fragments belong to one operation: their variables are defined there.
		sel := w.field(root, 0)
		w.op.selections = []*selection{sel}
		if g.percent(10) { // the root inside a fragment
			w.op.selections = []*selection{{inline: true, on: pick(g, []string{"", "Subscription"}), selections: []*selection{sel}}}
		}
		d.operations = append(d.operations, w.op)
	}
	return d
}

// field selects a field, with arguments, an alias where needed, and its parts.
func (w *docWriter) field(f *Field, depth int) *selection {
	sel := &selection{field: f.Name}
	var args []string
	for _, a := range f.Args {
		if a.required() || w.percent(50) {
			args = append(args, a.Name+": "+w.argument(a))
		}
	}
	if len(args) > 0 {
		sel.args = "(" + strings.Join(args, ", ") + ")"
	}
	if len(f.Args) > 0 || w.percent(20) {
		w.alias++
		sel.alias = fmt.Sprintf("k%d", w.alias)
	}
	if c := w.s.types[f.Type.Named()]; c != nil {
		sel.selections = w.set(c, depth+1)
	}
	return sel
}

// set makes a non-empty selection set on a composite type.
func (w *docWriter) set(c *composite, depth int) []*selection {
	var out []*selection
	for range 1 + w.rnd.IntN(4) {
		sel := w.selection(c, depth)
		if sel != nil {
			if w.percent(15) {
				sel.directives = w.condition()
			}
			out = append(out, sel)
		}
	}
	if len(out) == 0 {
		out = append(out, &selection{field: "__typename"})
	}
	return out
}

func (w *docWriter) selection(c *composite, depth int) *selection {
	switch n := w.rnd.IntN(10); {
	case n == 0:
		return &selection{field: "__typename"}
	case n <= 2 && depth < 5:
		on := w.overlapping(c)
		sel := &selection{inline: true, on: on.name}
		if on == c && w.percent(50) {
			sel.on = ""
		}
		sel.selections = w.set(on, depth+1)
		return sel
	case n == 3 && depth < 4:
		return w.spread(c, depth)
	case c.kind == "union":
		on := w.s.types[pick(w.Generator, c.possible)]
		return &selection{inline: true, on: on.name, selections: w.set(on, depth+1)}
	}
	f := pick(w.Generator, c.fields)
	if w.s.types[f.Type.Named()] != nil && depth >= 4 {
		return nil
	}
	return w.field(f, depth)
}

// overlapping returns a composite type that can be at the same time as c.
func (w *docWriter) overlapping(c *composite) *composite {
	for range 8 {
		other := w.s.types[pick(w.Generator, w.s.order)]
		for _, a := range c.possible {
			for _, b := range other.possible {
				if a == b {
					return other
				}
			}
		}
	}
	return c
}

func (w *docWriter) spread(c *composite, depth int) *selection {
	for _, f := range w.d.fragments {
		// Fragments of an earlier operation use its variables: only those of the first may be reused.
		if f.on == c.name && !w.inUse[f.name] && len(w.d.operations) == 0 && w.percent(50) {
			return &selection{spread: f.name}
		}
	}
	f := &fragment{name: fmt.Sprintf("F%d", len(w.d.fragments)), on: w.overlapping(c).name}
	w.d.fragments = append(w.d.fragments, f)
	w.inUse[f.name] = true
	f.selections = w.set(w.s.types[f.on], depth+1)
	delete(w.inUse, f.name)
	return &selection{spread: f.name}
}

func (w *docWriter) condition() string {
	value := pick(w.Generator, []string{"true", "false"})
	if w.percent(60) {
		value = "$" + w.variable(&Type{Name: "Boolean", NonNull: true}, false)
	}
	return " @" + pick(w.Generator, []string{"skip", "include"}) + "(if: " + value + ")"
}

// argument writes a value for an argument: a literal, or a variable of a type that may stand there.
func (w *docWriter) argument(a *Argument) string {
	if w.percent(60) {
		return "$" + w.variable(a.Type, a.Default != "")
	}
	return w.literal(w.s, a.Type, w, 0)
}

// variable returns the name of a variable that may stand where typ is expected, defining it if need be.
func (w *docWriter) variable(typ *Type, hasDefault bool) string {
	for _, v := range w.op.variables {
		if v.typ.String() == typ.String() && w.percent(50) {
			return v.name
		}
	}
	v := &variable{name: fmt.Sprintf("v%d", len(w.op.variables)), typ: typ}
	switch {
	case typ.NonNull && hasDefault && w.percent(30):
		v.typ = typ.nullable()
	case typ.NonNull && w.percent(20): // allowed with a default of its own
		v.typ = typ.nullable()
		v.dflt = w.literal(w.s, typ, nil, 0)
	case !typ.NonNull && w.percent(20):
		v.typ = &Type{Name: typ.Name, Elem: typ.Elem, NonNull: true}
	}
	if v.dflt == "" && w.percent(20) {
		v.dflt = w.literal(w.s, v.typ, nil, 0)
	}
	w.op.variables = append(w.op.variables, v)
	return v.name
}

func (d *document) text() string {
	var b strings.Builder
	for _, op := range d.operations {
		b.WriteString("subscription")
		if op.name != "" {
			b.WriteString(" " + op.name)
		}
		if len(op.variables) > 0 {
			parts := make([]string, len(op.variables))
			for i, v := range op.variables {
				parts[i] = "$" + v.name + ": " + v.typ.String()
				if v.dflt != "" {
					parts[i] += " = " + v.dflt
				}
			}
			b.WriteString("(" + strings.Join(parts, ", ") + ")")
		}
		writeSet(&b, op.selections, "")
		b.WriteString("\n")
	}
	for _, f := range d.fragments {
		b.WriteString("fragment " + f.name + " on " + f.on)
		writeSet(&b, f.selections, "")
		b.WriteString("\n")
	}
	return b.String()
}

func writeSet(b *strings.Builder, set []*selection, indent string) {
	if len(set) == 0 {
		return
	}
	b.WriteString(" {\n")
	for _, sel := range set {
		b.WriteString(indent + "  ")
		switch {
		case sel.spread != "":
			b.WriteString("..." + sel.spread + sel.directives)
		case sel.inline:
			b.WriteString("...")
			if sel.on != "" {
				b.WriteString(" on " + sel.on)
			}
			b.WriteString(sel.directives)
		default:
			if sel.alias != "" {
				b.WriteString(sel.alias + ": ")
			}
			b.WriteString(sel.field + sel.args + sel.directives)
		}
		writeSet(b, sel.selections, indent+"  ")
		b.WriteString("\n")
	}
	b.WriteString(indent + "}")
}
