package scalar_test

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

func parse(t testing.TB, text string) *jsontape.Tape {
	t.Helper()
	var tape jsontape.Tape
	if err := tape.Parse([]byte(text), jsontape.Limits{}); err != nil {
		t.Fatalf("Parse(%s): %v", text, err)
	}
	return &tape
}

const refused = "refused"

func TestAppendResult(t *testing.T) {
	for _, c := range []struct {
		kind scalar.Kind
		in   string
		want string
	}{
		{scalar.Int, `1`, `1`},
		{scalar.Int, `1.0`, `1`},
		{scalar.Float, `"0x10"`, `16`},
		{scalar.String, `1e21`, `"1e+21"`},
		{scalar.ID, `9007199254740993`, `"9007199254740993"`},
		{scalar.Boolean, `0`, `false`},
		{scalar.Untyped, `[ 1, {"a" : 2 } ]`, `[1,{"a":2}]`},
	} {
		leaf := scalar.Leaf{Kind: c.kind}
		out, ok := leaf.AppendResult(nil, parse(t, c.in), jsontape.Root)
		got := string(out)
		if !ok {
			got = refused
		}
		if got != c.want {
			t.Errorf("kind %d: %s gives %s, want %s", c.kind, c.in, got, c.want)
		}
	}
}
