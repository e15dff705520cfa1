package gql

import (
	"strings"
	"unicode/utf8"
)

// withoutBlocks returns a text in which every block string of several lines is the plain string of its value, with line
// ends and spaces behind it, so that all else stands where it stood. The parser's lexer takes the first line for one that is
// indented like the others, which the standard does not. What is no such string is left to the parser and lexicalProblem.
func withoutBlocks(text string) string {
	if !strings.Contains(text, `"""`) {
		return text
	}
	var b strings.Builder
	copied := 0
	for i := 0; i < len(text); {
		kind, end := lexeme(text, i)
		switch {
		case kind != broken:
		case text[i] == '"': // where it ends is not known
			end = len(text) + 1
		default:
			end = i + 1
		}
		if end <= len(text) && isBlockOfLines(text[i:end]) && !strings.HasPrefix(text[end:], `"`) {
			b.WriteString(text[copied:i])
			writePlain(&b, text[i:end])
			copied = end
		}
		i = end
	}
	b.WriteString(text[copied:])
	return b.String()
}

// isBlockOfLines reports whether a lexeme is a block string of several lines that the lexer accepts.
func isBlockOfLines(s string) bool {
	return strings.HasPrefix(s, `"""`) && strings.ContainsAny(s, "\n\r") &&
		!strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' })
}

var (
	lineEnds     = strings.NewReplacer("\r\n", "\n", "\r", "\n")
	plainEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
)

func writePlain(b *strings.Builder, block string) {
	block = lineEnds.Replace(block)
	content := strings.ReplaceAll(block[3:len(block)-3], `\"""`, `"""`)
	b.WriteByte('"')
	b.WriteString(plainEscapes.Replace(blockValue(strings.Split(content, "\n"))))
	b.WriteByte('"')
	b.WriteString(strings.Repeat("\n", strings.Count(block, "\n")))
	b.WriteString(strings.Repeat(" ", utf8.RuneCountInString(block[strings.LastIndexByte(block, '\n')+1:])))
}

// blockValue joins the lines of a block string without the indentation that all but the first have in common, and without
// blank lines at both ends (https://spec.graphql.org, "BlockStringValue"). It changes lines.
func blockValue(lines []string) string {
	indent := -1 // of no line
	for _, line := range lines[1:] {
		if n := len(line) - len(strings.TrimLeft(line, " \t")); n < len(line) && (indent < 0 || n < indent) {
			indent = n
		}
	}
	if indent > 0 {
		for i, line := range lines[1:] {
			lines[1+i] = line[min(indent, len(line)):]
		}
	}
	isBlank := func(line string) bool { return strings.Trim(line, " \t") == "" }
	for len(lines) > 0 && isBlank(lines[0]) {
		lines = lines[1:]
	}
	for len(lines) > 0 && isBlank(lines[len(lines)-1]) {
		lines = lines[:len(lines)-1]
	}
	return strings.Join(lines, "\n")
}
