package gql

import (
	"strings"
	"testing"
)

// Paths that lead to nothing that the payload type reads are noted, and only those.
func TestNotes(t *testing.T) {
	s, errs := LoadSchema([]SchemaSource{{"s.graphql", payloadSDL + `type U { user: String @from(path: "user_id") }
union V = P | U
type Subscription {
  right(id: ID, a: Int @match(path: "n"), b: String @match(path: "inner.name")): P @owner(path: "name") @tenant(path: "inner.id")
  from(a: ID @match(path: "user_id")): U
  wrong(user: ID
    b: ID @match(path: "usr_id.x")): U @owner(path: "owner")
  abstract(a: ID @match(path: "n"), b: ID @match(path: "user_id")): V
  leaf(a: ID @match(path: "z")): Any
  newest: P @delivery(overflow: LATEST, key: "inner.id")
  stale: P @delivery(overflow: LATEST, key: "inenr.id")
  dropped: P @delivery(overflow: DROP_OLDEST)
}`}}, SchemaOptions{Resolvers: func(string) bool { return true }})
	if len(errs) > 0 {
		for _, err := range errs {
			t.Log(err)
		}
	}
	if s == nil {
		t.Fatal("no schema")
	}
	var got []string
	for _, n := range s.Notes() {
		got = append(got, n.String())
	}
	if len(got) != 3 || !strings.HasPrefix(got[0], `s.graphql:9:`) || !strings.Contains(got[0], `@owner(path: "owner") of wrong: type U has no field that reads "owner"`) ||
		!strings.HasPrefix(got[1], `s.graphql:10:5: @match(path: "usr_id.x") of wrong`) ||
		!strings.HasPrefix(got[2], `s.graphql:14:3: @delivery(key: "inenr.id") of stale: type P has no field that reads "inenr"`) {
		t.Errorf("noted %q", got)
	}
}
