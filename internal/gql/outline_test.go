package gql

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/fraiseql/fraiseql-go/internal/code"
)

// ofTree is what the parser and the limits of the tree say of a document.
func ofTree(text string, lim Limits) *Error {
	src := &ast.Source{Input: text}
	tree, err := parser.ParseQueryWithTokenLimit(src, lim.Tokens)
	if err != nil {
		return syntaxError(src, err, lim)
	}
	return checkLimits(tree, lim)
}

// checkOutline wants a document to be refused by its text only if it is refused by its tree, too.
func checkOutline(t *testing.T, text string, lim Limits) {
	t.Helper()
	if err := overLimits(text, lim); err != nil {
		if err.Code != code.LimitExceeded || err.Limit == "" || !strings.Contains(err.Message, "(limits."+err.Limit+")") || len(err.Locations) != 1 {
			t.Fatalf("%+v", err)
		}
		if ofTree(text, lim) == nil {
			t.Fatalf("%q: %s", text, err.Message)
		}
	}
}

// randomDocument writes documents with everything that has braces, colons and names, about as large as the limits of the test.
func randomDocument(rnd *rand.Rand, fragments bool) string {
	var b strings.Builder
	pick := func(texts ...string) { b.WriteString(texts[rnd.IntN(len(texts))]) }
	var selection func(depth int)
	selection = func(depth int) {
		b.WriteString("{")
		for range 1 + rnd.IntN(4) {
			switch n := rnd.IntN(8); {
			case n == 0:
				pick("...", "... on T", "...@d", "... on on @d(a: {b: {c: 1}})", "...#}\n")
				selection(depth)
			case n == 1 && fragments:
				pick("...F ", "...F@d ", "...G @d(a: [{b: \"}\"}])")
			case n < 4 && depth > 0:
				pick("a", "on", "b: fragment", "c: d(x: {y: {z: [{}]}})", "e @d(if: $v)", "f:f@d @d(a:\"\"\"{\"\"\")")
				selection(depth - 1)
			default:
				pick("a ", "on ", "b: on ", "c: d(x: {y: {z: 1}}), ", "e @d(if: $v)", "query\n", "#}\n f", "g: true ", "h(s: \"{\\\"{\")")
			}
		}
		b.WriteString("}")
	}
	pick("", "query", "subscription S", "subscription S($v: [Int!] = {a: {b: 1}} @d, $w: T) @d(a: {b: 1})")
	selection(rnd.IntN(4))
	if fragments {
		b.WriteString(" fragment F on T @d(a: {b: 1}) ")
		selection(rnd.IntN(2))
		b.WriteString(" fragment G on on ")
		selection(rnd.IntN(2))
	}
	return b.String()
}

// TestOutlineAgainstTree compares what a text shows with what its tree shows: without named fragments, and objects that merge, the same.
func TestOutlineAgainstTree(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 11))
	lims := []Limits{{Depth: 2}, {Aliases: 3}, {Fields: 7}, {Tokens: 30}}
	refused := map[string]int{}
	for range 20_000 {
		text := randomDocument(rnd, false)
		lim := lims[rnd.IntN(len(lims))].withDefaults()
		fromText, fromTree := overLimits(text, lim), ofTree(text, lim)
		if fromTree != nil && fromTree.Code != code.LimitExceeded {
			t.Fatalf("%q: %s", text, fromTree.Message)
		}
		switch {
		case fromText == nil && fromTree == nil:
		case fromText == nil && fromTree.Limit == "document_aliases": // of several selections of one key
		case fromText == nil && fromTree.Limit == "document_tokens" && strings.Contains(text, "#"): // comments count there
		case fromText == nil || fromTree == nil || fromText.Limit != fromTree.Limit || fromText.Message != fromTree.Message:
			t.Fatalf("%q: by its text %v, by its tree %v", text, fromText, fromTree)
		default:
			if fromText.Limit == "document_depth" && fromText.Locations[0] != fromTree.Locations[0] {
				t.Fatalf("%q: %v, %v", text, fromText.Locations, fromTree.Locations)
			}
			refused[fromText.Limit]++
		}
		checkOutline(t, randomDocument(rnd, true), lim)
	}
	for _, limit := range []string{"document_depth", "document_aliases", "document_fields", "document_tokens"} {
		if refused[limit] < 500 {
			t.Errorf("%s: %d documents", limit, refused[limit])
		}
	}
}

// TestOutlineOfHostileDocuments: what is too much where it is written is not parsed.
func TestOutlineOfHostileDocuments(t *testing.T) {
	lim := Limits{}.withDefaults()
	for name, text := range hostile() {
		checkOutline(t, text, lim)
		limit := map[string]string{
			"one key many times!": "document_aliases", "unknown fields": "document_aliases", "deep selection!": "document_depth",
			"inline fragments side by side!": "document_aliases", "objects under one key!": "", "nested lists!": "",
		}
		want, listed := limit[name]
		if err := overLimits(text, lim); listed && (err == nil) == (want != "") || listed && err != nil && err.Limit != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOutlineTakesNoMemory: what is refused costs its error.
func TestOutlineTakesNoMemory(t *testing.T) {
	lim := Limits{}.withDefaults()
	for name, text := range map[string]string{
		"levels":  "{ a " + strings.Repeat("{ a ", 5000) + strings.Repeat("}", 5001),
		"aliases": "{ " + numbered(1000, "a%d: a ") + "}",
		"tokens":  "query(" + numbered(3000, "$v%d: Int ") + ") { a }",
	} {
		if n := testing.AllocsPerRun(10, func() {
			if overLimits(text, lim) == nil {
				t.Fatal(name)
			}
		}); n > 20 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkRefuseByOutline(b *testing.B) {
	s := mustLoad(b, ordersSDL)
	for name, text := range map[string]string{
		"levels":  "subscription { ticker " + strings.Repeat("{ a ", 5000) + strings.Repeat("}", 5000) + " }",
		"aliases": fmt.Sprintf("subscription { ticker { %s } }", numbered(1000, "a%d: id ")),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.Parse(text, Limits{})
			}
		})
	}
}
