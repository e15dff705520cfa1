package gql

import (
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// FuzzParse: no document makes Parse panic; what it refuses has a code, a text and a place; what it accepts can
// be run. What is refused by its text is refused by its tree, too.
func FuzzParse(f *testing.F) {
	data, err := os.ReadFile("testdata/malformed.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		f.Add(strings.TrimSuffix(line, "\n"))
	}
	f.Add(benchDocument)
	f.Add(`subscription S($a: [ID!]! = [1], $b: OrderWhere) { o: orders(ids: $a, where: {and: [$b]}) @x { ...F } } fragment F on Order { id @skip(if: true) }`)
	typed, untyped := mustLoad(f, ordersSDL), Schemaless()
	lim := Limits{Bytes: 4096, Tokens: 1000}
	tight := Limits{Tokens: 40, Fields: 12, Depth: 3, Aliases: 4}.withDefaults()
	f.Fuzz(func(t *testing.T, text string) {
		if utf8.ValidString(text) {
			checkOutline(t, strings.TrimPrefix(text, "\ufeff"), tight)
		}
		for _, s := range []*Schema{typed, untyped} {
			doc, errs := s.parse(text, lim)
			if (doc == nil) == (len(errs) == 0) {
				t.Fatalf("document %v, errors %v", doc, errs)
			}
			for _, e := range errs {
				if e.Code == "" || e.Message == "" || len(e.Locations) == 0 {
					t.Fatalf("%+v", e)
				}
			}
			if doc != nil {
				runAll(t, doc)
			}
		}
	})
}

// runAll coerces the variables and arguments of each operation; the results must be JSON.
func runAll(t *testing.T, doc *Document) {
	for _, op := range doc.Operations {
		var none, vars, args jsontape.Tape
		if err := none.Parse([]byte(`{"a":1,"b":"x","x":null}`), jsontape.Limits{}); err != nil {
			t.Fatal(err)
		}
		out, errs := op.CoerceVariables(nil, &none, jsontape.Root)
		if len(errs) > 0 {
			continue
		}
		if err := vars.Parse(out, jsontape.Limits{}); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		for _, sel := range op.Selections {
			if sel.Field == nil {
				continue
			}
			out, errs := sel.Field.CoerceArguments(nil, &vars)
			if len(errs) == 0 {
				if err := args.Parse(out, jsontape.Limits{}); err != nil {
					t.Fatalf("%s: %v", out, err)
				}
			}
		}
	}
}

// FuzzCoerceVariables: any JSON for variables of every kind of type is accepted with a JSON object as the
// result, the same again when coerced twice, or refused with a text.
func FuzzCoerceVariables(f *testing.F) {
	f.Add(`{"s":"PAID","m":1e3,"i":"1","l":[1,"b"],"w":{"and":[{"total":{"gt":5}}]},"n":2147483648,"b":true,"d":{"x":[1.50]}}`)
	f.Add(`{"s":null,"m":-0,"i":9007199254740993,"l":"x","w":{},"n":1.0,"b":"true","d":"\ud800"}`)
	f.Add(`{"l":[[null]],"w":{"or":[],"not":{"customer":{"id":{"in":[]}}}},"n":-1e400}`)
	s := mustLoad(f, ordersSDL+`extend type Customer { x(n: Int, b: Boolean, d: DateTime): ID }`)
	op := mustParse(f, s, `subscription($s: Status, $m: Float, $i: ID, $l: [ID!], $w: OrderWhere, $n: Int, $b: Boolean, $d: DateTime) {
		orders(status: $s, minTotal: $m, customerId: $i, ids: $l, where: $w) { customer { x(n: $n, b: $b, d: $d) } } }`)
	f.Fuzz(func(t *testing.T, text string) {
		var tape, vars jsontape.Tape
		if tape.Parse([]byte(text), jsontape.Limits{}) != nil {
			return
		}
		once, errs := op.CoerceVariables(nil, &tape, jsontape.Root)
		for _, e := range errs {
			if e.Code == "" || e.Message == "" {
				t.Fatalf("%+v", e)
			}
		}
		if len(errs) > 0 {
			return
		}
		if err := vars.Parse(once, jsontape.Limits{Depth: 80}); err != nil {
			t.Fatalf("%s: %v", once, err)
		}
		twice, errs := op.CoerceVariables(nil, &vars, jsontape.Root)
		if len(errs) > 0 || string(once) != string(twice) {
			t.Fatalf("once %s\ntwice %s %v", once, twice, errs)
		}
	})
}
