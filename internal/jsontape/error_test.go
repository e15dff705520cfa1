package jsontape_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

func TestErrorsSayWhatAndWhere(t *testing.T) {
	for _, c := range []struct {
		text   string
		kind   jsontape.ErrorKind
		offset int
		want   string
	}{
		{``, jsontape.Syntax, 0, `invalid JSON at byte 0: a value was expected, but the text ends`},
		{`{"a" 1}`, jsontape.Syntax, 5, `invalid JSON at byte 5: a colon must follow the member name, not '1'`},
		{`{"a":1 "b"}`, jsontape.Syntax, 7, `invalid JSON at byte 7: a comma or the end of the array or object was expected, not '"'`},
		{`{"a":1,}`, jsontape.Syntax, 7, `invalid JSON at byte 7: a member name in double quotes was expected, not '}'`},
		{`[1,]`, jsontape.Syntax, 3, `invalid JSON at byte 3: a value was expected, not ']'`},
		{`[1`, jsontape.Syntax, 2, `invalid JSON at byte 2: a comma or the end of the array or object was expected, but the text ends`},
		{`1 2`, jsontape.Syntax, 2, `invalid JSON at byte 2: nothing may follow the value, not '2'`},
		{`1,2`, jsontape.Syntax, 1, `invalid JSON at byte 1: nothing may follow the value, not ','`},
		{`1]`, jsontape.Syntax, 1, `invalid JSON at byte 1: nothing may follow the value, not ']'`},
		{`-x`, jsontape.Syntax, 1, `invalid JSON at byte 1: a number lacks a digit, not 'x'`},
		{`1.`, jsontape.Syntax, 2, `invalid JSON at byte 2: a number lacks a digit, but the text ends`},
		{`trux`, jsontape.Syntax, 3, `invalid JSON at byte 3: a value was expected, not 'x'`},
		{`"abc`, jsontape.Syntax, 4, `invalid JSON at byte 4: a string does not end`},
		{`"a\x"`, jsontape.Syntax, 2, `invalid JSON at byte 2: invalid escape in a string`},
		{"\"a\nb\"", jsontape.Syntax, 2, `invalid JSON at byte 2: a control character in a string must be escaped`},
		{"\"a\xffb\"", jsontape.InvalidUTF8, 2, `invalid JSON at byte 2: invalid UTF-8 in a string`},
		{"[\xff]", jsontape.Syntax, 1, `invalid JSON at byte 1: a value was expected`},
		{"\x00", jsontape.Syntax, 0, `invalid JSON at byte 0: a value was expected`},
		{`[[[[[1]]]]]`, jsontape.TooDeep, 4, `JSON nested deeper than 4 levels at byte 4`},
		{strings.Repeat(" ", 101), jsontape.TooLarge, 100, `JSON text of more than 100 bytes`},
	} {
		var tape jsontape.Tape
		err := tape.Parse([]byte(c.text), jsontape.Limits{Depth: 4, Bytes: 100})
		var e *jsontape.Error
		if !errors.As(err, &e) {
			t.Errorf("%q: error %v", c.text, err)
			continue
		}
		if e.Kind != c.kind || e.Offset != c.offset || e.Error() != c.want {
			t.Errorf("%q: kind %d at %d: %s\nwant kind %d at %d: %s", c.text, e.Kind, e.Offset, e, c.kind, c.offset, c.want)
		}
	}
}

func TestLimits(t *testing.T) {
	nested := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	members := func(n int) []byte {
		return []byte(strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n))
	}
	long := func(n int) []byte { return []byte(`"` + strings.Repeat("a", n-2) + `"`) }
	for _, c := range []struct {
		name string
		src  []byte
		lim  jsontape.Limits
		ok   bool
	}{
		{"default depth", nested(64), jsontape.Limits{}, true},
		{"above default depth", nested(65), jsontape.Limits{}, false},
		{"default depth of objects", members(64), jsontape.Limits{}, true},
		{"above default depth of objects", members(65), jsontape.Limits{}, false},
		{"depth 1", []byte(`[1,2]`), jsontape.Limits{Depth: 1}, true},
		{"siblings do not add up", []byte(`[[],[],{},[{}]]`), jsontape.Limits{Depth: 3}, true},
		{"very deep", nested(1_000_000), jsontape.Limits{Depth: 1_000_000, Bytes: 1 << 22}, true},
		{"very deep and open", nested(1_000_000)[:1_000_000], jsontape.Limits{Depth: 1_000_000, Bytes: 1 << 22}, false},
		{"default bytes", long(1 << 20), jsontape.Limits{}, true},
		{"above default bytes", long(1<<20 + 1), jsontape.Limits{}, false},
		{"own bytes", long(1<<20 + 1), jsontape.Limits{Bytes: 1<<20 + 1}, true},
	} {
		var tape jsontape.Tape
		if err := tape.Parse(c.src, c.lim); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestReuse parses texts of every kind into one tape, failures in between.
func TestReuse(t *testing.T) {
	var tape jsontape.Tape
	for range 2 {
		for _, text := range accepted {
			if err := tape.Parse([]byte(text), jsontape.Limits{}); err != nil {
				t.Fatalf("Parse(%q): %v", text, err)
			}
			if got, want := string(tape.Raw(jsontape.Root)), strings.Trim(text, " \n\t\r"); got != want {
				t.Errorf("Raw of %q is %q", text, got)
			}
			if err := tape.Parse([]byte(` [ 1, {"a": "b", } ]`), jsontape.Limits{}); err == nil || tape.Kind(jsontape.Root) != jsontape.Invalid {
				t.Fatalf("a failed Parse: %v, %d", err, tape.Kind(jsontape.Root))
			}
		}
	}
	if (&jsontape.Tape{}).Kind(jsontape.Root) != jsontape.Invalid || tape.Kind(jsontape.None) != jsontape.Invalid {
		t.Error("None has a kind")
	}
}

func TestTheLastDuplicateCounts(t *testing.T) {
	tape := parse(t, `{"a":1,"b":{"a":2,"\u0061":{"c":3}},"\u0062":{"a":{"c":4,"c":5}},"a":6}`)
	set := jsontape.MakeNameSet([]string{"a", "b"})
	var found [2]jsontape.Ref
	tape.Select(jsontape.Root, &set, found[:])
	for what, r := range map[string]jsontape.Ref{
		"6": tape.Member(jsontape.Root, "a"),
		"5": tape.Lookup(jsontape.Root, []string{"b", "a", "c"}),
	} {
		if got := string(tape.Raw(r)); got != what {
			t.Errorf("%s, want %s", got, what)
		}
	}
	if got := string(tape.Raw(found[0])); got != "6" {
		t.Errorf("Select: %s", got)
	}
	if got := string(tape.Raw(tape.Duplicate(jsontape.Root))); got != `{"a":{"c":4,"c":5}}` {
		t.Errorf("Duplicate: %s", got)
	}
}

// TestNamesOfEqualFingerprint has names that only a comparison of their bytes tells apart.
func TestNamesOfEqualFingerprint(t *testing.T) {
	long := strings.Repeat("a", 300)
	tape := parse(t, `{"axbyc":1,"azbwc":2,"`+long+`":3,"`+long+`aa":4,"":5}`)
	for name, want := range map[string]string{"axbyc": "1", "azbwc": "2", long: "3", long + "aa": "4", "": "5", "aqbqc": "", long + "a": ""} {
		if got := string(tape.Raw(tape.Member(jsontape.Root, name))); got != want {
			t.Errorf("Member(%.8q…) = %s, want %s", name, got, want)
		}
	}
}

func TestHalvesOfSurrogatePairsStayDistinct(t *testing.T) {
	seen := map[string]string{}
	for _, text := range []string{
		`"\ud800"`, `"\udbff"`, `"\udc00"`, `"\udfff"`, `"\ufffd"`, `"\ud800\ud800"`, `"\udc00\ud800"`, `"\ud800\udc00"`, `"x\ud800"`, `"\ud800x"`,
	} {
		s := string(parse(t, text).AppendString(nil, jsontape.Root))
		if other, ok := seen[s]; ok {
			t.Errorf("%s and %s are the same", text, other)
		}
		seen[s] = text
		if got := string(jsontape.AppendQuoted(nil, s)); parse(t, got).StringIs(jsontape.Root, s) != true {
			t.Errorf("AppendQuoted of %s is %s", text, got)
		}
	}
	if got := string(parse(t, `"\ud83d\ude00"`).AppendString(nil, jsontape.Root)); got != "😀" {
		t.Errorf("a pair is %q", got)
	}
}

func TestAppendQuoted(t *testing.T) {
	for text, want := range map[string]string{
		"":                   `""`,
		"abc":                `"abc"`,
		"a\"b\\c/d":          `"a\"b\\c/d"`,
		"\b\f\n\r\t":         `"\b\f\n\r\t"`,
		"\x00\x1f\x7f":       "\"\\u0000\\u001f\x7f\"",
		"é€😀\u2028\ufffd":    "\"é€😀\u2028\ufffd\"",
		"\xed\xa0\x80x":      `"\ud800x"`,
		"\xed\xbf\xbf":       `"\udfff"`,
		"a\xffb\xc3":         "\"a\ufffdb\ufffd\"",
		"\xed\xa0":           "\"\ufffd\ufffd\"",
		"\xf4\x90\x80\x80":   "\"\ufffd\ufffd\ufffd\ufffd\"",
		"\xe2\x82\xacx\xe2x": "\"€x\ufffdx\"",
	} {
		if got := string(jsontape.AppendQuoted([]byte("+"), text)); got != "+"+want {
			t.Errorf("AppendQuoted(%q) = %s, want %s", text, got, want)
		}
		if got := string(jsontape.AppendQuoted(nil, []byte(text))); got != want {
			t.Errorf("AppendQuoted([]byte %q) = %s, want %s", text, got, want)
		}
	}
}
