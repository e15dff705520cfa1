package wsframe

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAppendHeader(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 1 << 20} {
		h := AppendHeader(nil, Text, n)
		if len(h) != HeaderLen(n) {
			t.Errorf("header of %d: %d bytes, HeaderLen says %d", n, len(h), HeaderLen(n))
		}
		d := &Decoder{Client: true, MaxMessage: 2 << 20}
		got, size, err := d.header(h, 0, 0)
		if err != nil || size != len(h) || got.length != n || !got.fin || got.op != Text {
			t.Errorf("header of %d decodes to %+v, %d, %v", n, got, size, err)
		}
	}
}

func TestAppendClose(t *testing.T) {
	cases := []struct {
		code   uint16
		reason string
		want   string
	}{
		{1000, "", "\x88\x02\x03\xe8"},
		{1000, "bye", "\x88\x05\x03\xe8bye"},
		{1005, "not on the wire", "\x88\x00"},
		{4400, strings.Repeat("x", 200), "\x88\x7d\x11\x30" + strings.Repeat("x", 123)},
		{4400, strings.Repeat("é", 100), "\x88\x7c\x11\x30" + strings.Repeat("é", 61)},
		{4400, strings.Repeat("x", 122) + "é", "\x88\x7c\x11\x30" + strings.Repeat("x", 122)},
		{4400, "\xff", "\x88\x02\x11\x30"},
	}
	for _, c := range cases {
		if got := AppendClose(nil, c.code, c.reason); string(got) != c.want {
			t.Errorf("AppendClose(%d, %d bytes) = %q, want %q", c.code, len(c.reason), got, c.want)
		}
		masked := AppendMaskedClose(nil, c.code, []byte(c.reason), testKey)
		if _, err := run(&Decoder{}, masked, 0); err != nil {
			t.Errorf("AppendMaskedClose(%d): %v", c.code, err)
		}
	}
	if got := AppendFrame(nil, Ping, make([]byte, 200)); len(got) != 2+MaxControl {
		t.Errorf("control frame of %d bytes", len(got))
	}
}

func TestMask(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 200 {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		key := [4]byte{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())}
		want := make([]byte, n)
		for i := range p {
			want[i] = p[i] ^ key[i%4]
		}
		cut := r.IntN(n + 1)
		k := uint32(key[0]) | uint32(key[1])<<8 | uint32(key[2])<<16 | uint32(key[3])<<24
		k = Mask(p[:cut], k)
		Mask(p[cut:], k)
		if !bytes.Equal(p, want) {
			t.Fatalf("mask of %d bytes cut at %d differs", n, cut)
		}
	}
}

func TestValidCode(t *testing.T) {
	valid := 0
	for code := range 1 << 16 {
		if ValidCode(uint16(code)) {
			valid++
		}
	}
	if valid != 4+8+2000 {
		t.Errorf("%d valid codes", valid)
	}
}

func TestUTF8State(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		p := make([]byte, r.IntN(24))
		for i := range p {
			if p[i] = byte(r.Uint32()); r.IntN(3) == 0 {
				p[i] &= 0x7F
			}
		}
		if r.IntN(2) == 0 {
			p = []byte(string([]rune(string(p))))
		}
		cut := r.IntN(len(p) + 1)
		var u utf8State
		got := u.write(p[:cut]) && u.write(p[cut:]) && u.boundary()
		if got != utf8.Valid(p) {
			t.Fatalf("%q cut at %d: %v", p, cut, got)
		}
	}
}
