package plan

import (
	"strings"
	"unicode/utf8"
)

// normalise returns a document's tokens joined in one way, so that documents that differ only in white space,
// commas and comments become equal and no others do. ok is false for what is no text of tokens (a string
// without end, a letter that is not ASCII, bytes that are no UTF-8 or control characters, be it in a comment): such a document is not valid.
func normalise(text string) (tokens string, ok bool) {
	if !utf8.ValidString(text) {
		return "", false
	}
	var b strings.Builder
	b.Grow(len(text))
	last := separate
	for i := 0; i < len(text); {
		kind, end := nextToken(text, i)
		switch kind {
		case broken:
			return "", false
		case ignored:
		default:
			if last != separate && kind != separate {
				b.WriteByte(' ')
			}
			b.WriteString(text[i:end])
			last = kind
		}
		i = end
	}
	return b.String(), true
}

type tokenKind uint8

const (
	ignored  tokenKind = iota
	separate           // needs no white space around it
	word               // name, number, string or `...`: keep apart from each other
	broken
)

// nextToken returns the token that begins at text[i] and its end (https://spec.graphql.org, section 2.1).
func nextToken(text string, i int) (tokenKind, int) {
	c := text[i]
	switch {
	case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',':
		return ignored, i + 1
	case strings.HasPrefix(text[i:], "\ufeff"):
		return ignored, i + len("\ufeff")
	case c == '#':
		for i < len(text) && (text[i] >= ' ' || text[i] == '\t') {
			i++
		}
		return ignored, i
	case c == '"':
		return stringToken(text, i)
	case strings.HasPrefix(text[i:], "..."):
		return word, i + 3
	case nameByte(c) && (c < '0' || c > '9'):
		for i < len(text) && nameByte(text[i]) {
			i++
		}
		return word, i
	case c == '-' || c == '+' || c == '.' || c >= '0' && c <= '9':
		for i < len(text) && (nameByte(text[i]) || text[i] == '-' || text[i] == '+' || text[i] == '.') {
			i++
		}
		return word, i
	case c < ' ' || c >= 0x80: // nowhere; in strings and comments only
		return broken, i
	}
	return separate, i + 1
}

func nameByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

func stringToken(text string, i int) (tokenKind, int) {
	if strings.HasPrefix(text[i:], `"""`) {
		for j := i + 3; j < len(text); j++ {
			switch {
			case strings.HasPrefix(text[j:], `\"""`):
				j += 3
			case strings.HasPrefix(text[j:], `"""`):
				return word, j + 3
			}
		}
		return broken, len(text)
	}
	for j := i + 1; j < len(text); j++ {
		switch text[j] {
		case '\\':
			j++
		case '"':
			return word, j + 1
		case '\n', '\r':
			return broken, j
		}
	}
	return broken, len(text)
}
