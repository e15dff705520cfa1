package filter_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fraiseql/fraiseql-go/internal/filter"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

// The oracle: the same semantics, written naively on the values of encoding/json and on big.Rat.

// missing is what is not there, null, or cannot be coerced.
type missing struct{}

var decimal = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// coerce makes of a value what a leaf type makes of it: a string, *big.Rat, bool or, of a custom scalar,
// text that is equal for equal JSON.
func coerce(kind scalar.Kind, v any) any {
	if v == nil {
		return missing{}
	}
	switch kind {
	case scalar.Int, scalar.Float:
		r := toRat(v)
		if r == nil || kind == scalar.Int && (!r.IsInt() || r.Num().BitLen() > 31) {
			return missing{}
		}
		return r
	case scalar.String, scalar.ID:
		switch v := v.(type) {
		case string:
			return v
		case bool:
			if kind == scalar.String {
				return fmt.Sprint(v)
			}
		case json.Number:
			if r := toRat(v); kind == scalar.String || r.IsInt() {
				return strings.TrimSuffix(strings.TrimRight(r.FloatString(20), "0"), ".")
			}
		}
	case scalar.Boolean:
		switch v := v.(type) {
		case bool:
			return v
		case json.Number:
			return toRat(v).Sign() != 0
		}
	case scalar.Enum:
		if s, ok := v.(string); ok {
			if _, ok := colors[s]; ok {
				return s
			}
		}
	case scalar.Custom:
		return canonical(v)
	case scalar.Untyped:
		if s, ok := v.(string); ok {
			return s
		}
		if _, ok := v.(json.Number); ok {
			return canonical(v)
		}
		return "JSON " + canonical(v)
	}
	return missing{}
}

func toRat(v any) *big.Rat {
	switch v := v.(type) {
	case bool:
		if v {
			return big.NewRat(1, 1)
		}
		return new(big.Rat)
	case json.Number:
		r, _ := new(big.Rat).SetString(v.String())
		return r
	case string:
		if decimal.MatchString(v) {
			r, _ := new(big.Rat).SetString(v)
			return r
		}
	}
	return nil
}

func canonical(v any) string {
	switch v := v.(type) {
	case json.Number:
		return strings.TrimSuffix(strings.TrimRight(toRat(v).FloatString(20), "0"), ".")
	case []any:
		var b strings.Builder
		for _, e := range v {
			b.WriteString(canonical(e) + ",")
		}
		return "[" + b.String() + "]"
	case map[string]any:
		var b strings.Builder
		for _, name := range slices.Sorted(maps.Keys(v)) {
			b.WriteString(fmt.Sprintf("%q:%s,", name, canonical(v[name])))
		}
		return "{" + b.String() + "}"
	}
	return fmt.Sprintf("%#v", v)
}

// order compares two coerced values of an ordered type.
func order(a, b any) int {
	if a, ok := a.(*big.Rat); ok {
		return a.Cmp(b.(*big.Rat))
	}
	return strings.Compare(a.(string), b.(string))
}

func equal(kind scalar.Kind, v, constant any) bool {
	a, b := coerce(kind, v), coerce(kind, constant)
	if a == (missing{}) || b == (missing{}) {
		return false
	}
	if a, ok := a.(*big.Rat); ok {
		return a.Cmp(b.(*big.Rat)) == 0
	}
	return a == b
}

func among(kind scalar.Kind, v any, constants []any) bool {
	return slices.ContainsFunc(constants, func(c any) bool { return equal(kind, v, c) })
}

func contains(kind scalar.Kind, v, constant any) bool {
	if list, ok := v.([]any); ok {
		return among(kind, constant, list)
	}
	pattern, isText := constant.(string)
	text, valueIsText := v.(string)
	if kind == scalar.String || kind == scalar.ID {
		pattern, isText = coerce(kind, constant).(string)
		text, valueIsText = coerce(kind, v).(string)
	}
	return isText && valueIsText && (kind == scalar.String || kind == scalar.ID || kind == scalar.Custom) && strings.Contains(text, pattern)
}

// holds is what the operator means.
func holds(kind scalar.Kind, op filter.Op, v, constant any) bool {
	list, _ := constant.([]any)
	switch op {
	case filter.EQ:
		return equal(kind, v, constant)
	case filter.NE:
		return !equal(kind, v, constant)
	case filter.IN:
		return among(kind, v, list)
	case filter.NotIn:
		return !among(kind, v, list)
	case filter.Contains:
		return contains(kind, v, constant)
	case filter.NotContains:
		return !contains(kind, v, constant)
	case filter.ContainsAny:
		return slices.ContainsFunc(list, func(c any) bool { return contains(kind, v, c) })
	case filter.Exists:
		return (v != nil) == constant.(bool)
	}
	a := coerce(kind, v)
	if a == (missing{}) {
		return false
	}
	switch op {
	case filter.GT:
		return order(a, coerce(kind, constant)) > 0
	case filter.GTE:
		return order(a, coerce(kind, constant)) >= 0
	case filter.LT:
		return order(a, coerce(kind, constant)) < 0
	case filter.LTE:
		return order(a, coerce(kind, constant)) <= 0
	case filter.Between:
		return order(a, coerce(kind, list[0])) >= 0 && order(a, coerce(kind, list[1])) <= 0
	case filter.StartsWith:
		return strings.HasPrefix(a.(string), coerce(kind, constant).(string))
	case filter.EndsWith:
		return strings.HasSuffix(a.(string), coerce(kind, constant).(string))
	}
	panic(op.String())
}

func decode(t tester, text string) (v any) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

var (
	numbers = []string{"0", "-0.0", "1", "1.0", "10e-1", "-1", "2", "12", "1.5", "15e-1", "0.1", "100", "1e2", "2147483647", "2147483648", "9007199254740993", "9007199254740992", "0.00001"}
	texts   = []string{`"a"`, `"\u0061"`, `"ab"`, `"b"`, `"ba"`, `""`, `"1"`, `"1.0"`, `"12"`, `"true"`, `"RED"`, `"\u0052ED"`, `"GREEN"`, `"BLUE"`, `"é"`, `"\u00e9"`, `"a\nb"`, `"-1"`, `"1.50"`}
	bools   = []string{`true`, `false`}
)

func drawValue(t *rapid.T, depth int) string {
	switch kind := rapid.IntRange(0, 4+depth).Draw(t, "kind"); {
	case kind < 2:
		return rapid.SampledFrom(numbers).Draw(t, "number")
	case kind < 4:
		return rapid.SampledFrom(texts).Draw(t, "text")
	case kind == 4:
		return rapid.SampledFrom(append(bools, "null")).Draw(t, "literal")
	}
	items := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string { return drawValue(t, depth-1) }), 0, 3).Draw(t, "items")
	if rapid.Bool().Draw(t, "object") {
		for i := range items {
			items[i] = rapid.SampledFrom([]string{`"a":`, `"b" : `, `"\u0061":`}).Draw(t, "name") + items[i]
		}
		return "{" + strings.Join(items, " ,") + "}"
	}
	return "[" + strings.Join(items, ", ") + " ]"
}

// drawConstant draws an input of a leaf type.
func drawConstant(t *rapid.T, kind scalar.Kind) string {
	switch kind {
	case scalar.Int:
		return rapid.SampledFrom([]string{"0", "1", "-1", "2", "12", "100", "2147483647"}).Draw(t, "int")
	case scalar.Float:
		return rapid.SampledFrom(numbers).Draw(t, "float")
	case scalar.String, scalar.ID:
		return rapid.SampledFrom(texts).Draw(t, "string")
	case scalar.Boolean:
		return rapid.SampledFrom(bools).Draw(t, "boolean")
	case scalar.Enum:
		return rapid.SampledFrom([]string{`"RED"`, `"GREEN"`}).Draw(t, "enum")
	}
	return rapid.Custom(func(t *rapid.T) string { return drawValue(t, 2) }).Filter(func(s string) bool { return s != "null" }).Draw(t, "any")
}

// TestAgreesWithOracle draws an operator, a type that it takes, a constant and a value.
func TestAgreesWithOracle(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		kind := scalar.Kind(rapid.IntRange(0, int(scalar.Untyped)).Draw(r, "leaf"))
		op := filter.Op(rapid.IntRange(0, int(filter.ContainsAny)).Draw(r, "op"))
		depth, constant := 0, ""
		switch {
		case op == filter.Exists:
			constant = rapid.SampledFrom(bools).Draw(r, "exists")
		case op == filter.Between:
			depth, constant = 1, "["+drawConstant(r, kind)+","+drawConstant(r, kind)+"]"
		case op.TakesList():
			n := rapid.IntRange(0, 10).Draw(r, "n")
			list := make([]string, n)
			for i := range list {
				list[i] = drawConstant(r, kind)
			}
			depth, constant = 1, "["+strings.Join(list, ",")+"]"
		default:
			constant = drawConstant(r, kind)
		}
		if op.Check(depth, kind) != nil || kind == scalar.Untyped && op > filter.NE {
			return
		}
		value := drawValue(r, 3)
		p, wanted := compare(r, kind, op, constant), holds(kind, op, decode(r, value), decode(r, constant))
		if got := match(r, p, value); got != wanted {
			r.Fatalf("kind %d: %s %v %s is %v", kind, value, op, constant, got)
		}
		if got := match(r, p, ""); got != holds(kind, op, nil, decode(r, constant)) {
			r.Fatalf("kind %d: a missing value %v %s is %v", kind, op, constant, got)
		}
	})
}

// TestIndexKeysGiveTheSameAnswer: EQ holds exactly where the canonical forms are equal, IN where one is.
func TestIndexKeysGiveTheSameAnswer(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		leaf := scalar.Leaf{Kind: scalar.Kind(rapid.IntRange(0, int(scalar.Untyped)).Draw(r, "leaf")), Names: colors}
		value, constant := drawValue(r, 3), drawConstant(r, leaf.Kind)
		ka, oka := leaf.AppendKey(nil, parse(r, value), jsontape.Root)
		kb, okb := leaf.AppendKey(nil, parse(r, constant), jsontape.Root)
		want := oka && okb && string(ka) == string(kb)
		if got := match(r, compare(r, leaf.Kind, filter.EQ, constant), value); got != want {
			r.Fatalf("kind %d: %s EQ %s is %v, keys are %q and %q", leaf.Kind, value, constant, got, ka, kb)
		}
		many := "[" + strings.Repeat(constant+",", rapid.IntRange(0, 9).Draw(r, "n")) + constant + "]"
		if got := match(r, compare(r, leaf.Kind, filter.IN, many), value); got != want {
			r.Fatalf("kind %d: %s IN %s is %v, keys are %q and %q", leaf.Kind, value, many, got, ka, kb)
		}
	})
}

// TestCombinationsAgreeWithOracle draws trees of And, Or and Not.
func TestCombinationsAgreeWithOracle(t *testing.T) {
	var draw func(r *rapid.T, depth int) (*filter.Pred, bool)
	draw = func(r *rapid.T, depth int) (*filter.Pred, bool) {
		kind := rapid.IntRange(0, 3+depth).Draw(r, "kind")
		switch {
		case kind < 2:
			op := []filter.Op{filter.EQ, filter.NE}[kind]
			return compare(r, scalar.Int, op, `1`), op == filter.EQ
		case kind == 2:
			return nil, true
		case kind == 3:
			p, v := draw(r, 0)
			return filter.Not(p), !v
		}
		kids, all, some := []*filter.Pred{}, true, false
		for range rapid.IntRange(0, 3).Draw(r, "kids") {
			p, v := draw(r, depth-1)
			kids, all, some = append(kids, p), all && v, some || v
		}
		if kind%2 == 0 {
			return filter.And(kids...), all
		}
		return filter.Or(kids...), some
	}
	rapid.Check(t, func(r *rapid.T) {
		p, want := draw(r, 4)
		if match(r, p, `1`) != want || match(r, filter.Not(p), `1`) == want {
			r.Fatalf("want %v", want)
		}
	})
}
