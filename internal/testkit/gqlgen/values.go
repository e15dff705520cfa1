package gqlgen

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Block is a block string whose lines, but the first, share two spaces.
const Block = "\"\"\" first\n      second\n\n    third\n  fourth \"\"\""

// literal writes a valid literal of an input type; w, if given, may put variables inside.
func (g *Generator) literal(s *Schema, t *Type, w *docWriter, depth int) string {
	if w != nil && depth > 0 && g.percent(20) {
		return "$" + w.variable(t, false)
	}
	if !t.NonNull && g.percent(10) {
		return "null"
	}
	if t.Elem != nil {
		if g.percent(20) && t.Elem.Elem == nil { // a single value is a list of one
			return g.literal(s, &Type{Name: t.Elem.Name, NonNull: true}, nil, depth)
		}
		var items []string
		for range g.rnd.IntN(3) {
			items = append(items, g.literal(s, t.Elem, w, depth+1))
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	if in := s.inputs[t.Name]; in != nil {
		return g.inputLiteral(s, in, w, depth)
	}
	return g.leafLiteral(s, t.Name)
}

func (g *Generator) inputLiteral(s *Schema, in *input, w *docWriter, depth int) string {
	if in.oneOf {
		f := pick(g, in.fields)
		return "{ " + f.Name + ": " + g.literal(s, &Type{Name: f.Type.Name, NonNull: true}, w, depth+1) + " }"
	}
	var parts []string
	for _, f := range in.fields {
		if f.required() || g.percent(50) && depth < 3 {
			parts = append(parts, f.Name+": "+g.literal(s, f.Type, w, depth+1))
		}
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}

func (g *Generator) leafLiteral(s *Schema, name string) string {
	if values := s.enums[name]; values != nil {
		return pick(g, values)
	}
	switch name {
	case "Int":
		return pick(g, []string{"0", "7", "-12", "2147483647", "-2147483648"})
	case "Float":
		return pick(g, []string{"0", "1.5", "-2e3", "42", "1e-7", "123456789.25"})
	case "String":
		return pick(g, []string{`""`, `"a"`, `"é \"q\" \\ \u0041"`, `"""block "text" """`, Block, `"\n\t"`})
	case "ID":
		return pick(g, []string{`"x1"`, "5", `""`, "-3"})
	case "Boolean":
		return pick(g, []string{"true", "false"})
	}
	return pick(g, []string{"1", `"any"`, "true", "[1, 2]", `{ a: 1, b: [X] }`, "ENUM", "2.5"})
}

// variables writes the JSON object of variables for every operation of a document.
func (g *Generator) variables(s *Schema, d *document) string {
	var parts []string
	seen := map[string]bool{}
	for _, op := range d.operations {
		for _, v := range op.variables {
			absent := v.dflt != "" || !v.typ.NonNull
			if seen[v.name] || absent && g.percent(30) || g.percent(3) {
				continue
			}
			seen[v.name] = true
			parts = append(parts, strconv.Quote(v.name)+":"+g.input(s, v.typ, 0))
		}
	}
	if g.percent(10) {
		parts = append(parts, `"unknown":{"a":[1]}`)
	}
	g.rnd.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return "{" + strings.Join(parts, ",") + "}"
}

// input writes a JSON value for an input type, now and then a wrong one.
func (g *Generator) input(s *Schema, t *Type, depth int) string {
	if g.percent(g.Invalid / 3) {
		return g.anyJSON(0)
	}
	if !t.NonNull && g.percent(10) {
		return "null"
	}
	if t.Elem != nil {
		if g.percent(20) {
			return g.input(s, t.Elem, depth)
		}
		var items []string
		for range g.rnd.IntN(3) {
			items = append(items, g.input(s, t.Elem, depth+1))
		}
		return "[" + strings.Join(items, ",") + "]"
	}
	in := s.inputs[t.Name]
	if in == nil {
		return g.leafJSON(s, t.Name, true)
	}
	if in.oneOf {
		f := pick(g, in.fields)
		parts := []string{strconv.Quote(f.Name) + ":" + g.input(s, &Type{Name: f.Type.Name, NonNull: !g.percent(5)}, depth+1)}
		if g.percent(5) {
			parts = append(parts, `"m1":null`)
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	var parts []string
	for _, f := range in.fields {
		if f.required() && !g.percent(2) || g.percent(50) && depth < 3 {
			parts = append(parts, strconv.Quote(f.Name)+":"+g.input(s, f.Type, depth+1))
		}
	}
	if g.percent(3) {
		parts = append(parts, `"nosuch":1`)
	}
	g.rnd.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return "{" + strings.Join(parts, ",") + "}"
}

// leafJSON writes a JSON value of a leaf type; asInput leaves out what only results may be.
func (g *Generator) leafJSON(s *Schema, name string, asInput bool) string {
	if values := s.enums[name]; values != nil {
		return strconv.Quote(pick(g, values))
	}
	var list []string
	switch name {
	case "Int":
		list = []string{"0", "7", "-12", "2147483647", "-2147483648", "1.0", "1e2", "-0"}
		if !asInput {
			list = append(list, `"42"`, "true", `" 8 "`, `"0x10"`, "2147483648", `""`, `"1.5"`)
		}
	case "Float":
		list = []string{"0", "1.5", "-2e3", "42", "1e-7", "123456789.25", "1e21", "0.1", "5e-324", "1.7976931348623157e308"}
		if !asInput {
			list = append(list, `"3.25"`, "false", `"abc"`, `"Infinity"`)
		}
	case "String":
		list = []string{`""`, `"a"`, `"é \"q\" \\ \u0041"`, `"\n\t\u0001"`, `"😀"`, `"\ud83d\ude00"`, `"</script>"`}
		if !asInput {
			list = append(list, "12", "1.50", "true", "1e21", "-0")
		}
	case "ID":
		list = []string{`"x1"`, "5", `""`, "-3", "1e3", "9007199254740991"}
		if !asInput {
			list = append(list, "1.5", "true")
		}
	case "Boolean":
		list = []string{"true", "false"}
		if !asInput {
			list = append(list, "0", "1", "0.5", `"true"`)
		}
	default:
		return g.anyJSON(0)
	}
	return pick(g, list)
}

// anyJSON writes any JSON value.
func (g *Generator) anyJSON(depth int) string {
	n := g.rnd.IntN(11)
	if depth > 2 {
		n = g.rnd.IntN(9)
	}
	switch n {
	case 9:
		return "[" + g.anyJSON(depth+1) + "," + g.anyJSON(depth+1) + "]"
	case 10:
		return `{"a":` + g.anyJSON(depth+1) + `,"m0":` + g.anyJSON(depth+1) + "}"
	}
	return []string{"null", "true", "1", "2147483648", "1.5", `"1"`, `"text"`, "[]", "{}"}[n]
}

// Event writes an event's data for a root field of a type: a value of the type or, if that is abstract, of one
// of its possible types with __typename. Some members are missing, null or of a wrong type.
func (g *Generator) Event(s *Schema, root *Type) string {
	text := g.result(s, &Type{Name: root.Named(), NonNull: true}, 0)
	if !strings.HasPrefix(text, "{") {
		return `{"` + s.pool[0].Name + `":` + text + "}"
	}
	return text
}

// result writes a JSON value that a resolver could return for an output type.
func (g *Generator) result(s *Schema, t *Type, depth int) string {
	if depth > 0 && g.percent(g.Invalid/3) {
		return g.anyJSON(0)
	}
	if !t.NonNull && g.percent(15) || g.percent(1) {
		return "null"
	}
	if t.Elem != nil {
		var items []string
		for range g.rnd.IntN(4) {
			items = append(items, g.result(s, t.Elem, depth+1))
		}
		return "[" + strings.Join(items, ",") + "]"
	}
	c := s.types[t.Name]
	if c == nil {
		return g.leafJSON(s, t.Name, false)
	}
	object := s.types[pick(g, c.possible)]
	var parts []string
	if c.kind != "type" || g.percent(20) {
		name := object.name
		if g.percent(4) {
			name = pick(g, []string{"Nobody", "T3", "N0", ""})
		}
		if !g.percent(3) {
			parts = append(parts, `"__typename":`+quote(name))
		}
	}
	for _, f := range object.fields {
		if s.types[f.Type.Named()] != nil && depth > 3 && !f.Type.NonNull {
			continue
		}
		if depth > 6 || g.percent(8) {
			continue
		}
		parts = append(parts, quote(f.Name)+":"+g.result(s, f.Type, depth+1))
	}
	g.rnd.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return "{" + strings.Join(parts, ",") + "}"
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("gqlgen: quote %q: %v", s, err))
	}
	return string(b)
}
