package gql

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// loneSurrogate finds the first escape in a string of a document that is half a surrogate pair, which is no
// character (https://spec.graphql.org, "String Value"); the parser would read U+FFFD. at is the byte offset
// of the backslash, -1 for none. The text is one that the parser has accepted.
func loneSurrogate(text string) (at int) {
	if !strings.Contains(text, `\ud`) && !strings.Contains(text, `\uD`) {
		return -1
	}
	for i := 0; i < len(text); {
		switch {
		case text[i] == '#':
			if end := strings.IndexAny(text[i:], "\n\r"); end >= 0 {
				i += end
			} else {
				return -1
			}
		case strings.HasPrefix(text[i:], `"""`):
			i = blockEnd(text, i+3)
		case text[i] == '"':
			end, bad := stringEnd(text, i+1)
			if bad >= 0 {
				return bad
			}
			i = end
		default:
			i++
		}
	}
	return -1
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
	return i
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
	head := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text[:at])
	line := strings.Count(head, "\n") + 1
	return Location{line, utf8.RuneCountInString(head[strings.LastIndexByte(head, '\n')+1:]) + 1}
}
