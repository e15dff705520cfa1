package load

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const (
	others    = 1000
	perRound  = 8       // events for everybody, and as many large ones for the stalled alone, in one request
	rounds    = 32      // at least
	padBytes  = 256_000 // of the large ones: a round is 2 MB, all rounds of one policy 66 MB
	maxRounds = 100
	largeKeys = 4 // of the large ones, for LATEST
	// maxGrowth bounds what the server's memory grows by while clients are stalled, the collector's headroom
	// included: less than what one of them is sent, of which 4 MB may wait.
	maxGrowth = 48 << 20
)

// TestStalledSubscriber has one subscriber stop reading among 1,000 others, for each policy: the others receive
// everything in order, the stalled one gets what its policy says and is told of what it missed, and the server's
// memory stays bounded.
func TestStalledSubscriber(t *testing.T) {
	s := serve(t)
	s.fillHistory()
	memory := s.metrics()["process_resident_memory_bytes"]
	for _, p := range []struct {
		field, label string
		check        func(*stalled)
	}{
		{"oldest", "drop_oldest", (*stalled).checkOldest},
		{"newest", "drop_newest", (*stalled).checkNewest},
		{"latest", "latest", (*stalled).checkLatest},
	} {
		t.Run(p.label, func(t *testing.T) {
			s := &server{Server: s.Server, t: t}
			x := stall(t, s, p.field, `fraiseql_messages_dropped_total{policy="`+p.label+`"}`, memory, 1)
			for round := 0; round < rounds || x.dropped() < 3*maxMessages; round++ {
				x.round(round)
			}
			x.resume()
			p.check(x)
			x.crowd.leave()
			x.clients[0].abort()
			s.equals("fraiseql_connections", 0)
		})
	}
	t.Run("close", func(t *testing.T) { closeStalled(t, &server{Server: s.Server, t: t}, memory) })
}

// fillHistory publishes more than the bus keeps, so that its memory is the same afterwards.
func (s *server) fillHistory() {
	pad := strings.Repeat("x", 1_000_000)
	for range 16 {
		var batch []byte
		for range 10 {
			batch = fmt.Appendf(batch, `{"channel":"history","type":"t","data":{"pad":"%s"}}`+"\n", pad)
		}
		s.publish(batch)
	}
}

// stalled is one test's state.
type stalled struct {
	t       *testing.T
	server  *server
	crowd   *crowd
	field   string
	series  string // counts what is dropped
	before  float64
	memory  float64 // of the server at the start
	clients []*client
	seq, n  int // of the last event, and of the last one for everybody
	pad     string

	received []int // by clients[0] after it reads again
	told     int   // sum of extensions.dropped
}

// stall connects the others and the clients that do not read from the start.
func stall(t *testing.T, s *server, field, series string, memory float64, clients int) *stalled {
	s.equals("fraiseql_connections", 0)
	x := &stalled{t: t, server: s, field: field, series: series, before: s.metrics()[series], memory: memory, pad: strings.Repeat("x", padBytes)}
	x.crowd = gather(t, s, others, "subscription { "+field+"(kind: 0) { n } }")
	for range clients {
		c, err := dial(s.Addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.abort)
		if err := c.subscribe("subscription { "+field+" { seq pad } }", `,"extensions":{"drops":true}`); err != nil {
			t.Fatal(err)
		}
		x.clients = append(x.clients, c)
	}
	s.equals("fraiseql_subscriptions", others+clients)
	return x
}

// dropped is how many messages the server has dropped so far.
func (x *stalled) dropped() int { return int(x.server.metrics()[x.series] - x.before) }

// round publishes, waits until the others have everything, and looks at what the stalled one occupies.
func (x *stalled) round(number int) {
	x.t.Helper()
	if number == maxRounds {
		x.t.Fatalf("%s: %d after %d events", x.series, x.dropped(), x.seq)
	}
	var batch []byte
	for range perRound {
		x.n++
		batch = x.appendEvent(batch, 0, "")
		batch = x.appendEvent(batch, 1, x.pad)
	}
	arrived := x.crowd.expect(perRound)
	x.server.publish(batch)
	x.crowd.wait(arrived)
	m := x.server.metrics()
	// What a writer took and could not send goes back in front of the queue.
	if waits, bound := m["fraiseql_queue_bytes"], float64(len(x.clients)*(maxMessages+4)*(padBytes+100)); waits > bound {
		x.t.Fatalf("round %d: %.0f bytes wait, at most %.0f may", number, waits, bound)
	}
	if grown := m["process_resident_memory_bytes"] - x.memory; grown > maxGrowth {
		x.t.Fatalf("round %d: the server has grown by %.1f MB", number, grown/(1<<20))
	}
}

// appendEvent adds the next event. Those for everybody have a key for each of a round, the large ones four.
func (x *stalled) appendEvent(dst []byte, kind int, pad string) []byte {
	x.seq++
	key := fmt.Sprint("all", x.n%perRound)
	if kind == 1 {
		key = fmt.Sprint("large", x.n%largeKeys)
	}
	return fmt.Appendf(dst, `{"channel":"%s","type":"t","data":{"kind":%d,"seq":%d,"n":%d,"key":"%s","pad":"%s"}}`+"\n", x.field, kind, x.seq, x.n, key, pad)
}

// resume has the stalled client read all that waits, and one event more, which brings what it was not told yet.
func (x *stalled) resume() {
	x.t.Helper()
	done := make(chan error, 1)
	last := x.seq + 1
	go func() {
		for {
			code, err := x.next(x.clients[0])
			if err != nil || code != 0 {
				done <- fmt.Errorf("the stalled client was closed: %d, %w", code, err)
				return
			}
			if x.received[len(x.received)-1] == last {
				done <- nil
				return
			}
		}
	}()
	x.server.equals("fraiseql_queue_bytes", 0)
	x.n++
	arrived := x.crowd.expect(1)
	x.server.publish(x.appendEvent(nil, 0, ""))
	x.crowd.wait(arrived)
	if err := <-done; err != nil {
		x.t.Fatal(err)
	}
	if !slices.IsSorted(x.received) || len(slices.Compact(slices.Clone(x.received))) != len(x.received) {
		x.t.Errorf("not in order: %v", x.received)
	}
	missed := last - len(x.received)
	if dropped := x.dropped(); x.told != missed || dropped != missed || missed == 0 {
		x.t.Errorf("%d of %d messages missed, told of %d, counted %d", missed, last, x.told, dropped)
	}
}

// next reads one message of the stalled client; code is that of a close.
func (x *stalled) next(c *client) (code int, err error) {
	opcode, payload, err := c.receive(nil)
	if err != nil {
		return 0, err
	}
	if opcode == 8 {
		return closeCode(payload), nil
	}
	var m struct {
		ID, Type string
		Payload  struct {
			Data       map[string]struct{ Seq int }
			Extensions struct{ Dropped int }
		}
	}
	if err := json.Unmarshal(payload, &m); err != nil || m.Type != "next" || m.ID != "s" {
		return 0, fmt.Errorf("%.200s: %w", payload, err)
	}
	x.received = append(x.received, m.Payload.Data[x.field].Seq)
	x.told += m.Payload.Extensions.Dropped
	return 0, nil
}

// contiguous returns how many of the first messages follow each other from 1.
func (x *stalled) contiguous() int {
	for i, seq := range x.received {
		if seq != i+1 {
			return i
		}
	}
	return len(x.received)
}

// checkOldest: what was sent before, and the newest that fit the queue.
func (x *stalled) checkOldest() {
	tail := x.received[len(x.received)-1-maxMessages:]
	for i, seq := range tail {
		if want := x.seq - maxMessages + i; seq != want {
			x.t.Fatalf("the last ones are %v, want the %d up to %d", tail, len(tail), x.seq)
		}
	}
}

// checkNewest: the first ones without a gap, and nothing after the queue was full.
func (x *stalled) checkNewest() {
	if n := x.contiguous(); n != len(x.received)-1 || n < maxMessages {
		x.t.Errorf("%d of %d without a gap: %v", n, len(x.received), x.received)
	}
}

// checkLatest: of those that waited, the newest of each key.
func (x *stalled) checkLatest() {
	var want []int
	for i := 2 * perRound; i > 0; i-- { // events for everybody and large ones take turns
		if large := i%2 == 1; !large || i <= 2*largeKeys {
			want = append(want, x.seq-i)
		}
	}
	want = append(want, x.seq)
	if tail := x.received[len(x.received)-len(want):]; !slices.Equal(tail, want) {
		x.t.Errorf("the last ones are %v, want %v", tail, want)
	}
	if sent := x.received[len(x.received)-len(want)-1]; sent > x.seq-4*perRound {
		x.t.Errorf("%d was kept besides the newest of each key", sent)
	}
}

// closeStalled: of two stalled clients one reads when it is closed, the other never does.
func closeStalled(t *testing.T, s *server, memory float64) {
	closes := `fraiseql_connections_closed_total{code="4290"}`
	before := s.metrics()[closes]
	x := stall(t, s, "closing", `fraiseql_messages_dropped_total{policy="close"}`, memory, 2)
	for round := 0; x.dropped() < 2; round++ {
		x.round(round)
	}
	code := 0
	for code == 0 {
		var err error
		if code, err = x.next(x.clients[0]); err != nil {
			t.Fatal("instead of a close:", err)
		}
	}
	if code != 4290 {
		t.Errorf("close code %d", code)
	}
	if n := x.contiguous(); n != len(x.received) || n == 0 || n >= x.seq {
		t.Errorf("%d of %d messages without a gap before the close", n, len(x.received))
	}
	x.clients[0].abort()
	s.equals("fraiseql_connections", others) // the other one was given up
	for {
		opcode, _, err := x.clients[1].receive(nil)
		if errors.Is(err, syscall.ECONNRESET) {
			break
		}
		if err != nil || opcode == 8 {
			t.Fatalf("want a reset, not opcode %d, %v", opcode, err)
		}
	}
	if n := s.metrics()[closes] - before; n != 2 {
		t.Errorf("%s: %v", closes, n)
	}
	x.round(0)
}
