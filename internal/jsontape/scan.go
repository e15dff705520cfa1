package jsontape

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// token returns the first byte at or after i that is not white space, and where it is; the byte 0 at the end
// of the text.
func (t *Tape) token(src []byte, i int) (byte, int) {
	if i < len(src) && src[i] > ' ' {
		return src[i], i
	}
	return t.skip(src, i)
}

func (t *Tape) skip(src []byte, i int) (byte, int) {
	for ; i < len(src); i++ {
		switch c := src[i]; c {
		case ' ', '\n', '\t', '\r':
			t.spaced = true
		default:
			return c, i
		}
	}
	return 0, i
}

// print is the fingerprint of the name whose text in the source is s.
func (t *Tape) print(s []byte, g tag) uint32 {
	if g&flagEscaped != 0 {
		t.scratch = appendUnescaped(t.scratch[:0], s)
		s = t.scratch
	}
	return fingerprint(s)
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special marks (in the high bits of its bytes, the lowest mark is exact) the bytes of w that end a plain
// run of a string: the quote, the backslash, control characters and all that is not ASCII.
func special(w uint64) uint64 {
	return (w | (w ^ ones*'"' - ones) | (w ^ ones*'\\' - ones) | (w - ones*0x20)) & highs
}

// stringEnd finds the closing quote of the string whose content begins at i. On error end is the place.
func stringEnd(src []byte, i int) (end int, g tag, why problem) {
	g = tag(String)
	for i+8 <= len(src) {
		w := binary.LittleEndian.Uint64(src[i:])
		m := special(w)
		if m == 0 {
			i += 8
			continue
		}
		bit := bits.TrailingZeros64(m) &^ 7
		i += bit >> 3
		if byte(w>>bit) == '"' {
			return i, g, fine
		}
		if i, g, why = specialEnd(src, i, g); why != fine {
			return i, g, why
		}
	}
	for i < len(src) {
		if src[i] == '"' {
			return i, g, fine
		}
		if i, g, why = specialEnd(src, i, g); why != fine {
			return i, g, why
		}
	}
	return i, g, unterminated
}

// specialEnd is the end of the one character of a string, not a quote, that begins at i.
func specialEnd(src []byte, i int, g tag) (int, tag, problem) {
	switch c := src[i]; {
	case c == '\\':
		n := escapeLen(src[i:])
		if n == 0 {
			return i, g, badEscape
		}
		return i + n, g | flagEscaped, fine
	case c < 0x20:
		return i, g, controlInString
	case c < utf8.RuneSelf:
		return i + 1, g, fine
	}
	r, n := utf8.DecodeRune(src[i:])
	if r == utf8.RuneError && n == 1 {
		return i, g, badUTF8
	}
	return i + n, g, fine
}

// escapeLen is the length of the escape at the beginning of s, 0 if it is none.
func escapeLen(s []byte) int {
	if len(s) < 2 {
		return 0
	}
	switch s[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(s) >= 6 && hexValue(s[2]) >= 0 && hexValue(s[3]) >= 0 && hexValue(s[4]) >= 0 && hexValue(s[5]) >= 0 {
			return 6
		}
	}
	return 0
}

func hexValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// scalarEnd finds the end of the number or literal whose first byte c is at i. On error end is the place.
func scalarEnd(src []byte, i int, c byte) (end int, g tag, why problem) {
	g = tag(Number)
	switch c {
	case 't':
		return literalEnd(src, i, "true", True)
	case 'f':
		return literalEnd(src, i, "false", False)
	case 'n':
		return literalEnd(src, i, "null", Null)
	case '-':
		i++
	}
	switch {
	case i >= len(src):
		return i, g, wantValue
	case src[i] == '0':
		i++
	case src[i]-'1' < 9:
		i = digitsEnd(src, i+1)
	case c == '-':
		return i, g, wantDigit
	default:
		return i, g, wantValue
	}
	if i < len(src) && src[i] == '.' {
		g |= flagFraction
		if end = digitsEnd(src, i+1); end == i+1 {
			return end, g, wantDigit
		}
		i = end
	}
	if i < len(src) && src[i]|0x20 == 'e' {
		g |= flagFraction
		if i++; i < len(src) && (src[i] == '+' || src[i] == '-') {
			i++
		}
		if end = digitsEnd(src, i); end == i {
			return end, g, wantDigit
		}
		i = end
	}
	return i, g, fine
}

func literalEnd(src []byte, i int, word string, k Kind) (int, tag, problem) {
	for j := range len(word) {
		if i+j >= len(src) || src[i+j] != word[j] {
			return i + j, tag(k), wantValue
		}
	}
	return i + len(word), tag(k), fine
}

func digitsEnd(src []byte, i int) int {
	for i < len(src) && src[i]-'0' < 10 {
		i++
	}
	return i
}
