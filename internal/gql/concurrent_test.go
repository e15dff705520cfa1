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
