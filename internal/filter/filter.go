// Package filter compiles what a subscription asks for into predicates on an event's tape. Constants are
// fixed when a subscription is made; matching an event allocates nothing.
package filter

import (
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

// Op is an operator of MatchOp (CONTRACT 4).
type Op uint8

const (
	EQ Op = iota
	NE
	GT
	GTE
	LT
	LTE
	IN
	NotIn
	Contains
	NotContains
	StartsWith
	EndsWith
	Exists
	Between
	ContainsAny
)

// Pred is a compiled predicate, immutable and safe for concurrent use. The nil *Pred is true.
type Pred struct{}

// Match reports whether the data at root satisfies the predicate.
func (p *Pred) Match(t *jsontape.Tape, root jsontape.Ref) bool { panic("filter: Match") }

// Compare compiles `value at path OP constant`. leaf is the leaf type of the argument (of its elements where
// it is a list); the constant is node c of tape consts, already coerced as an input of the argument's type;
// list operators take an array there.
func Compare(path []string, leaf scalar.Leaf, op Op, consts *jsontape.Tape, c jsontape.Ref) (*Pred, error) {
	panic("filter: Compare")
}

// And, Or and Not combine; And() is true, Or() is false, nil members count as true.
func And(ps ...*Pred) *Pred { panic("") }
func Or(ps ...*Pred) *Pred  { panic("") }
func Not(p *Pred) *Pred     { panic("") }
