package gql

import (
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/lexer"
	"pgregory.net/rapid"
)

// TestWithoutBlocks wants what is no block string of several lines to stay, at its line and column.
func TestWithoutBlocks(t *testing.T) {
	for text, want := range map[string]string{
		``: ``, `{a(x: """b "c" """)}`: `{a(x: """b "c" """)}`,
		"{a(x: \"\"\"b\n  é \"\"\") c}":               `{a(x: "b\né "` + "\n       ) c}",
		"{a(x: \"\"\"\r\n  b\\\r\t\"\"\") c}":         `{a(x: "b\\"` + "\n\n    ) c}",
		"{a(x: \"\\\"\"\"\n\"\"\"\n\"\"\")}":          "{a(x: \"\\\"\"\"\n\"\"\"\n\"\"\")}", // a string with a quote, then one that has no end
		"# \"\"\"\n{a} # \"\"\"":                      "# \"\"\"\n{a} # \"\"\"",
		"{a(x: \"\"\"b\n":                             "{a(x: \"\"\"b\n",
		"{a(x: \"\"\"b\n\\\"\"\"":                     "{a(x: \"\"\"b\n\\\"\"\"",
		"{a(x: \"\"\"b\n\"\"\"\")}":                   "{a(x: \"\"\"b\n\"\"\"\")}",
		"{a(x: \"\"\"b\n\x01\"\"\")}":                 "{a(x: \"\"\"b\n\x01\"\"\")}",
		"\ufeff{a(x: \"\"\"\n\"\"\" \"\"\"\n\"\"\")}": "\ufeff{a(x: \"\"\n    \"\"\n   )}",
	} {
		got := withoutBlocks(text)
		if got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
		if lines, now := strings.Count(lineEnds.Replace(text), "\n"), strings.Count(lineEnds.Replace(got), "\n"); lines != now {
			t.Errorf("%q has %d line ends, %q has %d", text, lines, got, now)
		}
	}
}

// TestWithoutBlocksKeepsTokens: a text that the lexer accepts has the same tokens at the same places afterwards; one that it
// does not stays refused.
func TestWithoutBlocksKeepsTokens(t *testing.T) {
	pieces := []string{`"""`, `"""`, `"`, `\`, `\"""`, "\n", "\r", "\r\n", " ", "\t", "a", "é", "#", "1", "{", "\ufeff", "\x01", `\u0041`}
	rapid.Check(t, func(r *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 30).Draw(r, "pieces"), "")
		if at, _ := lexicalProblem(text); at >= 0 {
			return
		}
		want, ok := tokensOf(text)
		got, okNow := tokensOf(withoutBlocks(text))
		if ok != okNow {
			r.Fatalf("%q is read: %v, %q: %v", text, ok, withoutBlocks(text), okNow)
		}
		for i := range want {
			if ok && (len(got) != len(want) || got[i] != want[i]) {
				r.Fatalf("%q: %v, %q: %v", text, want, withoutBlocks(text), got)
			}
		}
	})
}

// tokensOf reads a text up to its first error. Strings are all alike.
func tokensOf(text string) (tokens []lexer.Token, ok bool) {
	lex := lexer.New(&ast.Source{Input: text})
	for {
		tok, err := lex.ReadToken()
		switch tok.Kind {
		case lexer.Comment: // ends where it ends
			continue
		case lexer.String, lexer.BlockString:
			tok = lexer.Token{Kind: lexer.String}
		}
		tok.Pos = ast.Position{Line: tok.Pos.Line, Column: tok.Pos.Column}
		if tok.Kind == lexer.Invalid || err != nil {
			return tokens, false
		}
		if tokens = append(tokens, tok); tok.Kind == lexer.EOF {
			return tokens, true
		}
	}
}

// TestBlockValue has the cases of the standard's algorithm.
func TestBlockValue(t *testing.T) {
	for content, want := range map[string]string{
		"": "", " ": "", " a ": " a ", "\n": "", " \n\t\n": "", "\n  a\n  b": "a\nb", "  a\n  b": "  a\nb", "a\n  b\n c\n\n d": "a\n b\nc\n\nd",
		"\n    a\n \n    b\n ": "a\n\nb", "\n\ta\n  b": "a\n b", "a\n \n": "a", "\n a\n      \n b": "a\n     \nb", "a\n\n  b\nc": "a\n\n  b\nc",
	} {
		if got := blockValue(strings.Split(content, "\n")); got != want {
			t.Errorf("%q: %q, want %q", content, got, want)
		}
	}
}

// TestPlacesAfterBlockStrings: errors are located in the text of the client.
func TestPlacesAfterBlockStrings(t *testing.T) {
	s := mustLoad(t, ordersSDL)
	for text, want := range map[string]Location{
		"\ufeffsubscription {\n  a: ticker(limit: \"\"\"a\r  é\"\"\") @x { id } }":    {3, 10},
		"query($a: String = \"\"\"\n\"\"\" $b: Nosuch) { __type(name: $a) { name } }": {2, 5},
	} {
		_, errs := s.Parse(text, Limits{})
		if len(errs) == 0 || errs[0].Locations[0] != want {
			t.Errorf("%q: %v at %v, want %v", text, errs, errs[0].Locations, want)
		}
	}
}
