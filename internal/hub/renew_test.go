package hub

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/policy"
)

// A resolver answers while the members of a group move to what it becomes: the result waits for the last of them.
func TestResultsWaitForMembersThatMove(t *testing.T) {
	w := newWorld(t, Addressing{})
	var asked sink
	p := w.plan(`subscription { order { id } }`)
	var subs []*Subscription
	r := asked.resolver()
	for range 3 {
		subs = append(subs, w.joinLate(p, user("a"), r, nil))
	}
	for range 2 {
		w.publish(event.Event{Channel: "orders", Data: []byte(orderData)})
	}
	schema, errs := gql.LoadSchema([]gql.SchemaSource{{Name: "test.graphql", Text: testSDL}}, gql.SchemaOptions{})
	if errs != nil {
		t.Fatal(errs)
	}
	w.schema = schema
	renewed := w.plan(`subscription { order { id } }`)
	judged := 0
	w.hub.cfg.Renew = func(j *Join) *Renewal {
		return &Renewal{Plan: renewed, Variables: j.Variables, Tape: j.Tape, Policy: subs[0].Policy(), Admit: func(*identity.Identity) (policy.Mask, []*gql.Error) {
			if judged++; judged == 2 {
				for _, r := range asked.list {
					r.Resolve([]byte(`{"id":"` + []string{"1", "2"}[r.seq-1] + `"}`))
				}
			}
			return 0, nil
		}}
	}
	if sum := w.hub.Renew(schema.Generation); sum.Moved != 3 || judged != 3 {
		t.Fatalf("%+v, %d judged", sum, judged)
	}
	for i, s := range subs {
		if one, two, three := next(s), next(s), next(s); one != order("1") || two != order("2") || three != "" {
			t.Errorf("%d: %s %s %s", i, one, two, three)
		}
	}
}
