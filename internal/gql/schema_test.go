package gql

import (
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// mustLoad loads SDL that the test knows to be valid.
func mustLoad(t testing.TB, sdl string) *Schema {
	t.Helper()
	s, errs := LoadSchema([]SchemaSource{{"schema.graphql", sdl}}, SchemaOptions{})
	for _, err := range errs {
		t.Error(err)
	}
	if len(errs) > 0 {
		t.FailNow()
	}
	return s
}

// mustParse parses a document that the test knows to be valid.
func mustParse(t testing.TB, s *Schema, text string) *Operation {
	t.Helper()
	doc, errs := s.Parse(text, Limits{})
	for _, err := range errs {
		t.Error(err.Code, err.Message, err.Locations)
	}
	if len(errs) > 0 {
		t.FailNow()
	}
	return doc.Operations[0]
}

const ordersSDL = `
enum Status { OPEN PAID SHIPPED }
scalar DateTime
type Customer { id: ID! name: String email: String @requiresRole(roles: ["admin"], deny: MASK) }
type Line { sku: ID! count: Int! }
type Order { id: ID! status: Status! total: Float! paid: Boolean customer: Customer lines: [Line!]! createdAt: DateTime }
input StatusFilter { eq: Status in: [Status!] }
input FloatFilter { gt: Float lt: Float between: [Float!] }
input CustomerWhere { id: IDFilter }
input IDFilter { eq: ID in: [ID!] startsWith: ID }
input OrderWhere { status: StatusFilter total: FloatFilter customer: CustomerWhere and: [OrderWhere!] or: [OrderWhere!] not: OrderWhere }
type Subscription {
  orders(status: Status, minTotal: Float @match(path: "total", op: GTE), customerId: ID @match(path: "customer.id"),
    ids: [ID!] @match(path: "id", op: IN), where: OrderWhere @where): Order
    @source(channel: "orders", types: ["created", "updated"]) @tenant(path: "tenant_id") @owner(path: "customer.id")
    @delivery(overflow: LATEST, key: "id", maxMessages: 10)
  ticker(symbol: String! = "ACME" @match, limit: Int = 5 @match(path: "n", op: LT)): Order
}
`

func TestLoadSchema(t *testing.T) {
	s := mustLoad(t, ordersSDL)
	f := s.Subscription.Field("orders")
	if f.Source.Channel != "orders" || len(f.Source.Types) != 2 || strings.Join(f.Owner, ".") != "customer.id" ||
		strings.Join(f.Tenant, ".") != "tenant_id" || f.Delivery.Overflow != OverflowLatest || f.Delivery.MaxMessages != 10 {
		t.Fatalf("orders: %+v %+v", f, f.Delivery)
	}
	if m := f.Arg("customerId").Match; m == nil || strings.Join(m.Path, ".") != "customer.id" {
		t.Fatalf("customerId: %+v", m)
	}
	if f.Arg("where").Where == nil || s.Subscription.Field("ticker").Source.Channel != "ticker" {
		t.Fatal("where or default channel")
	}
	if s.Query == nil || len(s.Query.Fields) != 0 {
		t.Fatal("the empty Query is missing")
	}
}

func TestCoerceVariablesSmoke(t *testing.T) {
	s := mustLoad(t, ordersSDL)
	op := mustParse(t, s, `subscription S($s: Status = OPEN, $m: Float, $w: OrderWhere, $ids: [ID!]) {
		orders(status: $s, minTotal: $m, where: $w, ids: $ids) { id lines { sku } customer { email } } }`)
	var tape jsontape.Tape
	if err := tape.Parse([]byte(`{"m": 1.0, "w": {"and": {"status": {"eq": "PAID"}}, "total": {"gt": 1e3}}, "ids": [1, "b"]}`), jsontape.Limits{}); err != nil {
		t.Fatal(err)
	}
	out, errs := op.CoerceVariables(nil, &tape, jsontape.Root)
	if len(errs) > 0 {
		t.Fatal(errs[0].Message)
	}
	want := `{"s":"OPEN","m":1,"w":{"total":{"gt":1000},"and":[{"status":{"eq":"PAID"}}]},"ids":["1","b"]}`
	if string(out) != want {
		t.Fatalf("got  %s\nwant %s", out, want)
	}
	var vars jsontape.Tape
	if err := vars.Parse(out, jsontape.Limits{}); err != nil {
		t.Fatal(err)
	}
	args, errs := op.Selections[0].Field.CoerceArguments(nil, &vars)
	if len(errs) > 0 {
		t.Fatal(errs[0].Message)
	}
	want = `{"status":"OPEN","minTotal":1,"ids":["1","b"],"where":{"total":{"gt":1000},"and":[{"status":{"eq":"PAID"}}]}}`
	if string(args) != want {
		t.Fatalf("got  %s\nwant %s", args, want)
	}
}

func TestSchemalessSmoke(t *testing.T) {
	s := Schemaless()
	op := mustParse(t, s, `subscription($id: ID!, $x: Anything) { users(id: $id, tags: [A, "b", 1], x: $x) { id ... on User { name } } }`)
	var tape jsontape.Tape
	if err := tape.Parse([]byte(`{"id": 7, "x": {"a": [1.50]}}`), jsontape.Limits{}); err != nil {
		t.Fatal(err)
	}
	out, errs := op.CoerceVariables(nil, &tape, jsontape.Root)
	if len(errs) > 0 || string(out) != `{"id":"7","x":{"a":[1.50]}}` {
		t.Fatalf("%s %v", out, errs)
	}
}
