package gql

import "fmt"

// SchemaSource is the source text of a schema; Name appears in errors.
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
	// HideSuggestions leaves "Did you mean …?" out of the errors of documents: such hints name parts of the
	// schema to those who may not introspect it.
	HideSuggestions bool
}

// Limits bounds documents; zero means the default in the comment.
type Limits struct {
	Bytes   int // 64 KiB
	Tokens  int // 10,000
	Fields  int // once fragments are expanded; as many as Tokens
	Depth   int // 20
	Aliases int // 200: fields that share a parent after fragments are counted
}

func (l Limits) withDefaults() Limits {
	if l.Bytes <= 0 {
		l.Bytes = 64 << 10
	}
	if l.Tokens <= 0 {
		l.Tokens = 10_000
	}
	if l.Fields <= 0 {
		l.Fields = l.Tokens
	}
	if l.Depth <= 0 {
		l.Depth = 20
	}
	if l.Aliases <= 0 {
		l.Aliases = 200
	}
	return l
}

// Error is a GraphQL request error: what a client may see.
type Error struct {
	Code      string // of the table in docs/reference/errors.md
	Message   string
	Locations []Location
	Path      []any // string or int
	// Limit is the key of `limits` that was exceeded, of an error LIMIT_EXCEEDED; empty: a bound that is fixed.
	Limit string
}

// Location is a place in a document, counted from 1.
type Location struct{ Line, Column int }

func (e *Error) Error() string { return e.Message }

// SchemaError is one problem of a schema, with its place.
type SchemaError struct {
	Position Position
	Message  string
}

// Error returns the problem as compilers do: file:line:column: message.
func (e *SchemaError) Error() string {
	if e.Position.Line == 0 {
		return e.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.Position.Source, e.Position.Line, e.Position.Column, e.Message)
}
