package plan

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/gql"
)

// TestNormaliseKeepsBlockStrings: the value of a block string is the same wherever its token stands.
func TestNormaliseKeepsBlockStrings(t *testing.T) {
	const text = "subscription {\r\n  a(\r\n    x: \"\"\"b\r\n        c \\d\r\n      e\r\n  \"\"\"  y: 1 z: \"\"\"f\n g\"\"\" ) }"
	tokens, ok := normalise(text)
	if !ok || tokens == text {
		t.Fatalf("%q %v", tokens, ok)
	}
	for _, text := range []string{text, tokens} {
		doc, errs := gql.Schemaless().Parse(text, gql.Limits{})
		if len(errs) > 0 {
			t.Fatalf("%q: %v", text, errs[0].Message)
		}
		got, errs := doc.Operations[0].Selections[0].Field.CoerceArguments(nil, nil)
		if want := `{"x":"b\n  c \\d\ne","y":1,"z":"f\ng"}`; string(got) != want || len(errs) > 0 {
			t.Errorf("%q: %s %v, want %s", text, got, errs, want)
		}
	}
}

// FuzzNormalise checks that normalising changes nothing that counts: it is idempotent, and a document is valid
// exactly if its tokens are.
func FuzzNormalise(f *testing.F) {
	for _, text := range []string{
		`subscription { users(id: "a,b") { id name } }`,
		"subscription($a:Int=-1.5e+3,$b:[X!]) @d { u(x:{y:[\"\",\"\"\"b \\\"\"\" \"\"\"]}) { ...F ... on U { a:b } } } # c\nfragment F on U { id }",
		"\ufeffsubscription{a(x:1...b", `subscription{a(x:0xF)}`, `subscription{a(x:"""")}`, "subscription{a(x:\"\\u12\")b}\r", "subscription{a}#\x80", "{A}#\x10",
	} {
		f.Add(text)
	}
	s := gql.Schemaless()
	f.Fuzz(func(t *testing.T, text string) {
		tokens, ok := normalise(text)
		_, errs := s.Parse(text, gql.Limits{})
		if !ok {
			if len(errs) == 0 {
				t.Fatalf("%q is valid and has no tokens", text)
			}
			return
		}
		if again, ok := normalise(tokens); !ok || again != tokens {
			t.Fatalf("%q becomes %q, then %q", text, tokens, again)
		}
		if _, later := s.Parse(tokens, gql.Limits{}); (len(errs) == 0) != (len(later) == 0) {
			t.Fatalf("%q: %v, its tokens %q: %v", text, errs, tokens, later)
		}
	})
}
