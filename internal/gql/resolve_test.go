package gql

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fraiseql/fraiseql-go/internal/filter"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

func TestSnakeCase(t *testing.T) {
	for name, want := range map[string]string{
		"id": "id", "orderId": "order_id", "order_id": "order_id", "OrderID": "order_id", "HTTPCode2": "http_code2",
		"aB": "a_b", "A": "a", "userURLPath": "user_url_path", "_x": "_x", "x1Y": "x1_y",
	} {
		if got := snakeCase(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// TestMembers: which member of data a field reads and an argument compares.
func TestMembers(t *testing.T) {
	const sdl = `
type P { orderId: ID renamed: Int @from(path: "Other") inner: P }
union U = P
input W { orderId: F extraField: F } input F { eq: ID }
type Subscription {
  p(orderId: ID, renamed: Int, free: Int @match, inner: ID @match(path: "inner.orderId"), w: W @where): P
  u(orderId: ID, renamed: Int): U
}`
	for _, c := range []struct {
		snake bool
		want  map[string]string
		field string
	}{
		{false, map[string]string{"orderId": "orderId", "renamed": "Other", "free": "free", "inner": "inner.orderId"}, "orderId"},
		{true, map[string]string{"orderId": "order_id", "renamed": "Other", "free": "free", "inner": "inner.orderId"}, "order_id"},
	} {
		s, errs := LoadSchema([]SchemaSource{{"s", sdl}}, SchemaOptions{SnakeCase: c.snake})
		if len(errs) > 0 {
			t.Fatal(errs[0])
		}
		f := s.Subscription.Field("p")
		for arg, want := range c.want {
			if got := strings.Join(f.Arg(arg).Match.Path, "."); got != want {
				t.Errorf("snake %v, %s: %s, want %s", c.snake, arg, got, want)
			}
		}
		p := s.Types["P"]
		if p.Field("orderId").From != c.field || p.Field("renamed").From != "Other" {
			t.Errorf("snake %v: fields read %s, %s", c.snake, p.Field("orderId").From, p.Field("renamed").From)
		}
		w := f.Arg("w").Where
		if got := w.Members["orderId"].Member; got != c.field {
			t.Errorf("member of a filter %s", got)
		}
		if got := w.Members["extraField"].Member; (got == "extra_field") != c.snake {
			t.Errorf("member of a filter that no field reads %s", got)
		}
		if m := s.Subscription.Field("u").Arg("renamed").Match; m.Path[0] != "Other" {
			t.Errorf("member of a union %s", m.Path)
		}
		if m := s.Subscription.Field("u").Arg("orderId").Match; m.Path[0] != c.field || m.Op != filter.EQ || m.Leaf.Kind != scalar.ID {
			t.Errorf("union's argument %+v", m)
		}
	}
}

// TestMembersOfAbstractTypes: what an argument or a filter compares by name is what the objects of an interface or a union read.
func TestMembersOfAbstractTypes(t *testing.T) {
	s := mustLoad(t, `
interface N { id: ID x: X } type A implements N { id: ID @from(path: "a") x: XA more: Int @from(path: "m") } type B implements N { id: ID @from(path: "a") x: XB }
interface X { id: ID } type XA implements X { id: ID @from(path: "xa") } type XB implements X { id: ID @from(path: "xa") } type XC implements X { id: ID }
scalar JSON type C { x: JSON } union U = C | A
interface Empty { id: ID @from(path: "e") }
input W { id: F x: XW more: F and: [W!] not: V } input XW { id: F } input F { eq: ID } input V { x: XW }
type Subscription { n(id: ID, more: Int @match(op: GT), w: W @where): N u(id: ID, w: W @where): U e(id: ID): Empty }`)
	for field, args := range map[string]map[string]string{"n": {"id": "a", "more": "m"}, "u": {"id": "a"}, "e": {"id": "e"}} {
		for arg, want := range args {
			if got := s.Subscription.Field(field).Arg(arg).Match.Path[0]; got != want {
				t.Errorf("%s(%s:) compares %s, want %s", field, arg, got, want)
			}
		}
	}
	for _, field := range []string{"n", "u"} {
		w := s.Subscription.Field(field).Arg("w").Where
		if got := w.Members["id"].Member + w.Members["x"].Member + w.Members["more"].Member + w.Members["x"].Filter.Members["id"].Member; got != "axmxa" {
			t.Errorf("@where of %s compares %s", field, got)
		}
		if w.Members["and"].Filter != w || w.Members["not"].Filter.Members["x"].Filter != w.Members["x"].Filter || w.Members["id"].Filter != nil {
			t.Errorf("@where of %s: the filters within are others", field)
		}
	}
}

// TestSources: several files, extensions, other names of roots, inferred roots.
func TestSources(t *testing.T) {
	s, errs := LoadSchema([]SchemaSource{
		{"a.graphql", `extend schema { subscription: S } type P { id: ID }`},
		{"b.graphql", `type S { p: P } extend type P { n(x: Int = 1): Int } extend type S { "who" q(n: Int @match(path: "n")): [P!]! @source(channel: "c.d:e/f") }`},
	}, SchemaOptions{})
	if len(errs) > 0 {
		t.Fatal(errs[0])
	}
	q := s.Subscription.Field("q")
	if s.Subscription.Name != "S" || q == nil || q.Description != "who" || q.Source.Channel != "c.d:e/f" || q.Position.Source != "b.graphql" ||
		q.Type.String() != "[P!]!" || s.Query.Name != "Query" || s.Mutation != nil {
		t.Fatalf("%+v", q)
	}
	_, errs = LoadSchema([]SchemaSource{{"a.graphql", "type P { id: ID }\ntype P { }"}, {"b.graphql", "\n\ntype {"}}, SchemaOptions{})
	if len(errs) != 2 || errs[0].Position.Source != "a.graphql" || errs[1].Error() != "b.graphql:3:6: Expected Name, found {" {
		t.Fatalf("%v", errs)
	}
	other, _ := LoadSchema(nil, SchemaOptions{})
	if other == nil || other.Generation == s.Generation || other.Subscription != nil {
		t.Fatalf("empty schema: %+v", other)
	}
	taken := mustLoad(t, `schema { subscription: S } type Query { a: Int } type S { q: Query }`)
	if taken.Query == taken.Types["Query"] || len(taken.Query.Fields) != 0 {
		t.Error("a type that happens to be named Query is no root")
	}
}

func TestScalarRoots(t *testing.T) {
	source := []SchemaSource{{"s.graphql", "type Subscription { n: Int\nl: [String!] }"}}
	if _, errs := LoadSchema(source, SchemaOptions{}); len(errs) > 0 {
		t.Errorf("postponed: %v", errs)
	}
	_, errs := LoadSchema(source, SchemaOptions{Resolvers: func(name string) bool { return name == "n" }})
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), "s.graphql:2:1: Subscription.l has the type [String!]") {
		t.Errorf("%v", errs)
	}
}

func TestDelivery(t *testing.T) {
	s := mustLoad(t, `type P { id: ID } type Subscription { a: P @delivery b: P @delivery(overflow: DROP_OLDEST, maxMessages: 5, maxBytes: 1000)
		c: P @delivery(overflow: DROP_NEWEST) d: P @delivery(overflow: LATEST, key: "x.id") e: P }`)
	for name, want := range map[string]*Delivery{
		"a": {}, "b": {Overflow: OverflowDropOldest, MaxMessages: 5, MaxBytes: 1000}, "c": {Overflow: OverflowDropNewest},
		"d": {Overflow: OverflowLatest, Key: []string{"x", "id"}}, "e": nil,
	} {
		if diff := cmp.Diff(want, s.Subscription.Field(name).Delivery); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestAccess(t *testing.T) {
	s := mustLoad(t, `
extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@authenticated", {name: "@requiresScopes", as: "@scopes"}])
directive @authenticated on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM
scalar Secret @requiresRole(roles: "admin")
enum Level @federation__requiresScopes(scopes: [["l"]]) { A }
interface Node @authenticated { id: ID }
type T implements Node @scopes(scopes: [["a", "b"], ["c"]]) {
  id: ID @authenticated @requiresRole(roles: ["x", "y"], deny: MASK)
  s: Secret l: Level @scopes(scopes: "one")
}
extend type T @requiresRole(roles: ["z"])
type Subscription { t: T }`)
	typ := s.Types["T"]
	for _, c := range []struct {
		name      string
		got, want Access
	}{
		{"Node", s.Types["Node"].Access, Access{Authenticated: true}},
		{"Secret", s.Types["Secret"].Access, Access{Roles: [][]string{{"admin"}}}},
		{"Level", s.Types["Level"].Access, Access{Scopes: [][][]string{{{"l"}}}}},
		{"T", typ.Access, Access{Scopes: [][][]string{{{"a", "b"}, {"c"}}}, Roles: [][]string{{"z"}}}},
		{"T.id", typ.Field("id").Access, Access{Authenticated: true, Roles: [][]string{{"x", "y"}}, Mask: true}},
		{"T.s", typ.Field("s").Access, Access{}},
		{"T.l", typ.Field("l").Access, Access{Scopes: [][][]string{{{"one"}}}}},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// TestUnscoped: arguments and members of input objects.
func TestUnscoped(t *testing.T) {
	s := mustLoad(t, `type P { id: ID } input W { userId: F @unscoped tenantId: F } input F { eq: ID }
		type Subscription { p(user_id: ID @match @unscoped, tenantId: ID @match, w: W @where): P }`)
	f := s.Subscription.Field("p")
	if !f.Arg("user_id").Unscoped || f.Arg("tenantId").Unscoped || !s.Types["W"].Input("userId").Unscoped || s.Types["W"].Input("tenantId").Unscoped {
		t.Error("unscoped marks are wrong")
	}
}

// TestHideSuggestions: no error of a document or a variable names parts of the schema that the client did not.
func TestHideSuggestions(t *testing.T) {
	for _, hidden := range []bool{false, true} {
		s, errs := LoadSchema([]SchemaSource{{"s", ordersSDL}}, SchemaOptions{HideSuggestions: hidden})
		if len(errs) > 0 {
			t.Fatal(errs[0])
		}
		var messages []string
		for _, doc := range []string{
			`subscription { tickr { id } }`, `subscription { ticker { idd } }`, `subscription { ticker(limt: 1) { id } }`,
			`subscription { ticker { ...F } } fragment F on Ordr { id }`, `subscription { orders(status: OPN) { id } }`,
			`subscription { orders(where: {totl: null}) { id } }`,
		} {
			_, problems := s.Parse(doc, Limits{})
			if len(problems) == 0 {
				t.Fatalf("%s is accepted", doc)
			}
			messages = append(messages, problems[0].Message)
		}
		op := mustParse(t, s, `subscription($s: Status, $w: OrderWhere) { orders(status: $s, where: $w) { id } }`)
		_, problems := op.CoerceVariables(nil, tapeOf(t, `{"s":"OPN","w":{"totl":1}}`), jsontape.Root)
		for _, p := range problems {
			messages = append(messages, p.Message)
		}
		for _, m := range messages {
			if strings.Contains(m, "Did you mean") == hidden {
				t.Errorf("hidden %v: %s", hidden, m)
			}
		}
	}
}
