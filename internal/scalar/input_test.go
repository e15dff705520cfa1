package scalar_test

import (
	"math/big"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

func TestAppendInput(t *testing.T) {
	for _, c := range []struct{ number, want string }{
		{"0", "0"}, {"-0", "0"}, {"0.00", "0"}, {"1", "1"}, {"-1.50", "-1.5"}, {"100", "100"}, {"1e2", "100"}, {"1E+21", "1e+21"}, {"1e-7", "1e-7"}, {"0.1", "0.1"},
		{"0.10000000000000001", "0.1"}, {"12345678901234.567", "12345678901234.567"}, {"9999999999999.997", "9999999999999.997"}, {"2.2999999999999998", "2.3"}, {"-9.9999999999999995e-8", "-1e-7"},
		{"9007199254740993", "9007199254740993"}, {"9007199254740993.000", "9007199254740993"}, {"90071992547409930e-1", "9007199254740993"},
		{"-0.123456789012345678", "-0.123456789012345678"}, {"123456789012345678901234567890123456789012345678901234567890123456789.5", "123456789012345678901234567890123456789012345678901234567890123456789.5"},
		{"12345678901234567e30", "1.2345678901234567e46"}, {"12345678901234567890e30", "1.234567890123456789e49"}, {"0.00000012345678901234567890", "0.0000001234567890123456789"}, {"0.000000012345678901234567890", "1.234567890123456789e-8"},
		{"1.7976931348623157e308", "1.7976931348623157e+308"}, {"5e-324", "5e-324"}, {"1e-400", "0"}, {"1e-99999999999999999999", "0"}, {"0e99999999999999999999", "0"},
		{"1e309", ""}, {"-1e400", ""}, {"1e99999999999999999999", ""},
	} {
		got, ok := scalar.AppendInput([]byte("before"), []byte(c.number))
		if ok != (c.want != "") || string(got) != "before"+c.want {
			t.Errorf("%s: %s %v, want %s", c.number, got, ok, c.want)
		}
		if _, err := strconv.ParseFloat(c.want, 64); c.want != "" && err != nil {
			t.Errorf("%s is no number", c.want)
		}
	}
}

// TestAppendInputIsExact: the text is the number, or the double that was printed so, and the same for other texts of it.
func TestAppendInputIsExact(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		number := rapid.StringMatching(`-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?(e[+-]?[0-9]{1,2})?`).Draw(r, "number")
		got, ok := scalar.AppendInput(nil, []byte(number))
		want := floatRat(r, number)
		value, _ := new(big.Rat).SetString(string(got))
		if !ok || value.Cmp(want) != 0 {
			r.Fatalf("%s: %s %v", number, got, ok)
		}
		if again, _ := scalar.AppendInput(nil, []byte(value.FloatString(130))); string(again) != string(got) {
			r.Fatalf("%s is %s and %s", number, got, again)
		}
	})
}
