package gql

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

// variableErrors says what is wrong with the variables, in the words of graphql-js. It runs only after
// CoerceVariables found a problem.
func (op *Operation) variableErrors(t *jsontape.Tape, raw jsontape.Ref) []*Error {
	var errs []*Error
	for _, v := range op.Variables {
		at := []Location{{v.Position.Line, v.Position.Column}}
		c := inputCheck{tape: t, hints: op.Document.Schema.hints, report: func(path []any, message string) {
			switch {
			case len(errs) < maxInputErrors:
				errs = append(errs, &Error{Code: code.BadUserInput, Locations: at,
					Message: fmt.Sprintf(`Variable "$%s" has invalid value%s: %s`, clip(v.Name), pathText(path), message)})
			case len(errs) == maxInputErrors:
				errs = append(errs, &Error{Code: code.BadUserInput,
					Message: "Too many errors processing variables, error limit reached. Execution aborted."})
			}
		}}
		r := jsontape.None
		if raw != jsontape.None {
			r = t.Member(raw, v.Name)
		}
		if r == jsontape.None {
			if v.Type.NonNull && !v.HasDefault {
				c.report(nil, fmt.Sprintf(`Expected a value of non-null type "%s" to be provided.`, v.Type))
			}
			continue
		}
		c.value(nil, r, v.Type)
	}
	if len(errs) == 0 { // not to be reached: both walks apply the same rules
		errs = append(errs, &Error{Code: code.BadUserInput, Message: "The variables do not fit their types."})
	}
	return errs
}

// inputCheck says what is wrong with a given value.
type inputCheck struct {
	tape   *jsontape.Tape
	report func(path []any, message string)
	hints
}

func (c *inputCheck) value(path []any, r jsontape.Ref, t *TypeRef) {
	if c.tape.Kind(r) == jsontape.Null {
		if t.NonNull {
			c.report(path, fmt.Sprintf(`Expected value of non-null type "%s" not to be null.`, t))
		}
		return
	}
	if t.Elem != nil {
		if c.tape.Kind(r) != jsontape.Array {
			c.value(path, r, t.Elem)
			return
		}
		i := 0
		for e := c.tape.First(r); e != jsontape.None; e = c.tape.After(r, e) {
			c.value(child(path, i), e, t.Elem)
			i++
		}
		return
	}
	if t.Named.Kind == InputType {
		c.object(path, r, t.Named)
		return
	}
	if message := c.leaf(r, t.Named); message != "" {
		c.report(path, message)
	}
}

func (c *inputCheck) object(path []any, r jsontape.Ref, t *Type) {
	if c.tape.Kind(r) != jsontape.Object {
		c.report(path, fmt.Sprintf(`Expected value of type "%s" to be an object, found: %s.`, t.Name, c.inspect(r)))
		return
	}
	known := 0
	for _, in := range t.Inputs {
		m := c.tape.Member(r, in.Name)
		if m == jsontape.None {
			if in.Required() {
				c.report(path, fmt.Sprintf(`Expected value of type "%s" to include required field "%s", found: %s.`, t.Name, in.Name, c.inspect(r)))
			}
			continue
		}
		known++
		c.value(child(path, in.Name), m, in.Type)
	}
	reported := map[string]bool{}
	var first *Argument
	for m := c.tape.First(r); m != jsontape.None; m = c.tape.After(r, m) {
		if in := t.inputNamed(c.tape, m); in != nil {
			if first == nil {
				first = in
			}
			continue
		}
		name := string(c.tape.AppendName(nil, m))
		if reported[name] || len(reported) > maxInputErrors {
			continue
		}
		reported[name] = true
		c.report(path, c.unknownMember(t, clip(name), c.inspect(r)))
	}
	if !t.OneOf {
		return
	}
	if known != 1 {
		c.report(path, oneOfMessage(t))
	}
	if first != nil && c.tape.Kind(c.tape.Member(r, first.Name)) == jsontape.Null {
		c.report(child(path, first.Name), oneOfMessage(t))
	}
}

func (c *inputCheck) leaf(r jsontape.Ref, t *Type) string {
	kind := c.tape.Kind(r)
	found := func() string { return c.inspect(r) }
	switch t.Leaf.Kind {
	case scalar.Int:
		if kind != jsontape.Number {
			return "Int cannot represent non-integer value: " + found()
		}
		switch _, problem := int32Of(c.tape.Raw(r)); problem {
		case intFraction:
			return "Int cannot represent non-integer value: " + found()
		case intRange:
			return "Int cannot represent non 32-bit signed integer value: " + found()
		}
	case scalar.Float:
		if _, ok := appendInputLeaf(nil, c.tape, r, &t.Leaf); !ok {
			return "Float cannot represent non numeric value: " + found()
		}
	case scalar.String:
		if kind != jsontape.String {
			return "String cannot represent a non string value: " + found()
		}
	case scalar.ID:
		if _, ok := appendInputLeaf(nil, c.tape, r, &t.Leaf); !ok {
			return "ID cannot represent value: " + found()
		}
	case scalar.Boolean:
		if kind != jsontape.True && kind != jsontape.False {
			return "Boolean cannot represent a non boolean value: " + found()
		}
	case scalar.Enum:
		if kind != jsontape.String {
			return fmt.Sprintf(`Enum "%s" cannot represent non-string value: %s.%s`, t.Name, found(), c.didYouMean("the enum value", found(), t.enumNames()))
		}
		name := clip(string(c.tape.AppendString(nil, r)))
		if _, known := t.Leaf.Names[name]; !known {
			return fmt.Sprintf(`Value "%s" does not exist in "%s" enum.%s`, name, t.Name, c.didYouMean("the enum value", name, t.enumNames()))
		}
	}
	return ""
}

// clip shortens a client's own text in a message.
func clip(s string) string {
	const limit = 200
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

// inspect writes a value as graphql-js does in messages: two levels deep, ten elements wide.
func (c *inputCheck) inspect(r jsontape.Ref) string { return clip(c.inspectAt(r, 0)) }

func (c *inputCheck) inspectAt(r jsontape.Ref, depth int) string {
	t := c.tape
	switch t.Kind(r) {
	case jsontape.String:
		return clip(string(appendString(nil, t, r)))
	case jsontape.Number:
		f, err := strconv.ParseFloat(string(t.Raw(r)), 64)
		if err != nil && f != 0 {
			if f < 0 {
				return "-Infinity"
			}
			return "Infinity"
		}
		return string(appendFloat(nil, f))
	case jsontape.Array:
		if t.First(r) == jsontape.None {
			return "[]"
		}
		if depth >= 2 {
			return "[Array]"
		}
		var items []string
		n := 0
		for e := t.First(r); e != jsontape.None; e = t.After(r, e) {
			if n++; n <= 10 {
				items = append(items, c.inspectAt(e, depth+1))
			}
		}
		if n == 11 {
			items = append(items, "... 1 more item")
		} else if n > 11 {
			items = append(items, fmt.Sprintf("... %d more items", n-10))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case jsontape.Object:
		if t.First(r) == jsontape.None {
			return "{}"
		}
		if depth >= 2 {
			return "[Object]"
		}
		var items []string
		for m := t.First(r); m != jsontape.None && len(items) <= 20; m = t.After(r, m) {
			name := string(t.AppendName(nil, m))
			if t.Member(r, name) == m { // the last of a name counts
				items = append(items, name+": "+c.inspectAt(m, depth+1))
			}
		}
		return "{ " + strings.Join(items, ", ") + " }"
	}
	return string(t.Raw(r))
}
