package gql

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

const coerceSDL = `
enum E { A B }
scalar Any
input In { req: Int! opt: String = "d" list: [Int!] self: In e: E = A }
input Pick @oneOf { a: Int b: String c: In }
input Deep { in: In! = { req: 1 } }
type T { f(i: Int f: Float s: String id: ID b: Boolean e: E any: Any in: In one: Pick deep: Deep
  ii: Int! il: [Int] inl: [Int!] inll: [Int!]! ll: [[Int]] ids: [ID!] def: Int = 7 ndef: Int! = 8 edef: [E] = A): Int }
type Subscription { t: T }
`

// tapeOf parses JSON that the test knows to be valid.
func tapeOf(t testing.TB, text string) *jsontape.Tape {
	t.Helper()
	var tape jsontape.Tape
	if err := tape.Parse([]byte(text), jsontape.Limits{}); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return &tape
}

// TestCoerceVariables has one variable per case, named v; wants of the form "! text" are errors.
func TestCoerceVariables(t *testing.T) {
	s := mustLoad(t, coerceSDL)
	for _, c := range []struct{ arg, typ, value, want string }{
		{"i", "Int", `1`, `1`}, {"i", "Int", `-2147483648`, `-2147483648`}, {"i", "Int", `2147483647`, `2147483647`},
		{"i", "Int", `1.0`, `1`}, {"i", "Int", `1e2`, `100`}, {"i", "Int", `100000000000e-9`, `100`}, {"i", "Int", `-0`, `0`}, {"i", "Int", `-0.0`, `0`}, {"i", "Int", `null`, `null`},
		{"i", "Int", `2147483648`, `! Variable "$v" has invalid value: Int cannot represent non 32-bit signed integer value: 2147483648`},
		{"i", "Int", `99999999999999999999`, `! Variable "$v" has invalid value: Int cannot represent non 32-bit signed integer value: 100000000000000000000`},
		{"i", "Int", `1e999`, `! Variable "$v" has invalid value: Int cannot represent non-integer value: Infinity`},
		{"i", "Int", `1.5`, `! Variable "$v" has invalid value: Int cannot represent non-integer value: 1.5`},
		{"i", "Int", `"1"`, `! Variable "$v" has invalid value: Int cannot represent non-integer value: "1"`},
		{"i", "Int", `true`, `! Variable "$v" has invalid value: Int cannot represent non-integer value: true`},
		{"i", "Int", `[1]`, `! Variable "$v" has invalid value: Int cannot represent non-integer value: [1]`},
		{"i", "Int", `{}`, `! Variable "$v" has invalid value: Int cannot represent non-integer value: {}`},
		{"ii", "Int!", `null`, `! Variable "$v" has invalid value: Expected value of non-null type "Int!" not to be null.`},
		{"f", "Float", `1`, `1`}, {"f", "Float", `1.50`, `1.5`}, {"f", "Float", `1e21`, `1e+21`}, {"f", "Float", `1e-7`, `1e-7`}, {"f", "Float", `123456789012345678`, `123456789012345678`},
		{"f", "Float", `9007199254740993.0`, `9007199254740993`}, {"f", "Float", `-0.12345678901234567890`, `-0.1234567890123456789`}, {"f", "Float", `17000000001234567890000000e-7`, `1700000000123456789`},
		{"f", "Float", `100000000000000000000000000000000001`, `100000000000000000000000000000000001`}, {"f", "Float", `1e23`, `1e+23`}, {"f", "Float", `1e-400`, `0`}, {"f", "Float", `-0.0`, `0`},
		{"f", "Float", `-1e400`, `! Variable "$v" has invalid value: Float cannot represent non numeric value: -Infinity`},
		{"f", "Float", `1e400`, `! Variable "$v" has invalid value: Float cannot represent non numeric value: Infinity`},
		{"f", "Float", `"1"`, `! Variable "$v" has invalid value: Float cannot represent non numeric value: "1"`},
		{"s", "String", `"a"`, `"a"`}, {"s", "String", `"\u0061\/\n\u001f"`, `"a/\n\u001f"`}, {"s", "String", `"\ud83d\ude00"`, `"😀"`}, {"s", "String", `""`, `""`},
		{"s", "String", `1`, `! Variable "$v" has invalid value: String cannot represent a non string value: 1`},
		{"id", "ID", `"a"`, `"a"`}, {"id", "ID", `1`, `"1"`}, {"id", "ID", `1.0`, `"1"`}, {"id", "ID", `12345678901234567890123`, `"12345678901234567890123"`}, {"id", "ID", `-0`, `"0"`},
		{"id", "ID", `1.5`, `! Variable "$v" has invalid value: ID cannot represent value: 1.5`},
		{"id", "ID", `true`, `! Variable "$v" has invalid value: ID cannot represent value: true`},
		{"b", "Boolean", `true`, `true`}, {"b", "Boolean", `0`, `! Variable "$v" has invalid value: Boolean cannot represent a non boolean value: 0`},
		{"e", "E", `"A"`, `"A"`}, {"e", "E", `"\u0041"`, `"A"`},
		{"e", "E", `"C"`, `! Variable "$v" has invalid value: Value "C" does not exist in "E" enum. Did you mean the enum value "A" or "B"?`},
		{"e", "E", `1`, `! Variable "$v" has invalid value: Enum "E" cannot represent non-string value: 1. Did you mean the enum value "A" or "B"?`},
		{"any", "Any", ` { "a" : [ 1.50 , "\u0061" ] } `, `{"a":[1.50,"a"]}`}, {"any", "Any", `null`, `null`},
		// The specification's table of list coercion.
		{"il", "[Int]", `[1,2,3]`, `[1,2,3]`}, {"il", "[Int]", `[1,"b",true]`, `! Variable "$v" has invalid value at [1]: Int cannot represent non-integer value: "b"`},
		{"il", "[Int]", `1`, `[1]`}, {"il", "[Int]", `null`, `null`}, {"il", "[Int]", `[null]`, `[null]`}, {"il", "[Int]", `[]`, `[]`},
		{"ll", "[[Int]]", `[[1],[2,3]]`, `[[1],[2,3]]`}, {"ll", "[[Int]]", `[1,2,3]`, `[[1],[2],[3]]`}, {"ll", "[[Int]]", `[1,null,3]`, `[[1],null,[3]]`},
		{"ll", "[[Int]]", `[[1],["b"]]`, `! Variable "$v" has invalid value at [1][0]: Int cannot represent non-integer value: "b"`},
		{"ll", "[[Int]]", `1`, `[[1]]`}, {"ll", "[[Int]]", `null`, `null`},
		{"inl", "[Int!]", `[1,null]`, `! Variable "$v" has invalid value at [1]: Expected value of non-null type "Int!" not to be null.`},
		// Input objects: schema order, defaults, unknown and missing members, duplicates (the last counts).
		{"in", "In", `{"list":1,"req":2}`, `{"req":2,"opt":"d","list":[1],"e":"A"}`},
		{"in", "In", `{"req":1,"req":2,"opt":null}`, `{"req":2,"opt":null,"e":"A"}`},
		{"in", "In", `{"\u0072eq":1,"self":{"req":2}}`, `{"req":1,"opt":"d","self":{"req":2,"opt":"d","e":"A"},"e":"A"}`},
		{"in", "In", `{}`, `! Variable "$v" has invalid value: Expected value of type "In" to include required field "req", found: {}.`},
		{"in", "In", `{"req":null}`, `! Variable "$v" has invalid value at .req: Expected value of non-null type "Int!" not to be null.`},
		{"in", "In", `{"req":1,"optt":2}`, `! Variable "$v" has invalid value: Expected value of type "In" not to include unknown field "optt". Did you mean "opt"? Found: { req: 1, optt: 2 }.`},
		{"in", "In", `{"req":1,"self":{"req":"x"}}`, `! Variable "$v" has invalid value at .self.req: Int cannot represent non-integer value: "x"`},
		{"in", "In", `"x"`, `! Variable "$v" has invalid value: Expected value of type "In" to be an object, found: "x".`},
		{"in", "In", `[{"req":1}]`, `! Variable "$v" has invalid value: Expected value of type "In" to be an object, found: [{ req: 1 }].`},
		{"deep", "Deep", `{}`, `{"in":{"req":1,"opt":"d","e":"A"}}`},
		{"one", "Pick", `{"a":1}`, `{"a":1}`}, {"one", "Pick", `{"c":{"req":1}}`, `{"c":{"req":1,"opt":"d","e":"A"}}`},
		{"one", "Pick", `{"a":1,"a":2}`, `{"a":2}`},
		{"one", "Pick", `{}`, `! Variable "$v" has invalid value: Within OneOf Input Object type "Pick", exactly one field must be specified, and the value for that field must be non-null.`},
		{"one", "Pick", `{"a":1,"b":"x"}`, `! Variable "$v" has invalid value: Within OneOf`},
		{"one", "Pick", `{"a":1,"b":null}`, `! Variable "$v" has invalid value: Within OneOf`},
		{"one", "Pick", `{"a":null}`, `! Variable "$v" has invalid value at .a: Within OneOf`},
	} {
		required := "ii: 1, "
		if c.arg == "ii" {
			required = ""
		}
		op := mustParse(t, s, fmt.Sprintf(`subscription($v: %s) { t { f(inll: [], %s%s: $v) } }`, c.typ, required, c.arg))
		out, errs := op.CoerceVariables([]byte("before"), tapeOf(t, `{"other":1,"v":`+c.value+`}`), jsontape.Root)
		if want, bad := strings.CutPrefix(c.want, "! "); bad {
			if len(errs) == 0 || !strings.HasPrefix(errs[0].Message, want) || errs[0].Code != code.BadUserInput || len(errs[0].Locations) == 0 {
				t.Errorf("%s %s: %s %v, want %s", c.typ, c.value, out, errs, want)
			}
			if string(out) != "before" {
				t.Errorf("%s %s: dst is %s", c.typ, c.value, out)
			}
			continue
		}
		if want := `before{"v":` + c.want + `}`; len(errs) > 0 || string(out) != want {
			t.Errorf("%s %s: %s %v, want %s", c.typ, c.value, out, errs, want)
		}
	}
}

// TestCoerceVariablesTogether: defaults, absence, order, no variables, wrong shapes of the whole.
func TestCoerceVariablesTogether(t *testing.T) {
	s := mustLoad(t, coerceSDL)
	op := mustParse(t, s, `subscription($d: Int = 5, $n: Int, $r: Int!, $l: [Int!]! = 3, $x: String = null) {
		t { f(i: $d, ii: $r, il: $l, inll: $l, s: $x, def: $n) } }`)
	for _, c := range []struct{ variables, want string }{
		{`{"r":1}`, `{"d":5,"r":1,"l":[3],"x":null}`},
		{`{"x":"s","r":1,"n":null,"d":null,"l":[]}`, `{"d":null,"n":null,"r":1,"l":[],"x":"s"}`},
		{`{"r":1,"n":2,"unknown":{}}`, `{"d":5,"n":2,"r":1,"l":[3],"x":null}`},
		{`{}`, `! Variable "$r" has invalid value: Expected a value of non-null type "Int!" to be provided.`},
		{`null`, `! Variable "$r"`},
		{`{"r":1,"l":null}`, `! Variable "$l" has invalid value: Expected value of non-null type "[Int!]!" not to be null.`},
		{`[]`, `! Variables must be provided as an Object`},
		{`"r"`, `! Variables must be`},
		{`1`, `! Variables must be`},
	} {
		out, errs := op.CoerceVariables(nil, tapeOf(t, c.variables), jsontape.Root)
		if want, bad := strings.CutPrefix(c.want, "! "); bad {
			if len(errs) == 0 || !strings.HasPrefix(errs[0].Message, want) {
				t.Errorf("%s: %s %v", c.variables, out, errs)
			}
		} else if string(out) != c.want || len(errs) > 0 {
			t.Errorf("%s: %s %v, want %s", c.variables, out, errs, c.want)
		}
	}
	none := mustParse(t, s, `subscription { t { f(ii: 1, inll: 1) } }`)
	for _, tape := range []*jsontape.Tape{nil, tapeOf(t, `{"a":1}`)} {
		if out, errs := none.CoerceVariables(nil, tape, jsontape.None); string(out) != "{}" || len(errs) > 0 {
			t.Errorf("%s %v", out, errs)
		}
	}
}

// TestCoerceVariablesReportsAll: every wrong variable is named, up to a bound.
func TestCoerceVariablesReportsAll(t *testing.T) {
	s := mustLoad(t, coerceSDL)
	op := mustParse(t, s, `subscription($a: Int!, $b: E, $c: [Int]) { t { f(ii: $a, inll: 1, e: $b, il: $c) } }`)
	_, errs := op.CoerceVariables(nil, tapeOf(t, `{"b":1,"c":[1,"x","y"]}`), jsontape.Root)
	if len(errs) != 4 {
		t.Errorf("%d errors: %v", len(errs), errs)
	}
	_, errs = op.CoerceVariables(nil, tapeOf(t, `{"a":1,"c":[`+strings.Repeat(`"x",`, 999)+`1]}`), jsontape.Root)
	if len(errs) != maxInputErrors+1 || !strings.HasPrefix(errs[maxInputErrors].Message, "Too many errors") {
		t.Errorf("%d errors", len(errs))
	}
}

// What is said about variables is not much longer than what was sent.
func TestErrorsOfLongNames(t *testing.T) {
	s := mustLoad(t, coerceSDL)
	name := strings.Repeat("n", 30_000)
	op := mustParse(t, s, `subscription($`+name+`: [Int]) { t { f(ii: 1, inll: 1, il: $`+name+`) } }`)
	_, errs := op.CoerceVariables(nil, tapeOf(t, `{"`+name+`":[`+strings.Repeat(`"x",`, 49)+`1]}`), jsontape.Root)
	length := 0
	for _, e := range errs {
		length += len(e.Message)
	}
	if len(errs) != 49 || length > 30_000 {
		t.Errorf("%d errors of %d bytes", len(errs), length)
	}
}

func TestCoerceArguments(t *testing.T) {
	s := mustLoad(t, coerceSDL)
	for _, c := range []struct{ variables, args, vars, want string }{
		{``, `ii: 1, inll: 2`, `{}`, `{"ii":1,"inll":[2],"def":7,"ndef":8,"edef":["A"]}`},
		{`$v: Int`, `ii: 1, inll: [], def: $v, i: $v`, `{}`, `{"ii":1,"inll":[],"def":7,"ndef":8,"edef":["A"]}`},
		{`$v: Int`, `ii: 1, inll: [], def: $v, i: $v`, `{"v":null}`, `{"i":null,"ii":1,"inll":[],"def":null,"ndef":8,"edef":["A"]}`},
		{`$v: Int`, `ii: 1, inll: [], ndef: $v`, `{}`, `{"ii":1,"inll":[],"def":7,"ndef":8,"edef":["A"]}`},
		{`$v: Int`, `ii: 1, inll: [], ndef: $v`, `{"v":null}`, `! Argument "T.f(ndef:)" has invalid value: Expected variable "$v" provided to non-null type "Int!" not to be null.`},
		{`$v: Int`, `ii: 1, inll: [], il: [1, $v]`, `{}`, `{"ii":1,"il":[1,null],"inll":[],"def":7,"ndef":8,"edef":["A"]}`},
		{`$v: Int!`, `ii: 1, inll: [1, $v]`, `{"v":3}`, `{"ii":1,"inll":[1,3],"def":7,"ndef":8,"edef":["A"]}`},
		{`$v: String`, `ii: 1, inll: [], in: {req: 1, opt: $v}`, `{}`, `{"in":{"req":1,"opt":"d","e":"A"},"ii":1,"inll":[],"def":7,"ndef":8,"edef":["A"]}`},
		{`$v: String`, `ii: 1, inll: [], in: {req: 1, opt: $v}`, `{"v":"\n"}`, `{"in":{"req":1,"opt":"\n","e":"A"},"ii":1,"inll":[],"def":7,"ndef":8,"edef":["A"]}`},
		{`$v: Any`, `ii: 1, inll: [], any: {a: $v, b: [$v, X, 1.50, "é"], c: null}`, `{}`, `{"any":{"b":[null,"X",1.50,"é"],"c":null},"ii":1,"inll":[],"def":7,"ndef":8,"edef":["A"]}`},
		{`$v: Int!`, `ii: 1, inll: [], one: {a: $v}`, `{"v":3}`, `{"one":{"a":3},"ii":1,"inll":[],"def":7,"ndef":8,"edef":["A"]}`},
		{``, `ii: 1, inll: [], id: 123456789012345678901, f: 1e3, s: """a "b" """, b: false, e: B, ids: 5`, `{}`,
			`{"f":1000,"s":"a \"b\" ","id":"123456789012345678901","b":false,"e":"B","ii":1,"inll":[],"ids":["5"],"def":7,"ndef":8,"edef":["A"]}`},
		{`$v: Float`, `ii: 1, inll: [], f: 9007199254740993, any: [9007199254740993, 12345678901234567.89, 1E+2, $v]`, `{"v":9007199254740993}`,
			`{"f":9007199254740993,"any":[9007199254740993,12345678901234567.89,1E+2,9007199254740993],"ii":1,"inll":[],"def":7,"ndef":8,"edef":["A"]}`},
		{``, "ii: 1, inll: [], s: \"\"\"a\n    b\n  c\"\"\", id: \"\"\" a\n    b\"\"\", any: [\"\"\"\r\n    \\d\r      \\\"\"\" \"x\"\n\t\n  \"\"\", 1]", `{}`,
			`{"s":"a\n  b\nc","id":" a\nb","any":["\\d\n  \"\"\" \"x\"",1],"ii":1,"inll":[],"def":7,"ndef":8,"edef":["A"]}`},
	} {
		head := "subscription"
		if c.variables != "" {
			head += "(" + c.variables + ")"
		}
		op := mustParse(t, s, head+" { t { f("+c.args+") } }")
		out, errs := op.Selections[0].Field.Selections[0].Field.CoerceArguments([]byte("x"), tapeOf(t, c.vars))
		if want, bad := strings.CutPrefix(c.want, "! "); bad {
			if len(errs) != 1 || errs[0].Message != want || len(errs[0].Locations) == 0 || string(out) != "x" {
				t.Errorf("%s: %s %v, want %s", c.args, out, errs, want)
			}
		} else if string(out) != "x"+c.want || len(errs) > 0 {
			t.Errorf("%s: %s %v, want %s", c.args, out, errs, c.want)
		}
	}
}

func TestOperation(t *testing.T) {
	s := mustLoad(t, coerceSDL)
	doc, errs := s.Parse(`subscription A { t { f(ii: 1, inll: 1) } } query B { __typename }`, Limits{})
	if len(errs) > 0 {
		t.Fatal(errs[0].Message)
	}
	for name, want := range map[string]string{
		"A": "", "B": "", "C": `Unknown operation named "C".`, "": "Must provide operation name if query contains multiple operations.",
	} {
		op, err := doc.Operation(name)
		switch {
		case want == "" && (err != nil || op.Name != name):
			t.Errorf("%s: %v %v", name, op, err)
		case want != "" && (err == nil || err.Message != want || err.Code != code.OperationResolution):
			t.Errorf("%q: %v", name, err)
		}
	}
}
