package plan_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/plan"
)

const filterSDL = `
scalar JSON
type Subscription {
  order(id: ID, state: State, total: Float @match(op: GTE), in: [Int!] @match(path: "count", op: IN),
    city: String @match(path: "customer.city"), not: [ID] @match(path: "id", op: NOT_IN),
    extra: JSON, extras: [JSON] @match(path: "extra", op: IN),
    size: Int = 5 @match(path: "size"), where: OrderWhere @where): Order @source(channel: "orders", types: ["made", "paid"]) @owner(path: "owner.id") @tenant(path: "org")
}
type Order { id: ID! state: State total: Float count: Int customer: Customer extra: JSON ref: String level: State }
type Customer { city: String zip: String @from(path: "postcode") }
enum State { OPEN CLOSED }
enum Level { LOW OPEN }
input OrderWhere { id: IDOps count: IntOps customer: CustomerWhere extra: JSONOps ref: MixedOps level: LevelOps and: [OrderWhere!] or: [OrderWhere!] not: OrderWhere }
input CustomerWhere { city: StringOps zip: StringOps }
input IDOps { eq: ID ne: ID in: [ID!] not_in: [ID!] exists: Boolean }
input IntOps { eq: Int gt: Int lte: Int in: [Int!] between: [Int!] }
input StringOps { eq: String startsWith: String contains: String ends_with: String }
input JSONOps { eq: JSON in: [JSON!] }
input MixedOps { eq: ID in: [String!] }
input LevelOps { eq: State in: [Level!] }
`

// keys writes what a binding looks up: name=value, several values with | between.
func keys(b *plan.Bound) string {
	var out []string
	for _, k := range b.Keys {
		out = append(out, b.Plan.Equality[k.Equality].Name+"="+string(bytes.Join(k.Values, []byte("|"))))
	}
	return strings.Join(out, " ")
}

// admits evaluates keys and filter as the index does, and compares the answer with that of the residual.
func admits(t *testing.T, b *plan.Bound, data string) bool {
	t.Helper()
	tape := mustTape(t, data)
	holds := func(k plan.Key) bool {
		at := b.Plan.Equality[k.Equality]
		got, ok := at.Leaf.AppendKey(nil, tape, tape.Lookup(jsontape.Root, at.Path))
		return ok && slices.ContainsFunc(k.Values, func(v []byte) bool { return bytes.Equal(v, got) })
	}
	all := b.Filter.Match(tape, jsontape.Root)
	for _, k := range b.Keys {
		all = all && holds(k)
	}
	first := b.Residual.Match(tape, jsontape.Root) && (len(b.Keys) == 0 || holds(b.Keys[0]))
	if all != first {
		t.Errorf("%s: keys and filter say %v, first key and residual %v", data, all, first)
	}
	unkeyed, errs := b.Plan.BindUnkeyed(mustTape(t, string(b.Variables)), 0)
	if len(errs) > 0 || len(unkeyed.Keys) > 0 || unkeyed.Filter.Match(tape, jsontape.Root) != all {
		t.Errorf("%s: keys and filter say %v, bound without keys %v %v", data, all, !all, errs)
	}
	return all
}

func TestBind(t *testing.T) {
	s := mustSchema(t, filterSDL)
	many := strings.TrimSuffix(strings.Repeat("%d,", 33), ",")
	numbers := make([]any, 33)
	for i := range numbers {
		numbers[i] = i
	}
	for _, c := range []struct{ name, arguments, variables, keys, yes, no string }{
		{"equality", `id: 7, size: null`, "", `id=7`, `{"id":"7"}`, `{"id":"8"}`},
		{"default", ``, "", `size=5`, `{"size":5.0}`, `{"size":6}`},
		{"null is not given", `id: null, size: null`, "", ``, `{}`, ``},
		{"absent variables are not given", `id: $id, size: null`, "", ``, `{}`, ``},
		{"null variables are not given", `id: $id, size: null`, `{"id":null}`, ``, `{}`, ``},
		{"variables", `id: $id, size: null`, `{"id":"x"}`, `id=x`, `{"id":"x"}`, `{"id":null}`},
		{"enum", `state: OPEN, size: null`, "", `state=OPEN`, `{"state":"OPEN"}`, `{"state":"open"}`},
		{"path", `city: "Rome", size: null`, "", `city=Rome`, `{"customer":{"city":"Rome"}}`, `{"customer":null}`},
		{"in", `in: [1, 2, 1], size: null`, "", `in=1|2`, `{"count":2}`, `{"count":3}`},
		{"in of nothing", `in: [], size: null`, "", ``, ``, `{"count":3}`},
		{"in of many", `in: [` + fmt.Sprintf(many, numbers...) + `], size: null`, "", ``, `{"count":32}`, `{"count":33}`},
		{"several", `id: 1, state: CLOSED, total: 3, size: null`, "", `id=1 state=CLOSED`, `{"id":1,"state":"CLOSED","total":3}`, `{"id":1,"state":"CLOSED","total":2}`},
		{"residual", `id: 1, state: CLOSED, size: null`, "", `id=1 state=CLOSED`, `{"id":1,"state":"CLOSED"}`, `{"id":1,"state":"OPEN"}`},
		{"not in", `not: ["a", null], size: null`, "", ``, `{}`, `{"id":"a"}`},
		{"a list of a custom scalar", `extra: ["a", "b"], size: null`, "", `extra=["a","b"]`, `{"extra":["a","b"]}`, `{"extra":"a"}`},
		{"a list of a custom scalar, second", `id: 1, extra: $x, size: null`, `{"x":["a"]}`, `id=1 extra=["a"]`, `{"id":1,"extra":["a"]}`, `{"id":1,"extra":"a"}`},
		{"an empty list of a custom scalar", `extra: [], size: null`, "", `extra=[]`, `{"extra":[]}`, `{"extra":null}`},
		{"in, of a custom scalar", `extras: [["a"], "b"], size: null`, "", `extras=["a"]|"b"`, `{"extra":["a"]}`, `{"extra":"a"}`},
		{"in, of one value of a custom scalar", `extras: "b", size: null`, "", `extras="b"`, `{"extra":"b"}`, `{"extra":["b"]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := mustCompile(t, s, document(c.arguments))
			b := mustBind(t, p, c.variables, 0)
			if got := keys(b); got != c.keys {
				t.Errorf("keys %q, want %q", got, c.keys)
			}
			if c.yes != "" && !admits(t, b, c.yes) {
				t.Errorf("%s is refused", c.yes)
			}
			if c.no != "" && admits(t, b, c.no) {
				t.Errorf("%s is admitted", c.no)
			}
		})
	}
}

// document writes a subscription with these arguments, and definitions for the variables in them.
func document(arguments string) string {
	var definitions []string
	for name, typ := range map[string]string{"$id": "ID", "$w": "OrderWhere", "$n": "Int", "$x": "JSON"} {
		if strings.Contains(arguments, name) {
			definitions = append(definitions, name+": "+typ)
		}
	}
	head := "subscription"
	if len(definitions) > 0 {
		slices.Sort(definitions)
		head += "(" + strings.Join(definitions, " ") + ")"
	}
	if arguments != "" {
		arguments = "(" + arguments + ")"
	}
	return head + " { order" + arguments + " { id } }"
}

func TestBindWhere(t *testing.T) {
	s := mustSchema(t, filterSDL)
	for _, c := range []struct{ where, variables, keys, yes, no string }{
		{`{}`, "", "", `{}`, ``},
		{`{and: []}`, "", "", `{}`, ``},
		{`{or: []}`, "", "", ``, `{}`},
		{`{not: {}}`, "", "", ``, `{}`},
		{`{id: {}}`, "", "", `{}`, ``},
		{`{id: null, and: null, customer: null}`, "", "", `{}`, ``},
		{`{id: {eq: null}}`, "", "", `{}`, ``},
		{`{id: {eq: 1}}`, "", "where.id=1", `{"id":"1"}`, `{"id":2}`},
		{`{id: {in: [1, 2]}, count: {gt: 3}}`, "", "where.id=1|2", `{"id":"1","count":4}`, `{"id":1,"count":3}`},
		{`{id: {eq: 1, ne: 1}}`, "", "where.id=1", ``, `{"id":1}`},
		{`{count: {between: [2, 4]}}`, "", "", `{"count":4}`, `{"count":5}`},
		{`{or: [{id: {eq: 1}}, {count: {lte: 0}}]}`, "", "", `{"count":-1}`, `{"id":2,"count":1}`},
		{`{and: [{id: {eq: 1}}, {count: {lte: 0}}]}`, "", "", `{"id":1,"count":-1}`, `{"id":1,"count":1}`},
		{`{not: {id: {eq: 1}}}`, "", "", `{}`, `{"id":1}`},
		{`{id: {exists: false}}`, "", "", `{"id":null}`, `{"id":1}`},
		{`{customer: {city: {startsWith: "R"}}}`, "", "", `{"customer":{"city":"Rome"}}`, `{"customer":{}}`},
		{`{customer: {zip: {eq: "00100"}}}`, "", "", `{"customer":{"postcode":"00100"}}`, `{"customer":{"zip":"00100"}}`},
		{`{not: {or: [{customer: {city: {contains: "o", ends_with: "e"}}}, {id: {not_in: [1]}}]}}`, "", "", `{"id":1,"customer":{"city":"Ulm"}}`, `{"id":1,"customer":{"city":"Rome"}}`},
		{`$w`, `{"w":{"id":{"eq":"x"},"count":{"in":[3]}}}`, "where.id=x where.count=3", `{"id":"x","count":3}`, `{"id":"x","count":4}`},
		{`{id: {eq: $id}, count: {gt: $n}}`, `{"n":2}`, "", `{"count":3}`, `{"count":2}`},
		{`{extra: {eq: ["a", "b"]}}`, "", `where.extra=["a","b"]`, `{"extra":["a","b"]}`, `{"extra":"a"}`},
		{`{extra: {in: [["a"], "b"]}}`, "", `where.extra=["a"]|"b"`, `{"extra":["a"]}`, `{"extra":"a"}`},
		{`{ref: {eq: "1.5"}}`, "", "where.ref=1.5", `{"ref":"1.5"}`, `{"ref":1.5}`},
		{`{ref: {in: ["1.5", "true"]}}`, "", "", `{"ref":1.5}`, `{"ref":1}`},
		{`{level: {eq: OPEN}}`, "", "where.level=OPEN", `{"level":"OPEN"}`, `{"level":"CLOSED"}`},
		{`{level: {in: [LOW]}}`, "", "", `{"level":"LOW"}`, `{"level":"OPEN"}`},
	} {
		t.Run(c.where, func(t *testing.T) {
			p := mustCompile(t, s, document("size: null, where: "+c.where))
			b := mustBind(t, p, c.variables, 0)
			if got := keys(b); got != c.keys {
				t.Errorf("keys %q, want %q", got, c.keys)
			}
			if c.yes != "" && !admits(t, b, c.yes) {
				t.Errorf("%s is refused", c.yes)
			}
			if c.no != "" && admits(t, b, c.no) {
				t.Errorf("%s is admitted", c.no)
			}
		})
	}
}

// TestBindExactNumbers: what an argument asks for is compared to the last digit, be it a literal or a variable.
func TestBindExactNumbers(t *testing.T) {
	s := mustSchema(t, `scalar Decimal type E { n: Float amount: Decimal } input Where { n: Ops } input Ops { eq: Float lt: Float }
type Subscription { e(n: Float, from: Float @match(path: "n", op: GTE), in: [Float!] @match(path: "n", op: IN), amount: Decimal, where: Where @where): E }`)
	for _, c := range []struct{ argument, typ, value, yes, no string }{
		{"n", "Float", `9007199254740993`, `{"n":9007199254740993.0}`, `{"n":9007199254740992}`},
		{"n", "Float", `0.123456789012345678`, `{"n":0.123456789012345678}`, `{"n":0.12345678901234568}`},
		{"from", "Float", `1700000000123456789`, `{"n":1700000000123456789}`, `{"n":1700000000123456788}`},
		{"in", "[Float!]", `[1, 9007199254740993]`, `{"n":9007199254740993}`, `{"n":9007199254740992}`},
		{"amount", "Decimal", `12345678901234567.890`, `{"amount":12345678901234567.89}`, `{"amount":12345678901234568}`},
		{"amount", "Decimal", `1.50`, `{"amount":1.5}`, `{"amount":1.51}`},
	} {
		checkExact(t, s, c.argument, c.typ, c.value, c.yes, c.no)
	}
	checkExact(t, s, "where", "Where", `{n: {eq: 9007199254740993}}`, `{"n":9007199254740993}`, `{"n":9007199254740992}`)
	checkExact(t, s, "where", "Where", `{n: {lt: 9007199254740993}}`, `{"n":9007199254740992}`, `{"n":9007199254740993}`)
	for _, typ := range []string{"Float", "Wei"} {
		checkExact(t, gql.Schemaless(), "n", typ, `0.123456789012345678`, `{"n":0.123456789012345678}`, `{"n":0.12345678901234568}`)
	}
}

// checkExact binds a value as a literal and as a variable. Its members are named so that quotes make it JSON.
func checkExact(t *testing.T, s *gql.Schema, argument, typ, value, yes, no string) {
	t.Helper()
	asJSON := strings.NewReplacer("n:", `"n":`, "eq:", `"eq":`, "lt:", `"lt":`).Replace(value)
	literal := mustBind(t, mustCompile(t, s, fmt.Sprintf("subscription { e(%s: %s) { n } }", argument, value)), "", 0)
	variable := mustBind(t, mustCompile(t, s, fmt.Sprintf("subscription($v: %s) { e(%s: $v) { n } }", typ, argument)), `{"v":`+asJSON+`}`, 0)
	for name, b := range map[string]*plan.Bound{"literal": literal, "variable": variable} {
		if !admits(t, b, yes) {
			t.Errorf("%s %s, %s: %s is refused", argument, value, name, yes)
		}
		if admits(t, b, no) {
			t.Errorf("%s %s, %s: %s is admitted", argument, value, name, no)
		}
	}
}

func TestCompileDescribesTheRoot(t *testing.T) {
	p := mustCompile(t, mustSchema(t, filterSDL), `subscription { o: order { id } }`)
	got := fmt.Sprintln(p.Root.Name, p.RootName, p.Channel, p.Types, p.Owner, p.Tenant)
	if want := `order order orders [made paid] [owner id] [org]` + "\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestEqualVariablesAreEqualBytes(t *testing.T) {
	s := mustSchema(t, filterSDL)
	p := mustCompile(t, s, `subscription($id: ID, $n: Int = 5) { order(id: $id, size: $n) { id } }`)
	a, b := mustBind(t, p, `{"id":7}`, 0), mustBind(t, p, ` {"n" : 5, "id" : "7"}`, 0)
	if !bytes.Equal(a.Variables, b.Variables) {
		t.Errorf("%s and %s", a.Variables, b.Variables)
	}
}

func TestBindReportsArguments(t *testing.T) {
	s := mustSchema(t, filterSDL)
	p := mustCompile(t, s, `subscription($n: Int = 5) { order(in: [$n]) { id } }`)
	_, errs := p.Bind(mustVariables(t, p, `{"n":null}`), 0)
	if len(errs) == 0 || errs[0].Code != "BAD_USER_INPUT" {
		t.Errorf("errors %v, want one of BAD_USER_INPUT", errs)
	}
	p = mustCompile(t, s, `subscription { order(where: {count: {between: [1]}}) { id } }`)
	_, errs = p.Bind(nil, 0)
	const want = "Argument where cannot be compared with the events' values: BETWEEN needs exactly two values, the lower and the upper bound."
	if len(errs) != 1 || errs[0].Code != "BAD_USER_INPUT" || errs[0].Message != want {
		t.Errorf("errors %v, want %s", errs, want)
	}
}

func TestAppendFailed(t *testing.T) {
	s := mustSchema(t, shopSDL)
	for document, want := range map[string]string{
		`subscription { o: order { id } }`: `{"data":{"o":null},"errors":[{"message":"no","path":["o"],"extensions":{"code":"RESOLVER_FAILED"}}]`,
		`subscription { must { id } }`:     `{"data":null,"errors":[{"message":"no","path":["must"],"extensions":{"code":"RESOLVER_FAILED"}}]`,
	} {
		if got := string(mustBind(t, mustCompile(t, s, document), "", 0).AppendFailed(nil, "RESOLVER_FAILED", "no")); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// BenchmarkBind is what a subscribe of a known document costs here: one variable that is an index key.
func BenchmarkBind(b *testing.B) {
	p := mustCompile(b, mustSchema(b, shopSDL), `subscription($id: ID!) { byID(id: $id) { id total } }`)
	vars := mustVariables(b, p, `{"id":"0190e7a2"}`)
	b.ReportAllocs()
	for b.Loop() {
		p.Claims(nil, vars, nil)
		p.Requirements(vars)
		if _, errs := p.Bind(vars, 0); errs != nil {
			b.Fatal(errs)
		}
	}
}
