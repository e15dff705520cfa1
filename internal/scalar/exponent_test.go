package scalar_test

import (
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/scalar"
)

// TestLongExponents compares the text of a number whose exponent has many digits with arithmetic of any size.
func TestLongExponents(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		mantissa := rapid.StringMatching(`[1-9]([0-9]{0,30}[1-9])?`).Draw(r, "mantissa")
		exponent := rapid.StringMatching(`-?([1-9][0-9]{18,25}|9{18,25}|10{18,25}|10{17,20}[0-9]{1,2})`).Draw(r, "exponent")
		e, ok := new(big.Int).SetString(exponent, 10)
		if !ok {
			r.Fatal(exponent)
		}
		want := mantissa[:1]
		if len(mantissa) > 1 {
			want += "." + mantissa[1:]
		}
		want += "e" + e.Add(e, big.NewInt(int64(len(mantissa)-1))).String()
		if got := key(r, scalar.Leaf{}, mantissa+"e"+exponent); got != want {
			r.Fatalf("the key of %se%s is %s, want %s", mantissa, exponent, got, want)
		}
		small := "0.000" + mantissa + "E" + exponent
		e.Sub(e, big.NewInt(int64(len(mantissa)+3)))
		want = want[:strings.IndexByte(want, 'e')+1] + e.String()
		if got := key(r, scalar.Leaf{}, small); got != want {
			r.Fatalf("the key of %s is %s, want %s", small, got, want)
		}
	})
}

// BenchmarkLongExponent is the largest number that an event or a message can hold: its cost must grow with
// its length only, as it is read in a channel's turn.
func BenchmarkLongExponent(b *testing.B) {
	text := "12e" + strings.Repeat("9", 1<<20-10)
	tape := parse(b, text)
	var leaf scalar.Leaf
	var dst []byte
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		dst, _ = leaf.AppendKey(dst[:0], tape, jsontape.Root)
	}
}
