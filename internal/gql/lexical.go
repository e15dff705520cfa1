package gql

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// lexicalProblem finds what the parser's lexer overlooks in a text that it accepts: an escape of half a surrogate
// pair in a string, which is no character (it would be read as U+FFFD), a name or a dot directly after a number
// (https://spec.graphql.org, "String Value" and "Int Value"), and a quote directly after a block string, which
// it would take for content. at is a byte offset, -1 for no problem.
func lexicalProblem(text string) (at int, message string) {
	for i := 0; i < len(text); {
		kind, end := lexeme(text, i)
		next := byte(' ')
		if end < len(text) {
			next = text[end]
		}
		switch {
		case kind == broken && text[i] == '"':
			_, bad := stringEnd(text, i+1)
			return bad, "Invalid Unicode escape sequence: half of a surrogate pair."
		case kind == broken: // the parser has passed over it
			end = i + 1
		case kind != aValue:
		case text[i] != '"':
			if isNameStart(next) || next == '.' {
				return end, "Invalid number: it must not be followed by a name or a dot."
			}
		case next == '"' && strings.HasPrefix(text[i:], `"""`):
			return end, "Invalid block string: a quote directly after its end."
		}
		i = end
	}
	return -1, ""
}

// Kinds of lexemes. Punctuation is its own kind.
const (
	broken  byte = 0
	ignored byte = ' '
	aName   byte = 'a'
	aValue  byte = '0' // a number or a string
	aSpread byte = '.'
)

// lexeme returns the kind of what begins at an offset, and where it ends: beyond the text, if it has no end.
func lexeme(text string, i int) (kind byte, end int) {
	c := text[i]
	switch {
	case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',':
		return ignored, i + 1
	case isNameStart(c):
		for i++; i < len(text) && (isNameStart(text[i]) || isDigit(text[i])); i++ {
		}
		return aName, i
	case isDigit(c) || c == '-':
		return aValue, numberEnd(text, i)
	case c == '#':
		if length := strings.IndexAny(text[i:], "\n\r"); length >= 0 {
			return ignored, i + length
		}
		return ignored, len(text)
	case strings.HasPrefix(text[i:], `"""`):
		return aValue, blockEnd(text, i+3)
	case c == '"':
		if end, bad := stringEnd(text, i+1); bad < 0 {
			return aValue, end
		}
	case strings.HasPrefix(text[i:], "..."):
		return aSpread, i + 3
	case strings.IndexByte("!$&():=@[]{}|", c) >= 0:
		return c, i + 1
	}
	return broken, i
}

func isNameStart(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// numberEnd returns the offset after the number that begins at i.
func numberEnd(text string, i int) int {
	if text[i] == '-' {
		i++
	}
	digits := func() {
		for i < len(text) && isDigit(text[i]) {
			i++
		}
	}
	digits()
	if i+1 < len(text) && text[i] == '.' && isDigit(text[i+1]) {
		i++
		digits()
	}
	if i < len(text) && text[i]|0x20 == 'e' {
		j := i + 1
		if j < len(text) && (text[j] == '+' || text[j] == '-') {
			j++
		}
		if j < len(text) && isDigit(text[j]) {
			i = j
			digits()
		}
	}
	return i
}

// blockEnd returns the offset after the block string whose content begins at i.
func blockEnd(text string, i int) int {
	for i < len(text) {
		switch {
		case strings.HasPrefix(text[i:], `\"""`):
			i += 4
		case strings.HasPrefix(text[i:], `"""`):
			return i + 3
		default:
			i++
		}
	}
	return i + 1
}

// stringEnd returns the offset after the string whose content begins at i, or the first bad escape in it.
func stringEnd(text string, i int) (end, bad int) {
	for i < len(text) && text[i] != '"' {
		if text[i] != '\\' {
			i++
			continue
		}
		unit, ok := surrogateAt(text, i)
		if !ok {
			i += 2
			continue
		}
		low, paired := surrogateAt(text, i+6)
		if unit >= 0xdc00 || !paired || low < 0xdc00 {
			return 0, i
		}
		i += 12
	}
	return i + 1, -1
}

// surrogateAt reads \uD8xx … \uDFxx at i.
func surrogateAt(text string, i int) (unit uint64, ok bool) {
	if i+6 > len(text) || text[i] != '\\' || text[i+1] != 'u' {
		return 0, false
	}
	unit, err := strconv.ParseUint(text[i+2:i+6], 16, 16)
	return unit, err == nil && unit >= 0xd800 && unit <= 0xdfff
}

// locationAt turns a byte offset into a line and a column, as the parser counts them.
func locationAt(text string, at int) Location {
	head := lineEnds.Replace(text[:at])
	line := strings.Count(head, "\n") + 1
	return Location{line, utf8.RuneCountInString(head[strings.LastIndexByte(head, '\n')+1:]) + 1}
}
