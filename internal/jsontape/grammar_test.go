package jsontape_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// accepted and refused are texts at the edges of RFC 8259's grammar.
var accepted = []string{
	`null`, `true`, `false`, `0`, `-0`, `1`, `-1`, `10`, `1234567890123456789012345678901234567890`,
	`0.0`, `-0.0`, `0.1`, `1.5`, `-1.5`, `123.456`, `1e1`, `1E1`, `1e+1`, `1e-1`, `1E+01`, `0e0`, `0E+0`, `-0e-0`,
	`1.0e10`, `123.456e78`, `1e400`, `1e-400`, `1e99999999999999999999`,
	`""`, `"a"`, `" "`, `"\""`, `"\\"`, `"\/"`, `"/"`, `"\b\f\n\r\t"`, `"\u0000"`, `"\u00e9"`, `"\uABCD"`, `"\uabcd"`,
	`"\ud83d\ude00"`, `"\uD83D\uDE00"`, `"\ud800"`, `"\udc00"`, `"\udc00\ud800"`, `"\ud800\ud800"`, `"\ud800a"`,
	`"\ud800\n"`, `"\u2028\u2029"`, `"\uFFFF"`, `"\\u0000"`, `"\\\\"`,
	"\"\x7f\"", "\"é\"", "\"€\"", "\"😀\"", "\"\u2028\"", "\"\u0080\"", "\"\U0010ffff\"", "\"\ufeff\"", "\"\ufffd\"",
	"\"ééééééééé\"", "\"aaaaaaaé\"", "\"aaaaaaaaé\"", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
	`[]`, `[ ]`, `[1]`, `[1,2]`, `[ 1 , 2 ]`, `[[]]`, `[[[]]]`, `[[],[]]`, `[null,true,false]`, `["a",1,{}]`, `[{}]`,
	"[\n1\t,\r2 ]", `[[[[[[[[[[]]]]]]]]]]`,
	`{}`, `{ }`, `{"":0}`, `{"a":1}`, `{"a":1,"b":2}`, `{"a":1,"a":2}`, `{"a":{}}`, `{"a":[]}`, `{"a":{"b":{"c":[]}}}`,
	`{ "a" : 1 , "b" : 2 }`, `{"\u0061":1}`, `{"\ud800":1}`, `{"a\nb":1}`, "{\"é\":1}", `{"a":"b","c":null}`,
	` 1`, `1 `, " \n\t\r1\r\t\n ", ` [] `, ` {} `, ` "" `,
}

var refused = []string{
	``, ` `, "\n", "\x00", `nul`, `nulll`, `Null`, `NULL`, `tru`, `truee`, `True`, `fals`, `falsee`, `t`, `f`, `n`, `nan`, `NaN`, `undefined`,
	`Infinity`, `-Infinity`, `-`, `--1`, `+1`, `- 1`, `01`, `-01`, `00`, `1.`, `.1`, `-.1`, `1.e1`, `1.a`, `1e`, `1e+`, `1e-`, `1ea`, `1e1.0`,
	`1e 1`, `0x10`, `0b1`, `1_000`, `1,000`, `1 2`, `1a`, `1.2.3`, `0.1.`, `1e1e1`, `-a`, `1+1`, `１`,
	`"`, `"a`, `"\"`, `"\`, `"\a"`, `"\v"`, `"\'"`, `"\0"`, `"\x41"`, `"\U0041"`, `"\u"`, `"\u1"`, `"\u12"`, `"\u123"`, `"\u123g"`, `"\u 123"`,
	`"\u-123"`, `"\u00`, `"\ud83d\`, `"\ud83d\u`, `"\ud83d\u12"`, `'a'`, `"a""b"`, `"a"b`, `a`,
	"\"\n\"", "\"\t\"", "\"\r\"", "\"\x00\"", "\"\x1f\"", "\"a\x01\"", "\"aaaaaaaaaaaaaaa\x1f\"",
	"\"\x80\"", "\"\xbf\"", "\"\xc0\x80\"", "\"\xc1\xbf\"", "\"\xc3\"", "\"\xc3(\"", "\"\xe2\x82\"", "\"\xe2(\xa1\"", "\"\xe0\x80\x80\"", "\"\xe0\x9f\xbf\"",
	"\"\xed\xa0\x80\"", "\"\xed\xbf\xbf\"", "\"\xf0\x80\x80\x80\"", "\"\xf0\x8f\xbf\xbf\"", "\"\xf4\x90\x80\x80\"", "\"\xf5\x80\x80\x80\"", "\"\xf8\x88\x80\x80\x80\"",
	"\"\xfe\"", "\"\xff\"", "\"\xf0\x9f\x98\"", "\"aaaaaaa\xff\"", "\"aaaaaaaa\xff\"", "\"aaaaaaaaaaaa\xff", "\xef\xbb\xbf1", "\xef\xbb\xbf{}", "\xff", "1\xff", "[]\xff", "1\x20\xff", "[\xff]", "\xe9",
	`[`, `]`, `[1`, `[1,`, `[,1]`, `[1,]`, `[1,,2]`, `[,]`, `[1 2]`, `[1:2]`, `[1}`, `[1]]`, `[[]`, `[]]`, `[}`, `["a"`, `["a",`, `[1;2]`, `[a]`, `[*]`, "[\v1]", "[\f]", "[\u00a01]", "[\u20601]",
	`{`, `}`, `{]`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{,}`, `{,"a":1}`, `{"a":1,,"b":2}`, `{"a"}`, `{"a",1}`, `{"a":1 "b":2}`, `{"a" 1}`, `{"a"::1}`, `{a:1}`, `{1:1}`, `{'a':1}`,
	`{null:1}`, `{"a":1]`, `{"a":}`, `{:1}`, `{"a":1}}`, `{}{}`, `{}1`, `{"a\x":1}`, `{"a":"b":"c"}`, `{[]:1}`, `{{}:1}`, "{\"\xff\":1}", "{\"a\n\":1}", `{"a":1,"b"}`, `{"a":1,2}`,
	`// a`, `/* a */1`, `1 // a`, `[1/**/]`, `#1`, `[1]x`, `1,`, `,`, `:`, `""x`, "1\x00", `{"a":1}#`, `[...]`, `<null>`,
}

func TestGrammar(t *testing.T) {
	if n := len(accepted) + len(refused); n < 120 {
		t.Fatalf("only %d cases", n)
	}
	var tape jsontape.Tape
	check := func(text string, want bool) {
		if valid := json.Valid([]byte(text)) && utf8.ValidString(text); valid != want {
			t.Errorf("case %q is wrong: the standard library says %v", text, valid)
		}
		err := tape.Parse([]byte(text), jsontape.Limits{})
		if (err == nil) != want {
			t.Errorf("Parse(%q) = %v, want success %v", text, err, want)
		}
		if err != nil && (tape.Kind(jsontape.Root) != jsontape.Invalid || tape.Raw(jsontape.Root) != nil) {
			t.Errorf("Parse(%q) left a tape", text)
		}
	}
	for _, text := range accepted {
		check(text, true)
		for i := range text { // what is cut off is refused, or valid in itself
			check(text[:i], json.Valid([]byte(text[:i])) && utf8.ValidString(text[:i]))
		}
	}
	for _, text := range refused {
		check(text, false)
		check("["+text+"]", json.Valid([]byte("["+text+"]")) && utf8.ValidString(text))
		check(`{"a":`+text+"}", json.Valid([]byte(`{"a":`+text+"}")) && utf8.ValidString(text))
	}
}
