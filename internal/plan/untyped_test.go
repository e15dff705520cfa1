package plan_test

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

func TestProjectWithoutSchema(t *testing.T) {
	s := mustSchema(t, "")
	for _, c := range []struct{ name, document, variables, data, want string }{
		{"the example of the documentation", `subscription { users { id } }`, "", `{"id":"123"}`, `{"data":{"users":{"id":"123"}}}`},
		{"copied whole", `subscription { users }`, "", "{ \"id\" : 1,\n \"list\": [ 1.50, \"a b\\u0000\" ] }", `{"data":{"users":{"id":1,"list":[1.50,"a b\u0000"]}}}`},
		{"missing is null", `subscription { users { id missing deep { er } } }`, "", `{"id":1}`, `{"data":{"users":{"id":1,"missing":null,"deep":null}}}`},
		{"objects without selection", `subscription { users { id address } }`, "", `{"id":1,"address":{"city":"x","zip":[1,{}]}}`,
			`{"data":{"users":{"id":1,"address":{"city":"x","zip":[1,{}]}}}}`},
		{"lists", `subscription { users { posts { id } } }`, "", `{"posts":[{"id":1,"x":2},{"id":2},null,[{"id":3}]]}`,
			`{"data":{"users":{"posts":[{"id":1},{"id":2},null,[{"id":3}]]}}}`},
		{"scalars with a selection", `subscription { users { name { first } } }`, "", `{"name":"x"}`, `{"data":{"users":{"name":{"first":null}}}}`},
		{"aliases and conditions", `subscription($a: Boolean!) { u: users { x: id y: id @skip(if: $a) } }`, `{"a":true}`, `{"id":1}`, `{"data":{"u":{"x":1}}}`},
		{"typename", `subscription { users { __typename id } }`, "", `{"__typename":"User","id":1}`, `{"data":{"users":{"__typename":"User","id":1}}}`},
		{"condition holds without typename", `subscription { users { ... on User { id } ...F } } fragment F on Admin { level }`, "", `{"id":1,"level":2}`,
			`{"data":{"users":{"id":1,"level":2}}}`},
		{"condition holds if equal", `subscription { users { ... on User { id } ...F } } fragment F on Admin { level }`, "", `{"__typename":"Admin","id":1,"level":2}`,
			`{"data":{"users":{"level":2}}}`},
		{"condition does not hold", `subscription { users { ... on User { id } name } }`, "", `{"__typename":"Robot","id":1,"name":"n"}`,
			`{"data":{"users":{"name":"n"}}}`},
		{"nothing left", `subscription { users { ... on User { id } } }`, "", `{"__typename":"Robot"}`, `{"data":{"users":{}}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := payload(t, s, c.document, c.variables, c.data); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestBindWithoutSchema(t *testing.T) {
	p := mustCompile(t, mustSchema(t, ""), `subscription($id: ID, $f: Filter) { users(id: $id, kind: ["a"], f: $f, n: null) { id } }`)
	if p.Channel != "users" || p.RootName != "users" || p.Root != nil || len(p.Types) != 0 {
		t.Errorf("channel %q, root %q, types %v", p.Channel, p.RootName, p.Types)
	}
	b := mustBind(t, p, `{"id":7}`, 0)
	if got, want := keys(b), "id=7 kind=\xff[\"a\"]"; got != want {
		t.Errorf("keys %s, want %s", got, want)
	}
	if b.Filter != nil {
		t.Error("a filter besides the keys")
	}
	for data, want := range map[string]bool{`{"id":7,"kind":["a"]}`: true, `{"id":"7","kind":["a"]}`: true, `{"id":7,"kind":"a"}`: false, `{"kind":["a"]}`: false} {
		if got := admits(t, b, data); got != want {
			t.Errorf("%s: %v, want %v", data, got, want)
		}
	}
	if tape := mustTape(t, `{}`); b.Residual.Match(tape, jsontape.Root) {
		t.Error("the residual predicate ignores the second key")
	}
}
