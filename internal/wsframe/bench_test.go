package wsframe

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

func BenchmarkMask(b *testing.B) {
	for _, n := range []int{32, 200, 4096, 65536} {
		p := make([]byte, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				Mask(p, testKey)
			}
		})
	}
}

// BenchmarkDecode is a subscribe message of 200 bytes that arrives whole.
func BenchmarkDecode(b *testing.B) {
	src := whole(Text, strings.Repeat("x", 200))
	buf := make([]byte, len(src))
	d := &Decoder{}
	var s State
	b.ReportAllocs()
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		copy(buf, src)
		if _, _, err := d.Next(&s, buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendHeader(b *testing.B) {
	dst := make([]byte, 0, 16)
	for b.Loop() {
		dst = AppendHeader(dst[:0], Text, 300)
	}
}

func BenchmarkInflate(b *testing.B) {
	for _, size := range []int{200, 20_000} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			var text []byte
			for i := 0; len(text) < size; i++ {
				text = strconv.AppendInt(append(text, `{"id":`...), int64(i*7919), 10)
			}
			p, dst := deflate(b, text), make([]byte, 0, 2*size)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := AppendInflated(dst, p, 1<<20); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
