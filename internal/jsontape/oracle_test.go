package jsontape_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// build makes of a node what encoding/json makes of it with UseNumber.
func build(t *jsontape.Tape, r jsontape.Ref) any {
	switch t.Kind(r) {
	case jsontape.Null:
		return nil
	case jsontape.False:
		return false
	case jsontape.True:
		return true
	case jsontape.Number:
		return json.Number(t.Raw(r))
	case jsontape.String:
		return withoutHalves(string(t.AppendString(nil, r)))
	case jsontape.Array:
		list := []any{}
		for e := t.First(r); e != jsontape.None; e = t.After(r, e) {
			list = append(list, build(t, e))
		}
		return list
	case jsontape.Object:
		object := map[string]any{}
		for m := t.First(r); m != jsontape.None; m = t.After(r, m) {
			object[withoutHalves(string(t.AppendName(nil, m)))] = build(t, m)
		}
		return object
	}
	panic("no such kind")
}

// withoutHalves replaces halves of surrogate pairs, as encoding/json does.
func withoutHalves(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] == 0xed && s[i+1] >= 0xa0 {
			b.WriteRune(utf8.RuneError)
			i += 3
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		b.WriteRune(r)
		i += n
	}
	return b.String()
}

func standard(t tester, src []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(src))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("encoding/json: %v", err)
	}
	return v
}

// checkAgainstStandard compares all that a tape says about src with encoding/json and unicode/utf8.
func checkAgainstStandard(t tester, src []byte) {
	var tape jsontape.Tape
	err := tape.Parse(src, jsontape.Limits{Depth: 10_000, Bytes: 1 << 30})
	if want := json.Valid(src) && utf8.Valid(src); (err == nil) != want {
		t.Fatalf("Parse(%q) = %v, want success %v", src, err, want)
	}
	if err != nil {
		var e *jsontape.Error
		if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(src) || !utf8.ValidString(e.Error()) {
			t.Fatalf("Parse(%q) = %#v", src, err)
		}
		return
	}
	if diff := cmp.Diff(standard(t, src), build(&tape, jsontape.Root)); diff != "" {
		t.Fatalf("Parse(%q) differs from encoding/json (-) :\n%s", src, diff)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, src); err != nil {
		t.Fatalf("encoding/json: %v", err)
	}
	if got := tape.AppendCompact(nil, jsontape.Root); string(got) != compact.String() {
		t.Fatalf("AppendCompact(%q) = %s, want %s", src, got, compact.Bytes())
	}
	checkNodes(t, &tape, jsontape.Root)
}

// checkNodes checks what the functions of a node say about each other, down from r.
func checkNodes(t tester, tape *jsontape.Tape, r jsontape.Ref) {
	n, last := 0, map[string]jsontape.Ref{}
	repeated := false
	for c := tape.First(r); c != jsontape.None; c = tape.After(r, c) {
		n++
		if tape.Kind(r) == jsontape.Object {
			name := string(tape.AppendName(nil, c))
			if !tape.NameIs(c, name) || tape.NameIs(c, name+"x") || string(tape.NameText(c, nil)) != name {
				t.Fatalf("name %q of %s", name, tape.Raw(r))
			}
			_, seen := last[name]
			repeated = repeated || seen
			last[name] = c
		}
		checkNodes(t, tape, c)
	}
	if tape.Len(r) != n {
		t.Fatalf("Len of %s is %d, want %d", tape.Raw(r), tape.Len(r), n)
	}
	if got := tape.Duplicate(r) != jsontape.None; got != repeated {
		t.Fatalf("Duplicate of %s: %v", tape.Raw(r), got)
	}
	for name, want := range last {
		if got := tape.Member(r, name); got != want {
			t.Fatalf("Member(%q) of %s is %s, want %s", name, tape.Raw(r), tape.Raw(got), tape.Raw(want))
		}
	}
	if tape.Kind(r) == jsontape.String {
		checkString(t, tape, r)
	}
}

func checkString(t tester, tape *jsontape.Tape, r jsontape.Ref) {
	text := string(tape.AppendString(nil, r))
	if !tape.StringIs(r, text) || tape.StringIs(r, text+"x") || text != "" && tape.StringIs(r, text[1:]) {
		t.Fatalf("StringIs of %s", tape.Raw(r))
	}
	if got := string(tape.Text(r, nil)); got != text {
		t.Fatalf("Text of %s is %q, want %q", tape.Raw(r), got, text)
	}
	if plain, ok := tape.PlainString(r); ok && string(plain) != text {
		t.Fatalf("PlainString of %s is %q, want %q", tape.Raw(r), plain, text)
	}
	quoted := jsontape.AppendQuoted(nil, text)
	if again := parse(t, string(quoted)); string(again.AppendString(nil, jsontape.Root)) != text {
		t.Fatalf("AppendQuoted(%q) = %s", text, quoted)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range append(append([]string{event370}, accepted...), refused...) {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, src []byte) { checkAgainstStandard(t, src) })
}

// drawText draws a string literal or white space with the characters that matter.
func drawText(t *rapid.T, pieces ...string) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 12).Draw(t, "pieces"), "")
}

func drawString(t *rapid.T) string {
	return `"` + drawText(t, "a", "b", "abcdefgh", "é", "€", "😀", `\"`, `\\`, `\/`, `\n`, `\u0061`, `\u00e9`, `\ud83d`, `\ude00`, `\ud83d\ude00`) + `"`
}

func drawJSON(t *rapid.T, depth int) string {
	space := func() string { return drawText(t, "", "", "", "", "", "", "", "", "", "", " ", "\n") }
	var b strings.Builder
	b.WriteString(space())
	switch kind := rapid.IntRange(0, 5+depth).Draw(t, "kind"); kind {
	case 0:
		b.WriteString(rapid.SampledFrom([]string{"true", "false", "null"}).Draw(t, "literal"))
	case 1:
		b.WriteString(rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?`).Draw(t, "number"))
	case 2, 3, 4, 5:
		b.WriteString(drawString(t))
	default:
		n := rapid.IntRange(0, 5).Draw(t, "members")
		b.WriteString(map[bool]string{true: "[", false: "{"}[kind%2 == 0])
		for i := range n {
			if i > 0 {
				b.WriteString(space() + ",")
			}
			if kind%2 == 1 {
				b.WriteString(space() + drawString(t) + space() + ":")
			}
			b.WriteString(drawJSON(t, depth-1))
		}
		b.WriteString(space() + map[bool]string{true: "]", false: "}"}[kind%2 == 0])
	}
	return b.String() + space()
}

// TestAgreesWithStandard checks random valid texts, and the same with one byte changed.
func TestAgreesWithStandard(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		src := []byte(drawJSON(r, 4))
		checkAgainstStandard(r, src)
		if len(src) > 0 {
			src[rapid.IntRange(0, len(src)-1).Draw(r, "at")] = rapid.Byte().Draw(r, "byte")
			checkAgainstStandard(r, src)
		}
	})
}
