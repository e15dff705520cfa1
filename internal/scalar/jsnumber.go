package scalar

import (
	"bytes"
	"math"
	"math/big"
	"unicode"
	"unicode/utf8"
)

// numericString reads a string as JavaScript's Number() does (ECMA-262, StringToNumber), where graphql-js
// refuses the empty string. The result is as numeric's. Infinity and what is no number are refused.
func numericString(s []byte) (text []byte, f float64, ok bool) {
	if len(s) == 0 {
		return nil, 0, false
	}
	s = bytes.TrimFunc(s, isJSSpace)
	if len(s) == 0 {
		return nil, 0, true
	}
	if s[0] == '0' && len(s) > 2 {
		switch s[1] | 0x20 {
		case 'x':
			return radixNumber(s[2:], 16)
		case 'o':
			return radixNumber(s[2:], 8)
		case 'b':
			return radixNumber(s[2:], 2)
		}
	}
	return s, 0, isJSDecimal(s)
}

// isJSSpace is WhiteSpace and LineTerminator of ECMA-262.
func isJSSpace(r rune) bool {
	switch r {
	case '\t', '\n', '\v', '\f', '\r', ' ', 0xfeff, 0x2028, 0x2029:
		return true
	}
	return r >= utf8.RuneSelf && unicode.Is(unicode.Zs, r)
}

// isJSDecimal is StrDecimalLiteral without Infinity.
func isJSDecimal(s []byte) bool {
	if s[0] == '+' || s[0] == '-' {
		s = s[1:]
	}
	whole := digits(s)
	s = s[whole:]
	if len(s) > 0 && s[0] == '.' {
		part := digits(s[1:])
		s = s[1+part:]
		whole += part
	}
	if whole == 0 {
		return false
	}
	if len(s) > 0 && s[0]|0x20 == 'e' {
		if s = s[1:]; len(s) > 0 && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		n := digits(s)
		if n == 0 {
			return false
		}
		s = s[n:]
	}
	return len(s) == 0
}

func digits(s []byte) (n int) {
	for n < len(s) && s[n]-'0' < 10 {
		n++
	}
	return n
}

// radixNumber reads digits of base 2, 8 or 16, rounded as a double; ok is false where that is infinite.
func radixNumber(s []byte, base int) (text []byte, f float64, ok bool) {
	for _, c := range s {
		if v := digitValue(c); v >= base {
			return nil, 0, false
		}
	}
	s = bytes.TrimLeft(s, "0")
	if len(s) > 1024 { // 2^1024 is infinite
		return nil, 0, false
	}
	if len(s) == 0 {
		return nil, 0, true
	}
	i, _ := new(big.Int).SetString(string(s), base)
	f, _ = new(big.Float).SetInt(i).Float64()
	return nil, f, !math.IsInf(f, 0)
}

func digitValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return 255
}
