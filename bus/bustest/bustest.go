// Package bustest is the conformance suite that every bus passes: order, concurrency, the delivery that the
// bus promises, replay from a position, gaps that are never silent, control channels, closing. An adapter
// calls Run from a test of its own; what a bus does not promise (Options) is not asked of it, but nothing is
// skipped.
package bustest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// Options says how to make buses and what they promise besides the interface.
type Options struct {
	// New makes a bus that nobody is attached to, on carriers of its own: two of them share no events. It
	// registers its own clean-up.
	New func(t *testing.T) bus.Bus
	// Join makes a second node of the same carriers; nil where a bus is one process'.
	Join func(t *testing.T, first bus.Bus) bus.Bus
	// Small makes a bus that keeps at most n events of a channel; nil where that cannot be set.
	Small func(t *testing.T, n int) bus.Bus
	// Interrupt cuts the connections of a bus to its carrier for a moment, so that it has to come back;
	// nil where there are none.
	Interrupt func(t *testing.T, b bus.Bus)
	// Outage takes the carrier away until restore is called; what was acknowledged outlives it if the bus is durable.
	// nil where there is no carrier.
	Outage func(t *testing.T, b bus.Bus) (restore func())
	// Forgets is set for a bus that keeps no history: what it is asked for then is that it says so.
	Forgets bool
	// Recalls is set for a bus that must say what was before a position, see bus.Recaller.
	Recalls bool
	// Patience bounds each wait for something that must happen, default 30 s. A test that passes never uses
	// it up.
	Patience time.Duration
}

// Run runs the suite.
func Run(t *testing.T, o Options) {
	if o.Patience == 0 {
		o.Patience = 30 * time.Second
	}
	s := &suite{o}
	for _, part := range s.parts() {
		t.Run(part.name, part.run)
	}
}

// part is one test of the suite.
type part struct {
	name string
	run  func(*testing.T)
}

// parts are the tests that apply.
func (s *suite) parts() []part {
	list := []part{
		{"one event arrives as it was published", s.arrives},
		{"events of a channel arrive in order", s.order},
		{"a batch is one order", s.batch},
		{"readers get their turn in a backlog", s.backlog},
		{"one call at a time per channel", s.serial},
		{"channels run in parallel", s.parallel},
		{"publishers of one channel agree on an order", s.publishers},
		{"positions increase strictly", s.positions},
		{"odd names and values", s.odd},
		{"a payload of 1 MiB", s.large},
		{"channels do not mix", s.separate},
		{"control channels", s.control},
		{"interest may be said again and again", s.interest},
		{"attach once", s.attachOnce},
		{"a context that has ended", s.ended},
		{"closing waits and refuses", s.closing},
	}
	if s.Forgets {
		list = append(list, part{"a history that is not kept is a gap", s.forgets})
	} else {
		list = append(list, s.historyParts()...)
	}
	if s.Small != nil {
		list = append(list, part{"what was dropped shows as a gap", s.gap}, part{"control channels outlive the ordinary", s.controlOutlives},
			part{"a slow node has no silent hole", s.slow})
	}
	if s.Recalls {
		list = append(list, part{"what was before a position is recalled", s.recall})
		if s.Small != nil {
			list = append(list, part{"of a trimmed past the rest is recalled", s.recallTrimmed})
		}
	}
	if s.Join != nil {
		list = append(list, part{"every node sees the same order", s.nodes}, part{"a node that comes later", s.later})
	}
	if s.Interrupt != nil {
		list = append(list, part{"an interruption loses nothing silently", s.interruption})
	}
	if s.Outage != nil {
		list = append(list, part{"without its carrier a bus says so", s.outage})
	}
	return list
}

func (s *suite) historyParts() []part {
	return []part{
		{"history begins anywhere", s.history},
		{"history comes in pages", s.pages},
		{"history while publishing", s.historyWhilePublishing},
		{"history of nothing", s.historyOfNothing},
		{"positions of another bus are a gap", s.foreign},
		{"positions ahead of the channel are a gap", s.ahead},
	}
}

type suite struct{ Options }

// recorder is a Handler that keeps what it is given.
type recorder struct {
	mu       sync.Mutex
	messages []bus.Message
	changed  chan struct{} // closed at the next message
	// enter is called first, outside the lock.
	enter func(*bus.Message)
	// gaps are the numbers of messages of a channel after which a gap was told.
	gaps map[string][]int
}

func newRecorder() *recorder {
	return &recorder{changed: make(chan struct{}), gaps: map[string][]int{}}
}

// Deliver implements bus.Handler.
func (r *recorder) Deliver(m *bus.Message) int {
	if r.enter != nil {
		r.enter(m)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, *m)
	close(r.changed)
	r.changed = make(chan struct{})
	return 1
}

// Gap implements bus.GapHandler.
func (r *recorder) Gap(channel string, _ event.Position) {
	n := len(r.of(channel))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gaps[channel] = append(r.gaps[channel], n)
}

// gapsOf returns after how many messages of the channel gaps were told.
func (r *recorder) gapsOf(channel string) []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.gaps[channel])
}

// of returns the messages of a channel.
func (r *recorder) of(channel string) []bus.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []bus.Message
	for _, m := range r.messages {
		if m.Event.Channel == channel {
			list = append(list, m)
		}
	}
	return list
}

// await returns the messages of a channel as soon as there are n of them.
func (s *suite) await(t *testing.T, r *recorder, channel string, n int) []bus.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), s.Patience)
	defer cancel()
	for {
		r.mu.Lock()
		changed := r.changed
		r.mu.Unlock()
		list := r.of(channel)
		if len(list) >= n {
			return list
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%d of %d events of %q arrived", len(list), n, channel)
		}
	}
}

// attached makes a bus with a recorder that wants the channels.
func (s *suite) attached(t *testing.T, channels ...string) (bus.Bus, *recorder) {
	t.Helper()
	b := s.New(t)
	return b, attach(t, b, channels...)
}

func attach(t *testing.T, b bus.Bus, channels ...string) *recorder {
	t.Helper()
	r := newRecorder()
	if err := b.Attach(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	want(t, b, channels...)
	return r
}

// want says interest in channels and waits until it has taken effect.
func want(t *testing.T, b bus.Bus, channels ...string) {
	t.Helper()
	for _, c := range channels {
		b.Interest(c, true)
	}
	for _, c := range channels {
		if err := bus.Established(t.Context(), b, c); err != nil {
			t.Fatal(err)
		}
	}
}

// make returns the nth event of a channel.
func message(channel string, n int) bus.Message {
	return bus.Message{Event: event.Event{
		Channel: channel, Type: "t", ID: fmt.Sprintf("%s-%d", strings.Map(plain, channel[:min(len(channel), 8)]), n),
		Timestamp: time.Unix(1_700_000_000, int64(n)*1000).UTC(), Data: []byte(fmt.Sprintf(`{"n":%d}`, n)),
	}}
}

func plain(r rune) rune {
	if r > ' ' && r < 0x7f {
		return r
	}
	return '_'
}

func messages(channel string, from, n int) []bus.Message {
	list := make([]bus.Message, n)
	for i := range list {
		list[i] = message(channel, from+i)
	}
	return list
}

// publish fails the test unless every message is acknowledged.
func publish(t testing.TB, b bus.Bus, batch ...bus.Message) bus.Receipt {
	t.Helper()
	r, err := b.Publish(t.Context(), batch)
	if err != nil || r.Accepted != len(batch) {
		t.Fatalf("published %d of %d: %v", r.Accepted, len(batch), err)
	}
	return r
}

// wantOrder fails unless the messages are those of the numbers from, from+1, …, each once, with positions
// that increase strictly. A bus that delivers at least once may repeat a message with its position.
func (s *suite) wantOrder(t *testing.T, b bus.Bus, list []bus.Message, from, n int) {
	t.Helper()
	again := bus.Describe(b).Guarantee == bus.AtLeastOnce
	next := 0
	var last event.Position
	for _, m := range list {
		if again && next > 0 && m.Position.SameRun(last) && m.Position.Compare(last) <= 0 {
			continue // what the hub drops as repeated
		}
		if next > 0 && (!m.Position.SameRun(last) || m.Position.Compare(last) <= 0) {
			t.Fatalf("position %v after %v", m.Position, last)
		}
		want := message(m.Event.Channel, from+next)
		if m.Event.ID != want.Event.ID || string(m.Event.Data) != string(want.Event.Data) {
			t.Fatalf("event %s at index %d, want %s", m.Event.ID, next, want.Event.ID)
		}
		last = m.Position
		next++
	}
	if next != n {
		t.Fatalf("%d events, want %d", next, n)
	}
}

// page reads history and fails the test on an error.
func page(t *testing.T, b bus.Bus, channel string, after event.Position, limit int) bus.Page {
	t.Helper()
	p, err := b.History(t.Context(), channel, after, limit)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
