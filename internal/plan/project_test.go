package plan_test

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

const shopSDL = `
type Subscription {
  order: Order
  byID(id: ID!): Order
  must: Order!
  orders: [Order]
  matrix: [[Order!]!]
  node: Node
  any: Any
}
interface Node { id: ID! parent: Node }
type Order implements Node {
  id: ID!
  parent: Node
  total: Float
  count: Int
  note: String
  paid: Boolean
  state: State
  extra: JSON
  tags: [String!]
  grid: [[Int]]
  lines: [Line!]!
  customer: Customer
  buyer: Customer @from(path: "customer")
  strict: Line!
}
type Line { sku: String! qty: Int }
type Customer implements Node { id: ID! parent: Node name: String email: String! }
union Any = Order | Customer | Line
enum State { OPEN CLOSED }
scalar JSON
`

func TestProject(t *testing.T) {
	s := mustSchema(t, shopSDL)
	for _, c := range []struct{ name, document, variables, data, want string }{
		{"leaves", `subscription { order { id total count note paid state extra tags } }`, "",
			`{"id":7,"total":1.50,"count":3,"note":"a\nb","paid":true,"state":"OPEN","extra":{"a":[1, 2]},"tags":["x"]}`,
			`{"data":{"order":{"id":"7","total":1.5,"count":3,"note":"a\nb","paid":true,"state":"OPEN","extra":{"a":[1,2]},"tags":["x"]}}}`},
		{"missing and null", `subscription { order { total note } }`, "", `{"note":null}`, `{"data":{"order":{"total":null,"note":null}}}`},
		{"order is that of the document", `subscription { order { note id note total } }`, "", `{"total":1,"id":"a","note":"n"}`,
			`{"data":{"order":{"note":"n","id":"a","total":1}}}`},
		{"aliases", `subscription { a: order { b: id c: id } }`, "", `{"id":"x"}`, `{"data":{"a":{"b":"x","c":"x"}}}`},
		{"typename", `subscription { order { __typename t: __typename } }`, "", `{"__typename":"Line"}`, `{"data":{"order":{"__typename":"Order","t":"Order"}}}`},
		{"merged selections", `subscription { order { customer { name } id customer { email } ...F } } fragment F on Order { customer { id } }`, "",
			`{"id":"o","customer":{"name":"n","email":"e","id":"c"}}`, `{"data":{"order":{"customer":{"name":"n","email":"e","id":"c"},"id":"o"}}}`},
		{"merged roots", `subscription { order { id } ...F ... { order { note } } } fragment F on Subscription { order { count } }`, "",
			`{"id":"o","note":"n","count":1}`, `{"data":{"order":{"id":"o","count":1,"note":"n"}}}`},
		{"last duplicate counts", `subscription { order { id note } }`, "", `{"id":"a","note":"x","id":"b"}`, `{"data":{"order":{"id":"b","note":"x"}}}`},
		{"escaped names", `subscription { order { id } }`, "", `{"\u0069d":"a"}`, `{"data":{"order":{"id":"a"}}}`},
		{"from", `subscription { order { buyer { name } } }`, "", `{"customer":{"name":"n"},"buyer":{"name":"x"}}`, `{"data":{"order":{"buyer":{"name":"n"}}}}`},
		{"nested lists", `subscription { order { grid } }`, "", `{"grid":[[1,null],null,[]]}`, `{"data":{"order":{"grid":[[1,null],null,[]]}}}`},
		{"include", `subscription($a: Boolean!, $b: Boolean!) { order { id @include(if: $a) note @skip(if: $b) total @include(if: false) ... @skip(if: $a) { count } } }`,
			`{"a":true,"b":true}`, `{"id":"i","note":"n","total":1,"count":2}`, `{"data":{"order":{"id":"i"}}}`},
		{"skip", `subscription($a: Boolean!, $b: Boolean!) { order { id @include(if: $a) note @skip(if: $b) total @include(if: true) ... @skip(if: $a) { count } } }`,
			`{"a":false,"b":false}`, `{"id":"i","note":"n","total":1,"count":2}`, `{"data":{"order":{"note":"n","total":1,"count":2}}}`},
		{"nothing left", `subscription($a: Boolean = false) { order { id @include(if: $a) } }`, "", `{"id":"i"}`, `{"data":{"order":{}}}`},
		{"a skipped spread may come again", `subscription { order { ...F @skip(if: true) id ...F } } fragment F on Order { note }`, "", `{"id":"i","note":"n"}`,
			`{"data":{"order":{"id":"i","note":"n"}}}`},
		{"interface", `subscription { node { id __typename ... on Order { total } ... on Customer { name } } }`, "", `{"__typename":"Customer","id":1,"name":"n","total":2}`,
			`{"data":{"node":{"id":"1","__typename":"Customer","name":"n"}}}`},
		{"union", `subscription { any { ... on Line { sku } ... on Node { id } ...C } } fragment C on Customer { email }`, "",
			`{"__typename":"Customer","id":1,"email":"e"}`, `{"data":{"any":{"id":"1","email":"e"}}}`},
		{"interface in an interface", `subscription { node { parent { id parent { id } } ... on Order { parent { __typename } } } }`, "",
			`{"__typename":"Order","parent":{"__typename":"Customer","id":1,"parent":{"__typename":"Order","id":2}}}`,
			`{"data":{"node":{"parent":{"id":"1","parent":{"id":"2"},"__typename":"Customer"}}}}`},
		{"list root wraps", `subscription { orders { id } }`, "", `{"id":1}`, `{"data":{"orders":[{"id":"1"}]}}`},
		{"list of lists wraps", `subscription { matrix { id } }`, "", `{"id":1}`, `{"data":{"matrix":[[{"id":"1"}]]}}`},
		{"members of what is no object are missing", `subscription { order { customer { name } } }`, "", `{"customer":"c"}`, `{"data":{"order":{"customer":{"name":null}}}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := payload(t, s, c.document, c.variables, c.data); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestProjectErrors(t *testing.T) {
	s := mustSchema(t, shopSDL)
	for _, c := range []struct{ name, document, data, want string }{
		{"leaf", `subscription { order { id n: count note } }`, `{"id":"a","count":"secret","note":"n"}`,
			`{"data":{"order":{"id":"a","n":null,"note":"n"}},"errors":[{"message":"The value of Order.count cannot be represented as Int.","path":["order","n"],"extensions":{"code":"INVALID_VALUE"}}]}`},
		{"to the parent", `subscription { order { id strict { sku } } }`, `{"id":"a","strict":{}}`,
			`{"data":{"order":null},"errors":[{"message":"Cannot return null for non-nullable field Line.sku.","path":["order","strict","sku"],"extensions":{"code":"INVALID_VALUE"}}]}`},
		{"to the data", `subscription { must { id } }`, `{}`,
			`{"data":null,"errors":[{"message":"Cannot return null for non-nullable field Order.id.","path":["must","id"],"extensions":{"code":"INVALID_VALUE"}}]}`},
		{"to the list", `subscription { order { customer { email } tags } }`, `{"tags":["a",null],"customer":{}}`,
			`{"data":{"order":{"customer":null,"tags":null}},"errors":[{"message":"Cannot return null for non-nullable field Customer.email.","path":["order","customer","email"],"extensions":{"code":"INVALID_VALUE"}},{"message":"Cannot return null for non-nullable field Order.tags.","path":["order","tags",1],"extensions":{"code":"INVALID_VALUE"}}]}`},
		{"in lists", `subscription { orders { grid } }`, `[{"grid":[[1,true,"x"]]},null,{"grid":5}]`,
			`{"data":{"orders":[{"grid":[[1,1,null]]},null,{"grid":null}]},"errors":[{"message":"The value of Order.grid cannot be represented as Int.","path":["orders",0,"grid",0,2],"extensions":{"code":"INVALID_VALUE"}},{"message":"The value of Order.grid is not a list.","path":["orders",2,"grid"],"extensions":{"code":"INVALID_VALUE"}}]}`},
		{"no typename", `subscription { node { id } }`, `{"id":1}`,
			`{"data":{"node":null},"errors":[{"message":"The value of Subscription.node has no __typename that names a type of Node.","path":["node"],"extensions":{"code":"INVALID_VALUE"}}]}`},
		{"another typename", `subscription { node { id } }`, `{"__typename":"Line","id":1}`,
			`{"data":{"node":null},"errors":[{"message":"The value of Subscription.node has no __typename that names a type of Node.","path":["node"],"extensions":{"code":"INVALID_VALUE"}}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := payload(t, s, c.document, "", c.data); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

const event370 = `{"id":"0190e7a2-5b3c-7d4e-8f10-2a3b4c5d6e7f","note":"SO-2026-0004711","state":"CLOSED",` +
	`"customer_id":4711,"customer":{"name":"Ada Lovelace","email":"London"},"total":1299.95,"currency":"EUR",` +
	`"lines":[{"sku":"A-1","qty":2},{"sku":"B-22","qty":1}],"paid":true,"reason":null,` +
	`"created_at":"2026-11-23T13:46:00Z","updated_at":"2026-11-23T14:00:44Z","count":12}`

const fiveOf12 = `subscription { order { id note total state paid } }`

func TestProjectAllocatesNothing(t *testing.T) {
	s := mustSchema(t, shopSDL)
	for _, document := range []string{fiveOf12, `subscription { order { lines { sku qty } customer { name email } count } }`} {
		b := mustBind(t, mustCompile(t, s, document), "", 0)
		tape := mustTape(t, event370)
		buf := make([]byte, 0, 1024)
		if n := testing.AllocsPerRun(100, func() { buf = b.AppendPayload(buf[:0], tape, jsontape.Root) }); n != 0 {
			t.Errorf("%s: %v allocations", document, n)
		}
	}
}

func BenchmarkProject5of12(b *testing.B) {
	bound := mustBind(b, mustCompile(b, mustSchema(b, shopSDL), fiveOf12), "", 0)
	tape := mustTape(b, event370)
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = bound.AppendPayload(buf[:0], tape, jsontape.Root)
	}
}
