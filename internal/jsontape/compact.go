package jsontape

import (
	"bytes"
	"unicode/utf8"
)

// AppendCompact appends the text of r without the white space between its tokens, otherwise as it stands:
// escapes, number forms and repeated members are kept. Nothing for None.
func (t *Tape) AppendCompact(dst []byte, r Ref) []byte {
	raw := t.Raw(r)
	if k := t.Kind(r); !t.spaced || k != Object && k != Array {
		return append(dst, raw...)
	}
	for i := 0; i < len(raw); {
		switch raw[i] {
		case ' ', '\n', '\t', '\r':
			i++
		case '"':
			end := i + 1 + quoteAt(raw[i+1:]) + 1
			dst = append(dst, raw[i:end]...)
			i = end
		default:
			dst = append(dst, raw[i])
			i++
		}
	}
	return dst
}

// quoteAt finds the quote that ends the string whose content begins s.
func quoteAt(s []byte) int {
	for i := 0; ; i += 2 { // over the backslash and what it escapes
		i += bytes.IndexAny(s[i:], `"\`)
		if s[i] == '"' {
			return i
		}
	}
}

const hexDigits = "0123456789abcdef"

// AppendQuoted appends s as a JSON string. It is the canonical form: the shortest escapes, and only where
// JSON requires one. Halves of surrogate pairs (see the package comment) become \u escapes again, bytes that
// are no text at all become U+FFFD, so that the result is always valid UTF-8.
func AppendQuoted[T []byte | string](dst []byte, s T) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if _, n := decode(s[i:]); n > 0 {
				i += n
				continue
			}
		}
		dst = append(dst, s[from:i]...)
		n := 0
		dst, n = appendEscaped(dst, s[i:])
		i += n
		from = i
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// decode is the length of the valid UTF-8 sequence at the beginning of s, 0 if there is none.
func decode[T []byte | string](s T) (r rune, n int) {
	var b [4]byte
	r, n = utf8.DecodeRune(b[:copy(b[:], s)])
	if r == utf8.RuneError && n <= 1 {
		return r, 0
	}
	return r, n
}

// appendEscaped appends the escape of the character at the beginning of s and returns the character's length.
func appendEscaped[T []byte | string](dst []byte, s T) ([]byte, int) {
	switch c := s[0]; c {
	case '"', '\\':
		return append(dst, '\\', c), 1
	case '\b':
		return append(dst, '\\', 'b'), 1
	case '\f':
		return append(dst, '\\', 'f'), 1
	case '\n':
		return append(dst, '\\', 'n'), 1
	case '\r':
		return append(dst, '\\', 'r'), 1
	case '\t':
		return append(dst, '\\', 't'), 1
	default:
		if c < 0x20 {
			return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15]), 1
		}
	}
	if len(s) >= 3 && s[0] == 0xed && s[1] >= 0xa0 && s[1] < 0xc0 && s[2]&0xc0 == 0x80 { // half a pair
		return append(dst, '\\', 'u', 'd', hexDigits[8|s[1]>>2&7], hexDigits[s[1]&3<<2|s[2]>>4&3], hexDigits[s[2]&15]), 3
	}
	return append(dst, "\ufffd"...), 1
}
