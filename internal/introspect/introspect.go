// Package introspect answers the queries that a subscriptions server knows: __schema, __type and __typename,
// so that tools can load the schema.
package introspect

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// Options says what may be asked.
type Options struct {
	// Allowed answers __schema and __type; without it they are FORBIDDEN. __typename is always answered.
	Allowed bool
	// Bytes bounds the result; 0 means 8 MiB.
	Bytes int
}

// Execute runs a valid query operation. vars is the object made by gql.Operation.CoerceVariables, nil if
// there are no variables. It returns the text of an ExecutionResult, or the request errors: FORBIDDEN for
// introspection that is off, GRAPHQL_VALIDATION_FAILED for what is no introspection, BAD_USER_INPUT for an
// argument, LIMIT_EXCEEDED for a result that is too large.
func Execute(op *gql.Operation, vars *jsontape.Tape, opt Options) ([]byte, []*gql.Error) {
	if opt.Bytes <= 0 {
		opt.Bytes = 8 << 20
	}
	if op.Kind != gql.Query {
		return nil, []*gql.Error{{Code: code.ValidationFailed, Locations: at(op.Position),
			Message: "This server runs subscriptions, and queries that introspect the schema."}}
	}
	e := &executor{op: op, schema: op.Document.Schema, vars: vars, opt: opt}
	root := &queryRoot{e.schema}
	fields := e.collect(root, [][]gql.Selection{op.Selections})
	if len(e.errs) > 0 {
		return nil, e.errs
	}
	if errs := e.admit(fields); len(errs) > 0 {
		return nil, errs
	}
	out := e.object([]byte(`{"data":`), root, [][]gql.Selection{op.Selections})
	if len(e.errs) > 0 {
		return nil, e.errs
	}
	return append(out, '}'), nil
}

func at(p gql.Position) []gql.Location { return []gql.Location{{Line: p.Line, Column: p.Column}} }

type executor struct {
	op     *gql.Operation
	schema *gql.Schema
	vars   *jsontape.Tape
	opt    Options
	errs   []*gql.Error
	args   jsontape.Tape
}

// admit refuses root fields that are not answered here.
func (e *executor) admit(fields []field) []*gql.Error {
	var errs []*gql.Error
	for _, f := range fields {
		err := &gql.Error{Locations: at(f.first.Position)}
		switch {
		case f.first.Name == "__typename":
			continue
		case !strings.HasPrefix(f.first.Name, "__"):
			err.Code = code.ValidationFailed
			err.Message = fmt.Sprintf("Query field %q has no value here: this server runs subscriptions and answers __schema, __type and __typename.", f.first.Name)
		case e.schema.Schemaless:
			err.Code = code.Forbidden
			err.Message = "There is no schema to introspect."
		case !e.opt.Allowed:
			err.Code = code.Forbidden
			err.Message = fmt.Sprintf("Introspection is not allowed here: the query asks for %q.", f.first.Name)
		default:
			continue
		}
		errs = append(errs, err)
	}
	return errs
}

// field is what is selected under one response key.
type field struct {
	key   string
	first *gql.FieldSelection
	parts [][]gql.Selection
}

// collect merges the selections on an object (https://spec.graphql.org, "CollectFields").
func (e *executor) collect(o object, lists [][]gql.Selection) []field {
	c := collector{executor: e, typename: o.typename(), index: map[string]int{}}
	for _, list := range lists {
		c.selections(list)
	}
	return c.fields
}

type collector struct {
	*executor
	typename string
	fields   []field
	index    map[string]int
}

func (c *collector) selections(list []gql.Selection) {
	for i := range list {
		sel := &list[i]
		if !c.included(sel.Conditions) {
			continue
		}
		if f := sel.Fragment; f != nil {
			if c.applies(f) {
				c.selections(f.Selections)
			}
			continue
		}
		f := sel.Field
		i, known := c.index[f.ResponseKey]
		if !known {
			i = len(c.fields)
			c.index[f.ResponseKey] = i
			c.fields = append(c.fields, field{key: f.ResponseKey, first: f})
		}
		c.fields[i].parts = append(c.fields[i].parts, f.Selections)
	}
}

// applies reports whether a fragment's type condition holds for the object.
func (c *collector) applies(f *gql.FragmentSelection) bool {
	return f.TypeName == "" || f.TypeName == c.typename || f.On != nil && slices.Contains(f.On.Possible, c.schema.Types[c.typename])
}

// included evaluates @skip and @include. A variable that is null, which a default lets pass validation, is an error.
func (c *collector) included(conditions []gql.Condition) bool {
	for _, cond := range conditions {
		value := cond.Value
		if cond.Variable != "" {
			kind := jsontape.Null
			if c.vars != nil {
				kind = c.vars.Kind(c.vars.Member(jsontape.Root, cond.Variable))
			}
			value = kind == jsontape.True
			if !value && kind != jsontape.False {
				c.refuse(cond)
				return false
			}
		}
		if value == cond.Skip {
			return false
		}
	}
	return true
}

func (c *collector) refuse(cond gql.Condition) {
	if len(c.errs) > 0 {
		return
	}
	directive := "include"
	if cond.Skip {
		directive = "skip"
	}
	c.errs = append(c.errs, &gql.Error{Code: code.BadUserInput, Locations: at(c.op.Position), Message: fmt.Sprintf(
		`Argument "@%s(if:)" has invalid value: Expected variable "$%s" provided to non-null type "Boolean!" not to be null.`, directive, cond.Variable)})
}

// object appends the selected fields of an object.
func (e *executor) object(dst []byte, o object, lists [][]gql.Selection) []byte {
	dst = append(dst, '{')
	for i, f := range e.collect(o, lists) {
		if len(e.errs) > 0 {
			return dst
		}
		if len(dst) > e.opt.Bytes {
			e.errs = append(e.errs, &gql.Error{Code: code.LimitExceeded, Locations: at(f.first.Position),
				Message: "The result of the introspection is too large."})
			return dst
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = jsontape.AppendQuoted(dst, f.key)
		dst = append(dst, ':')
		if f.first.Name == "__typename" {
			dst = jsontape.AppendQuoted(dst, o.typename())
			continue
		}
		dst = e.value(dst, o.resolve(f.first.Name, &arguments{executor: e, field: f.first}), f.parts)
	}
	return append(dst, '}')
}

// value appends what a field resolved to: nil, string, bool, []string, object or list.
func (e *executor) value(dst []byte, v any, parts [][]gql.Selection) []byte {
	switch v := v.(type) {
	case string:
		return jsontape.AppendQuoted(dst, v)
	case bool:
		if v {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	case []string:
		dst = append(dst, '[')
		for i, s := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = jsontape.AppendQuoted(dst, s)
		}
		return append(dst, ']')
	case list:
		dst = append(dst, '[')
		for i, o := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = e.object(dst, o, parts)
		}
		return append(dst, ']')
	case object:
		return e.object(dst, v, parts)
	}
	return append(dst, "null"...)
}

// arguments reads the coerced arguments of one field.
type arguments struct {
	*executor
	field *gql.FieldSelection
}

// load coerces the arguments; false after an error.
func (a *arguments) load() bool {
	text, errs := a.field.CoerceArguments(nil, a.vars)
	if len(errs) > 0 {
		a.errs = append(a.errs, errs...)
		return false
	}
	return a.args.Parse(text, jsontape.Limits{}) == nil
}

// flag returns a Boolean argument.
func (a *arguments) flag(name string) bool {
	return a.load() && a.args.Kind(a.args.Member(jsontape.Root, name)) == jsontape.True
}

// text returns a String argument.
func (a *arguments) text(name string) string {
	if !a.load() {
		return ""
	}
	r := a.args.Member(jsontape.Root, name)
	if a.args.Kind(r) != jsontape.String {
		return ""
	}
	return string(a.args.AppendString(nil, r))
}
