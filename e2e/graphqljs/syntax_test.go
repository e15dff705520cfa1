package graphqljs

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/testkit/gqlgen"
	"github.com/fraiseql/fraiseql-go/internal/testkit/graphqljs"
)

// pieces are what a character of a document is replaced by: what lexers get wrong.
var pieces = []string{
	"", " ", "\n", "\r", "\r\n", "\t", ",", "#", "\"", "\"\"\"", "\\", "\\u0041", "\\u{1F600}", "\\u{D800}", "\\ud83d\\ude00", "\\ud83d", "\\/", "\\x", "\ufeff", "\u00a0", "é", "😀",
	"0", "00", "01", "-", "-0", "1.", ".1", "1.0", "1e", "1e5", "1E+5", "1.0.0", "1a", "0x1", "9_9", "$", "$a", "!", "?", "&", "|", ":", "=", "@", "@a", "...", "..", ".",
	"(", ")", "[", "]", "{", "}", "on", "null", "true", "fragment", "query", "_", "__a", "\x00", "\x7f", "\u2028", "~", "`", "'", ";", "*", "<",
}

// TestSyntaxVerdicts replaces characters of documents and compares whether they still parse.
func TestSyntaxVerdicts(t *testing.T) {
	oracle := graphqljs.Start(t)
	s := gql.Schemaless()
	rnd := rand.New(rand.NewPCG(1, 2))
	counts := map[string]int{}
	for seed := range uint64(40) {
		g := gqlgen.New(seed + 90_000)
		g.Invalid = 0
		schema := g.Schema()
		var texts []string
		var reqs []graphqljs.Request
		for range 150 {
			runes := strings.Split(g.Case(schema).Document, "")
			for range 1 + rnd.IntN(2) {
				i := rnd.IntN(len(runes))
				piece := pieces[rnd.IntN(len(pieces))]
				if rnd.IntN(2) == 0 {
					piece += runes[i]
				}
				runes[i] = piece
			}
			text := strings.Join(runes, "")
			texts = append(texts, text)
			reqs = append(reqs, graphqljs.Request{Op: "parse", Document: text})
		}
		for i, answer := range oracle.AskAll(reqs) {
			_, errs := s.Parse(texts[i], limits)
			parsed := len(errs) == 0 || errs[0].Code != "GRAPHQL_PARSE_FAILED"
			if parsed {
				counts["parse"]++
			} else {
				counts["do not parse"]++
			}
			if strings.Contains(texts[i], "\x00") && !parsed {
				counts["NUL"]++ // graphql-js lets it stand in strings and comments, we do not
				continue
			}
			if parsed != (len(answer.Errors) == 0) {
				t.Errorf("we: %v, graphql-js: %q\n%q", errs, answer.Errors, texts[i])
			}
		}
	}
	t.Log(counts)
}
