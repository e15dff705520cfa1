package main

import (
	"github.com/fraiseql/fraiseql-go/internal/filter"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/plan"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

const schemaText = `
type Subscription {
  order(id: ID, min: Int @match(path: "total", op: GTE), from: Float @match(path: "f", op: GTE), to: Float @match(path: "f", op: LT)): Order
    @source(channel: "orders")
}
type Order { id: ID! status: String total: Int customer: String city: String note: String a: Int b: Int c: Int d: Int e: Boolean f: Float }
`

// orderData has 12 members and about 370 bytes.
const orderData = `{"id":"42","status":"open","total":1250,"customer":"Ada Lovelace, Analytical Engines Ltd","city":"London","note":"please ring twice and leave it with the neighbour at number 12, they know about it; if nobody opens, try the shop at the corner of the street, it is open until eight in the evening on all days","a":1,"b":22,"c":333,"d":4444,"e":true,"f":1.25}`

const fiveFields = `{ id status total customer city }`

var leafCases = []hotCase{
	{"parse an event", 2000, func() (func(), func()) {
		tape, data := new(jsontape.Tape), []byte(orderData)
		return func() { check(tape.Parse(data, jsontape.Limits{})) }, nil
	}},
	{"project 5 of 12 fields", 2000, func() (func(), func()) {
		p, tape := compile(schema(), `subscription { order `+fiveFields+` }`), parse(orderData)
		bound, errs := p.Bind(nil, 0)
		must(errs == nil, "bind")
		buf := make([]byte, 0, 1024)
		return func() { buf = bound.AppendPayload(buf[:0], tape, jsontape.Root) }, nil
	}},
	{"match an and of three", 5000, func() (func(), func()) {
		tape := parse(orderData)
		all := filter.And(compare("status", scalar.String, filter.EQ, `"open"`), compare("total", scalar.Int, filter.GT, `1000`),
			compare("f", scalar.Float, filter.Between, `[1,2]`))
		return func() { must(all.Match(tape, jsontape.Root), "no match") }, nil
	}},
	{"bind a plan to variables", 1000, func() (func(), func()) {
		p, vars := compile(schema(), `subscription($i: ID, $m: Int) { order(id: $i, min: $m) `+fiveFields+` }`), parse(`{"i":"42","m":7}`)
		return func() {
			_, errs := p.Bind(vars, 0)
			must(errs == nil, "bind")
		}, nil
	}},
}

func schema() *gql.Schema {
	s, errs := gql.LoadSchema([]gql.SchemaSource{{Name: "hot.graphql", Text: schemaText}}, gql.SchemaOptions{})
	must(len(errs) == 0, "schema")
	return s
}

func parse(text string) *jsontape.Tape {
	t := new(jsontape.Tape)
	check(t.Parse([]byte(text), jsontape.Limits{}))
	return t
}

func compile(s *gql.Schema, query string) *plan.Plan {
	doc, errs := s.Parse(query, gql.Limits{})
	must(len(errs) == 0, query)
	op, failed := doc.Operation("")
	must(failed == nil, query)
	p, err := plan.Compile(op, plan.Options{})
	check(err)
	return p
}

func compare(member string, kind scalar.Kind, op filter.Op, constant string) *filter.Pred {
	p, err := filter.Compare([]string{member}, scalar.Leaf{Kind: kind}, op, parse(constant), jsontape.Root)
	check(err)
	return p
}
