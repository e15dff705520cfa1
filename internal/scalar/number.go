package scalar

import (
	"math"
	"strconv"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// appendInt coerces to Int: integral in 32 bit after conversion to a double; booleans are 1 and 0, strings
// are read by the rules of JavaScript's Number().
func appendInt(dst []byte, t *jsontape.Tape, r jsontape.Ref) ([]byte, bool) {
	if isShortInt(t, r) {
		return append(dst, t.Raw(r)...), true
	}
	i, ok := int32Of(t, r)
	if !ok {
		return dst, false
	}
	return strconv.AppendInt(dst, int64(i), 10), true
}

// isShortInt reports whether r is in its canonical form an Int for certain.
func isShortInt(t *jsontape.Tape, r jsontape.Ref) bool {
	raw := t.Raw(r)
	return len(raw) <= 9 && t.IsInteger(r) && raw[0] != '-'
}

func int32Of(t *jsontape.Tape, r jsontape.Ref) (int32, bool) {
	if t.IsInteger(r) {
		if raw := t.Raw(r); len(raw) <= 11 {
			i := smallInt(raw)
			return int32(i), i == int64(int32(i))
		}
		return 0, false
	}
	var buf [64]byte
	text, f, ok := numeric(t, r, buf[:0])
	if !ok {
		return 0, false
	}
	if text != nil {
		if f, ok = double(text); !ok {
			return 0, false
		}
	}
	return int32(f), f == math.Trunc(f) && f >= math.MinInt32 && f <= math.MaxInt32
}

// maxSmallText is the length of the longest integers that smallInt reads: 18 digits, or 17 and a sign.
const maxSmallText = 18

// smallInt reads an integer of at most maxSmallText bytes.
func smallInt(text []byte) (i int64) {
	digits := text
	if digits[0] == '-' {
		digits = digits[1:]
	}
	for _, c := range digits {
		i = i*10 + int64(c-'0')
	}
	if len(digits) != len(text) {
		return -i
	}
	return i
}

// shortDouble reads a number of at most 15 digits that is written without exponent. Such numbers are equal or
// ordered exactly as their doubles are.
func shortDouble(text []byte) (f float64, ok bool) {
	if len(text) > 16 {
		return 0, false
	}
	digits, fraction, mantissa := 0, 0, int64(0)
	for i, c := range text {
		switch {
		case c-'0' < 10:
			mantissa = mantissa*10 + int64(c-'0')
			digits++
		case c == '.':
			fraction = len(text) - 1 - i
		case c != '-':
			return 0, false
		}
	}
	f = float64(mantissa) / powersOfTen[fraction]
	if text[0] == '-' {
		f = -f
	}
	return f, digits <= 15
}

var powersOfTen = [16]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// appendFloat coerces to Float: any number that is finite as a double; booleans and strings as for Int.
func appendFloat(dst []byte, t *jsontape.Tape, r jsontape.Ref) ([]byte, bool) {
	if t.Kind(r) == jsontape.Number {
		if raw := t.Raw(r); isShortest(raw) {
			return append(dst, raw...), true
		}
	}
	var buf [64]byte
	text, f, ok := numeric(t, r, buf[:0])
	if ok && text != nil {
		f, ok = double(text)
	}
	if !ok {
		return dst, false
	}
	return appendDouble(dst, f), true
}

// isShortest reports whether a number is surely written as JavaScript writes it. Up to 15 digits identify a
// double, so that without superfluous zeros there is no shorter text.
func isShortest(text []byte) bool {
	if len(text) > 15 || text[0] == '-' && text[1] == '0' {
		return false
	}
	point := false
	for _, c := range text {
		if c == '.' {
			point = true
		} else if c|0x20 == 'e' {
			return false
		}
	}
	if !point {
		return true
	}
	return text[len(text)-1] != '0' && (text[0] != '0' || len(text) <= 8) // from 1e-6 on: no exponent
}

// numeric finds the number in a Number, Boolean or String node: either as text of a decimal (a JSON number,
// or the forms of it that JavaScript takes in strings: `+1`, `.5`, `5.`, `007`) or as the value f.
func numeric(t *jsontape.Tape, r jsontape.Ref, buf []byte) (text []byte, f float64, ok bool) {
	switch t.Kind(r) {
	case jsontape.Number:
		return t.Raw(r), 0, true
	case jsontape.True:
		return nil, 1, true
	case jsontape.False:
		return nil, 0, true
	case jsontape.String:
		return numericString(t.Text(r, buf))
	}
	return nil, 0, false
}

// double converts a decimal text; ok is false where it is infinite. What is too small is 0.
func double(text []byte) (f float64, ok bool) {
	f, err := strconv.ParseFloat(string(text), 64)
	return f, err == nil
}

// appendDouble writes a finite double as JavaScript does (ECMA-262, Number::toString).
func appendDouble(dst []byte, f float64) []byte {
	if f == 0 {
		return append(dst, '0') // -0 too
	}
	if abs := math.Abs(f); abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	if n := len(dst); dst[n-4] == 'e' && dst[n-2] == '0' { // e-07
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

// isPrinted reports whether a number is how some programs print the double f, with all of the 17 digits that tell it apart from others,
// such as 0.10000000000000001 for 0.1. It means that double, then.
func isPrinted(d decimal, f float64) bool {
	if n := len(d.digits); n < 16 || n > 17 || d.far != nil || d.point >= n {
		return false
	}
	var text, digits [64]byte
	return compareDecimal(d, parseDecimal(strconv.AppendFloat(text[:0], f, 'e', 16, 64), digits[:0])) == 0
}

// AppendInput appends the text of a JSON number coerced as an input of type Float: as JavaScript writes the double, or,
// where that is another number, its exact decimal, so that what was asked for is compared. A double that was printed with all its
// digits is that double. Equal numbers have equal texts. ok is false for what is infinite as a double; what is too small for one is 0.
func AppendInput(dst, number []byte) (out []byte, ok bool) {
	if isShortest(number) {
		return append(dst, number...), true
	}
	f, ok := double(number)
	if !ok {
		return dst, false
	}
	start := len(dst)
	dst = appendDouble(dst, f)
	var buf, rounded [64]byte
	exact := parseDecimal(number, buf[:0])
	if f == 0 || isPrinted(exact, f) || compareDecimal(exact, parseDecimal(dst[start:], rounded[:0])) == 0 {
		return dst, true
	}
	return appendDecimal(dst[:start], exact), true
}

// appendStringText appends the text of a Boolean (not as an ID) or Number (as an ID: an integer) as String
// and ID write it. Integers written in digits alone keep them.
func appendStringText(dst []byte, t *jsontape.Tape, r jsontape.Ref, id bool) ([]byte, bool) {
	switch t.Kind(r) {
	case jsontape.True, jsontape.False:
		if id {
			return dst, false
		}
		return append(dst, t.Raw(r)...), true
	case jsontape.Number:
		raw := t.Raw(r)
		if t.IsInteger(r) && isKept(raw) {
			return append(dst, raw...), true
		}
		f, ok := double(raw)
		if !ok || id && f != math.Trunc(f) {
			return dst, false
		}
		return appendDouble(dst, f), true
	}
	return dst, false
}

// maxIntegerText is the longest integer that is kept digit by digit: any double is shorter than the next.
const maxIntegerText = 309

// isKept reports whether an integer keeps the digits that it is written in: not -0.
func isKept(raw []byte) bool {
	return len(raw) <= maxIntegerText && !(raw[0] == '-' && raw[1] == '0')
}
