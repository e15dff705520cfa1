package filter_test

import (
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/filter"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

const orderEvent = `{"id":"0190e7a2-5b3c-7d4e-8f10-2a3b4c5d6e7f","status":"shipped","customer_id":4711,"total":1299.95,"tags":["a","b","c"],` +
	`"note":"one\ntwo and much more of that, so that it does not fit where short texts do ` + "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" + `","at":{"city":"London"}}`

// usual are the predicates whose cost matters.
var usual = []struct {
	name     string
	path     string
	kind     scalar.Kind
	op       filter.Op
	constant string
}{
	{"StringEQ", "status", scalar.String, filter.EQ, `"shipped"`},
	{"IDEQ", "id", scalar.ID, filter.EQ, `"0190e7a2-5b3c-7d4e-8f10-2a3b4c5d6e7f"`},
	{"IDEQInteger", "customer_id", scalar.ID, filter.EQ, `"4711"`},
	{"IntEQ", "customer_id", scalar.Int, filter.EQ, `4711`},
	{"IntGT", "customer_id", scalar.Int, filter.GT, `4710`},
	{"FloatGT", "total", scalar.Float, filter.GT, `1000`},
	{"FloatBetween", "total", scalar.Float, filter.Between, `[1000.5,2000]`},
	{"StringIn3", "status", scalar.String, filter.IN, `["new","paid","shipped"]`},
	{"StringIn20", "status", scalar.String, filter.IN, `["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17","18","19","shipped"]`},
	{"StartsWith", "status", scalar.String, filter.StartsWith, `"ship"`},
	{"ContainsText", "status", scalar.String, filter.Contains, `"pp"`},
	{"ContainsEscaped", "note", scalar.String, filter.Contains, `"two"`},
	{"ContainsElement", "tags", scalar.String, filter.Contains, `"c"`},
	{"Exists", "note", scalar.Boolean, filter.Exists, `true`},
	{"NestedEQ", "at.city", scalar.String, filter.EQ, `"London"`},
	{"CustomEQ", "tags", scalar.Custom, filter.EQ, `["a","b","c"]`},
	{"UntypedEQ", "customer_id", scalar.Untyped, filter.EQ, `"4711"`},
}

func compile(t tester, i int) *filter.Pred {
	c := usual[i]
	p, err := filter.Compare(strings.Split(c.path, "."), scalar.Leaf{Kind: c.kind}, c.op, parse(t, c.constant), jsontape.Root)
	if err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	return p
}

func TestMatchAllocatesNothing(t *testing.T) {
	tape := parse(t, orderEvent)
	for i, c := range usual {
		p := filter.And(compile(t, i), filter.Not(filter.Or()))
		if n := testing.AllocsPerRun(100, func() {
			if !p.Match(tape, jsontape.Root) {
				t.Errorf("%s is false", c.name)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	tape := parse(b, orderEvent)
	for i, c := range usual {
		b.Run(c.name, func(b *testing.B) {
			p := compile(b, i)
			b.ReportAllocs()
			for b.Loop() {
				if !p.Match(tape, jsontape.Root) {
					b.Fatal("false")
				}
			}
		})
	}
}

func BenchmarkAndOfThree(b *testing.B) {
	tape := parse(b, orderEvent)
	p := filter.And(compile(b, 0), compile(b, 4), compile(b, 5))
	b.ReportAllocs()
	for b.Loop() {
		if !p.Match(tape, jsontape.Root) {
			b.Fatal("false")
		}
	}
}
