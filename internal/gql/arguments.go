package gql

import (
	"fmt"

	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// CoerceArguments appends the JSON object of a field's coerced argument values in schema order: literals and
// variables (from vars, the object made by CoerceVariables; nil: none) alike, defaults applied, absent ones
// left out. Without a schema it holds the arguments as written. Errors have code BAD_USER_INPUT; dst is then
// returned as it was.
func (f *FieldSelection) CoerceArguments(dst []byte, vars *jsontape.Tape) ([]byte, []*Error) {
	start := len(dst)
	dst = append(dst, '{')
	if f.Field == nil {
		for i := range f.Args {
			a := &f.Args[i]
			if a.Value.Kind == VariableValue && lookupVariable(vars, a.Value.Text) == jsontape.None {
				continue
			}
			dst = appendKey(dst, start, a.Name)
			dst = appendUntyped(dst, &a.Value, vars)
		}
		return append(dst, '}'), nil
	}
	for _, def := range f.Field.Args {
		var ok bool
		given := f.argument(def.Name)
		absent := given == nil || given.Value.Kind == VariableValue && lookupVariable(vars, given.Value.Text) == jsontape.None
		switch {
		case !absent:
			dst = appendKey(dst, start, def.Name)
			if dst, ok = appendLiteral(dst, &given.Value, def.Type, vars); !ok {
				return dst[:start], []*Error{f.argumentError(def, given, vars)}
			}
		case def.HasDefault:
			dst = appendKey(dst, start, def.Name)
			dst = append(dst, def.Default...)
		case def.Type.NonNull:
			return dst[:start], []*Error{f.argumentError(def, given, vars)}
		}
	}
	return append(dst, '}'), nil
}

func (f *FieldSelection) argument(name string) *ArgumentValue {
	for i := range f.Args {
		if f.Args[i].Name == name {
			return &f.Args[i]
		}
	}
	return nil
}

// appendKey appends the name of a member, after a comma unless it is the first of the object begun at start.
func appendKey(dst []byte, start int, name string) []byte {
	if len(dst) > start+1 {
		dst = append(dst, ',')
	}
	dst = jsontape.AppendQuoted(dst, name)
	return append(dst, ':')
}

func (f *FieldSelection) argumentError(def *Argument, given *ArgumentValue, vars *jsontape.Tape) *Error {
	coordinate := fmt.Sprintf(`Argument "%s.%s(%s:)"`, f.Field.Parent.Name, f.Field.Name, def.Name)
	at := Location{f.Position.Line, f.Position.Column}
	e := &Error{Code: code.BadUserInput, Locations: []Location{at}}
	if given == nil {
		e.Message = fmt.Sprintf(`%s of required type "%s" was not provided.`, coordinate, def.Type)
		return e
	}
	c := literalCheck{vars: vars, hints: hints{hidden: true}, report: func(path []any, at *Value, message string) {
		if e.Message == "" {
			e.Message = fmt.Sprintf(`%s has invalid value%s: %s`, coordinate, pathText(path), message)
			e.Locations = []Location{at.Location}
		}
	}}
	c.literal(nil, &given.Value, def.Type)
	if e.Message == "" {
		e.Message = coordinate + " has an invalid value."
	}
	return e
}
