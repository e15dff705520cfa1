package graphqljs

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/testkit/gqlgen"
	"github.com/fraiseql/fraiseql-go/internal/testkit/graphqljs"
)

// TestRootCases holds the table of single root fields, which internal/gql is tested against, to graphql-js.
func TestRootCases(t *testing.T) {
	oracle := graphqljs.Start(t)
	for _, c := range gqlgen.RootCases {
		answer := oracle.Ask(graphqljs.Request{Op: "validate", SDL: gqlgen.RootSDL, Document: c.Document})
		if (len(answer.Errors) == 0) != c.Valid {
			t.Errorf("%s: graphql-js says %q", c.Document, answer.Errors)
		}
	}
}
