// Package scalar knows the leaf types of GraphQL: how a value found in an event is coerced as a result
// (https://spec.graphql.org, "Result Coercion", as graphql-js does it) and which values are the same.
package scalar

import "github.com/fraiseql/fraiseql-go/internal/jsontape"

// Kind is how a leaf type coerces.
type Kind uint8

const (
	Custom Kind = iota // any JSON value, copied; equal by equal JSON
	Int                // 32 bit
	Float
	String
	ID
	Boolean
	Enum
	Untyped // without a schema: strings and integers as ID does, else equal JSON
)

// Leaf is a leaf type.
type Leaf struct {
	Kind Kind
	// Names holds the values of an Enum.
	Names map[string]struct{}
}

// AppendResult appends the JSON text of r coerced as a result of the leaf type. ok is false when the value
// cannot be coerced (a field error); dst is then returned as it was. Null is not a leaf: callers check first.
func (l *Leaf) AppendResult(dst []byte, t *jsontape.Tape, r jsontape.Ref) (out []byte, ok bool) {
	panic("scalar: AppendResult")
}

// AppendKey appends the canonical form of r coerced as a result: two values are equal exactly when their
// canonical forms are the same bytes (CONTRACT 4, "Comparison"). ok is false for null, missing and what
// cannot be coerced.
func (l *Leaf) AppendKey(dst []byte, t *jsontape.Tape, r jsontape.Ref) (out []byte, ok bool) {
	panic("scalar: AppendKey")
}
