package event

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

// inOrder are positions in the order that Compare gives.
var inOrder = []Position{
	{},
	{Minor: 1},
	{Minor: math.MaxUint64},
	{Major: 1},
	{Major: 1, Minor: 1},
	{Major: math.MaxUint64},
	{Partition: 1},
	{Partition: math.MaxUint32, Major: 1},
	{Epoch: 1},
	{Epoch: 1, Minor: 1},
	{Epoch: math.MaxUint64, Partition: math.MaxUint32, Major: math.MaxUint64, Minor: math.MaxUint64},
}

func TestPositionOrder(t *testing.T) {
	for i, p := range inOrder {
		for k, q := range inOrder {
			want := 0
			if i < k {
				want = -1
			} else if i > k {
				want = 1
			}
			if got := p.Compare(q); got != want {
				t.Errorf("%v, %v: %d, want %d", p, q, got, want)
			}
			if p.SameRun(q) != (p.Epoch == q.Epoch && p.Partition == q.Partition) {
				t.Errorf("%v, %v: SameRun %v", p, q, p.SameRun(q))
			}
		}
		if p.IsZero() != (i == 0) {
			t.Errorf("%v: IsZero %v", p, p.IsZero())
		}
	}
}

func TestPositionText(t *testing.T) {
	for _, p := range inOrder {
		var back Position
		if err := back.UnmarshalText([]byte(p.String())); err != nil || back != p {
			t.Errorf("%s became %v: %v", p, back, err)
		}
	}
	if got := (Position{Epoch: 1, Partition: 2, Major: 3, Minor: 4}).String(); got != "1-2-3-4" {
		t.Errorf("got %s", got)
	}
	for _, bad := range []string{
		"", "-", "1-2-3", "1-2-3-4-5", "1-2-3-", "a-b-c-d", "1--3-4", "+1-2-3-4", "01-2-3-4", "1-4294967296-3-4",
		"18446744073709551616-2-3-4", "1-2-3-4 ", "0x1-2-3-4", "1_0-2-3-4", strings.Repeat("1-", 1000),
	} {
		p := Position{Epoch: 9}
		if err := p.UnmarshalText([]byte(bad)); err == nil || p != (Position{Epoch: 9}) {
			t.Errorf("%q became %v", bad, p)
		}
	}
}

func TestCursors(t *testing.T) {
	for _, p := range inOrder {
		c := Cursor{Bus: HashName("memory"), Channel: HashName("orders"), Position: p, Event: HashName("id")}
		text := c.String()
		back, err := ParseCursor(text)
		if err != nil || back != c {
			t.Errorf("%s became %+v: %v", text, back, err)
		}
		if strings.ContainsAny(text, "\"\\+/= \r\n") || len(text) > 62 {
			t.Errorf("%q", text)
		}
	}
}

func TestHashNameIsTheSameEverywhere(t *testing.T) {
	if got := HashName("orders"); got != 0x325e96ec {
		t.Errorf("%#x", got)
	}
	if HashName("") == 0 || HashName("a") == HashName("b") {
		t.Error("hashes")
	}
}

func TestHostileCursorsAreRefused(t *testing.T) {
	good := Cursor{Position: Position{Epoch: 1, Partition: 2, Major: 300, Minor: 4}}.String()
	bad := []string{
		"", "A", "AQ", good[:len(good)-1], good[1:], good + "A", good + "==", good + "\n", " " + good, good + "AAAA", strings.Repeat("A", 62), strings.Repeat("/", 32),
		strings.Repeat("A", 1<<20), "\x00", strings.ReplaceAll(good, "A", "!"), "Ag" + good[2:],
		// numbers written longer than needed, larger than their type, or without an end
		rawCursor(0x81, 0x00, 1, 1), rawCursor(0xff, 0xff, 0xff, 0xff, 0x1f, 1, 1), rawCursor(1, 0xff), rawCursor(1, 1, 0x80),
		rawCursor(1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02), rawCursor(1, 1, 1, 1), rawCursor(),
	}
	for _, text := range bad {
		if c, err := ParseCursor(text); !errors.Is(err, ErrCursor) {
			t.Errorf("%.70q became %+v: %v", text, c, err)
		}
	}
}

// rawCursor is a cursor whose numbers are the given bytes.
func rawCursor(numbers ...byte) string {
	raw := slices.Concat([]byte{cursorVersion}, make([]byte, 20), numbers)
	return encoding.EncodeToString(raw)
}

func FuzzParseCursor(f *testing.F) {
	for _, p := range inOrder {
		f.Add(Cursor{Bus: 1, Channel: 2, Position: p, Event: 3}.String())
	}
	f.Add(rawCursor(0x81, 0x00, 1, 1))
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCursor(text)
		if err != nil {
			if !errors.Is(err, ErrCursor) {
				t.Fatalf("%v", err)
			}
			return
		}
		if back := c.String(); back != text {
			t.Fatalf("%q reads as %+v, which is %q", text, c, back)
		}
	})
}

func TestCursorAllocations(t *testing.T) {
	c := Cursor{Bus: 1, Channel: 2, Position: Position{Epoch: math.MaxUint64, Minor: 5}, Event: 3}
	buf := make([]byte, 0, 64)
	text := c.String()
	if n := testing.AllocsPerRun(100, func() {
		buf = AppendCursor(buf[:0], c)
		_, _ = ParseCursor(text)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAppendCursor(b *testing.B) {
	c := Cursor{Bus: 1, Channel: 2, Position: Position{Epoch: math.MaxUint64, Minor: 5}, Event: 3}
	buf := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendCursor(buf[:0], c)
	}
}
