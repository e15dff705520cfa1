package filter_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/filter"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

// tester is what *testing.T, *testing.B and *rapid.T have in common.
type tester interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

func parse(t tester, text string) *jsontape.Tape {
	t.Helper()
	var tape jsontape.Tape
	if err := tape.Parse([]byte(text), jsontape.Limits{}); err != nil {
		t.Fatalf("Parse(%s): %v", text, err)
	}
	return &tape
}

var colors = map[string]struct{}{"RED": {}, "GREEN": {}}

// compare compiles `v OP constant`.
func compare(t tester, kind scalar.Kind, op filter.Op, constant string) *filter.Pred {
	t.Helper()
	p, err := filter.Compare([]string{"v"}, scalar.Leaf{Kind: kind, Names: colors}, op, parse(t, constant), jsontape.Root)
	if err != nil {
		t.Fatalf("Compare(%v %s): %v", op, constant, err)
	}
	return p
}

// match reports whether `v OP constant` holds where v is value; "" is missing.
func match(t tester, p *filter.Pred, value string) bool {
	if value == "" {
		return p.Match(parse(t, `{"w":1}`), jsontape.Root)
	}
	return p.Match(parse(t, `{"w":1,"v":`+value+`}`), jsontape.Root)
}

// operatorCases has, of each operator, values of v for which it is true and for which it is false; "" is missing.
var operatorCases = []struct {
	kind     scalar.Kind
	op       filter.Op
	constant string
	yes, no  []string
}{
	{scalar.Int, filter.EQ, `1`, []string{`1`, `1.0`, `10e-1`, `"1"`, `true`}, []string{``, `null`, `2`, `"x"`, `[1]`, `{}`, `1.5`}},
	{scalar.Int, filter.NE, `1`, []string{``, `null`, `2`, `"x"`, `[1]`, `{}`, `1.5`}, []string{`1`, `1.0`, `"1"`}},
	{scalar.Float, filter.EQ, `0.1`, []string{`0.1`, `0.10`, `1e-1`, `"0.1"`}, []string{``, `0.10000000000000000001`, `null`, `[0.1]`}},
	{scalar.Float, filter.EQ, `9007199254740993`, []string{`9007199254740993`, `9007199254740993.0`}, []string{`9007199254740992`}},
	{scalar.String, filter.EQ, `"a"`, []string{`"a"`, `"\u0061"`}, []string{`"A"`, `"aa"`, `""`, ``, `null`, `["a"]`, `{"a":1}`}},
	{scalar.String, filter.EQ, `"1"`, []string{`1`, `1.0`, `"1"`}, []string{`"1.0"`, `true`}},
	{scalar.ID, filter.EQ, `"9007199254740993"`, []string{`9007199254740993`, `"9007199254740993"`}, []string{`9007199254740992`, `9007199254740994`}},
	{scalar.ID, filter.EQ, `"true"`, []string{`"true"`}, []string{`true`}},
	{scalar.Boolean, filter.EQ, `true`, []string{`true`, `1`, `-0.5`}, []string{`false`, `0`, `"true"`, `null`, ``}},
	{scalar.Boolean, filter.NE, `true`, []string{`false`, `0`, `"true"`, `null`, ``}, []string{`true`}},
	{scalar.Enum, filter.EQ, `"RED"`, []string{`"RED"`, `"\u0052ED"`}, []string{`"red"`, `"GREEN"`, `"BLUE"`, ``}},
	{scalar.Enum, filter.NE, `"RED"`, []string{`"red"`, `"GREEN"`, `"BLUE"`, ``}, []string{`"RED"`}},
	{scalar.Custom, filter.EQ, `{"a":[1,"x"],"b":null}`, []string{`{"b":null,"a":[1.0,"\u0078"]}`, `{"a":0,"b":null,"a":[1,"x"]}`}, []string{`{"a":[1,"x"]}`, `{"a":["x",1],"b":null}`, ``}},
	{scalar.Custom, filter.EQ, `"1"`, []string{`"1"`}, []string{`1`}},
	{scalar.Custom, filter.EQ, `[1]`, []string{`[1]`, `[1.0]`}, []string{`1`, `[1,1]`, `[]`}},
	{scalar.Untyped, filter.EQ, `"1"`, []string{`"1"`, `1`, `1.0`}, []string{`"1.0"`, `true`, `[1]`}},
	{scalar.Untyped, filter.EQ, `1.0`, []string{`"1"`, `1`, `1.0`}, []string{`"1.0"`, `true`, `[1]`}},
	{scalar.Untyped, filter.EQ, `"10000000000000000000000"`, []string{`10000000000000000000000`, `1e22`, `"10000000000000000000000"`}, []string{`"1e22"`, `10000000000000000000001`}},
	{scalar.Untyped, filter.EQ, `10000000000000000000000`, []string{`10000000000000000000000`, `1e22`, `"10000000000000000000000"`}, []string{`"1e22"`, `1e21`}},
	{scalar.Untyped, filter.EQ, `true`, []string{`true`}, []string{`"true"`, `1`, `false`}},
	{scalar.Untyped, filter.EQ, `[{"a":1}]`, []string{`[ {"a": 1.0} ]`}, []string{`[{"a":"1"}]`, `"[{\"a\":1}]"`}},

	{scalar.Int, filter.GT, `10`, []string{`11`, `11.0`, `"11"`, `2147483647`}, []string{`10`, `9`, `-11`, ``, `null`, `"x"`, `[11]`, `2147483648`}},
	{scalar.Int, filter.GTE, `10`, []string{`10`, `1e1`, `11`}, []string{`9`, ``, `null`, `{}`}},
	{scalar.Int, filter.LT, `10`, []string{`9`, `-11`, `false`}, []string{`10`, `11`, ``, `null`, `-2147483649`}},
	{scalar.Int, filter.LTE, `10`, []string{`10`, `9`}, []string{`11`, ``, `null`}},
	{scalar.Float, filter.GT, `0.1`, []string{`0.10000000000000000001`, `1e300`, `"0.2"`}, []string{`0.1`, `0.100`, `-1`, `1e400`, `"1e400"`}},
	{scalar.Float, filter.LT, `-1.5`, []string{`-1.50000000000000000001`, `-2`, `-1e300`}, []string{`-1.5`, `-1`, `0`, `1.5`}},
	{scalar.Float, filter.GTE, `9007199254740993`, []string{`9007199254740993`, `9007199254740994`}, []string{`9007199254740992`}},
	{scalar.String, filter.GT, `"b"`, []string{`"c"`, `"ba"`, `"é"`, `"\u0063"`}, []string{`"b"`, `"a"`, `""`, `"B"`, ``, `null`, `["c"]`}},
	{scalar.String, filter.LTE, `"2026-11-23"`, []string{`"2026-11-23"`, `"2026-11-22T23:59:59Z"`, `2025`}, []string{`"2026-11-23T00:00:00Z"`, `null`}},
	{scalar.ID, filter.LT, `"10"`, []string{`"1"`, `1`, `""`}, []string{`2`, `"9"`, `10`, ``}},
	{scalar.Int, filter.Between, `[1,3]`, []string{`1`, `2`, `3`, `"2"`}, []string{`0`, `4`, ``, `null`, `[2]`, `"x"`}},
	{scalar.Int, filter.Between, `[3,1]`, nil, []string{`0`, `1`, `2`, `3`, `4`, ``}},
	{scalar.Float, filter.Between, `[-0.5,0.5]`, []string{`-0.5`, `0`, `0.50`}, []string{`-0.51`, `0.500000000000000000001`}},
	{scalar.String, filter.Between, `["b","d"]`, []string{`"b"`, `"c"`, `"d"`, `"cz"`}, []string{`"a"`, `"da"`, ``, `null`}},

	{scalar.Int, filter.IN, `[1,2]`, []string{`1`, `2.0`, `"1"`}, []string{`3`, ``, `null`, `[1]`, `[1,2]`}},
	{scalar.Int, filter.NotIn, `[1,2]`, []string{`3`, ``, `null`, `[1]`}, []string{`1`, `2.0`}},
	{scalar.Int, filter.IN, `[]`, nil, []string{`1`, ``, `null`}},
	{scalar.Int, filter.NotIn, `[]`, []string{`1`, ``, `null`}, nil},
	{scalar.Int, filter.IN, `[null,1]`, []string{`1`}, []string{`null`, ``, `0`}},
	{scalar.String, filter.IN, `["a","b","c","d","e","f","g","h","i"]`, []string{`"a"`, `"\u0069"`}, []string{`"j"`, `""`, ``, `null`, `["a"]`}},
	{scalar.Float, filter.IN, `[1,2,3,4,5,6,7,8,9.5]`, []string{`1.0`, `95e-1`, `"2"`, `true`}, []string{`9`, `null`, `"x"`}},
	{scalar.Float, filter.NotIn, `[1,2,3,4,5,6,7,8,9.5]`, []string{`9`, `null`, `"x"`, ``}, []string{`1.0`, `95e-1`}},
	{scalar.Enum, filter.IN, `["RED","GREEN"]`, []string{`"RED"`}, []string{`"BLUE"`, `1`}},
	{scalar.Custom, filter.IN, `[{"a":1},[2],3,4,5,6,7,8]`, []string{`{"a":1.0}`, `[2]`, `8`}, []string{`2`, `"3"`, `{"a":2}`}},

	{scalar.String, filter.Contains, `"b"`, []string{`"abc"`, `"b"`, `"\u0062"`, `["a","b"]`, `["\u0062"]`}, []string{`"ac"`, `""`, `["abc"]`, `[]`, `[["b"]]`, ``, `null`, `{}`}},
	{scalar.String, filter.NotContains, `"b"`, []string{`"ac"`, `["abc"]`, `[]`, ``, `null`, `{}`}, []string{`"abc"`, `["a","b"]`}},
	{scalar.String, filter.Contains, `"2"`, []string{`123`, `[1,2]`, `["2"]`}, []string{`13`, `[12]`}},
	{scalar.String, filter.Contains, `""`, []string{`"a"`, `""`, `[""]`}, []string{``, `null`, `["a"]`}},
	{scalar.Int, filter.Contains, `2`, []string{`[1,2]`, `[2.0]`, `["2"]`, `[null,"x",2]`}, []string{`2`, `"2"`, `"123"`, `123`, `[12]`, `[]`, ``, `null`}},
	{scalar.Enum, filter.Contains, `"RED"`, []string{`["GREEN","RED"]`}, []string{`"RED"`, `["BLUE"]`}},
	{scalar.Boolean, filter.Contains, `true`, []string{`[false,true]`, `[1]`}, []string{`true`, `["true"]`}},
	{scalar.Custom, filter.Contains, `{"a":1}`, []string{`[{"a":1.0}]`}, []string{`{"a":1}`, `"{\"a\":1}"`}},
	{scalar.Custom, filter.Contains, `"b"`, []string{`"abc"`, `["b"]`}, []string{`["abc"]`, `{"b":1}`, `1`}},
	{scalar.Custom, filter.Contains, `1`, []string{`[1]`}, []string{`"1"`, `1`, `123`}},
	{scalar.String, filter.ContainsAny, `["b","c"]`, []string{`["c"]`, `["a","b"]`, `"xcx"`}, []string{`["a"]`, `"a"`, `[]`, ``, `null`}},
	{scalar.String, filter.ContainsAny, `["1","2","3","4","5","6","7","8"]`, []string{`["8"]`, `[0,8]`, `"08"`, `80`}, []string{`["80"]`, `"0"`, `0`}},
	{scalar.String, filter.ContainsAny, `[]`, nil, []string{`["a"]`, `"a"`, ``}},

	{scalar.String, filter.StartsWith, `"ab"`, []string{`"abc"`, `"ab"`, `"\u0061b"`}, []string{`"cab"`, `"a"`, `""`, ``, `null`, `["ab"]`}},
	{scalar.String, filter.EndsWith, `"bc"`, []string{`"abc"`, `"bc"`, `"\u0062c"`}, []string{`"bca"`, `"c"`, `""`, ``, `null`, `["bc"]`}},
	{scalar.ID, filter.StartsWith, `"47"`, []string{`4711`, `"47"`}, []string{`47.5`, `147`, `true`}},
	{scalar.String, filter.StartsWith, `""`, []string{`"a"`, `""`, `1`}, []string{``, `null`, `{}`}},
	{scalar.String, filter.EndsWith, `"\n"`, []string{`"a\n"`, `"\u000a"`}, []string{`"a\\n"`}},

	{scalar.Boolean, filter.Exists, `true`, []string{`1`, `"x"`, `false`, `[]`, `{}`, `"true"`}, []string{``, `null`}},
	{scalar.Boolean, filter.Exists, `false`, []string{``, `null`}, []string{`1`, `"x"`, `false`, `[]`, `{}`}},
}

func TestOperators(t *testing.T) {
	for _, c := range operatorCases {
		p := compare(t, c.kind, c.op, c.constant)
		for _, value := range c.yes {
			if !match(t, p, value) {
				t.Errorf("kind %d: %s %v %s is false", c.kind, value, c.op, c.constant)
			}
		}
		for _, value := range c.no {
			if match(t, p, value) {
				t.Errorf("kind %d: %q %v %s is true", c.kind, value, c.op, c.constant)
			}
		}
	}
}

func TestCompareRefusesConstants(t *testing.T) {
	for _, c := range []struct {
		kind     scalar.Kind
		op       filter.Op
		constant string
		want     string
	}{
		{scalar.Int, filter.IN, `1`, "IN needs a list"},
		{scalar.Int, filter.NotIn, `{}`, "NOT_IN needs a list"},
		{scalar.Int, filter.Between, `[1]`, "BETWEEN needs exactly two values, the lower and the upper bound"},
		{scalar.Int, filter.Between, `[1,2,3]`, "BETWEEN needs exactly two values, the lower and the upper bound"},
		{scalar.Int, filter.Between, `[1,null]`, "BETWEEN needs two values that are not null"},
		{scalar.Int, filter.EQ, `[1]`, "EQ cannot compare with a value that is not of the argument's type"},
		{scalar.Enum, filter.EQ, `"BLUE"`, "EQ cannot compare with a value that is not of the argument's type"},
		{scalar.Boolean, filter.Exists, `1`, "EXISTS needs true or false"},
	} {
		p, err := filter.Compare([]string{"v"}, scalar.Leaf{Kind: c.kind}, c.op, parse(t, c.constant), jsontape.Root)
		if err == nil || err.Error() != c.want || p != nil {
			t.Errorf("Compare(%v %s) = %v, %v, want %s", c.op, c.constant, p, err, c.want)
		}
	}
}

func TestAConstantThatIsNotGivenIsTrue(t *testing.T) {
	consts := parse(t, `null`)
	for _, c := range []jsontape.Ref{jsontape.Root, jsontape.None} {
		for op := filter.EQ; op <= filter.ContainsAny; op++ {
			if p, err := filter.Compare(nil, scalar.Leaf{Kind: scalar.Int}, op, consts, c); p != nil || err != nil {
				t.Errorf("%v null = %v, %v", op, p, err)
			}
		}
	}
}

func TestPaths(t *testing.T) {
	data := parse(t, `{"a":{"b":{"c":1},"b":{"c":2}},"l":[{"c":3}],"s":"x"}`)
	for _, c := range []struct {
		path []string
		want string
	}{
		{[]string{"a", "b", "c"}, `2`},
		{[]string{"a", "c"}, ``},
		{[]string{"l", "c"}, ``},
		{[]string{"s", "c"}, ``},
		{[]string{"x"}, ``},
	} {
		exists, err := filter.Compare(c.path, scalar.Leaf{Kind: scalar.Boolean}, filter.Exists, parse(t, `true`), jsontape.Root)
		if err != nil || exists.Match(data, jsontape.Root) != (c.want != "") {
			t.Errorf("EXISTS %v: %v", c.path, err)
		}
		if c.want == "" {
			continue
		}
		p, err := filter.Compare(c.path, scalar.Leaf{Kind: scalar.Int}, filter.EQ, parse(t, c.want), jsontape.Root)
		if err != nil || !p.Match(data, jsontape.Root) {
			t.Errorf("%v = %s: %v", c.path, c.want, err)
		}
	}
	inner, err := filter.Compare([]string{"c"}, scalar.Leaf{Kind: scalar.Int}, filter.EQ, parse(t, `2`), jsontape.Root)
	if err != nil || !inner.Match(data, data.Lookup(jsontape.Root, []string{"a", "b"})) || inner.Match(data, jsontape.None) {
		t.Errorf("below the root: %v", err)
	}
}

func TestCombinations(t *testing.T) {
	yes, no := compare(t, scalar.Int, filter.EQ, `1`), compare(t, scalar.Int, filter.EQ, `2`)
	for name, c := range map[string]struct {
		p    *filter.Pred
		want bool
	}{
		"nil":              {nil, true},
		"and()":            {filter.And(), true},
		"and(nil)":         {filter.And(nil), true},
		"and(nil,no)":      {filter.And(nil, no), false},
		"and(yes,yes)":     {filter.And(yes, yes), true},
		"and(yes,no)":      {filter.And(yes, no), false},
		"and(and,no)":      {filter.And(filter.And(yes, yes), no), false},
		"and(or())":        {filter.And(yes, filter.Or()), false},
		"or()":             {filter.Or(), false},
		"or(nil)":          {filter.Or(nil), true},
		"or(no,nil)":       {filter.Or(no, nil), true},
		"or(no,yes)":       {filter.Or(no, yes), true},
		"or(no,no)":        {filter.Or(no, no), false},
		"or(or,yes)":       {filter.Or(filter.Or(no, no), yes), true},
		"or(or())":         {filter.Or(filter.Or()), false},
		"not(nil)":         {filter.Not(nil), false},
		"not(or())":        {filter.Not(filter.Or()), true},
		"not(not(nil))":    {filter.Not(filter.Not(nil)), true},
		"not(yes)":         {filter.Not(yes), false},
		"not(not(yes))":    {filter.Not(filter.Not(yes)), true},
		"not(and(yes,no))": {filter.Not(filter.And(yes, no)), true},
	} {
		if got := match(t, c.p, `1`); got != c.want {
			t.Errorf("%s is %v", name, got)
		}
	}
}

// TestLargeObjectsCostNoMoreThanTheConstant: whether a large object equals a small constant is known after a look at two
// members, and nothing is made of it.
func TestLargeObjectsCostNoMoreThanTheConstant(t *testing.T) {
	var many []string
	for i := range 50_000 {
		many = append(many, fmt.Sprintf(`"m%d":%d`, i, i))
	}
	object, one := parse(t, `{"v":{`+strings.Join(many, ",")+`}}`), parse(t, `{"v":{`+strings.Repeat(`"x":0,`, 50_000)+`"x":0}}`)
	for _, kind := range []scalar.Kind{scalar.Custom, scalar.Untyped} {
		for constant, op := range map[string]filter.Op{
			`1`: filter.EQ, `{}`: filter.EQ, `[]`: filter.EQ, `{"m1":1}`: filter.NE,
			`[1,2,3,4,5,6,{"m0":0}]`: filter.IN, `[1,2,3,4,5,6,7,{"m0":0,"m1":1}]`: filter.NotIn,
		} {
			p := compare(t, kind, op, constant)
			if n := testing.AllocsPerRun(10, func() { p.Match(object, jsontape.Root) }); n > 1 {
				t.Errorf("kind %d: %v %s: %v allocations", kind, op, constant, n)
			}
			if n := testing.AllocsPerRun(10, func() { p.Match(one, jsontape.Root) }); n > 1 {
				t.Errorf("kind %d: %v %s, one name: %v allocations", kind, op, constant, n)
			}
			if p.Match(object, jsontape.Root) != (op == filter.NE || op == filter.NotIn) {
				t.Errorf("kind %d: %v %s", kind, op, constant)
			}
		}
	}
}

// TestPrintedDoubles: a number of many digits equals itself, and one that a program printed with all of them the double that it is of.
func TestPrintedDoubles(t *testing.T) {
	for _, c := range []struct {
		constant, event string
		want            bool
	}{
		{`12345678901234.567`, `12345678901234.567`, true}, {`12345678901234.567`, `12345678901234.566`, false}, {`9999999999999.997`, `9999999999999.997`, true},
		{`0.10000000000000001`, `0.10000000000000001`, true}, {`0.1`, `0.10000000000000001`, true}, {`0.1`, `0.1`, true}, {`0.1`, `0.10000000000000002`, false},
		{`9007199254740993`, `9007199254740993`, true}, {`9007199254740993`, `9007199254740992`, false},
	} {
		if got := match(t, compare(t, scalar.Float, filter.EQ, c.constant), c.event); got != c.want {
			t.Errorf("%s against %s: %v", c.event, c.constant, got)
		}
	}
}

// TestMembersThatRepeat: of a name the last one counts, however many there are.
func TestMembersThatRepeat(t *testing.T) {
	for _, text := range []string{
		`{` + strings.Repeat(`"a":0,`, 1000) + `"a":1}`,
		`{` + strings.Repeat(`"a":0,"b":[0,0],`, 1000) + `"b":[],"a":1}`,
		`{` + strings.Repeat(`"a":{"long":"value"},"\u0061":7,`, 1000) + `"a":1.0,"b":[]}`,
	} {
		for constant, want := range map[string]bool{`{"a":1}`: !strings.Contains(text, `"b"`), `{"a":1,"b":[]}`: strings.Contains(text, `"b"`), `{"a":0}`: false, `{}`: false} {
			if got := match(t, compare(t, scalar.Custom, filter.EQ, constant), text); got != want {
				t.Errorf("%.40s… EQ %s is %v", text, constant, got)
			}
			if got := match(t, compare(t, scalar.Untyped, filter.IN, `[1,2,3,4,5,6,7,`+constant+`]`), text); got != want {
				t.Errorf("%.40s… IN %s is %v", text, constant, got)
			}
		}
	}
}
