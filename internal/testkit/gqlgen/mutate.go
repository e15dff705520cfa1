package gqlgen

import (
	"regexp"
	"strings"
)

var tokens = regexp.MustCompile(`"""(?s:.*?)"""|"(?:[^"\\\n]|\\.)*"|\.\.\.|[A-Za-z_]\w*|-?\d[\w.+-]*|\s+|.`)

// mutate damages a document: half of the time in a way that breaks one rule of the standard, else anyhow, by
// deleting, doubling, swapping or replacing a token.
func (g *Generator) mutate(d *document, text string) string {
	if g.percent(55) {
		if out := pick(g, damages)(g, d, text); out != text {
			return out
		}
	}
	parts := tokens.FindAllString(text, -1)
	i, j := g.rnd.IntN(len(parts)), g.rnd.IntN(len(parts))
	switch g.rnd.IntN(4) {
	case 0:
		parts[i] = ""
	case 1:
		parts[i] += " " + parts[i]
	case 2:
		parts[i], parts[j] = parts[j], parts[i]
	case 3:
		parts[i] = pick(g, []string{"f0", "T1", "N0", "null", "1", `"s"`, "{", "}", "$v0", "@skip(if: true)", "...", "on", "A_0", "[1]", "{ m0: 1 }", "2147483648"})
	}
	return strings.Join(parts, "")
}

// replaceNth replaces one random occurrence.
func (g *Generator) replaceOne(text, old, with string) string {
	n := strings.Count(text, old)
	if n == 0 {
		return text
	}
	at, skip := 0, g.rnd.IntN(n)
	for ; skip >= 0; skip-- {
		at += strings.Index(text[at:], old) + len(old)
	}
	return text[:at-len(old)] + with + text[at:]
}

func (g *Generator) insertField(text, field string) string {
	return g.replaceOne(text, "{\n", "{\n "+field+"\n")
}

var damages = []func(g *Generator, d *document, text string) string{
	func(g *Generator, _ *document, text string) string { return g.insertField(text, "nosuch") },
	func(g *Generator, _ *document, text string) string { return g.insertField(text, "__typename") },
	func(g *Generator, _ *document, text string) string { return g.insertField(text, "f0") },
	func(g *Generator, _ *document, text string) string { return g.insertField(text, "f1 { x }") },
	func(g *Generator, _ *document, text string) string { return g.insertField(text, "o0") },
	func(g *Generator, _ *document, text string) string { return g.insertField(text, "k1: f2") },
	func(g *Generator, _ *document, text string) string { return g.insertField(text, "f3: f4") },
	func(g *Generator, _ *document, text string) string { return g.insertField(text, "...Nowhere") },
	func(g *Generator, _ *document, text string) string { return g.insertField(text, "...F0") },
	func(g *Generator, _ *document, text string) string {
		return g.insertField(text, "... on T3 { __typename }")
	},
	func(g *Generator, _ *document, text string) string {
		return g.insertField(text, "... on In0 { __typename }")
	},
	func(g *Generator, _ *document, text string) string {
		return g.insertField(text, "... on Nope { __typename }")
	},
	func(g *Generator, _ *document, text string) string { return g.insertField(text, "f0 @skip(if: true)") },
	func(g *Generator, _ *document, text string) string { return g.insertField(text, "f0 @skip") },
	func(g *Generator, _ *document, text string) string { return g.insertField(text, "f0 @nope") },
	func(g *Generator, _ *document, text string) string { return g.insertField(text, "f0 @deprecated") },
	func(g *Generator, _ *document, text string) string {
		return g.insertField(text, "f0 @skip(if: true) @skip(if: false)")
	},
	func(g *Generator, _ *document, text string) string { return g.insertField(text, "f0(nosuch: 1)") },
	func(g *Generator, _ *document, text string) string { return g.insertField(text, "f0 @include(if: 1)") },
	func(g *Generator, _ *document, text string) string {
		return g.insertField(text, "f0 @include(if: $nosuch)")
	},
	func(_ *Generator, _ *document, text string) string {
		return text + "fragment Unused on T0 { __typename }"
	},
	func(_ *Generator, _ *document, text string) string { return text + "fragment F0 on T0 { __typename }" },
	func(_ *Generator, _ *document, text string) string {
		return text + "fragment A on T0 { ...B } fragment B on T0 { ...A }"
	},
	func(_ *Generator, _ *document, text string) string {
		return text + "subscription { event0 { __typename } }"
	},
	func(_ *Generator, _ *document, text string) string { return text + "query Q { ok }" },
	func(_ *Generator, _ *document, text string) string { return text + "mutation M { ok }" },
	func(_ *Generator, _ *document, text string) string { return text + "type X { a: Int }" },
	func(g *Generator, _ *document, text string) string {
		return g.replaceOne(text, "$v0: ", "$vx: Int, $v0: ")
	},
	func(g *Generator, _ *document, text string) string {
		return g.replaceOne(text, "$v0: ", "$v0: Int, $v0: ")
	},
	func(g *Generator, _ *document, text string) string { return g.replaceOne(text, "$v0: ", "$v0: T0 # ") },
	func(g *Generator, _ *document, text string) string {
		return g.replaceOne(text, "!", pick(g, []string{"", " = null"}))
	},
	func(g *Generator, _ *document, text string) string {
		return g.replaceOne(text, ": Int", pick(g, []string{": Float", ": [Int]", ": ID"}))
	},
	func(g *Generator, _ *document, text string) string {
		return g.replaceOne(text, "m0: ", pick(g, []string{"m9: ", "m0: 1, m0: "}))
	},
	func(g *Generator, _ *document, text string) string {
		return g.replaceOne(text, "x0: ", pick(g, []string{"x9: ", "x0: 1, x0: ", "x1: "}))
	},
	func(g *Generator, _ *document, text string) string {
		return g.replaceOne(text, "event", pick(g, []string{"k: event", "event0: event", "nosuch"}))
	},
	func(g *Generator, d *document, text string) string {
		return g.replaceOne(text, "\n}\n", "\n  second: "+d.operations[0].root.Name+" { __typename }\n}\n")
	},
}
