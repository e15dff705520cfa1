package plan

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/gql"
)

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
