package wsframe

import (
	"bytes"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// FuzzDecode feeds the same bytes at once, byte by byte and in pieces of a fuzzed size: the messages and the
// error must be the same, text must be UTF-8 and no message longer than the limit.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{}, uint8(1))
	f.Add(whole(Text, "hello"), uint8(3))
	f.Add(join(frame(false, Text, "κ\xce"), whole(Ping, "p"), frame(true, Continuation, "\xba")), uint8(5))
	f.Add(join(whole(Binary, string(make([]byte, 300))), closing(1000, "bye")), uint8(7))
	f.Add([]byte{0x81, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4}, uint8(2))
	f.Fuzz(func(t *testing.T, stream []byte, piece uint8) {
		d := &Decoder{MaxMessage: 1000}
		want, wantErr := run(d, stream, 0)
		for _, n := range []int{1, int(piece) + 1} {
			got, err := run(d, stream, n)
			if diff := cmp.Diff(want, got); diff != "" || err != wantErr {
				t.Fatalf("pieces of %d: error %v, want %v; %s", n, err, wantErr, diff)
			}
		}
		for _, m := range want {
			if len(m) > 1002 || m[0] == '1' && !utf8.ValidString(m) {
				t.Fatalf("bad message %q", m)
			}
		}
	})
}

// FuzzEncode checks that a client's encoding decodes to what went in, whatever the fragmentation.
func FuzzEncode(f *testing.F) {
	f.Add([]byte("hello"), uint32(testKey), uint16(2))
	f.Add(bytes.Repeat([]byte("é"), 300), uint32(1), uint16(100))
	f.Fuzz(func(t *testing.T, payload []byte, key uint32, cut uint16) {
		var stream []byte
		op, rest := Binary, payload
		for len(rest) > int(cut) {
			stream = AppendMasked(stream, false, op, key, rest[:cut])
			op, rest = Continuation, rest[cut:]
			if cut == 0 {
				break
			}
		}
		stream = AppendMasked(stream, true, op, key, rest)
		got, err := run(&Decoder{MaxMessage: 1 << 22}, stream, 0)
		if err != nil || len(got) != 1 || got[0] != "2:"+string(payload) {
			t.Fatalf("%d messages, %v", len(got), err)
		}
	})
}
