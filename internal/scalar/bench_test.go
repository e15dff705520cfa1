package scalar_test

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

// usual are the values that a field of a type usually has, and some that need work.
var usual = []struct {
	name, text string
	leaf       scalar.Leaf
}{
	{"IntPlain", `4711`, leaves[0].Leaf},
	{"FloatPlain", `1299.95`, leaves[1].Leaf},
	{"FloatLong", `1299.95000000000000000001`, leaves[1].Leaf},
	{"StringPlain", `"SO-2026-0004711"`, leaves[2].Leaf},
	{"StringEscaped", `"a\nb\u00e9"`, leaves[2].Leaf},
	{"StringNumber", `12.50`, leaves[2].Leaf},
	{"IDPlain", `"0190e7a2-5b3c-7d4e-8f10-2a3b4c5d6e7f"`, leaves[3].Leaf},
	{"IDInteger", `9007199254740993`, leaves[3].Leaf},
	{"BooleanPlain", `true`, leaves[4].Leaf},
	{"EnumPlain", `"GREEN"`, leaves[5].Leaf},
	{"CustomString", `"2026-11-23T13:46:00Z"`, scalar.Leaf{}},
	{"CustomObject", `{"lat":52.5,"lon":13.4}`, scalar.Leaf{}},
	{"UntypedString", `"a"`, scalar.Leaf{Kind: scalar.Untyped}},
	{"UntypedNumber", `1.0`, scalar.Leaf{Kind: scalar.Untyped}},
}

func TestHotPathAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 256)
	for _, c := range usual {
		tape, v := parse(t, c.text), value(t, c.leaf, c.text)
		n := testing.AllocsPerRun(100, func() {
			_, ok := c.leaf.AppendResult(buf, tape, jsontape.Root)
			_, keyed := c.leaf.AppendKey(buf, tape, jsontape.Root)
			if !ok || !keyed || !c.leaf.Equals(tape, jsontape.Root, &v) {
				t.Error(c.text)
			}
			c.leaf.Compare(tape, jsontape.Root, &v)
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

func BenchmarkAppendResult(b *testing.B) {
	for _, c := range usual {
		b.Run(c.name, func(b *testing.B) {
			tape, buf := parse(b, c.text), make([]byte, 0, 256)
			b.ReportAllocs()
			for b.Loop() {
				c.leaf.AppendResult(buf, tape, jsontape.Root)
			}
		})
	}
}

func BenchmarkAppendKey(b *testing.B) {
	for _, c := range usual {
		b.Run(c.name, func(b *testing.B) {
			tape, buf := parse(b, c.text), make([]byte, 0, 256)
			b.ReportAllocs()
			for b.Loop() {
				c.leaf.AppendKey(buf, tape, jsontape.Root)
			}
		})
	}
}
