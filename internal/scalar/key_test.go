package scalar_test

import (
	"bytes"
	"encoding/json"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

func key(t tester, leaf scalar.Leaf, text string) string {
	out, ok := leaf.AppendKey([]byte("+"), parse(t, text), jsontape.Root)
	switch {
	case ok && out[0] == '+':
		return string(out[1:])
	case !ok && string(out) == "+":
		return refused
	}
	t.Fatalf("AppendKey of %s as kind %d: %q, %v", text, leaf.Kind, out, ok)
	return ""
}

func TestAppendKey(t *testing.T) {
	zeros22 := strings.Repeat("0", 22)
	for _, c := range []struct {
		kind scalar.Kind
		in   string
		want string
	}{
		{scalar.Int, `1`, `1`}, {scalar.Int, `1.0`, `1`}, {scalar.Int, `1e0`, `1`}, {scalar.Int, `"1"`, `1`}, {scalar.Int, `true`, `1`}, {scalar.Int, `-0`, `0`},
		{scalar.Int, `100`, `100`}, {scalar.Int, `1.5`, refused}, {scalar.Int, `null`, refused}, {scalar.Int, `[1]`, refused}, {scalar.Int, `4294967296`, refused},
		{scalar.Float, `1`, `1`}, {scalar.Float, `1.0`, `1`}, {scalar.Float, `10e-1`, `1`}, {scalar.Float, `"1.0"`, `1`}, {scalar.Float, `true`, `1`}, {scalar.Float, `" .5e1 "`, `5`},
		{scalar.Float, `0.1`, `0.1`}, {scalar.Float, `0.10000000000000001`, `0.1`}, {scalar.Float, `12345678901234.567`, `12345678901234.567`}, {scalar.Float, `-0.10`, `-0.1`}, {scalar.Float, `0.000001`, `0.000001`}, {scalar.Float, `0.0000001`, `0.0000001`}, {scalar.Float, `0.00000001`, `1e-8`},
		{scalar.Float, `9007199254740993`, `9007199254740993`}, {scalar.Float, `0.1234567890123456789012345`, `0.1234567890123456789012345`},
		{scalar.Float, `100000000000000000000`, `100000000000000000000`}, {scalar.Float, `1e20`, `100000000000000000000`}, {scalar.Float, `12e21`, `12000000000000000000000`}, {scalar.Float, `1e22`, `1e22`},
		{scalar.Float, `1.5e300`, `1.5e300`}, {scalar.Float, `1e-310`, `1e-310`}, {scalar.Float, `1e-400`, `0`}, {scalar.Float, `-1e-99999999999999999999`, `0`}, {scalar.Float, `1e309`, refused}, {scalar.Float, `0e999999999999999999999`, `0`},
		{scalar.Float, `1e99999999999999999999`, refused}, {scalar.Float, `"0x10"`, `16`}, {scalar.Float, `"x"`, refused}, {scalar.Float, `""`, refused}, {scalar.Float, `{}`, refused},
		{scalar.String, `"a\u0062"`, `ab`}, {scalar.String, `1.0`, `1`}, {scalar.String, `1e21`, `1e+21`}, {scalar.String, `true`, `true`}, {scalar.String, `[]`, refused}, {scalar.String, `null`, refused},
		{scalar.ID, `"1"`, `1`}, {scalar.ID, `1`, `1`}, {scalar.ID, `1.0`, `1`}, {scalar.ID, `9007199254740993`, `9007199254740993`}, {scalar.ID, `1.5`, refused}, {scalar.ID, `true`, refused},
		{scalar.Boolean, `true`, `true`}, {scalar.Boolean, `0`, `false`}, {scalar.Boolean, `2`, `true`}, {scalar.Boolean, `"true"`, refused},
		{scalar.Enum, `"RED"`, `RED`}, {scalar.Enum, `"\u0052ED"`, `RED`}, {scalar.Enum, `"BLUE"`, refused}, {scalar.Enum, `1`, refused},
		{scalar.Custom, `"a\u0062"`, `"ab"`}, {scalar.Custom, `"\u00e9\/\n"`, `"é/\n"`}, {scalar.Custom, `"\u0022\ud800"`, `"\"\ud800"`}, {scalar.Custom, `1.0`, `1`}, {scalar.Custom, `"1"`, `"1"`}, {scalar.Custom, `true`, `true`}, {scalar.Custom, `null`, refused},
		{scalar.Custom, `[ 1.0 , null , [] , {} ]`, `[1,null,[],{}]`}, {scalar.Custom, `{"b":1,"a":2,"\u0062":3,"c":{"x":null}}`, `{"a":2,"b":3,"c":{"x":null}}`}, {scalar.Custom, `{"":0,"a":"["}`, `{"":0,"a":"["}`},
		{scalar.Custom, `1e99999999999999999999`, `1e99999999999999999999`}, {scalar.Custom, `10e99999999999999999999`, `1e100000000000000000000`}, {scalar.Custom, `-0.01e-99999999999999999999`, `-1e-100000000000000000001`}, {scalar.Custom, `1e400`, `1e400`},
		{scalar.Custom, `1e000000000000000000000000000002`, `100`}, {scalar.Custom, `1E-00000000000000000000000000000000001`, `0.1`},
		{scalar.Untyped, `"a\u0062"`, `ab`}, {scalar.Untyped, `1.0`, `1`}, {scalar.Untyped, `"1"`, `1`}, {scalar.Untyped, `"1.0"`, `1.0`}, {scalar.Untyped, `1.50`, `1.5`}, {scalar.Untyped, `null`, refused},
		{scalar.Untyped, `1` + zeros22, `1` + zeros22}, {scalar.Untyped, `1e22`, `1` + zeros22}, {scalar.Untyped, `-1.20e23`, `-12` + zeros22}, {scalar.Untyped, `"1e22"`, `1e22`}, {scalar.Untyped, `-0`, `0`},
		{scalar.Untyped, `1e308`, `1` + strings.Repeat("0", 308)}, {scalar.Untyped, `1` + strings.Repeat("0", 308), `1` + strings.Repeat("0", 308)}, {scalar.Untyped, `-1e308`, `-1e308`}, {scalar.Untyped, `-1` + strings.Repeat("0", 308), `-1e308`},
		{scalar.Untyped, `true`, "\xfftrue"}, {scalar.Untyped, `[1]`, "\xff[1]"}, {scalar.Untyped, `{"a":"1"}`, "\xff" + `{"a":"1"}`},
	} {
		leaf := scalar.Leaf{Kind: c.kind, Names: leaves[5].Names}
		if got := key(t, leaf, c.in); got != c.want {
			t.Errorf("kind %d: the key of %s is %q, want %q", c.kind, c.in, got, c.want)
		}
		leaf.Kind = (leaf.Kind + 1) % (scalar.Untyped + 1)
		if out, ok := leaf.AppendKey(nil, parse(t, `1`), jsontape.None); ok || out != nil {
			t.Errorf("kind %d: a missing value has key %q", leaf.Kind, out)
		}
	}
}

// drawNumber draws numbers of which many are equal.
func drawNumber(t *rapid.T) string {
	if rapid.Bool().Draw(t, "few") {
		return rapid.SampledFrom([]string{
			"0", "-0", "0.0", "0e9", "1", "1.0", "10e-1", "0.1e1", "100e-2", "-1", "-1.0", "10", "1e1", "1E+1", "0.1", "0.10", "1e-1", "100", "1e2", "1.5", "15e-1",
			"9007199254740992", "9007199254740993", "9007199254740993.0", "900719925474099.3e1", "9007199254740992.5", "2147483647", "2147483648", "-2147483648",
			"0.30000000000000004", "0.3", "1e21", "1000000000000000000000", "1e22", "10000000000000000000000", "1e300", "10e299", "0.00000001", "1e-8", "123456789012345678", "1234567890123456789",
		}).Draw(t, "number")
	}
	return rapid.StringMatching(`-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,22})?([eE][+-]?[0-9]{1,2})?`).Draw(t, "number")
}

func rat(t tester, text string) *big.Rat {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		t.Fatalf("%s is no number", text)
	}
	return r
}

// floatRat is the number that a Float means: its text, or the double that was printed so with all its digits.
func floatRat(t tester, text string) *big.Rat {
	exact := rat(t, text)
	f, _ := strconv.ParseFloat(text, 64)
	if printed := rat(t, strconv.FormatFloat(f, 'g', 17, 64)); !exact.IsInt() && printed.Cmp(exact) == 0 {
		return rat(t, strconv.FormatFloat(f, 'g', -1, 64))
	}
	return exact
}

// TestNumbersCompareExactly compares keys and orders of Float with big.Rat, and keys of custom scalars.
func TestNumbersCompareExactly(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		a, b := drawNumber(r), drawNumber(r)
		if rapid.Bool().Draw(r, "printed") {
			f, _ := strconv.ParseFloat(b, 64)
			a = strconv.FormatFloat(f, 'g', 17, 64)
		}
		for kind, number := range map[scalar.Kind]func(tester, string) *big.Rat{scalar.Float: floatRat, scalar.Custom: rat, scalar.Untyped: rat} {
			leaf := scalar.Leaf{Kind: kind}
			want := number(r, a).Cmp(number(r, b))
			longest := len(a) + 22
			if kind == scalar.Untyped {
				longest = 309
			}
			if ka, kb := key(r, leaf, a), key(r, leaf, b); (ka == kb) != (want == 0) {
				r.Fatalf("kind %d: keys of %s and %s are %s and %s", kind, a, b, ka, kb)
			}
			if k := key(r, leaf, a); rat(r, k).Cmp(number(r, a)) != 0 || key(r, leaf, k) != k || len(k) > longest {
				r.Fatalf("kind %d: the key of %s is %s", kind, a, k)
			}
		}
		leaf, want := scalar.Leaf{Kind: scalar.Float}, floatRat(r, a).Cmp(floatRat(r, b))
		tape, v := parse(r, a), value(r, leaf, b)
		if got, ok := leaf.Compare(tape, jsontape.Root, &v); !ok || got != want {
			r.Fatalf("Compare(%s, %s) = %d, %v, want %d", a, b, got, ok, want)
		}
		if leaf.Equals(tape, jsontape.Root, &v) != (want == 0) {
			r.Fatalf("Equals(%s, %s)", a, b)
		}
	})
}

func value(t tester, leaf scalar.Leaf, text string) scalar.Value {
	v, ok := leaf.Value(parse(t, text), jsontape.Root)
	if !ok {
		t.Fatalf("%s is no value of kind %d", text, leaf.Kind)
	}
	return v
}

// drawJSON draws values of every type, of which many are equal as one leaf type or another.
func drawJSON(t *rapid.T, depth int) string {
	switch kind := rapid.IntRange(0, 9+2*depth).Draw(t, "kind"); {
	case kind < 4:
		return drawNumber(t)
	case kind < 6:
		return string(jsontape.AppendQuoted(nil, drawNumber(t)))
	case kind < 8:
		return rapid.SampledFrom([]string{
			`"a"`, `"\u0061"`, `"b"`, `"é"`, `"\u00e9"`, `""`, `" "`, `"true"`, `"null"`, `"[1]"`, `"RED"`, `"\u0052ED"`, `"GREEN"`, `"BLUE"`, `"\/"`, `"/"`, `"\ud800"`, `"\ufffd"`, `"0x1"`, `" 1 "`, `"{\"a\":1}"`,
		}).Draw(t, "string")
	case kind < 10:
		return rapid.SampledFrom([]string{`true`, `false`, `null`}).Draw(t, "literal")
	}
	n := rapid.IntRange(0, 3).Draw(t, "n")
	items := make([]string, n)
	object := rapid.Bool().Draw(t, "object")
	for i := range items {
		if object {
			items[i] = rapid.SampledFrom([]string{`"a":`, `"b" : `, `"\u0061":`, `"":`}).Draw(t, "name")
		}
		items[i] += drawJSON(t, depth-1)
	}
	if object {
		return "{" + strings.Join(items, " ,") + "}"
	}
	return "[" + strings.Join(items, ", ") + " ]"
}

// sameJSON is equality of JSON values: an oracle on encoding/json and big.Rat.
func sameJSON(t tester, a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		return ok && rat(t, a.String()).Cmp(rat(t, b.String())) == 0
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !sameJSON(t, a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for name := range a {
			if other, ok := b[name]; !ok || !sameJSON(t, a[name], other) {
				return false
			}
		}
		return true
	}
	switch b.(type) {
	case []any, map[string]any:
		return false
	}
	return a == b
}

// plain is the text that a number has without a schema: an integer is its digits.
func plain(t tester, number string) string {
	if r := rat(t, number); r.IsInt() {
		return r.Num().String()
	}
	return key(t, scalar.Leaf{}, number)
}

// decode reads JSON; halves of surrogate pairs are marked, since encoding/json makes them U+FFFD.
func decode(t tester, text string) (v any) {
	d := json.NewDecoder(strings.NewReader(strings.ReplaceAll(text, `\ud800`, "<half>")))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func TestKeysOfCustomScalarsAreEqualJSON(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		a, b := drawJSON(r, 3), drawJSON(r, 3)
		va, vb := decode(r, a), decode(r, b)
		if va == nil || vb == nil {
			return
		}
		leaf := scalar.Leaf{}
		ka, kb := key(r, leaf, a), key(r, leaf, b)
		if (ka == kb) != sameJSON(r, va, vb) {
			r.Fatalf("keys of %s and %s are %s and %s", a, b, ka, kb)
		}
		if again := key(r, leaf, ka); again != ka || !sameJSON(r, va, decode(r, ka)) || !json.Valid([]byte(ka)) {
			r.Fatalf("the key of %s is %s", a, ka)
		}
		untyped := scalar.Leaf{Kind: scalar.Untyped}
		if text, ok := vb.(string); ok {
			if n, isNumber := va.(json.Number); isNumber && (key(r, untyped, a) == key(r, untyped, b)) != (plain(r, n.String()) == strings.ReplaceAll(text, "<half>", "\ufffd")) {
				r.Fatalf("untyped keys of %s and %s", n, b)
			}
		} else if (key(r, untyped, a) == key(r, untyped, b)) != (ka == kb) && a[0] != '"' {
			r.Fatalf("untyped keys of %s and %s", a, b)
		}
	})
}

// TestEqualsIsEqualityOfKeys holds for every leaf type, as do Compare and Text with the key.
func TestEqualsIsEqualityOfKeys(t *testing.T) {
	kinds := append(leaves[:len(leaves):len(leaves)], leaves[0], leaves[0])
	kinds[6].Leaf, kinds[7].Leaf = scalar.Leaf{Kind: scalar.Custom}, scalar.Leaf{Kind: scalar.Untyped}
	rapid.Check(t, func(r *rapid.T) {
		leaf := rapid.SampledFrom(kinds).Draw(r, "leaf").Leaf
		a, b := drawJSON(r, 2), drawJSON(r, 2)
		ta := parse(r, a)
		v, ok := leaf.Value(parse(r, b), jsontape.Root)
		ka, kb := key(r, leaf, a), key(r, leaf, b)
		if ok != (kb != refused) || ok && v.Key() != kb {
			r.Fatalf("kind %d: the value of %s is %q, its key %q", leaf.Kind, b, v.Key(), kb)
		}
		if !ok {
			return
		}
		text, found := leaf.Text(ta, jsontape.Root, nil)
		if found != (ka != refused) || found && string(text) != ka {
			r.Fatalf("kind %d: the text of %s is %q, its key %q", leaf.Kind, a, text, ka)
		}
		if got := leaf.Equals(ta, jsontape.Root, &v); got != (found && ka == kb) {
			r.Fatalf("kind %d: Equals(%s, %s) = %v, keys are %q and %q", leaf.Kind, a, b, got, ka, kb)
		}
		order, comparable := leaf.Compare(ta, jsontape.Root, &v)
		if comparable != (found && leaf.Kind.Ordered()) || comparable && (order == 0) != (ka == kb) {
			r.Fatalf("kind %d: Compare(%s, %s) = %d, %v", leaf.Kind, a, b, order, comparable)
		}
		if text := leaf.Kind == scalar.String || leaf.Kind == scalar.ID; comparable && text && order != bytes.Compare([]byte(ka), []byte(kb)) {
			r.Fatalf("kind %d: Compare(%s, %s) = %d", leaf.Kind, a, b, order)
		}
	})
}
