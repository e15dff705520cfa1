package scalar_test

import (
	"bufio"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

// leaves are the leaf types of the columns of testdata/results.tsv.
var leaves = []struct {
	name string
	scalar.Leaf
}{
	{"Int", scalar.Leaf{Kind: scalar.Int}},
	{"Float", scalar.Leaf{Kind: scalar.Float}},
	{"String", scalar.Leaf{Kind: scalar.String}},
	{"ID", scalar.Leaf{Kind: scalar.ID}},
	{"Boolean", scalar.Leaf{Kind: scalar.Boolean}},
	{"enum", scalar.Leaf{Kind: scalar.Enum, Names: map[string]struct{}{"RED": {}, "GREEN": {}}}},
}

// refused stands for what cannot be coerced.
const refused = "-"

func result(t tester, leaf scalar.Leaf, tape *jsontape.Tape) string {
	out, ok := leaf.AppendResult([]byte("+"), tape, jsontape.Root)
	switch {
	case ok && len(out) > 1 && out[0] == '+':
		return string(out[1:])
	case !ok && string(out) == "+":
		return refused
	}
	t.Fatalf("AppendResult of %s as kind %d: %q, %v", tape.Source(), leaf.Kind, out, ok)
	return ""
}

// bigInteger is an integer that graphql-js rounds, since JSON.parse does, and we do not: see the package
// comment.
var bigInteger = regexp.MustCompile(`^-?[0-9]{16,}$`)

// TestResultsAgreeWithGraphQLJS compares with what graphql-js 17.1 made of the same values.
func TestResultsAgreeWithGraphQLJS(t *testing.T) {
	file, err := os.Open("testdata/results.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	values, exact := 0, 0
	for lines := bufio.NewScanner(file); lines.Scan(); values++ {
		columns := strings.Split(lines.Text(), "\t")
		tape := parse(t, columns[0])
		for i, leaf := range leaves {
			want, got := columns[i+1], result(t, leaf.Leaf, tape)
			if (leaf.Kind == scalar.String || leaf.Kind == scalar.ID) && bigInteger.MatchString(columns[0]) && want != refused {
				want = `"` + columns[0] + `"`
				exact++
			}
			if got != want && (want == refused || got == refused || want[0] != '"' || !parse(t, got).StringIs(jsontape.Root, string(parse(t, want).AppendString(nil, jsontape.Root)))) {
				t.Errorf("%s as %s: %s, want %s", columns[0], leaf.name, got, want)
			}
		}
	}
	if values < 1400 || exact == 0 {
		t.Errorf("only %d values, %d integers kept exactly", values, exact)
	}
}

func TestAppendResult(t *testing.T) {
	color := scalar.Leaf{Kind: scalar.Enum, Names: map[string]struct{}{"RED": {}}}
	for _, c := range []struct {
		leaf scalar.Leaf
		in   string
		want string
	}{
		{scalar.Leaf{Kind: scalar.ID}, `9007199254740993`, `"9007199254740993"`},
		{scalar.Leaf{Kind: scalar.ID}, `-123456789012345678901234567890`, `"-123456789012345678901234567890"`},
		{scalar.Leaf{Kind: scalar.String}, `18446744073709551615`, `"18446744073709551615"`},
		{scalar.Leaf{Kind: scalar.ID}, "1" + strings.Repeat("0", 400), refused},
		{scalar.Leaf{Kind: scalar.String}, "1" + strings.Repeat("0", 400), refused},
		{scalar.Leaf{Kind: scalar.String}, `"a\u0062\n"`, `"a\u0062\n"`},
		{color, `"\u0052ED"`, `"\u0052ED"`},
		{color, `"BLUE"`, refused},
		{color, `1`, refused},
		{scalar.Leaf{}, ` { "a" : [ 1.0 , "x y" ] , "a" : null } `, `{"a":[1.0,"x y"],"a":null}`},
		{scalar.Leaf{}, `1e400`, `1e400`},
		{scalar.Leaf{Kind: scalar.Untyped}, ` [ 1, {"a" : 2 } ] `, `[1,{"a":2}]`},
		{scalar.Leaf{Kind: scalar.Untyped}, `"a"`, `"a"`},
		{scalar.Leaf{Kind: scalar.Int}, `null`, refused},
		{scalar.Leaf{Kind: scalar.String}, `null`, refused},
	} {
		if got := result(t, c.leaf, parse(t, c.in)); got != c.want {
			t.Errorf("kind %d: %.40s gives %.40s, want %.40s", c.leaf.Kind, c.in, got, c.want)
		}
	}
	for _, leaf := range leaves {
		if out, ok := leaf.AppendResult([]byte("x"), parse(t, `1`), jsontape.None); ok || string(out) != "x" {
			t.Errorf("%s: a missing value gives %s", leaf.name, out)
		}
	}
}
