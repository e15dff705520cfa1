package gql

import "github.com/fraiseql/fraiseql-go/internal/jsontape"

// Source text of a schema; Name appears in errors.
type SchemaSource struct {
	Name string
	Text string
}

// SchemaOptions are the settings that change how a schema is read.
type SchemaOptions struct {
	// SnakeCase reads member order_id for field orderId (schema.naming: snake_case).
	SnakeCase bool
	// Resolvers names the root fields that have a resolver: a scalar root is allowed for these only. nil
	// postpones the check.
	Resolvers func(field string) bool
}

// Limits bounds documents; zero means the default in the comment.
type Limits struct {
	Bytes   int // 64 KiB
	Tokens  int // 10,000
	Depth   int // 20
	Aliases int // 200: fields that share a parent after fragments are counted
}

// Error is a GraphQL request error: what a client may see.
type Error struct {
	Code      string // of the table in CONTRACT 7
	Message   string
	Locations []Location
	Path      []any // string or int
}

// Location is a place in a document, counted from 1.
type Location struct{ Line, Column int }

func (e *Error) Error() string { return e.Message }

// SchemaError is one problem of a schema, with its place.
type SchemaError struct {
	Position Position
	Message  string
}

func (e *SchemaError) Error() string { return "" }

type loaded struct{}

// LoadSchema reads SDL, checks it and our directives, and reports every problem at once.
func LoadSchema(sources []SchemaSource, opt SchemaOptions) (*Schema, []*SchemaError) { panic("") }

// Schemaless returns the schema that knows no types (CONTRACT 4, "Without a schema").
func Schemaless() *Schema { panic("") }

// Parse parses and validates a document completely: the standard's rules, the single root field, limits.
// The error list is never both empty and with a nil document.
func (s *Schema) Parse(text string, lim Limits) (*Document, []*Error) { panic("") }

// Operation picks the operation to run; the error has code OPERATION_RESOLUTION_FAILURE.
func (d *Document) Operation(name string) (*Operation, *Error) { panic("") }

// CoerceVariables coerces the variables of a request to the letter of the specification. raw is the node of
// the request's `variables` member (None or null: none given). It appends the JSON object of the coerced
// variables in definition order, defaults applied, absent ones left out: equal objects mean equal variables.
func (op *Operation) CoerceVariables(dst []byte, t *jsontape.Tape, raw jsontape.Ref) ([]byte, []*Error) {
	panic("")
}

// CoerceArguments appends the JSON object of a field's coerced argument values in schema order: literals and
// variables (from vars, made by CoerceVariables) alike, defaults applied, absent ones left out.
func (f *FieldSelection) CoerceArguments(dst []byte, vars *jsontape.Tape) ([]byte, []*Error) {
	panic("")
}
