package jsontape

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// token returns the first byte at or after i that is not white space, where it is, and spaces plus what was
// skipped; the byte 0 at the end of the text.
func token(src []byte, i, spaces int) (byte, int, int) {
	if i < len(src) && src[i] > ' ' {
		return src[i], i, spaces
	}
	return skip(src, i, spaces)
}

func skip(src []byte, i, spaces int) (byte, int, int) {
	for ; i < len(src); i++ {
		switch c := src[i]; c {
		case ' ', '\n', '\t', '\r':
			spaces++
		default:
			return c, i, spaces
		}
	}
	return 0, i, spaces
}

// name reads the member name whose opening quote is due at i. On error the node's end is the place.
func (t *Tape) name(src []byte, i int) (node, problem) {
	if i >= len(src) || src[i] != '"' {
		return node{end: uint32(i)}, wantName
	}
	start := i + 1
	end, flags, why := stringEnd(src, start)
	text := src[start:end]
	if why == fine && flags&flagEscaped != 0 {
		t.scratch = appendUnescaped(t.scratch[:0], text)
		text = t.scratch
	}
	return node{uint32(start), uint32(end), fingerprint(text), String, flags}, why
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
func stringEnd(src []byte, i int) (end int, flags uint8, why problem) {
	for {
		for i+8 <= len(src) {
			if m := special(binary.LittleEndian.Uint64(src[i:])); m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		if i >= len(src) {
			return i, flags, unterminated
		}
		switch c := src[i]; {
		case c == '"':
			return i, flags, fine
		case c == '\\':
			n := escapeLen(src[i:])
			if n == 0 {
				return i, flags, badEscape
			}
			flags |= flagEscaped
			i += n
		case c < 0x20:
			return i, flags, controlInString
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(src[i:])
			if r == utf8.RuneError && n == 1 {
				return i, flags, badUTF8
			}
			i += n
		}
	}
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
func scalarEnd(src []byte, i int, c byte) (end int, k Kind, flags uint8, why problem) {
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
		return i, Number, 0, wantValue
	case src[i] == '0':
		i++
	case src[i]-'1' < 9:
		i = digitsEnd(src, i+1)
	case c == '-':
		return i, Number, 0, wantDigit
	default:
		return i, Number, 0, wantValue
	}
	if i < len(src) && src[i] == '.' {
		flags = flagFraction
		if end = digitsEnd(src, i+1); end == i+1 {
			return end, Number, 0, wantDigit
		}
		i = end
	}
	if i < len(src) && src[i]|0x20 == 'e' {
		flags = flagFraction
		if i++; i < len(src) && (src[i] == '+' || src[i] == '-') {
			i++
		}
		if end = digitsEnd(src, i); end == i {
			return end, Number, 0, wantDigit
		}
		i = end
	}
	return i, Number, flags, fine
}

func literalEnd(src []byte, i int, word string, k Kind) (int, Kind, uint8, problem) {
	for j := range len(word) {
		if i+j >= len(src) || src[i+j] != word[j] {
			return i, k, 0, wantValue
		}
	}
	return i + len(word), k, 0, fine
}

func digitsEnd(src []byte, i int) int {
	for i < len(src) && src[i]-'0' < 10 {
		i++
	}
	return i
}
