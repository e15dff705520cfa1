package security

import (
	"testing"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/policy"
)

const orders = `
type Subscription {
  order(userId: ID, status: String): Order @source(channel: "orders")
  owned: Order @source(channel: "orders") @owner(path: "owner.id")
  ofOrg: Order @source(channel: "orders") @tenant(path: "org")
  search(by: OrderFilter @where): Order @source(channel: "orders")
  any(userId: ID @unscoped @match(path: "user_id")): Order @source(channel: "orders")
}
input OrderFilter { userId: IDFilter @unused, not: OrderFilter, and: [OrderFilter!], or: [OrderFilter!] }
input IDFilter { eq: ID, ne: ID, in: [ID!] }
type Order {
  id: ID!
  userId: ID @from(path: "user_id")
  status: String
  cost: Int @requiresRole(roles: ["finance"])
  margin: Int @requiresRole(roles: ["finance"], deny: MASK)
  notes: String @requiresScopes(scopes: [["read:notes"], ["read:all", "staff"]])
  email: String @authenticated
}
directive @unused on INPUT_FIELD_DEFINITION
`

// alice is who asks in these tests.
var alice = map[string]any{"sub": "alice", "tenant_id": "acme"}

func with(claims map[string]any, more map[string]any) map[string]any {
	all := map[string]any{}
	for name, v := range claims {
		all[name] = v
	}
	for name, v := range more {
		all[name] = v
	}
	return all
}

func order(id string, change func(*fraiseql.Event)) fraiseql.Event {
	ev := fraiseql.Event{Channel: "orders", Type: "created", TenantID: "acme", Data: []byte(`{"id":"` + id + `"}`)}
	if change != nil {
		change(&ev)
	}
	return ev
}

func data(text string) func(*fraiseql.Event) {
	return func(ev *fraiseql.Event) { ev.Data = []byte(text) }
}

// TestDeniedEventsDoNotArrive publishes an event that a check denies and then one that it allows: the one that
// arrives is the second.
func TestDeniedEventsDoNotArrive(t *testing.T) {
	const all = `subscription { order { id } }`
	for _, tt := range []struct {
		name   string
		check  policy.Check
		claims map[string]any
		rules  fraiseql.Security
		query  string
		denied []fraiseql.Event
		allow  func(*fraiseql.Event)
	}{
		{
			name: "tenant: another's", check: policy.Tenant, claims: alice, query: all,
			denied: []fraiseql.Event{order("no", func(e *fraiseql.Event) { e.TenantID = "other" }), order("no", func(e *fraiseql.Event) { e.TenantID = "ACME" })},
		},
		{
			name: "tenant: the subscriber has none", check: policy.Tenant, claims: map[string]any{"sub": "alice"}, query: all,
			denied: []fraiseql.Event{order("no", nil)},
			allow:  func(e *fraiseql.Event) { e.TenantID, e.Broadcast = "", true },
		},
		{
			name: "tenant: in data", check: policy.Tenant, claims: alice, query: all,
			denied: []fraiseql.Event{order("no", func(e *fraiseql.Event) { e.TenantID, e.Data = "", []byte(`{"id":"no","tenant_id":"other"}`) })},
			allow:  func(e *fraiseql.Event) { e.TenantID, e.Data = "", []byte(`{"id":"yes","tenant_id":"acme"}`) },
		},
		{
			name: "tenant: in data, escaped and twice", check: policy.Tenant, claims: alice, query: all,
			denied: []fraiseql.Event{order("no", func(e *fraiseql.Event) {
				e.TenantID, e.Data = "", []byte(`{"id":"no","tenant_id":"acme","tenant\u005fid":"other"}`)
			})},
			allow: func(e *fraiseql.Event) {
				e.TenantID, e.Data = "", []byte(`{"id":"yes","tenant_id":"other","tenant\u005fid":"\u0061cme"}`)
			},
		},
		{
			name: "tenant: @tenant", check: policy.Tenant, claims: alice, query: `subscription { ofOrg { id } }`,
			denied: []fraiseql.Event{
				order("no", nil), order("no", data(`{"id":"no","org":"other"}`)), order("no", data(`{"id":"no","org":null}`)),
				order("no", data(`{"id":"no","org":["acme"]}`)), order("no", data(`{"id":"no","org":{"id":"acme"}}`)), order("no", data(`{"id":"no","org":true}`)),
			},
			allow: data(`{"id":"yes","org":"acme"}`),
		},
		{
			name: "tenant: @tenant and a broadcast", check: policy.Tenant, claims: alice, query: `subscription { ofOrg { id } }`,
			denied: []fraiseql.Event{order("no", func(e *fraiseql.Event) { e.TenantID, e.Broadcast = "", true })},
			allow: func(e *fraiseql.Event) {
				e.TenantID, e.Broadcast, e.Data = "", true, []byte(`{"id":"yes","org":"acme"}`)
			},
		},
		{
			name: "row: another user's", check: policy.Row, claims: alice, query: all,
			denied: []fraiseql.Event{order("no", func(e *fraiseql.Event) { e.UserID = "bob" }), order("no", func(e *fraiseql.Event) { e.UserID = "Alice" })},
			allow:  func(e *fraiseql.Event) { e.UserID = "alice" },
		},
		{
			name: "row: the subscriber is nobody", check: policy.Row, claims: map[string]any{"tenant_id": "acme"}, query: all,
			denied: []fraiseql.Event{order("no", func(e *fraiseql.Event) { e.UserID = "alice" })},
		},
		{
			name: "row: in data", check: policy.Row, claims: alice, query: all, rules: fraiseql.Security{RowFilter: fraiseql.RowFilterBoth},
			denied: []fraiseql.Event{order("no", data(`{"id":"no","user_id":"bob"}`)), order("no", data(`{"id":"no","user_id":7}`))},
			allow:  data(`{"id":"yes","user_id":"alice"}`),
		},
		{
			name: "row: @owner", check: policy.Row, claims: alice, query: `subscription { owned { id } }`,
			denied: []fraiseql.Event{
				order("no", nil), order("no", data(`{"id":"no","owner":{"id":"bob"}}`)), order("no", data(`{"id":"no","owner":{"id":null}}`)),
				order("no", data(`{"id":"no","owner":"alice"}`)), order("no", data(`{"id":"no","owner":{"id":[]}}`)), order("no", data(`{"id":"no","owner":{"id":["bob",null,true]}}`)),
				order("no", data(`{"id":"no","owner":{"id":[["alice"]]}}`)), order("no", data(`{"id":"no","owner":[{"id":"alice"}]}`)),
			},
			allow: data(`{"id":"yes","owner":{"id":["bob","alice"]}}`),
		},
		{
			name: "row: @owner and the envelope", check: policy.Row, claims: alice, query: `subscription { owned { id } }`,
			denied: []fraiseql.Event{
				order("no", func(e *fraiseql.Event) { e.UserID, e.Data = "bob", []byte(`{"id":"no","owner":{"id":"alice"}}`) }),
				order("no", func(e *fraiseql.Event) { e.UserID, e.Data = "alice", []byte(`{"id":"no","owner":{"id":"bob"}}`) }),
			},
			allow: func(e *fraiseql.Event) { e.UserID, e.Data = "alice", []byte(`{"id":"yes","owner":{"id":"alice"}}`) },
		},
		{
			name: "federation: another", check: policy.Federation, claims: with(alice, map[string]any{"fed": "eu", "svc": "shop"}), query: all,
			denied: []fraiseql.Event{
				order("no", nil), order("no", func(e *fraiseql.Event) { e.FederationID = "us" }),
				order("no", func(e *fraiseql.Event) { e.FederationID, e.ServiceName = "eu", "mail" }), order("no", func(e *fraiseql.Event) { e.FederationID, e.ServiceName = "us", "shop" }),
			},
			allow: func(e *fraiseql.Event) { e.FederationID = "eu" },
		},
		{
			name: "federation: the subscriber has none", check: policy.Federation, claims: alice, query: all,
			denied: []fraiseql.Event{order("no", func(e *fraiseql.Event) { e.FederationID = "eu" }), order("no", func(e *fraiseql.Event) { e.ServiceName = "shop" })},
		},
		{
			name: "federation: nothing in common", check: policy.Federation, claims: with(alice, map[string]any{"fed": "eu"}), query: all,
			denied: []fraiseql.Event{order("no", func(e *fraiseql.Event) { e.ServiceName = "shop" })},
			allow:  func(e *fraiseql.Event) { e.ServiceName, e.FederationID = "shop", "eu" },
		},
	} {
		for _, isolation := range []fraiseql.Isolation{fraiseql.IsolationStrict, fraiseql.IsolationAddressed} {
			t.Run(tt.name, func(t *testing.T) {
				tt.rules.Isolation = isolation
				s := serve(t, fraiseql.Config{Schema: schema(), Security: tt.rules}, fraiseql.HandlerConfig{Authenticator: tokens(t)})
				c := s.connect(t, tt.claims)
				c.subscribe("op", tt.query, nil)
				s.publish(t, tt.denied...)
				s.publish(t, order("yes", tt.allow))
				if got, field := c.next("op"), `{"`+field(tt.query)+`":{"id":"yes"}}`; got != field {
					t.Fatalf("arrived: %s, want %s", got, field)
				}
				if _, denied := s.counts.of(tt.check); denied != len(tt.denied) {
					t.Errorf("%d denials by %s counted, want %d", denied, tt.check, len(tt.denied))
				}
				if allowed, _ := s.counts.of(policy.Federation); allowed != 1 {
					t.Errorf("%d allowed by the last check, want 1", allowed)
				}
			})
		}
	}
}

func schema() []fraiseql.SchemaSource {
	return []fraiseql.SchemaSource{{Name: "orders.graphql", Text: orders}}
}

// field is the root field of `subscription { field …`.
func field(query string) string {
	const before = "subscription { "
	end := len(before)
	for query[end] != ' ' {
		end++
	}
	return query[len(before):end]
}

// TestScope is check 1: who claims to be another is refused, and gets nothing of what the other gets.
func TestScope(t *testing.T) {
	s := serve(t, fraiseql.Config{Schema: schema(), Security: fraiseql.Security{Isolation: fraiseql.IsolationStrict}}, fraiseql.HandlerConfig{Authenticator: tokens(t)})
	c := s.connect(t, alice)
	refusals := 0
	for _, tt := range []struct {
		query     string
		variables any
	}{
		{`subscription { order(userId: "bob") { id } }`, nil},
		{`subscription { order(userId: "") { id } }`, nil},
		{`subscription ($u: ID) { order(userId: $u) { id } }`, map[string]any{"u": "bob"}},
		{`subscription ($u: ID = "bob") { order(userId: $u) { id } }`, nil},
		{`subscription { search(by: {userId: {eq: "bob"}}) { id } }`, nil},
		{`subscription { search(by: {userId: {in: ["alice", "bob"]}}) { id } }`, nil},
		{`subscription { search(by: {userId: {ne: "bob"}}) { id } }`, nil},
		{`subscription { search(by: {or: [{userId: {eq: "alice"}}, {userId: {eq: "bob"}}]}) { id } }`, nil},
		{`subscription { search(by: {not: {userId: {eq: "bob"}}}) { id } }`, nil},
		{`subscription ($f: OrderFilter) { search(by: $f) { id } }`, map[string]any{"f": map[string]any{"and": []any{map[string]any{"userId": map[string]any{"eq": "bob"}}}}}},
	} {
		c.refused("denied", tt.query, tt.variables, "SCOPE_MISMATCH")
		refusals++
	}
	if _, denied := s.counts.of(policy.Scope); denied != refusals {
		t.Errorf("%d denials counted, want %d", denied, refusals)
	}
	c.subscribe("own", `subscription ($u: ID) { order(userId: $u) { id } }`, map[string]any{"u": "alice"})
	c.subscribe("null", `subscription { order(userId: null, status: "x") { id } }`, nil)
	c.subscribe("where", `subscription { search(by: {userId: {eq: "alice"}}) { id } }`, nil)
	c.subscribe("unscoped", `subscription { any(userId: "bob") { id } }`, nil)
	s.publish(t, order("", data(`{"id":"bobs","user_id":"bob"}`)), order("", data(`{"id":"hers","user_id":"alice"}`)))
	got := map[string]string{}
	for range 3 {
		m := c.receive()
		got[m.ID] = string(m.Payload)
	}
	want := map[string]string{
		"unscoped": `{"data":{"any":{"id":"bobs"}}}`, "own": `{"data":{"order":{"id":"hers"}}}`, "where": `{"data":{"search":{"id":"hers"}}}`,
	}
	for id, payload := range want {
		if got[id] != payload {
			t.Errorf("%s: got %s, want %s", id, got[id], payload)
		}
	}
	s.publish(t, order("", data(`{"id":"last","status":"x"}`)))
	if got := c.next("null"); got != `{"order":{"id":"last"}}` {
		t.Errorf("got %s", got)
	}
}

// TestRoles is check 5: a field that the caller may not read refuses the operation, wherever it is selected, is
// null where it is masked, and cannot be filtered by.
func TestRoles(t *testing.T) {
	s := serve(t, fraiseql.Config{Schema: schema()}, fraiseql.HandlerConfig{Authenticator: tokens(t)})
	c := s.connect(t, alice)
	denied := []string{
		`subscription { order { id cost } }`,
		`subscription { order { ...F } } fragment F on Order { ... { x: cost } }`,
		`subscription { order { id notes } }`,
		`subscription ($no: Boolean = false) { order { id cost @include(if: true) notes @skip(if: $no) } }`,
	}
	for _, query := range denied {
		c.refused("denied", query, nil, "FORBIDDEN")
	}
	if _, n := s.counts.of(policy.Role); n != len(denied) {
		t.Errorf("%d denials counted, want %d", n, len(denied))
	}
	nobody := s.connect(t, map[string]any{"tenant_id": "acme"})
	nobody.refused("denied", `subscription { order { email } }`, nil, "FORBIDDEN")
	half := s.connect(t, with(alice, map[string]any{"scope": "read:all other"}))
	half.refused("denied", `subscription { order { notes } }`, nil, "FORBIDDEN")

	finance := s.connect(t, with(alice, map[string]any{"roles": []string{"x", "finance"}, "scope": "staff read:all"}))
	finance.subscribe("all", `subscription { order { id cost margin notes email } }`, nil)
	c.subscribe("masked", `subscription { order { id margin email } }`, nil)
	s.publish(t, order("", data(`{"id":"1","cost":7,"margin":3,"notes":"n","email":"e"}`)))
	if got := c.next("masked"); got != `{"order":{"id":"1","margin":null,"email":"e"}}` {
		t.Errorf("masked: %s", got)
	}
	if got := finance.next("all"); got != `{"order":{"id":"1","cost":7,"margin":3,"notes":"n","email":"e"}}` {
		t.Errorf("with all roles: %s", got)
	}
}

// TestFilteringByAFieldNeedsItsRole: otherwise a filter would tell the value bit by bit.
func TestFilteringByAFieldNeedsItsRole(t *testing.T) {
	const sdl = `
type Subscription {
  byCost(cost: Int): Order @source(channel: "orders")
  byMargin(margin: Int): Order @source(channel: "orders")
  byPath(m: Int @match(path: "margin", op: GT)): Order @source(channel: "orders")
  where(by: F @where): Order @source(channel: "orders")
}
input F { margin: I, not: F }
input I { gt: Int }
type Order {
  id: ID!
  cost: Int @requiresRole(roles: ["finance"])
  margin: Int @requiresRole(roles: ["finance"], deny: MASK)
}`
	s := serve(t, fraiseql.Config{Schema: []fraiseql.SchemaSource{{Name: "s", Text: sdl}}}, fraiseql.HandlerConfig{Authenticator: tokens(t)})
	c := s.connect(t, alice)
	queries := []string{
		`subscription { byCost(cost: 1) { id } }`, `subscription { byMargin(margin: 3) { id } }`, `subscription { byPath(m: 1) { id } }`,
		`subscription { where(by: {margin: {gt: 1}}) { id } }`, `subscription { where(by: {not: {not: {margin: {gt: 1}}}}) { id } }`,
	}
	for _, query := range queries {
		c.refused("denied", query, nil, "FORBIDDEN")
	}
	finance := s.connect(t, with(alice, map[string]any{"roles": "finance"}))
	for i, query := range queries[1:] {
		finance.subscribe(string(rune('a'+i)), query, nil)
	}
	c.subscribe("none", `subscription { byCost(cost: null) { id } }`, nil) // a filter that is not given reads nothing
	s.publish(t, order("", data(`{"id":"1","cost":1,"margin":3}`)))
	for range queries[1:] {
		if m := finance.receive(); m.Type != "next" {
			t.Errorf("got %+v", m)
		}
	}
	if got := c.next("none"); got != `{"byCost":{"id":"1"}}` {
		t.Errorf("got %s", got)
	}
}

// TestStrictIsolationRefusesWhatNobodyCouldSee at the door, with both remedies in the text.
func TestStrictIsolationRefusesWhatNobodyCouldSee(t *testing.T) {
	s := serve(t, fraiseql.Config{Schema: schema(), Security: fraiseql.Security{Isolation: fraiseql.IsolationStrict}}, fraiseql.HandlerConfig{Authenticator: tokens(t)})
	c := s.connect(t, alice)
	c.subscribe("op", `subscription { order { id } }`, nil)
	for _, ev := range []fraiseql.Event{
		order("", func(e *fraiseql.Event) { e.TenantID = "" }),
		order("", func(e *fraiseql.Event) { e.TenantID, e.UserID = "", "alice" }),
		order("", func(e *fraiseql.Event) { e.Data = []byte(`{"id":"1","tenant_id":"other"}`) }),
		order("", func(e *fraiseql.Event) { e.Data = []byte(`{"id":"1","tenant_id":["acme"]}`) }),
		order("", func(e *fraiseql.Event) { e.Broadcast = true }),
	} {
		if _, err := s.engine.Publish(t.Context(), ev); err == nil {
			t.Errorf("published: %+v", ev)
		}
	}
	s.publish(t, order("yes", nil))
	if got := c.next("op"); got != `{"order":{"id":"yes"}}` {
		t.Errorf("arrived: %s", got)
	}
}
