// Package plan compiles a subscription operation into what is evaluated for each event: index keys, a
// predicate, a projection. Plans hold no identity and are shared by every subscriber.
//
// A plan is made once per document (Compile) and kept in a Cache. At each subscribe the two checks of policy
// that concern the subscriber are fed from it (Claims, Requirements), then Bind evaluates the arguments and
// gives what a group of equal subscriptions shares. For each event, Bound.AppendPayload writes the result.
package plan

import (
	"sync"

	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
	"github.com/fraiseql/fraiseql-go/policy"
)

// Plan is a compiled operation. What is exported is immutable; all methods are safe for concurrent use.
type Plan struct {
	Operation *gql.Operation
	// Asked is the operation name that the plan was asked for by; set before others have the plan.
	Asked    string
	Root     *gql.Field // nil without a schema
	RootName string
	Channel  string
	Types    []string // event types; empty: every one
	Owner    []string // @owner path
	Tenant   []string // @tenant path
	// Equality is what may be constrained by index key: arguments in schema order (in the document's without
	// a schema), then `eq` and `in` at the top level of @where.
	Equality []KeyPath
	Delivery gql.Delivery
	// Fields is how many fields the operation selects, fragments expanded: about what projecting an event costs.
	Fields int

	root         *gql.FieldSelection   // the first of the root field, for its arguments
	selections   [][]gql.Selection     // of the root field, merged
	args         []argument            // those that filter
	conditions   []string              // variables of @skip and @include
	nested       []*gql.FieldSelection // fields below the root with variables in their arguments
	claims       []claimSite
	scope        policy.ScopeNames
	access       access
	requirements []policy.Requirement // of the selection
	guarded      bool                 // filters may need more

	bare     *Projection // without a mask; nil where the program depends on variables
	mu       sync.Mutex
	variants map[variant]*Projection // guarded by mu
}

// KeyPath is a path whose value is an index key.
type KeyPath struct {
	Path []string
	Leaf scalar.Leaf
	Name string // the argument's
}

// Generation is that of the schema that the operation was compiled for.
func (p *Plan) Generation() uint64 { return p.Operation.Document.Schema.Generation }

// Options are the settings that change how an operation is compiled.
type Options struct {
	// Scope holds the names of arguments and input members that claim a user or a tenant (check 1).
	Scope policy.ScopeNames
}

// Compile makes the plan of a valid subscription operation. The error is a *gql.Error: what it says may be
// shown to clients.
func Compile(op *gql.Operation, opt Options) (*Plan, error) {
	p := &Plan{Operation: op, scope: opt.Scope}
	if err := p.findRoot(); err != nil {
		return nil, err
	}
	p.RootName = p.root.Name
	p.Channel = p.root.Name
	if p.Root = p.root.Field; p.Root != nil {
		p.describe(p.Root)
	}
	p.compileArguments()
	p.compileSelection()
	p.countFields()
	if len(p.conditions)+len(p.nested) > 0 {
		return p, nil
	}
	bare, err := p.compileProgram(variant{})
	if err != nil {
		return nil, err
	}
	p.bare = bare
	return p, nil
}

// describe copies what the schema says about the root field.
func (p *Plan) describe(f *gql.Field) {
	if f.Source != nil {
		p.Channel, p.Types = f.Source.Channel, f.Source.Types
	}
	p.Owner, p.Tenant = f.Owner, f.Tenant
	if f.Delivery != nil {
		p.Delivery = *f.Delivery
	}
}

// findRoot collects the root field through fragments. The document is valid: there is exactly one, by response
// key, and no condition stands on the way to it.
func (p *Plan) findRoot() error {
	op := p.Operation
	subscription := op.Document.Schema.Subscription
	seen := map[*gql.Selection]bool{}
	var collect func([]gql.Selection)
	collect = func(list []gql.Selection) {
		for i := range list {
			switch s := &list[i]; {
			case s.Field != nil:
				if p.root == nil {
					p.root = s.Field
				}
				if s.Field.ResponseKey == p.root.ResponseKey && len(s.Field.Selections) > 0 {
					p.selections = append(p.selections, s.Field.Selections)
				}
			case s.Fragment != nil && len(s.Fragment.Selections) > 0:
				first := &s.Fragment.Selections[0]
				if !seen[first] && (subscription == nil || holds(s.Fragment, subscription)) {
					seen[first] = true
					collect(s.Fragment.Selections)
				}
			}
		}
	}
	collect(op.Selections)
	if p.root == nil || op.Kind != gql.Subscription {
		return &gql.Error{Code: code.ValidationFailed, Message: "The operation is not a subscription with one root field."}
	}
	return nil
}

// holds reports whether a fragment applies to values of an object type.
func holds(f *gql.FragmentSelection, object *gql.Type) bool {
	if f.On == nil || f.On == object {
		return true
	}
	for _, t := range f.On.Possible {
		if t == object {
			return true
		}
	}
	return false
}
