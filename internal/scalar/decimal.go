package scalar

import (
	"bytes"
	"strconv"
)

// decimal is an exact number: ±0.digits × 10^point. digits has no zero at either end; 0 has no digits and
// no sign.
type decimal struct {
	digits []byte
	point  int
	neg    bool
	// far is set where the exponent does not fit: it then stands here and point is what must be added.
	far []byte
}

// parseDecimal reads a JSON number or one of the forms that isJSDecimal takes. The digits are part of text
// where possible, else written over buf.
func parseDecimal(text, buf []byte) (d decimal) {
	if text[0] == '-' || text[0] == '+' {
		d.neg = text[0] == '-'
		text = text[1:]
	}
	n := digits(text)
	whole, rest := text[:n], text[n:]
	d.digits, d.point = whole, n
	if len(rest) > 0 && rest[0] == '.' {
		m := digits(rest[1:])
		if part := rest[1 : 1+m]; len(bytes.TrimLeft(whole, "0")) > 0 {
			d.digits = append(append(buf[:0], whole...), part...)
		} else {
			d.digits, d.point = part, 0
		}
		rest = rest[1+m:]
	}
	for len(d.digits) > 0 && d.digits[0] == '0' {
		d.digits = d.digits[1:]
		d.point--
	}
	for n := len(d.digits); n > 0 && d.digits[n-1] == '0'; n-- {
		d.digits = d.digits[:n-1]
	}
	if len(d.digits) == 0 {
		return decimal{}
	}
	if len(rest) > 0 {
		e, far := exponent(rest[1:])
		d.point, d.far = d.point+e, far
	}
	return d
}

// exponent reads a signed number; it is far, and 0, where it does not fit.
func exponent(text []byte) (e int, far []byte) {
	unsigned, sign := text, 1
	if text[0] == '-' || text[0] == '+' {
		if unsigned = text[1:]; text[0] == '-' {
			sign = -1
		}
	}
	for len(unsigned) > 1 && unsigned[0] == '0' {
		unsigned = unsigned[1:]
	}
	if len(unsigned) >= maxSmallText {
		return 0, text
	}
	return sign * int(smallInt(unsigned)), nil
}

// maxZeros is how many zeros stand at the end of a number that is written without an exponent.
const maxZeros = 21

// appendDecimal writes the one text of a number: digits alone, with a point, or, where more than maxZeros zeros
// would have to be filled in (after the point: 6), with an exponent.
func appendDecimal(dst []byte, d decimal) []byte { return appendFilled(dst, d, maxZeros) }

// appendFilled is appendDecimal with another number in the place of maxZeros.
func appendFilled(dst []byte, d decimal, most int) []byte {
	n := len(d.digits)
	if n == 0 {
		return append(dst, '0')
	}
	if d.neg {
		dst = append(dst, '-')
	}
	switch zeros := d.point - n; {
	case d.far != nil || zeros > most || d.point < -6:
		dst = append(dst, d.digits[0])
		if n > 1 {
			dst = append(append(dst, '.'), d.digits[1:]...)
		}
		return appendExponent(append(dst, 'e'), d)
	case zeros >= 0:
		return appendZeros(append(dst, d.digits...), zeros)
	case d.point > 0:
		dst = append(append(dst, d.digits[:d.point]...), '.')
		return append(dst, d.digits[d.point:]...)
	default:
		return append(appendZeros(append(dst, '0', '.'), -d.point), d.digits...)
	}
}

func appendZeros(dst []byte, n int) []byte {
	const zeros = "00000000000000000000000000000000"
	for ; n > len(zeros); n -= len(zeros) {
		dst = append(dst, zeros...)
	}
	return append(dst, zeros[:n]...)
}

func appendExponent(dst []byte, d decimal) []byte {
	if d.far == nil {
		return strconv.AppendInt(dst, int64(d.point-1), 10)
	}
	digits, add := bytes.TrimLeft(d.far, "+-0"), d.point-1
	if d.far[0] == '-' {
		dst, add = append(dst, '-'), -add
	}
	return appendSum(dst, digits, add)
}

// appendSum appends the sum of an integer of many digits and one that is smaller: in linear time, as the digits
// may fill an event.
func appendSum(dst, digits []byte, add int) []byte {
	start := len(dst)
	dst = append(append(dst, '0'), digits...)
	for i := len(dst) - 1; add != 0; i-- {
		sum := int(dst[i]-'0') + add
		digit := (sum%10 + 10) % 10
		dst[i] = '0' + byte(digit)
		add = (sum - digit) / 10
	}
	text := bytes.TrimLeft(dst[start:], "0")
	return append(dst[:start], text...)
}

// compareDecimal orders two numbers whose exponents fit.
func compareDecimal(a, b decimal) int {
	sa, sb := a.sign(), b.sign()
	switch {
	case sa != sb:
		if sa < sb {
			return -1
		}
		return 1
	case sa == 0:
		return 0
	case a.point != b.point:
		if a.point < b.point {
			return -sa
		}
		return sa
	}
	return sa * bytes.Compare(a.digits, b.digits)
}

func (d *decimal) sign() int {
	switch {
	case len(d.digits) == 0:
		return 0
	case d.neg:
		return -1
	}
	return 1
}
