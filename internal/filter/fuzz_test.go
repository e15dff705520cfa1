package filter_test

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/filter"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

// opposites are the operators that are exact negations of each other.
var opposites = map[filter.Op]filter.Op{filter.EQ: filter.NE, filter.IN: filter.NotIn, filter.Contains: filter.NotContains}

// FuzzCompare: whatever the constant and the value, nothing fails but Compare, with an error; negations are
// exact, and where there is an order, exactly one of LT, EQ and GT holds for a value that can be coerced.
func FuzzCompare(f *testing.F) {
	f.Add(uint8(scalar.Int), uint8(filter.EQ), []byte(`1`), []byte(`{"v":1.0}`))
	f.Add(uint8(scalar.String), uint8(filter.Contains), []byte(`"\u0061"`), []byte(`{"v":["a",null]}`))
	f.Add(uint8(scalar.Float), uint8(filter.Between), []byte(`[1,2e0]`), []byte(`{"v":"0x1"}`))
	f.Add(uint8(scalar.Custom), uint8(filter.IN), []byte(`[{"a":1},[],1,2,3,4,5,6,7]`), []byte(`{"v":{"a":1}}`))
	f.Add(uint8(scalar.ID), uint8(filter.StartsWith), []byte(`"\ud800"`), []byte(`{"v":"\ud800x"}`))
	f.Add(uint8(scalar.Untyped), uint8(filter.NE), []byte(`[1e400]`), []byte(`{"v":[10e399]}`))
	f.Fuzz(func(t *testing.T, kind, operator uint8, constant, data []byte) {
		var consts, tape jsontape.Tape
		if consts.Parse(constant, jsontape.Limits{}) != nil || tape.Parse(data, jsontape.Limits{}) != nil {
			return
		}
		op := filter.Op(operator % uint8(filter.ContainsAny+1))
		leaf := scalar.Leaf{Kind: scalar.Kind(kind % uint8(scalar.Untyped+1)), Names: colors}
		matches := func(op filter.Op) (bool, bool) {
			p, err := filter.Compare([]string{"v"}, leaf, op, &consts, jsontape.Root)
			if err != nil && p != nil {
				t.Fatalf("%v %s: a predicate and %v", op, constant, err)
			}
			return p.Match(&tape, jsontape.Root), err == nil && p != nil
		}
		got, ok := matches(op)
		if !ok {
			return
		}
		if opposite, found := opposites[op]; found {
			if negated, _ := matches(opposite); negated == got {
				t.Fatalf("kind %d: both %v and %v %s of %s are %v", leaf.Kind, op, opposite, constant, data, got)
			}
		}
		if op == filter.EQ && leaf.Kind.Ordered() {
			checkOrder(t, leaf, &tape, got, matches)
		}
	})
}

func checkOrder(t *testing.T, leaf scalar.Leaf, tape *jsontape.Tape, eq bool, matches func(filter.Op) (bool, bool)) {
	lt, _ := matches(filter.LT)
	lte, _ := matches(filter.LTE)
	gt, _ := matches(filter.GT)
	gte, _ := matches(filter.GTE)
	_, there := leaf.AppendKey(nil, tape, tape.Member(jsontape.Root, "v"))
	n := 0
	for _, holds := range []bool{lt, eq, gt} {
		if holds {
			n++
		}
	}
	if want := map[bool]int{true: 1}[there]; n != want || lte != (lt || eq) || gte != (gt || eq) {
		t.Fatalf("kind %d: %s: LT %v, LTE %v, EQ %v, GTE %v, GT %v", leaf.Kind, tape.Source(), lt, lte, eq, gte, gt)
	}
}
