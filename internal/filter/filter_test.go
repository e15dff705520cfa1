package filter_test

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/filter"
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

func compare(t testing.TB, kind scalar.Kind, op filter.Op, constant string) *filter.Pred {
	t.Helper()
	p, err := filter.Compare([]string{"v"}, scalar.Leaf{Kind: kind, Names: colors}, op, parse(t, constant), jsontape.Root)
	if err != nil {
		t.Fatalf("Compare(%v %s): %v", op, constant, err)
	}
	return p
}

var colors = map[string]struct{}{"RED": {}, "GREEN": {}}
