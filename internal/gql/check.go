package gql

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

// literalCheck says what is wrong with a literal, in the words of graphql-js.
type literalCheck struct {
	static bool           // variables are not known yet and pass
	vars   *jsontape.Tape // coerced variables, where not static
	report func(path []any, at *Value, message string)
	hints
}

// literal reports every problem of v as a value of type t.
func (c *literalCheck) literal(path []any, v *Value, t *TypeRef) {
	if v.Kind == VariableValue {
		c.variable(path, v, t)
		return
	}
	if v.Kind == NullValue {
		if t.NonNull {
			c.report(path, v, fmt.Sprintf(`Expected value of non-null type "%s" not to be null.`, t))
		}
		return
	}
	if t.Elem != nil {
		if v.Kind != ListValue {
			c.literal(path, v, t.Elem)
			return
		}
		for i := range v.List {
			c.literal(child(path, i), &v.List[i], t.Elem)
		}
		return
	}
	if t.Named.Kind == InputType {
		c.object(path, v, t.Named)
		return
	}
	if message := c.leafLiteralProblem(v, t.Named); message != "" {
		c.report(path, v, message)
	}
}

// child returns path with one more key, without sharing its array.
func child(path []any, key any) []any { return append(slices.Clip(path), key) }

func (c *literalCheck) variable(path []any, v *Value, t *TypeRef) {
	if c.static || !t.NonNull {
		return
	}
	switch kindOf(c.vars, lookupVariable(c.vars, v.Text)) {
	case jsontape.Invalid:
		c.report(path, v, fmt.Sprintf(`Expected variable "$%s" provided to type "%s" to provide a runtime value.`, v.Text, t))
	case jsontape.Null:
		c.report(path, v, fmt.Sprintf(`Expected variable "$%s" provided to non-null type "%s" not to be null.`, v.Text, t))
	}
}

func (c *literalCheck) object(path []any, v *Value, t *Type) {
	if v.Kind != ObjectValue {
		c.report(path, v, fmt.Sprintf(`Expected value of type "%s" to be an object, found: %s.`, t.Name, clip(literalText(v))))
		return
	}
	for _, in := range t.Inputs {
		f := v.member(in.Name)
		if f == nil {
			if in.Required() {
				c.report(path, v, fmt.Sprintf(`Expected value of type "%s" to include required field "%s", found: %s.`, t.Name, in.Name, clip(literalText(v))))
			}
			continue
		}
		if f.Kind == VariableValue && !c.static && !c.memberVariable(path, v, f, in, t) {
			continue
		}
		c.literal(child(path, in.Name), f, in.Type)
	}
	known, found := 0, ""
	for i := range v.Fields {
		name := v.Fields[i].Name
		if t.inputs[name] != nil {
			known++
			continue
		}
		if found == "" {
			found = clip(literalText(v))
		}
		c.report(path, v, c.unknownMember(t, clip(name), found))
	}
	if !t.OneOf {
		return
	}
	if known != 1 {
		c.report(path, v, oneOfMessage(t))
		return
	}
	for i := range v.Fields {
		if f := &v.Fields[i]; t.inputs[f.Name] != nil && f.Value.Kind == NullValue {
			c.report(child(path, f.Name), v, oneOfMessage(t))
		}
	}
}

// memberVariable checks a variable as a member of an object; false ends the member's checks.
func (c *literalCheck) memberVariable(path []any, object, f *Value, in *Argument, t *Type) bool {
	kind := kindOf(c.vars, lookupVariable(c.vars, f.Text))
	switch {
	case t.OneOf && kind == jsontape.Invalid:
		c.report(path, object, fmt.Sprintf(`Expected variable "$%s" provided to field "%s" for OneOf Input Object type "%s" to provide a runtime value.`, f.Text, in.Name, t.Name))
	case t.OneOf && kind == jsontape.Null:
		c.report(path, object, fmt.Sprintf(`Expected variable "$%s" provided to field "%s" for OneOf Input Object type "%s" not to be null.`, f.Text, in.Name, t.Name))
	case !t.OneOf && kind == jsontape.Invalid && !in.Required():
		return false
	}
	return true
}

func oneOfMessage(t *Type) string {
	return fmt.Sprintf(`Within OneOf Input Object type "%s", exactly one field must be specified, and the value for that field must be non-null.`, t.Name)
}

// unknownMember words the error for a member that an input object does not have.
func (h hints) unknownMember(t *Type, name, found string) string {
	names := make([]string, len(t.Inputs))
	for i, in := range t.Inputs {
		names[i] = in.Name
	}
	head := fmt.Sprintf(`Expected value of type "%s" not to include unknown field "%s"`, t.Name, name)
	if hint := h.didYouMean("", name, names); hint != "" {
		return head + "." + hint + " Found: " + found + "."
	}
	return head + ", found: " + found + "."
}

// leafLiteralProblem says why a literal is no value of a scalar or enum, "" if it is one.
func (h hints) leafLiteralProblem(v *Value, t *Type) string {
	switch t.Leaf.Kind {
	case scalar.Int:
		if v.Kind != IntValue {
			return "Int cannot represent non-integer value: " + clip(literalText(v))
		}
		if _, err := strconv.ParseInt(v.Text, 10, 32); err != nil {
			return "Int cannot represent non 32-bit signed integer value: " + v.Text
		}
	case scalar.Float:
		if v.Kind != IntValue && v.Kind != FloatValue {
			return "Float cannot represent non numeric value: " + clip(literalText(v))
		}
		if _, err := strconv.ParseFloat(v.Text, 64); err != nil {
			return "Float cannot represent non numeric value: " + clip(literalText(v))
		}
	case scalar.String:
		if v.Kind != StringValue {
			return "String cannot represent a non string value: " + clip(literalText(v))
		}
	case scalar.ID:
		if v.Kind != StringValue && v.Kind != IntValue {
			return "ID cannot represent a non-string and non-integer value: " + clip(literalText(v))
		}
	case scalar.Boolean:
		if v.Kind != BooleanValue {
			return "Boolean cannot represent a non boolean value: " + clip(literalText(v))
		}
	case scalar.Enum:
		text := clip(literalText(v))
		if v.Kind != EnumValue {
			return fmt.Sprintf(`Enum "%s" cannot represent non-enum value: %s.%s`, t.Name, text, h.didYouMean("the enum value", text, t.enumNames()))
		}
		if _, known := t.Leaf.Names[v.Text]; !known {
			return fmt.Sprintf(`Value "%s" does not exist in "%s" enum.%s`, text, t.Name, h.didYouMean("the enum value", text, t.enumNames()))
		}
	}
	return ""
}

func (t *Type) enumNames() []string {
	names := make([]string, len(t.EnumValues))
	for i, v := range t.EnumValues {
		names[i] = v.Name
	}
	return names
}

// literalText writes a literal as GraphQL does.
func literalText(v *Value) string {
	switch v.Kind {
	case VariableValue:
		return "$" + v.Text
	case NullValue:
		return "null"
	case StringValue:
		return string(jsontape.AppendQuoted(nil, v.Text))
	case ListValue:
		parts := make([]string, len(v.List))
		for i := range v.List {
			parts[i] = literalText(&v.List[i])
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case ObjectValue:
		if len(v.Fields) == 0 {
			return "{}"
		}
		parts := make([]string, len(v.Fields))
		for i := range v.Fields {
			parts[i] = v.Fields[i].Name + ": " + literalText(&v.Fields[i].Value)
		}
		return "{ " + strings.Join(parts, ", ") + " }"
	}
	return v.Text
}

// pathText writes a path inside a value: ` at .a[0]`, nothing for the value itself.
func pathText(path []any) string {
	if len(path) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(" at ")
	for _, key := range path {
		switch key := key.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", key)
		case string:
			b.WriteString("." + key)
		}
	}
	return b.String()
}
