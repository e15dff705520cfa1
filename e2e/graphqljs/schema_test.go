package graphqljs

import (
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/testkit/gqlgen"
	"github.com/fraiseql/fraiseql-go/internal/testkit/graphqljs"
)

// ownDefinitions lets graphql-js build a schema with our directives.
const ownDefinitions = `
directive @match(path: String, op: MatchOp = EQ) on ARGUMENT_DEFINITION
enum MatchOp { EQ NE GT GTE LT LTE IN NOT_IN CONTAINS NOT_CONTAINS STARTS_WITH ENDS_WITH EXISTS BETWEEN CONTAINS_ANY }
`

// TestSchemaVerdicts damages schemas: what graphql-js refuses we must refuse; what we refuse beyond that must
// be about our own directives.
func TestSchemaVerdicts(t *testing.T) {
	oracle := graphqljs.Start(t)
	counts := map[string]int{}
	for seed := range uint64(100) {
		g := gqlgen.New(seed + 50_000)
		sdl := g.Schema().SDL
		var reqs []graphqljs.Request
		var texts []string
		for range 20 {
			text := g.Damage(sdl)
			texts = append(texts, text)
			reqs = append(reqs, graphqljs.Request{Op: "schema", SDL: text + ownDefinitions})
		}
		for i, answer := range oracle.AskAll(reqs) {
			_, errs := gql.LoadSchema([]gql.SchemaSource{{Name: "s.graphql", Text: texts[i] + ownDefinitions}}, gql.SchemaOptions{})
			switch {
			case len(errs) == 0 && len(answer.Errors) == 0:
				counts["both accept"]++
			case len(errs) > 0 && len(answer.Errors) > 0:
				counts["both refuse"]++
			case len(errs) == 0 && strings.HasPrefix(answer.Errors[0], "Query root type must be provided"):
				counts["Query is supplied"]++
			case len(errs) == 0:
				t.Errorf("seed %d: we accept, graphql-js: %q\n%s", seed, answer.Errors, texts[i])
			case ours(errs):
				counts["our directives"]++
			case strings.Contains(errs[0].Message, "Unexpected {"):
				counts["an operation among the types"]++ // graphql-js ignores it
			case strings.Contains(errs[0].Message, `one type named "Int"`):
				counts["Int is no scalar"]++ // graphql-js ignores the definition
			default:
				t.Errorf("seed %d: graphql-js accepts, we: %v\n%s", seed, errs, texts[i])
			}
		}
	}
	t.Log(counts)
}

func ours(errs []*gql.SchemaError) bool {
	for _, e := range errs {
		if strings.Contains(e.Message, "Subscription") || strings.Contains(e.Message, "@match") {
			return true
		}
	}
	return false
}
