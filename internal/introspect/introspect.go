// Package introspect executes introspection queries.
package introspect

import (
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// Execute answers a query with an ExecutionResult. on says whether __schema and __type are answered.
func Execute(op *gql.Operation, vars *jsontape.Tape, on bool) ([]byte, []*gql.Error) {
	return nil, []*gql.Error{{Code: "FORBIDDEN", Message: "Introspection is off."}}
}
