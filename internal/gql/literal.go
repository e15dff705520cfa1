package gql

import (
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

var valueKinds = [...]ValueKind{
	ast.Variable: VariableValue, ast.IntValue: IntValue, ast.FloatValue: FloatValue, ast.StringValue: StringValue,
	ast.BlockValue: StringValue, ast.BooleanValue: BooleanValue, ast.NullValue: NullValue, ast.EnumValue: EnumValue,
	ast.ListValue: ListValue, ast.ObjectValue: ObjectValue,
}

// convertValue turns a literal of the parser into ours.
func convertValue(v *ast.Value) Value {
	out := Value{Kind: valueKinds[v.Kind], Text: v.Raw, Location: locationOf(v.Position)}
	switch out.Kind {
	case ListValue:
		out.List = make([]Value, len(v.Children))
		for i, c := range v.Children {
			out.List[i] = convertValue(c.Value)
		}
	case ObjectValue:
		out.Fields = make([]ObjectField, len(v.Children))
		for i, c := range v.Children {
			out.Fields[i] = ObjectField{Name: c.Name, Value: convertValue(c.Value)}
		}
	}
	return out
}

func locationOf(p *ast.Position) Location {
	if p == nil {
		return Location{}
	}
	return Location{Line: p.Line, Column: p.Column}
}

// appendLiteral appends the coerced JSON of a literal for an input type (the specification's "Input
// Coercion"). Variables are taken from vars, the object of the coerced variables; nil means that there are
// none. ok is false when the value does not fit; dst then holds rubbish after its old length.
func appendLiteral(dst []byte, v *Value, t *TypeRef, vars *jsontape.Tape) (out []byte, ok bool) {
	if v.Kind == VariableValue {
		r := lookupVariable(vars, v.Text)
		if k := kindOf(vars, r); k == jsontape.Invalid || k == jsontape.Null && t.NonNull {
			return dst, false
		}
		return append(dst, vars.Raw(r)...), true
	}
	if v.Kind == NullValue {
		return append(dst, "null"...), !t.NonNull
	}
	if t.Elem != nil {
		return appendListLiteral(dst, v, t, vars)
	}
	if t.Named.Kind == InputType {
		return appendObjectLiteral(dst, v, t.Named, vars)
	}
	return appendLeafLiteral(dst, v, t.Named, vars)
}

func lookupVariable(vars *jsontape.Tape, name string) jsontape.Ref {
	if vars == nil {
		return jsontape.None
	}
	return vars.Member(jsontape.Root, name)
}

func kindOf(t *jsontape.Tape, r jsontape.Ref) jsontape.Kind {
	if t == nil || r == jsontape.None {
		return jsontape.Invalid
	}
	return t.Kind(r)
}

func appendListLiteral(dst []byte, v *Value, t *TypeRef, vars *jsontape.Tape) (out []byte, ok bool) {
	dst = append(dst, '[')
	if v.Kind != ListValue { // a single value is a list of one
		if dst, ok = appendLiteral(dst, v, t.Elem, vars); !ok {
			return dst, false
		}
		return append(dst, ']'), true
	}
	for i := range v.List {
		if i > 0 {
			dst = append(dst, ',')
		}
		item := &v.List[i]
		if item.Kind == VariableValue && !t.Elem.NonNull && lookupVariable(vars, item.Text) == jsontape.None {
			dst = append(dst, "null"...)
			continue
		}
		if dst, ok = appendLiteral(dst, item, t.Elem, vars); !ok {
			return dst, false
		}
	}
	return append(dst, ']'), true
}

func appendObjectLiteral(dst []byte, v *Value, t *Type, vars *jsontape.Tape) (out []byte, ok bool) {
	if v.Kind != ObjectValue {
		return dst, false
	}
	for i := range v.Fields {
		if t.inputs[v.Fields[i].Name] == nil {
			return dst, false
		}
	}
	dst = append(dst, '{')
	given, first := 0, len(dst)
	for _, in := range t.Inputs {
		f := v.member(in.Name)
		absent := f == nil || f.Kind == VariableValue && lookupVariable(vars, f.Text) == jsontape.None
		if absent && !in.HasDefault {
			if in.Type.NonNull {
				return dst, false
			}
			continue
		}
		if len(dst) > first {
			dst = append(dst, ',')
		}
		dst = jsontape.AppendQuoted(dst, in.Name)
		dst = append(dst, ':')
		if absent {
			dst = append(dst, in.Default...)
			continue
		}
		at := len(dst)
		if dst, ok = appendLiteral(dst, f, in.Type, vars); !ok {
			return dst, false
		}
		if t.OneOf && string(dst[at:]) == "null" {
			return dst, false
		}
		given++
	}
	if t.OneOf && (given != 1 || len(v.Fields) != 1) {
		return dst, false
	}
	return append(dst, '}'), true
}

func appendLeafLiteral(dst []byte, v *Value, t *Type, vars *jsontape.Tape) (out []byte, ok bool) {
	switch t.Leaf.Kind {
	case scalar.Int:
		n, err := strconv.ParseInt(v.Text, 10, 32)
		if v.Kind != IntValue || err != nil {
			return dst, false
		}
		return strconv.AppendInt(dst, n, 10), true
	case scalar.Float:
		if v.Kind != IntValue && v.Kind != FloatValue {
			return dst, false
		}
		return scalar.AppendInput(dst, []byte(v.Text))
	case scalar.String:
		return jsontape.AppendQuoted(dst, v.Text), v.Kind == StringValue
	case scalar.ID:
		return jsontape.AppendQuoted(dst, v.Text), v.Kind == StringValue || v.Kind == IntValue
	case scalar.Boolean:
		return append(dst, v.Text...), v.Kind == BooleanValue
	case scalar.Enum:
		_, known := t.Leaf.Names[v.Text]
		return jsontape.AppendQuoted(dst, v.Text), v.Kind == EnumValue && known
	}
	return appendUntyped(dst, v, vars), true
}

// appendUntyped appends a literal of a custom scalar, or of a document without a schema, as JSON. Enum values
// become strings; variables that are not given are left out of objects and are null elsewhere.
func appendUntyped(dst []byte, v *Value, vars *jsontape.Tape) []byte {
	switch v.Kind {
	case VariableValue:
		if r := lookupVariable(vars, v.Text); r != jsontape.None {
			return append(dst, vars.Raw(r)...)
		}
		return append(dst, "null"...)
	case NullValue:
		return append(dst, "null"...)
	case IntValue, FloatValue, BooleanValue:
		return append(dst, v.Text...) // numbers of GraphQL are numbers of JSON
	case StringValue, EnumValue:
		return jsontape.AppendQuoted(dst, v.Text)
	case ListValue:
		dst = append(dst, '[')
		for i := range v.List {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendUntyped(dst, &v.List[i], vars)
		}
		return append(dst, ']')
	}
	dst = append(dst, '{')
	first := len(dst)
	for i := range v.Fields {
		f := &v.Fields[i]
		if f.Value.Kind == VariableValue && lookupVariable(vars, f.Value.Text) == jsontape.None {
			continue
		}
		if len(dst) > first {
			dst = append(dst, ',')
		}
		dst = jsontape.AppendQuoted(dst, f.Name)
		dst = append(dst, ':')
		dst = appendUntyped(dst, &f.Value, vars)
	}
	return append(dst, '}')
}

// appendFloat appends the shortest decimal text of f, as ECMAScript's JSON.stringify does.
func appendFloat(dst []byte, f float64) []byte {
	if f == 0 {
		return append(dst, '0') // also for -0
	}
	abs := max(f, -f)
	if abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	if n := len(dst); n >= 4 && dst[n-2] == '0' && (dst[n-3] == '-' || dst[n-3] == '+') { // e-09 is e-9
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}
