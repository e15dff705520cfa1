package loadgen

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// serverFrame is an unmasked frame.
func serverFrame(first byte, payload string) []byte {
	masked := appendFrame(nil, first&0xf, []byte(payload))
	head := len(masked) - len(payload) - 4
	frame := append(slices.Clone(masked[:head]), payload...)
	frame[0], frame[1] = first, frame[1]&0x7f
	return frame
}

func nextMessage(id, room, seq, sent int) string {
	return fmt.Sprintf(`{"id":"%d","type":"next","payload":{"data":{"bench":{"room":%d,"seq":%d,"sent":%d,"sum":%d,"pad":"x"}}}}`,
		id, room, seq, sent, checksum(room, seq))
}

// TestFeed cuts a stream at every place and at random ones: the same is counted.
func TestFeed(t *testing.T) {
	var stream []byte
	spaces := strings.NewReplacer(":", ": ", ",", ", ")
	for seq := 1; seq <= 20; seq++ {
		message := nextMessage(seq%2, seq%2, (seq+1)/2, seq*1000)
		switch seq % 4 {
		case 0: // in three parts, with a ping between
			stream = append(stream, serverFrame(opText, message[:5])...)
			stream = append(stream, serverFrame(0x80|opPing, "?")...)
			stream = append(stream, serverFrame(opContinuation, message[5:9])...)
			stream = append(stream, serverFrame(0x80|opContinuation, message[9:])...)
		case 1: // with 16 bits of length
			stream = append(stream, serverFrame(0x80|opText, strings.Replace(message, `"x"`, `"`+strings.Repeat("x", 300)+`"`, 1))...)
		case 2: // with spaces, as Python writes it
			stream = append(stream, serverFrame(0x80|opText, spaces.Replace(message))...)
		default:
			stream = append(stream, serverFrame(0x80|opText, message)...)
		}
	}
	check := func(cuts []int) {
		var pongs []byte
		p := &parser{rooms: 2, perConn: 2, measured: 5000}
		c := &client{subs: make([]subscription, 2), write: func(b []byte) error { pongs = append(pongs, b...); return nil }}
		from := 0
		for _, cut := range append(cuts, len(stream)) {
			if err := p.feed(c, stream[from:cut], 50*time.Millisecond); err != nil {
				t.Fatal(err)
			}
			from = cut
		}
		if p.all != 20 || p.deliveries != 16 || p.latency.n != 16 || p.corrupt+p.disorder+p.duplicates != 0 || len(c.partial) != 0 {
			t.Fatalf("cut at %v: %+v", cuts, p.tally.problem)
		}
		if want := strings.Repeat(string(appendFrame(nil, opPong, []byte("?"))), 5); string(pongs) != want {
			t.Fatalf("pongs %q", pongs)
		}
	}
	for cut := range stream {
		check([]int{cut})
	}
	for range 200 {
		cuts := make([]int, 30)
		for i := range cuts {
			cuts[i] = rand.IntN(len(stream))
		}
		slices.Sort(cuts)
		check(cuts)
	}
}

func TestFeedRefuses(t *testing.T) {
	for name, frame := range map[string][]byte{
		"masked":            appendFrame(nil, opText, []byte("{}")),
		"reserved bits":     serverFrame(0xc0|opText, "{}"),
		"unknown opcode":    serverFrame(0x83, "{}"),
		"huge":              {0x81, 127, 1, 0, 0, 0, 0, 0, 0, 0},
		"close":             serverFrame(0x80|opClose, "\x0f\xa0bye"),
		"close, no code":    serverFrame(0x80|opClose, ""),
		"error":             serverFrame(0x80|opText, `{"id":"0","type":"error","payload":[]}`),
		"complete":          serverFrame(0x80|opText, `{"id":"0","type":"complete"}`),
		"unknown operation": serverFrame(0x80|opText, nextMessage(5, 0, 1, 1)),
	} {
		p := &parser{rooms: 1, perConn: 1}
		if err := p.feed(&client{subs: make([]subscription, 1)}, frame, 0); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestResultAgreesWithModel compares what is counted with a set.
func TestResultAgreesWithModel(t *testing.T) {
	for range 200 {
		p := &parser{rooms: 1, perConn: 1}
		var s subscription
		seen := map[uint32]bool{}
		highest, duplicates, disorder := uint32(0), uint64(0), uint64(0)
		for range 300 {
			seq := uint32(1 + rand.IntN(60))
			switch {
			case seen[seq]:
				duplicates++
			case seq < highest:
				disorder++
			}
			seen[seq], highest = true, max(highest, seq)
			p.result(&s, seq, 0, 0)
		}
		if p.duplicates != duplicates || p.disorder != disorder || int(s.received) != len(seen) {
			t.Fatalf("%d duplicates, %d out of order, %d different; want %d, %d, %d", p.duplicates, p.disorder, s.received, duplicates, disorder, len(seen))
		}
	}
}

// TestFeedAllocations holds the path of a delivery free of allocations.
func TestFeedAllocations(t *testing.T) {
	p := &parser{rooms: 1, perConn: 1}
	c := &client{subs: make([]subscription, 1)}
	frame := serverFrame(0x80|opText, nextMessage(0, 0, 1, 1))
	if n := testing.AllocsPerRun(100, func() { _ = p.feed(c, frame, time.Second) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFeed(b *testing.B) {
	p := &parser{rooms: 1, perConn: 1}
	c := &client{subs: make([]subscription, 1)}
	frame := serverFrame(0x80|opText, strings.Replace(nextMessage(0, 0, 1, 1), `"x"`, `"`+strings.Repeat("x", 100)+`"`, 1))
	b.ReportAllocs()
	for b.Loop() {
		c.subs[0] = subscription{}
		if err := p.feed(c, frame, time.Second); err != nil {
			b.Fatal(err)
		}
	}
}
