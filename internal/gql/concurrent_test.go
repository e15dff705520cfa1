package gql

import (
	"sync"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// TestConcurrentUse is for the race detector: a schema and its documents are shared.
func TestConcurrentUse(t *testing.T) {
	s := mustLoad(t, ordersSDL)
	shared := mustParse(t, s, benchDocument)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 20 {
				for _, schema := range []*Schema{s, Schemaless()} {
					if _, errs := schema.Parse(benchDocument, Limits{}); len(errs) > 0 {
						t.Error(errs[0].Message)
					}
				}
				var tape jsontape.Tape
				if err := tape.Parse([]byte(benchVariables), jsontape.Limits{}); err != nil {
					t.Error(err)
				}
				if _, errs := shared.CoerceVariables(nil, &tape, jsontape.Root); len(errs) > 0 {
					t.Error(errs[0].Message)
				}
			}
		})
	}
	wait.Wait()
}

// TestConcurrentLoads is for the race detector, too: loads share no definition of Federation's, and leave none changed.
func TestConcurrentLoads(t *testing.T) {
	const sdl = `extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@tag"])
extend scalar federation__FieldSet @tag(name: "x")
type T @key(fields: "id") { id: ID } type Subscription { t: T }`
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			s, errs := LoadSchema([]SchemaSource{{"s.graphql", sdl}}, SchemaOptions{})
			if len(errs) > 0 {
				t.Error(errs[0])
			} else if tags := s.ast.Types["federation__FieldSet"].Directives; len(tags) != 1 {
				t.Errorf("%d directives, want 1", len(tags))
			}
		})
	}
	wait.Wait()
}
