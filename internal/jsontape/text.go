package jsontape

import (
	"bytes"
	"unicode/utf8"
)

// AppendString appends the unescaped text of a String node; nothing for other nodes.
func (t *Tape) AppendString(dst []byte, r Ref) []byte {
	if t.Kind(r) != String {
		return dst
	}
	return t.appendText(dst, &t.nodes[r])
}

// Text returns the unescaped text of a String node: a part of the source where nothing is escaped, else
// written over buf (grown if need be). Nil for other nodes.
func (t *Tape) Text(r Ref, buf []byte) []byte {
	if t.Kind(r) != String {
		return nil
	}
	return t.text(&t.nodes[r], buf)
}

// NameText is Text for the name of the member whose value is r.
func (t *Tape) NameText(r Ref, buf []byte) []byte { return t.text(&t.nodes[r-1], buf) }

func (t *Tape) text(n *node, buf []byte) []byte {
	if n.tag&flagEscaped == 0 {
		return t.src[n.start:n.end]
	}
	return appendUnescaped(buf[:0], t.src[n.start:n.end])
}

// PlainString returns the text of a String that holds no escape, without copying; ok is false for strings
// with escapes and for other nodes.
func (t *Tape) PlainString(r Ref) (text []byte, ok bool) {
	if t.Kind(r) != String || t.nodes[r].tag&flagEscaped != 0 {
		return nil, false
	}
	return t.src[t.nodes[r].start:t.nodes[r].end], true
}

// StringIs reports whether r is a String whose unescaped text is s.
func (t *Tape) StringIs(r Ref, s string) bool {
	return t.Kind(r) == String && t.textIs(&t.nodes[r], s)
}

func (t *Tape) appendText(dst []byte, n *node) []byte {
	if n.tag&flagEscaped == 0 {
		return append(dst, t.src[n.start:n.end]...)
	}
	return appendUnescaped(dst, t.src[n.start:n.end])
}

// appendUnescaped appends the text that s, the valid content of a string, stands for.
func appendUnescaped(dst, s []byte) []byte {
	for {
		i := bytes.IndexByte(s, '\\')
		if i < 0 {
			return append(dst, s...)
		}
		dst = append(dst, s[:i]...)
		r, n := unescape(s[i:])
		dst = appendRune(dst, r)
		s = s[i+n:]
	}
}

// equalUnescaped reports whether s, the valid content of a string, stands for text.
func equalUnescaped(s []byte, text string) bool {
	var buf [4]byte
	for {
		i := bytes.IndexByte(s, '\\')
		if i < 0 {
			return string(s) == text
		}
		if len(text) < i || string(s[:i]) != text[:i] {
			return false
		}
		r, n := unescape(s[i:])
		s, text = s[i+n:], text[i:]
		c := appendRune(buf[:0], r)
		if len(text) < len(c) || string(c) != text[:len(c)] {
			return false
		}
		text = text[len(c):]
	}
}

// unescape decodes the valid escape at the beginning of s and returns its length. Two escapes that are a
// surrogate pair are one character; half a pair is itself.
func unescape(s []byte) (r rune, length int) {
	switch s[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r = hex4(s[2:6])
		if isHighSurrogate(r) && len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
			if low := hex4(s[8:12]); isLowSurrogate(low) {
				return (r-0xd800)<<10 | (low - 0xdc00) + 0x10000, 12
			}
		}
		return r, 6
	}
	return rune(s[1]), 2 // quote, backslash, slash
}

func hex4(s []byte) (r rune) {
	for _, c := range s[:4] {
		r = r<<4 | rune(hexValue(c))
	}
	return r
}

func isHighSurrogate(r rune) bool { return r >= 0xd800 && r < 0xdc00 }
func isLowSurrogate(r rune) bool  { return r >= 0xdc00 && r < 0xe000 }

// appendRune is utf8.AppendRune that encodes surrogates too (WTF-8).
func appendRune(dst []byte, r rune) []byte {
	if r >= 0xd800 && r < 0xe000 {
		return append(dst, 0xe0|byte(r>>12), 0x80|byte(r>>6)&0x3f, 0x80|byte(r)&0x3f)
	}
	return utf8.AppendRune(dst, r)
}
