package membus

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// ignore is a Handler that enqueues for one subscription.
type ignore struct{}

func (ignore) Deliver(*bus.Message) int { return 1 }

// zeros is the data of every message: the bus does not look at it.
var zeros [3 << 20]byte

func msg(channel string, size int) bus.Message {
	return bus.Message{Event: event.Event{Channel: channel, Type: "t", ID: "0123456789", Data: zeros[:size]}}
}

func publish(t testing.TB, b *Bus, m ...bus.Message) {
	t.Helper()
	if _, err := b.Publish(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

func history(t testing.TB, b *Bus, channel string, after event.Position) bus.Page {
	t.Helper()
	p, err := b.History(t.Context(), channel, after, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// settle returns the bytes held, all shards told.
func settle(b *Bus) int64 {
	sum := b.held.Load()
	for i := range b.table() {
		sum += b.table()[i].pending.Load()
	}
	return sum
}

// count recounts what is held.
func count(b *Bus) (bytes int64, channels, events int) {
	for i := range b.table() {
		t := b.table()[i].slots.Load()
		for k := range t.at {
			if c := t.at[k].Load(); c != nil && c != tomb {
				channels++
				events += int(c.count)
				bytes += channelBytes + int64(len(c.name))
				if !c.control() {
					bytes += c.bytes()
				}
			}
		}
	}
	return bytes, channels, events
}

func TestTheBudgetHoldsWhateverIsPublished(t *testing.T) {
	for name, next := range map[string]func(i int) bus.Message{
		"one channel":       func(int) bus.Message { return msg("c", 500) },
		"many channels":     func(i int) bus.Message { return msg(fmt.Sprint("c", i), 100) },
		"channels in turn":  func(i int) bus.Message { return msg(fmt.Sprint("c", i%3000), 200) },
		"one among many":    func(i int) bus.Message { return msg([]string{"hot", fmt.Sprint("c", i)}[i%2], 300) },
		"all sizes":         func(i int) bus.Message { return msg(fmt.Sprint("c", i%100), i*7919%20000) },
		"larger than all":   func(i int) bus.Message { return msg(fmt.Sprint("c", i%10), 2<<20) },
		"long names":        func(i int) bus.Message { return msg(strings.Repeat("n", 200)+fmt.Sprint(i), 1) },
		"ever larger":       func(i int) bus.Message { return msg("c", i*100) },
		"small, then large": func(i int) bus.Message { return msg("c", i/3000*100000) },
	} {
		t.Run(name, func(t *testing.T) {
			const budget = 1 << 20
			b := New(Options{Bytes: budget})
			most := int64(0)
			for i := range 6_000 {
				publish(t, b, next(i))
				if i%100 == 0 {
					most = max(most, settle(b))
				}
			}
			if most > budget+budget/8 {
				t.Errorf("%d bytes held at most, budget %d", most, budget)
			}
			if bytes, channels, _ := count(b); bytes != settle(b) || channels != int(b.channels.Load()) {
				t.Errorf("accounts say %d bytes, %d channels; there are %d and %d", settle(b), b.channels.Load(), bytes, channels)
			}
		})
	}
}

// TestANoisyChannelPaysForItself: quiet channels keep their history beside one that fills the budget.
func TestANoisyChannelPaysForItself(t *testing.T) {
	b := New(Options{Bytes: 2 << 20})
	for i := range 100 {
		publish(t, b, msg(fmt.Sprint("quiet", i), 200))
	}
	for range 10_000 {
		publish(t, b, msg("noisy", 1000))
	}
	for i := range 100 {
		if p := history(t, b, fmt.Sprint("quiet", i), event.Position{}); len(p.Messages) != 1 {
			t.Fatalf("channel %d lost its event", i)
		}
	}
	if p := history(t, b, "noisy", event.Position{}); len(p.Messages) < 500 || p.Complete {
		t.Errorf("the noisy channel has %d events, complete %v", len(p.Messages), p.Complete)
	}
}

// TestSilentChannelsAreForgottenFirst: the newest of many channels have their history.
func TestSilentChannelsAreForgottenFirst(t *testing.T) {
	const n = 10_000
	b := New(Options{Bytes: 1 << 20})
	for i := range n {
		publish(t, b, msg(fmt.Sprint("c", i), 100))
	}
	newest := 0
	for i := n - 200; i < n; i++ {
		newest += len(history(t, b, fmt.Sprint("c", i), event.Position{}).Messages)
	}
	if newest < 150 {
		t.Errorf("%d of the newest 200 channels have their event", newest)
	}
	if _, channels, _ := count(b); channels > 4000 {
		t.Errorf("%d channels are held", channels)
	}
}

// TestPositionsAreNotUsedAgain frees channels and brings them back.
func TestPositionsAreNotUsedAgain(t *testing.T) {
	b := New(Options{Bytes: 64 << 10})
	last := map[string]event.Position{}
	for i := range 20_000 {
		m := []bus.Message{msg(fmt.Sprint("c", i*7919%1000), 50)}
		publish(t, b, m...)
		name := m[0].Event.Channel
		if at := m[0].Position; at.Compare(last[name]) <= 0 {
			t.Fatalf("%s: position %v after %v", name, at, last[name])
		}
		last[name] = m[0].Position
	}
	silent := 0
	for name, at := range last {
		p := history(t, b, name, at)
		if len(p.Messages) > 0 {
			t.Fatalf("%s: events after the newest", name)
		}
		if p.Head.Compare(at) < 0 {
			t.Fatalf("%s: head %v before %v", name, p.Head, at)
		}
		if !p.Complete {
			silent++
		}
	}
	if silent == 0 {
		t.Error("no channel was forgotten: the test tests nothing")
	}
}

// TestForgottenEventsAreAGap compares history with what was published, under churn.
func TestForgottenEventsAreAGap(t *testing.T) {
	b := New(Options{Bytes: 64 << 10, Events: 20})
	var published [300][]event.Position
	for i := range 30_000 {
		c := (i * 31 / 7) % len(published)
		m := []bus.Message{msg(fmt.Sprint("c", c), 50)}
		publish(t, b, m...)
		published[c] = append(published[c], m[0].Position)
		if i%37 != 0 {
			continue
		}
		list := published[c]
		at := list[len(list)-1-i%len(list)%30%len(list)]
		p := history(t, b, fmt.Sprint("c", c), at)
		missed := 0
		for _, pos := range list {
			if pos.Compare(at) > 0 {
				missed++
			}
		}
		if p.Complete && len(p.Messages) != missed {
			t.Fatalf("%d events after %v, complete with %d", missed, at, len(p.Messages))
		}
	}
}

func TestControlEventsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Options{ControlRetention: time.Hour})
		b.RetainControl(2 * time.Hour)
		node := bus.NodeChannel("n")
		publish(t, b, msg(bus.ControlChannel, 10), msg(node, 10))
		<-time.After(59 * time.Second)
		publish(t, b, msg(bus.ControlChannel, 10))
		if n := len(history(t, b, node, event.Position{}).Messages); n != 1 {
			t.Errorf("%d events of the node", n)
		}
		<-time.After(2 * time.Second)
		if n := len(history(t, b, node, event.Position{}).Messages); n != 0 {
			t.Errorf("%d events of the node after a minute", n)
		}
		<-time.After(2*time.Hour - 62*time.Second)
		if p := history(t, b, bus.ControlChannel, event.Position{}); len(p.Messages) != 2 || !p.Complete {
			t.Errorf("%d control events before two hours", len(p.Messages))
		}
		<-time.After(2 * time.Second)
		if p := history(t, b, bus.ControlChannel, event.Position{}); len(p.Messages) != 1 || p.Complete {
			t.Errorf("%d control events after two hours, complete %v", len(p.Messages), p.Complete)
		}
	})
}

// TestNodeChannelsAreBounded: past the bound they are ordinary channels, which the budget bounds.
func TestNodeChannelsAreBounded(t *testing.T) {
	b := New(Options{Bytes: 1 << 20})
	for i := range 3 * nodeChannels {
		publish(t, b, msg(bus.NodeChannel(fmt.Sprint(i)), 100))
	}
	if _, channels, _ := count(b); channels > 2*nodeChannels {
		t.Errorf("%d channels", channels)
	}
}

func TestNoHistory(t *testing.T) {
	b := New(Options{Events: -1, Bytes: 64 << 10})
	m := []bus.Message{msg("c", 10), msg("c", 10)}
	publish(t, b, m...)
	p := history(t, b, "c", m[0].Position)
	if p.Complete || len(p.Messages) != 0 || p.Head != m[1].Position {
		t.Errorf("%+v", p)
	}
	if !history(t, b, "c", m[1].Position).Complete {
		t.Error("a gap at the head")
	}
	for i := range 10_000 {
		publish(t, b, msg(fmt.Sprint(i), 10))
	}
	if _, channels, _ := count(b); channels > 1000 {
		t.Errorf("%d channels are held", channels)
	}
}

// rereader reads the history of its channel from inside Deliver.
type rereader struct {
	t *testing.T
	b *Bus
}

func (r rereader) Deliver(m *bus.Message) int {
	p, err := r.b.History(context.Background(), m.Event.Channel, event.Position{}, 1)
	if err != nil || p.Head != m.Position {
		r.t.Errorf("history inside Deliver: head %v, %v, at %v", p.Head, err, m.Position)
	}
	return 0
}

func TestHistoryMayBeReadInsideDeliver(t *testing.T) {
	b := New(Options{})
	if err := b.Attach(t.Context(), rereader{t, b}); err != nil {
		t.Fatal(err)
	}
	publish(t, b, msg("c", 1), msg("c", 1))
}

// panics once.
type panics struct{ done bool }

func (p *panics) Deliver(*bus.Message) int {
	if !p.done {
		p.done = true
		panic("handler")
	}
	return 1
}

func TestAHandlerThatPanicsDoesNotHoldItsChannel(t *testing.T) {
	b := New(Options{})
	if err := b.Attach(t.Context(), &panics{}); err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() { _ = recover() }()
		publish(t, b, msg("c", 1))
	}()
	publish(t, b, msg("c", 1))
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// paced counts how often it was waited for.
type paced struct {
	ignore
	waits int
}

// Pace implements bus.Pacer.
func (p *paced) Pace() { p.waits++ }

// What a message says of the queues of another bus, from which it comes, does not count here.
func TestFilledElsewhere(t *testing.T) {
	b, h, m := New(Options{}), &paced{}, msg("c", 1)
	m.Filled = true
	publish(t, b, m)
	if err := b.Attach(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	publish(t, b, m)
	if h.waits > 0 {
		t.Errorf("waited %d times", h.waits)
	}
}

// TestChurn publishes, reads and forgets from many goroutines: it is for the race detector.
func TestChurn(t *testing.T) {
	b := New(Options{Bytes: 128 << 10, Events: 50})
	if err := b.Attach(t.Context(), ignore{}); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for g := range 4 {
		wait.Go(func() {
			for i := range 2_000 {
				c := fmt.Sprint("c", (i*(g+3))%700)
				if _, err := b.Publish(t.Context(), []bus.Message{msg(c, i%500)}); err != nil {
					t.Error(err)
				}
			}
		})
		wait.Go(func() {
			for i := range 2_000 {
				if _, err := b.History(t.Context(), fmt.Sprint("c", i%700), event.Position{}, 10); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if bytes, _, _ := count(b); bytes != settle(b) {
		t.Errorf("%d bytes held, accounts say %d", bytes, settle(b))
	}
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestPublishHardlyAllocates counts as docs do: allocations per event over many events, the growth of the
// history included.
func TestPublishHardlyAllocates(t *testing.T) {
	const n = 100_000
	for name, channels := range map[string]int{"one channel": 1, "a thousand": 1000} {
		b := New(Options{})
		if err := b.Attach(t.Context(), ignore{}); err != nil {
			t.Fatal(err)
		}
		names := make([]string, channels)
		for i := range names {
			names[i] = fmt.Sprint("channel", i)
		}
		data := make([]byte, 370)
		batch := make([]bus.Message, 1)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range n {
			batch[0] = bus.Message{Event: event.Event{Channel: names[i%channels], Type: "t", ID: "0123456789", Data: data}}
			publish(t, b, batch...)
		}
		runtime.ReadMemStats(&after)
		if per := float64(after.Mallocs-before.Mallocs) / n; per >= 0.1 && !raceEnabled {
			t.Errorf("%s: %.3f allocations per event", name, per)
		}
	}
}

// TestAChannelIsSmall bounds what a million channels with one event each cost.
func TestAChannelIsSmall(t *testing.T) {
	const n = 100_000
	var before, after runtime.MemStats
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("channel", i)
	}
	data := []byte(`{}`)
	b := New(Options{Bytes: 1 << 30})
	runtime.GC()
	runtime.ReadMemStats(&before)
	for _, name := range names {
		publish(t, b, bus.Message{Event: event.Event{Channel: name, Type: "t", ID: "0123456789", Data: data}})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if per := int64(after.HeapAlloc-before.HeapAlloc) / n; per > 500 && !raceEnabled {
		t.Errorf("%d bytes per channel with one event", per)
	}
	runtime.KeepAlive(b)
}

func BenchmarkPublish(b *testing.B) {
	for _, channels := range []int{1, 100, 10_000, 1_000_000} {
		b.Run(fmt.Sprint(channels), func(b *testing.B) {
			m := New(Options{})
			_ = m.Attach(b.Context(), ignore{})
			names := make([]string, channels)
			for i := range names {
				names[i] = fmt.Sprint("channel", i)
			}
			data := make([]byte, 370)
			batch := make([]bus.Message, 1)
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				batch[0] = bus.Message{Event: event.Event{Channel: names[i%channels], Type: "t", ID: "0123456789", Data: data}}
				if _, err := m.Publish(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

func BenchmarkPublishParallel(b *testing.B) {
	m := New(Options{})
	_ = m.Attach(b.Context(), ignore{})
	data := make([]byte, 370)
	var mu sync.Mutex
	next := 0
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		mu.Lock()
		next++
		name := fmt.Sprint("channel", next)
		mu.Unlock()
		batch := make([]bus.Message, 1)
		for pb.Next() {
			batch[0] = bus.Message{Event: event.Event{Channel: name, Type: "t", ID: "0123456789", Data: data}}
			if _, err := m.Publish(b.Context(), batch); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkHistory(b *testing.B) {
	m := New(Options{})
	for range 1000 {
		_, _ = m.Publish(b.Context(), []bus.Message{msg("c", 370)})
	}
	p, _ := m.History(b.Context(), "c", event.Position{}, 900)
	after := p.Messages[899].Position
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.History(b.Context(), "c", after, 100); err != nil {
			b.Fatal(err)
		}
	}
}
