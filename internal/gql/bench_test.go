package gql

import (
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

const benchDocument = `subscription Orders($status: Status, $min: Float, $customer: ID!) {
  orders(status: $status, minTotal: $min, customerId: $customer) { id status total customer { id name } lines { ...L } createdAt }
}
fragment L on Line { sku count }`

func BenchmarkParse(b *testing.B) {
	s := mustLoad(b, ordersSDL)
	b.ReportAllocs()
	for b.Loop() {
		if _, errs := s.Parse(benchDocument, Limits{}); len(errs) > 0 {
			b.Fatal(errs[0].Message)
		}
	}
}

func BenchmarkParseSchemaless(b *testing.B) {
	s := Schemaless()
	b.ReportAllocs()
	for b.Loop() {
		if _, errs := s.Parse(`subscription($id: ID!) { users(id: $id) { id name } }`, Limits{}); len(errs) > 0 {
			b.Fatal(errs[0].Message)
		}
	}
}

func BenchmarkLoadSchema(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, errs := LoadSchema([]SchemaSource{{"orders.graphql", ordersSDL}}, SchemaOptions{}); len(errs) > 0 {
			b.Fatal(errs[0])
		}
	}
}

// three variables as clients send them.
const benchVariables = `{"status":"PAID","min":12.5,"customer":"c-1234567"}`

func coercer(tb testing.TB, document, variables string) func(dst []byte) []byte {
	s := mustLoad(tb, ordersSDL)
	op := mustParse(tb, s, document)
	tape := &jsontape.Tape{}
	if err := tape.Parse([]byte(variables), jsontape.Limits{}); err != nil {
		tb.Fatal(err)
	}
	return func(dst []byte) []byte {
		out, errs := op.CoerceVariables(dst, tape, jsontape.Root)
		if len(errs) > 0 {
			tb.Fatal(errs[0].Message)
		}
		return out
	}
}

func BenchmarkCoerceVariables(b *testing.B) {
	coerce := coercer(b, benchDocument, benchVariables)
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		dst = coerce(dst[:0])
	}
}

func BenchmarkCoerceArguments(b *testing.B) {
	s := mustLoad(b, ordersSDL)
	op := mustParse(b, s, benchDocument)
	var vars jsontape.Tape
	if err := vars.Parse([]byte(benchVariables), jsontape.Limits{}); err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		out, errs := op.Selections[0].Field.CoerceArguments(dst[:0], &vars)
		if len(errs) > 0 {
			b.Fatal(errs[0].Message)
		}
		dst = out
	}
}

// TestCoerceVariablesDoesNotAllocate covers each kind of type, with escapes and an input object.
func TestCoerceVariablesDoesNotAllocate(t *testing.T) {
	const document = `subscription($status: Status, $min: Float, $customer: ID!, $ids: [ID!], $where: OrderWhere) {
	  orders(status: $status, minTotal: $min, customerId: $customer, ids: $ids, where: $where) { id } }`
	coerce := coercer(t, document, `{"status": "PAID", "min": 1e3, "customer": "\u0041\n and a text that is longer than what fits a small buffer on the stack", "ids": [1, "b", 2.0],
	  "where": {"and": [{"total": {"gt": 5}}], "status": {"in": ["OPEN"]}}}`)
	dst := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(200, func() { dst = coerce(dst[:0]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if !strings.Contains(string(dst), `"customer":"A\n and a text`) {
		t.Errorf("%s", dst)
	}
}
