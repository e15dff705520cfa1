package wsframe

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const testKey = 0x78563412

// frame is a client's frame, masked.
func frame(fin bool, op Opcode, payload string) []byte {
	return AppendMasked(nil, fin, op, testKey, []byte(payload))
}

func whole(op Opcode, payload string) []byte { return frame(true, op, payload) }

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// closing is a client's close frame with any code and reason.
func closing(code int, reason string) []byte {
	return whole(Close, string([]byte{byte(code >> 8), byte(code)})+reason)
}

// run feeds stream in pieces of size n (0: at once) and returns what came out, as text.
func run(d *Decoder, stream []byte, n int) (out []string, err error) {
	var s State
	stream = bytes.Clone(stream)
	if n == 0 {
		n = max(len(stream), 1)
	}
	for len(stream) > 0 {
		piece := stream[:min(n, len(stream))]
		stream = stream[len(piece):]
		for {
			var m Message
			if m, piece, err = d.Next(&s, piece); err != nil {
				return out, err
			}
			if m.Op == 0 {
				break
			}
			out = append(out, fmt.Sprintf("%x:%s", m.Op, m.Payload))
			if m.Op == Close {
				return out, nil
			}
		}
	}
	return out, nil
}

// The cases follow the sections of the Autobahn test suite: 1 framing, 2 pings, 3 reserved bits, 4 opcodes,
// 5 fragmentation, 6 UTF-8, 7 close handshake.
func TestConformance(t *testing.T) {
	type tc struct {
		name   string
		stream []byte
		want   []string
		err    error
	}
	var cases []tc
	for _, n := range []int{0, 1, 7, 8, 9, 31, 32, 33, 124, 125, 126, 127, 128, 65535, 65536, 65537} {
		p := strings.Repeat("*", n)
		cases = append(cases,
			tc{fmt.Sprintf("1.1 text %d", n), whole(Text, p), []string{"1:" + p}, nil},
			tc{fmt.Sprintf("1.2 binary %d", n), whole(Binary, p), []string{"2:" + p}, nil})
	}
	for _, bit := range []byte{0x10, 0x20, 0x40, 0x50, 0x70} {
		for _, op := range []Opcode{Text, Binary, Ping, Close} {
			f := whole(op, "")
			f[0] |= bit
			cases = append(cases, tc{fmt.Sprintf("3 bit %x op %x", bit, op), join(whole(Text, "ok"), f), []string{"1:ok"}, ErrReservedBits})
		}
	}
	for _, op := range []Opcode{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		cases = append(cases, tc{fmt.Sprintf("4 opcode %d", op), whole(op, "x"), nil, ErrReservedOpcode})
	}
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		cases = append(cases, tc{fmt.Sprintf("7.7 code %d", code), closing(code, "bye"), []string{"8:" + string([]byte{byte(code >> 8), byte(code)}) + "bye"}, nil})
	}
	for _, code := range []int{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		cases = append(cases, tc{fmt.Sprintf("7.9 code %d", code), closing(code, ""), nil, ErrClosePayload})
	}
	long := whole(Text, "x")
	long[1] = 0x80 | 126
	cases = append(cases, []tc{
		{"2.1 empty ping", whole(Ping, ""), []string{"9:"}, nil},
		{"2.4 ping 125", whole(Ping, strings.Repeat("p", 125)), []string{"9:" + strings.Repeat("p", 125)}, nil},
		{"2.5 ping 126", whole(Ping, strings.Repeat("p", 126)), nil, ErrControl},
		{"2.7 pong", join(whole(Pong, "a"), whole(Ping, "b")), []string{"a:a", "9:b"}, nil},
		{"5.1 fragmented ping", join(frame(false, Ping, "a"), frame(true, Continuation, "b")), nil, ErrControl},
		{"5.2 fragmented pong", join(frame(false, Pong, "a"), frame(true, Continuation, "b")), nil, ErrControl},
		{"5.3 fragmented text", join(frame(false, Text, "a"), frame(true, Continuation, "b")), []string{"1:ab"}, nil},
		{"5.6 ping inside", join(frame(false, Text, "a"), whole(Ping, "p"), frame(true, Continuation, "b"), whole(Text, "c")), []string{"9:p", "1:ab", "1:c"}, nil},
		{"5.9 continuation alone", join(frame(true, Continuation, "x"), whole(Text, "y")), nil, ErrContinuation},
		{"5.11 continuation first", join(frame(false, Continuation, "x"), whole(Text, "y")), nil, ErrContinuation},
		{"5.15 continuation after end", join(frame(false, Text, "a"), frame(true, Continuation, "b"), frame(false, Continuation, "c")), []string{"1:ab"}, ErrContinuation},
		{"5.18 text inside text", join(frame(false, Text, "a"), whole(Text, "b")), nil, ErrInterleaved},
		{"5.18 binary inside text", join(frame(false, Text, "a"), frame(false, Binary, "b")), nil, ErrInterleaved},
		{"5.19 pings between fragments", join(frame(false, Text, "1"), frame(false, Continuation, "2"), whole(Ping, "p"), frame(false, Continuation, "3"), whole(Ping, "q"), frame(true, Continuation, "4")), []string{"9:p", "9:q", "1:1234"}, nil},
		{"6.1 empty fragments", join(frame(false, Text, ""), frame(false, Continuation, ""), frame(true, Continuation, "")), []string{"1:"}, nil},
		{"6.2 split character", join(frame(false, Text, "κ\xce"), frame(true, Continuation, "\xbaσ")), []string{"1:κκσ"}, nil},
		{"6.3 invalid text", whole(Text, "a\xed\xa0\x80b"), nil, ErrUTF8},
		{"6.3 invalid across fragments", join(frame(false, Text, "a\xed"), frame(false, Continuation, "\xa0"), frame(true, Continuation, "\x80b")), nil, ErrUTF8},
		{"6.4 too large, first fragment", frame(false, Text, "\xf4\x90"), nil, ErrUTF8},
		{"6.6 cut character", join(frame(false, Text, "a\xf0\x9f"), frame(true, Continuation, "\x98")), nil, ErrUTF8},
		{"6.6 cut character, one frame", whole(Text, "a\xf0\x9f\x98"), nil, ErrUTF8},
		{"6 binary is not checked", whole(Binary, "\xff\xfe"), []string{"2:\xff\xfe"}, nil},
		{"7.1 empty close", join(whole(Close, ""), whole(Text, "late")), []string{"8:"}, nil},
		{"7.3 close of 1", whole(Close, "x"), nil, ErrClosePayload},
		{"7.3 close of 125", closing(1000, strings.Repeat("r", 123)), []string{"8:\x03\xe8" + strings.Repeat("r", 123)}, nil},
		{"7.3 close of 126", closing(1000, strings.Repeat("r", 124)), nil, ErrControl},
		{"7.5 reason not UTF-8", closing(1000, "\xce\xba\xff"), nil, ErrUTF8},
		{"mask missing", AppendFrame(nil, Text, []byte("hello")), nil, ErrUnmasked},
		{"length not minimal, 16 bit", []byte{0x81, 0x80 | 126, 0, 125, 1, 2, 3, 4}, nil, ErrLength},
		{"length not minimal, 64 bit", []byte{0x81, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4}, nil, ErrLength},
		{"length with top bit", []byte{0x82, 0x80 | 127, 0x80, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4}, nil, ErrLength},
		{"too big, header is enough", []byte{0x82, 0x80 | 127, 0, 0, 0, 0, 0, 1, 0, 2}, nil, ErrTooBig},
		{"too big in fragments", join(frame(false, Binary, strings.Repeat("x", 65000)), frame(true, Continuation, strings.Repeat("x", 600))), nil, ErrTooBig},
	}...)
	d := &Decoder{MaxMessage: 65537}
	for _, c := range cases {
		for _, n := range []int{0, 1, 2, 3, 7, 1000} {
			got, err := run(d, c.stream, n)
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Fatalf("%s in pieces of %d: error %v, want %v", c.name, n, err, c.err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Fatalf("%s in pieces of %d: %s", c.name, n, diff)
			}
		}
	}
}

// A violation is reported as soon as its byte is there, not at the end of the frame.
func TestFailsFast(t *testing.T) {
	cases := map[string][]byte{
		"invalid text, frame incomplete": frame(true, Text, "abc\xff"+strings.Repeat("x", 100))[:2+4+4],
		"surrogate, second byte":         frame(true, Text, "\xed\xa0"+strings.Repeat("x", 100))[:2+4+2],
		"overlong lead":                  frame(true, Text, "\xc0"+strings.Repeat("x", 100))[:2+4+1],
		"reserved opcode, one byte":      {0x83},
		"unmasked, two bytes":            {0x81, 5},
		"control too long, two bytes":    {0x89, 0xFE},
	}
	d := &Decoder{}
	for name, stream := range cases {
		for _, n := range []int{0, 1} {
			if _, err := run(d, stream, n); err == nil {
				t.Errorf("%s, pieces of %d: no error", name, n)
			}
			if _, err := run(d, stream[:len(stream)-1], n); err != nil {
				t.Errorf("%s, one byte less: %v", name, err)
			}
		}
	}
}

// A message within one read is not copied, and nothing is kept between messages.
func TestInPlace(t *testing.T) {
	var s State
	d := &Decoder{}
	b := join(whole(Text, "first"), whole(Ping, "p"), whole(Text, "second"))
	at := 6
	for _, want := range []string{"first", "p", "second"} {
		m, rest, err := d.Next(&s, b)
		if err != nil || string(m.Payload) != want {
			t.Fatalf("Next = %q, %v; want %q", m.Payload, err, want)
		}
		if &m.Payload[0] != &b[at] {
			t.Errorf("%q was copied", want)
		}
		b = rest
		if !s.Idle() {
			t.Errorf("state holds memory after %q", want)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		if m, _, err := d.Next(&s, pinned()); err != nil || m.Op != Text {
			t.Fatal(m, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per message", n)
	}
}

var pinBuf, pinFrame = make([]byte, 64), whole(Text, "hello")

func pinned() []byte { return pinBuf[:copy(pinBuf, pinFrame)] }

// Half a frame holds what arrived, not what its header announced.
func TestHeld(t *testing.T) {
	var s State
	d := &Decoder{}
	f := whole(Text, strings.Repeat("x", 100_000))
	if _, _, err := d.Next(&s, f[:10+4+3]); err != nil {
		t.Fatal(err)
	}
	if s.Held() != 3 || cap(s.p.msg) > 64 {
		t.Errorf("held %d bytes, capacity %d", s.Held(), cap(s.p.msg))
	}
	m, _, err := d.Next(&s, f[10+4+3:])
	if err != nil || len(m.Payload) != 100_000 || !s.Idle() {
		t.Errorf("%d bytes, %v, idle %v", len(m.Payload), err, s.Idle())
	}
}

func TestClientDecoder(t *testing.T) {
	d := &Decoder{Client: true}
	stream := join(AppendFrame(nil, Text, []byte("a")), AppendFrame(nil, Binary, make([]byte, 70000)), AppendClose(nil, 4400, "no"))
	for _, n := range []int{0, 1, 5} {
		got, err := run(d, stream, n)
		if err != nil || len(got) != 3 || got[0] != "1:a" || len(got[1]) != 70002 || got[2] != "8:\x11\x30no" {
			t.Errorf("pieces of %d: %d messages, %v", n, len(got), err)
		}
	}
	if _, err := run(d, whole(Text, "a"), 0); !errors.Is(err, ErrMasked) {
		t.Errorf("masked frame from a server: %v", err)
	}
}
