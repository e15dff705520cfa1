// Package plan compiles a subscription operation into what is evaluated for each event: index keys, a
// predicate, a projection. Plans hold no identity and are shared by every subscriber.
package plan

import (
	"github.com/fraiseql/fraiseql-go/internal/filter"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
	"github.com/fraiseql/fraiseql-go/policy"
)

// Plan is a compiled operation. Immutable.
type Plan struct {
	Operation *gql.Operation
	Root      *gql.Field // nil without a schema
	RootName  string
	Channel   string
	Types     []string // event types; empty: every one
	Owner     []string // @owner path
	Tenant    []string // @tenant path
	// Requirements of check 5, over the selection and the arguments that filter.
	Requirements []policy.Requirement
	// Equality is what arguments may constrain by index key, in schema order.
	Equality []KeyPath
	Delivery gql.Delivery
}

// Claims appends what check 1 must verify: the user and tenant values given in arguments, input members at
// any depth, filters, and, without a schema, variables. vars is the object made by CoerceVariables.
func (p *Plan) Claims(dst []policy.Claim, vars *jsontape.Tape) []policy.Claim { panic("") }

// KeyPath is a path whose value is an index key.
type KeyPath struct {
	Path []string
	Leaf scalar.Leaf
	Name string // the argument's
}

// Compile makes the plan of a valid subscription operation.
func Compile(op *gql.Operation) (*Plan, error) { panic("") }

// Bound is a plan with its variables: what a group shares. Immutable and safe for concurrent use.
type Bound struct {
	Plan *Plan
	// Variables is the canonical JSON of the coerced variables that the plan reads.
	Variables []byte
	// Keys are the index keys: Keys[i] belongs to Plan.Equality[KeyIndex[i]]. More than one value is an IN.
	// Arguments that are not given have no entry.
	Keys []Key
	// Filter is the rest of the predicate, nil for true. All equality keys are left out of it.
	Filter *filter.Pred
	// Residual is Filter with all keys but the first in it, for channels past their limit of shapes.
	Residual *filter.Pred
}

// Key is one constrained path with its canonical values (scalar.Leaf.AppendKey).
type Key struct {
	Equality int // index into Plan.Equality
	Values   [][]byte
}

// Bind evaluates arguments and conditions with coerced variables (the object made by CoerceVariables) and
// the field mask.
func (p *Plan) Bind(vars *jsontape.Tape, mask policy.Mask) (*Bound, []*gql.Error) { panic("") }

// AppendPayload appends the ExecutionResult of an event without its closing brace, so that extensions can
// follow: `{"data":{…}` and, if there are any, `,"errors":[…]`.
func (b *Bound) AppendPayload(dst []byte, t *jsontape.Tape, data jsontape.Ref) []byte { panic("") }

// AppendResolved does the same for the root field's value that a resolver returned.
func (b *Bound) AppendResolved(dst []byte, t *jsontape.Tape, value jsontape.Ref) []byte { panic("") }
