package wsframe

import (
	"bytes"
	"compress/flate"
	"errors"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

func TestAgreeDeflate(t *testing.T) {
	const small, large = DeflateAnswer + "; server_max_window_bits=10", DeflateAnswer + "; server_max_window_bits=15"
	for offer, want := range map[string]string{
		"permessage-deflate":                                                 DeflateAnswer,
		"Permessage-Deflate; client_max_window_bits":                         DeflateAnswer,
		"permessage-deflate; client_max_window_bits=10":                      DeflateAnswer,
		`permessage-deflate; client_max_window_bits="15"`:                    DeflateAnswer,
		"permessage-deflate; server_no_context_takeover":                     DeflateAnswer,
		"permessage-deflate; client_no_context_takeover":                     DeflateAnswer,
		"permessage-deflate; server_max_window_bits=15":                      large,
		"permessage-deflate; server_max_window_bits=10":                      small,
		"permessage-deflate; server_max_window_bits":                         "",
		"permessage-deflate; server_max_window_bits=7":                       "",
		"permessage-deflate; server_max_window_bits=010":                     "",
		"permessage-deflate; server_max_window_bits=7, permessage-deflate":   DeflateAnswer,
		"permessage-deflate; server_max_window_bits=10, permessage-deflate":  small,
		"x-webkit-deflate-frame, permessage-deflate":                         DeflateAnswer,
		"permessage-deflate; unknown":                                        "",
		"permessage-deflate; client_max_window_bits=7":                       "",
		"permessage-deflate; client_max_window_bits; client_max_window_bits": "",
		"permessage-deflate; server_no_context_takeover=1":                   "",
		"":                 "",
		"permessage-bzip2": "",
		strings.Repeat("x,", 20) + "permessage-deflate": "",
	} {
		if got, whole := AgreeDeflate([]string{offer}); got != want || whole != (want == DeflateAnswer || want == large) {
			t.Errorf("%q: %q %v", offer, got, whole)
		}
	}
}

// deflate compresses as a client does.
func deflate(t testing.TB, p []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.DefaultCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()[:b.Len()-4]
}

// Blocks that are made apart are one message together.
func TestBlocksJoin(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		payload := []byte(strings.Repeat("some text that comes again ", 1+r.IntN(300)))
		head, tail := bytes.Repeat([]byte("h"), 1+r.IntN(400)), bytes.Repeat([]byte("t"), 1+r.IntN(400))
		z := Deflated(payload)
		if z == nil {
			continue
		}
		message := append(AppendStored(append(AppendStored(nil, head), z...), tail), 0)
		got, err := AppendInflated([]byte("before"), message, 1<<20)
		if err != nil || string(got) != "before"+string(head)+string(payload)+string(tail) {
			t.Fatalf("%d bytes: %v", len(payload), err)
		}
	}
	if Deflated([]byte("short")) != nil {
		t.Error("a short text is compressed")
	}
}

// A message that grows beyond the bound is refused, without memory for it.
func TestBomb(t *testing.T) {
	bomb := deflate(t, make([]byte, 64<<20))
	if len(bomb) > 100<<10 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	got, err := AppendInflated(nil, bomb, 1<<20)
	if !errors.Is(err, ErrTooBig) || len(got) != 0 || cap(got) != 0 {
		t.Errorf("%v, %d bytes of %d", err, len(got), cap(got))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 20 {
		_, _ = AppendInflated(nil, bomb, 1<<20)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
		t.Errorf("20 bombs took %d bytes", n)
	}
}

// The bound holds to the byte, and what is there is kept, however much fits into the buffer.
func TestInflatedSizes(t *testing.T) {
	for _, n := range []int{0, 1, 10, 4096, 4097, 8192, 70_000} {
		text := sample(n)[:n]
		z := deflate(t, text)
		for _, room := range []int{0, 1, n - 1, n, n + 1, 3 * n} {
			for _, limit := range []int{n - 1, n, n + 1, 1 << 20} {
				if room < 0 || limit < 0 {
					continue
				}
				got, err := AppendInflated(append(make([]byte, 0, 6+room), "before"...), z, limit)
				want := "before"
				if limit >= n {
					want += string(text)
				}
				if (err == nil) != (limit >= n) || err != nil && !errors.Is(err, ErrTooBig) || string(got) != want {
					t.Errorf("%d bytes into %d, limit %d: %d bytes, %v", n, room, limit, len(got), err)
				}
			}
		}
	}
}

// A message of many pieces takes about twice its size while it grows, and never more than it may become.
func TestMessageGrowsByDoubling(t *testing.T) {
	const n = 1 << 20
	d := &Decoder{}
	wire := AppendMasked(nil, true, Binary, 7, make([]byte, n))
	var s State
	made, last := 0, 0
	for b := wire; len(b) > 0; b = b[min(1000, len(b)):] {
		m, _, err := d.Next(&s, b[:min(1000, len(b))])
		if err != nil {
			t.Fatal(err)
		}
		if s.p != nil && cap(s.p.msg) != last {
			last = cap(s.p.msg)
			made += last
		}
		if m.Op == Binary && (len(m.Payload) != n || cap(m.Payload) != n) {
			t.Errorf("%d bytes in %d", len(m.Payload), cap(m.Payload))
		}
	}
	if made > 3*n {
		t.Errorf("%d bytes were made for %d", made, n)
	}
}

func TestDeflatedMessages(t *testing.T) {
	d := &Decoder{Deflate: true}
	text := []byte(strings.Repeat("é and more ", 100))
	z := deflate(t, text)
	whole := AppendMasked(nil, true, Text, 7, z)
	whole[0] |= 0x40
	first := AppendMasked(nil, false, Text, 7, z[:5])
	first[0] |= 0x40
	parts := append(append(first, AppendMasked(nil, true, Ping, 7, []byte("p"))...), AppendMasked(nil, true, Continuation, 7, z[5:])...)
	for _, wire := range [][]byte{whole, parts} {
		for _, step := range []int{1, 3, len(wire)} {
			var s State
			var got []Message
			for rest := append([]byte(nil), wire...); len(rest) > 0; {
				n := min(step, len(rest))
				for b := rest[:n]; len(b) > 0; {
					m, more, err := d.Next(&s, b)
					if err != nil {
						t.Fatal(err)
					}
					if m.Op == Text {
						got = append(got, Message{Op: m.Op, Payload: bytes.Clone(m.Payload), Deflated: m.Deflated})
					}
					b = more
				}
				rest = rest[n:]
			}
			if len(got) != 1 || !got[0].Deflated {
				t.Fatalf("step %d: %v", step, got)
			}
			if p, err := AppendInflated(nil, got[0].Payload, 1<<20); err != nil || !bytes.Equal(p, text) {
				t.Errorf("step %d: %v", step, err)
			}
		}
	}
	for name, wire := range map[string][]byte{
		"a compressed continuation": append(AppendMasked(nil, false, Text, 7, []byte("plain")), 0x40|0x80, 0x80),
		"a compressed ping":         {0x80 | 0x40 | byte(Ping), 0x80, 0, 0, 0, 0},
		"another reserved bit":      {0x80 | 0x20 | byte(Text), 0x80, 0, 0, 0, 0},
		"not agreed":                whole,
	} {
		decoder := *d
		decoder.Deflate = name != "not agreed"
		var s State
		var err error
		for b := append([]byte(nil), wire...); len(b) > 0 && err == nil; {
			_, b, err = decoder.Next(&s, b)
		}
		if !errors.Is(err, ErrReservedBits) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzInflate inflates whatever a client sends within its bound; what was deflated comes back.
func FuzzInflate(f *testing.F) {
	f.Add([]byte("text"), 100)
	f.Add(deflate(f, []byte(strings.Repeat("text ", 100))), 1000)
	f.Add([]byte{0xff, 0xff}, 1)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, p []byte, limit int) {
		limit = max(0, min(limit, 1<<16))
		got, err := AppendInflated(nil, p, limit)
		if len(got) > limit || err != nil && len(got) > 0 {
			t.Fatalf("%d bytes of %d: %v", len(got), limit, err)
		}
		if z := Deflated(p); z != nil {
			if back, err := AppendInflated(nil, z[:len(z)-4], len(p)); err != nil || !bytes.Equal(back, p) {
				t.Fatalf("not the same: %v", err)
			}
		}
	})
}

// What a group's payload costs to compress, once.
func BenchmarkDeflated(b *testing.B) {
	for _, n := range []int{512, 4 << 10, 64 << 10} {
		payload := sample(n)
		b.Run(size(n), func(b *testing.B) {
			b.SetBytes(int64(n))
			b.ReportAllocs()
			var z []byte
			for b.Loop() {
				z = Deflated(payload)
			}
			b.ReportMetric(float64(len(z)), "out-bytes")
		})
	}
}

func size(n int) string { return map[int]string{512: "512B", 4 << 10: "4KiB", 64 << 10: "64KiB"}[n] }

// sample is JSON as events have it: members that come again, values that do not.
func sample(n int) []byte {
	r := rand.New(rand.NewPCG(2, 2))
	words := []string{"paid", "placed", "shipped", "Amsterdam", "Zürich", "Wien", "blue", "green"}
	p := []byte(`{"data":{"orders":{"lines":[`)
	for len(p) < n {
		p = append(p, `{"product":"`+words[r.IntN(len(words))]+`","quantity":`...)
		p = append(p, byte('0'+r.IntN(10)), byte('0'+r.IntN(10)))
		p = append(p, `,"price":`...)
		for range 6 {
			p = append(p, byte('0'+r.IntN(10)))
		}
		p = append(p, "},"...)
	}
	return append(p, `null]}}`...)
}

// FuzzAgreeDeflate reads what clients offer: the answer is one that a client of RFC 7692 takes, or none.
func FuzzAgreeDeflate(f *testing.F) {
	for _, s := range []string{"", "permessage-deflate", "permessage-deflate; client_max_window_bits", `x-a, permessage-deflate; server_max_window_bits="10"`, "permessage-deflate; server_max_window_bits=8; a", ";,=;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, offer string) {
		answer, whole := AgreeDeflate([]string{offer})
		switch rest, ok := strings.CutPrefix(answer, DeflateAnswer); {
		case answer == "" && !whole:
		case !ok || whole != (rest == ""):
			t.Fatalf("%q: %q, %v", offer, answer, whole)
		case rest != "":
			bits, err := strconv.Atoi(strings.TrimPrefix(rest, "; server_max_window_bits="))
			if err != nil || bits < 8 || bits > 14 {
				t.Fatalf("%q: %q", offer, answer)
			}
		}
	})
}

// A message may consist of streams that end: what stands behind one belongs to it, as far as it is one.
func TestSeveralLastBlocks(t *testing.T) {
	ended := func(text string) []byte {
		var b bytes.Buffer
		w, err := flate.NewWriter(&b, flate.BestCompression)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	long := strings.Repeat("0123456789", 2000)
	for name, tt := range map[string]struct {
		message []byte
		want    string
		err     error
	}{
		"one":               {ended("a"), "a", nil},
		"with its padding":  {append(ended("a"), 0), "a", nil},
		"two":               {append(ended("a"), ended(long)...), "a" + long, nil},
		"and one that goes": {append(ended(long), deflate(t, []byte("b"))...), long + "b", nil},
		"none behind":       {append(ended("a"), "\xff\xff\xff"...), "", ErrDeflate},
		"too many":          {bytes.Repeat(ended(""), maxEnds+2), "", ErrDeflate},
		"too long together": {append(ended(long), ended(long+long)...), "", ErrTooBig},
	} {
		got, err := AppendInflated(nil, tt.message, 50_000)
		if string(got) != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}
