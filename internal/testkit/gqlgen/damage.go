package gqlgen

import "strings"

// Damage deletes, doubles, swaps or replaces one token of an SDL.
func (g *Generator) Damage(sdl string) string {
	parts := tokens.FindAllString(sdl, -1)
	i, j := g.rnd.IntN(len(parts)), g.rnd.IntN(len(parts))
	switch g.rnd.IntN(5) {
	case 0:
		parts[i] = ""
	case 1:
		parts[i] += " " + parts[i]
	case 2:
		parts[i], parts[j] = parts[j], parts[i]
	default:
		parts[i] = pick(g, []string{
			"f0", "T1", "N0", "U0", "In0", "In2", "E0", "Int", "null", "1", `"s"`, "!", "[", "&", "|", "=", "A_0", "[T1]", "extend", "type", "interface",
			"union", "input", "enum", "scalar", "directive", "@deprecated", "@oneOf", "@specifiedBy(url: \"x\")", "@nosuch", "__x", "Nosuch",
			"In1 = {m0: 1}", "schema { query: T1 }", "repeatable",
		})
	}
	return strings.Join(parts, "")
}
