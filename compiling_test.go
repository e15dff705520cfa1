package fraiseql

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/fraiseql/fraiseql-go/observe"
)

// origins counts where plans of subscriptions came from.
type origins struct {
	observe.Discard
	compiled, cached int
}

func (o *origins) Counted(c observe.Counter, label string, n int) {
	if c == observe.Subscribed {
		switch label {
		case "compiled":
			o.compiled += n
		case "cached":
			o.cached += n
		}
	}
}

// While documents are being compiled on as many processors as may be, another one waits; one that is known does not. Who waited
// for a document that somebody else has brought meanwhile compiles nothing.
func TestDocumentsAreCompiledAFewAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &origins{}
		e, err := New(Config{Observer: seen})
		if err != nil {
			t.Fatal(err)
		}
		subscribed := 0
		subscribe := func(id, query string) {
			if _, err := e.Register(context.Background(), Registration{ConnectionID: id, SubscriptionID: id, Query: query}); err != nil {
				t.Error(err)
			}
			subscribed++
		}
		subscribe("a", "subscription { x }")
		for range compilers() {
			e.compiling.Enter()
		}
		go subscribe("b", "subscription { y }")
		synctest.Wait()
		subscribe("c", "subscription { x }")
		if subscribed != 2 {
			t.Errorf("%d subscribed", subscribed)
		}
		if _, _, _, errs := e.plan("subscription { y }", "", e.limits().documents()); errs != nil {
			t.Error(errs)
		}
		for range compilers() {
			e.compiling.Leave()
		}
		synctest.Wait()
		if subscribed != 3 || seen.compiled != 1 || seen.cached != 2 {
			t.Errorf("%d subscribed, %d compiled, %d cached", subscribed, seen.compiled, seen.cached)
		}
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
