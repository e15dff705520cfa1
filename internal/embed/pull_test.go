//go:build linux

package embed

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// split takes apart what Take (per 0) and TakeConnection (per 8) append.
func split(t testing.TB, text []byte, per int) (handles []int64, messages []string) {
	t.Helper()
	for len(text) > 0 {
		if per == 8 {
			handles = append(handles, int64(binary.NativeEndian.Uint64(text)))
		}
		n := int(binary.NativeEndian.Uint32(text[per:]))
		messages = append(messages, string(text[per+4:per+4+n]))
		text = text[per+4+n:]
	}
	return handles, messages
}

func TestTake(t *testing.T) {
	e := open(t, `{}`)
	s := subscribe(t, e, "s", users)
	publish(t, e, `{"id":1}`, `{"id":2}`, `{"id":3}`)
	got, n := e.Take([]byte("front"), s.Handle, 2)
	if _, messages := split(t, got[5:], 0); n != 2 || len(messages) != 2 || !strings.Contains(messages[1], `"id":2`) || string(got[:5]) != "front" {
		t.Errorf("take: %d %q", n, got)
	}
	if got, n := e.Take(nil, s.Handle, 5); n != 1 || !strings.Contains(string(got), `"id":3`) {
		t.Errorf("take of the rest: %d %q", n, got)
	}
	for _, limit := range []int64{5, 0, -1} {
		if got, n := e.Take(nil, s.Handle, limit); n != 0 || len(got) != 0 {
			t.Errorf("take %d of none: %d %q", limit, n, got)
		}
	}
}

func TestTakeConnection(t *testing.T) {
	e := open(t, `{}`)
	a, b := subscribe(t, e, "a", users), subscribe(t, e, "b", users)
	if a.Connection != b.Connection || a.Ready != b.Ready {
		t.Fatal("two connections")
	}
	publish(t, e, `{"id":1}`, `{"id":2}`)
	text, n := e.TakeConnection(nil, a.Connection, 3)
	handles, _ := split(t, text, 8)
	text, rest := e.TakeConnection(nil, a.Connection, 3)
	more, _ := split(t, text, 8)
	all := append(handles, more...)
	slices.Sort(all)
	if n != 3 || rest != 1 || !slices.Equal(all, []int64{a.Handle, a.Handle, b.Handle, b.Handle}) {
		t.Errorf("took %d and %d: %v", n, rest, all)
	}
	if text, n := e.TakeConnection(nil, a.Connection, 3); n != 0 || len(text) != 0 || atomic.LoadUint32(a.Ready) != 0 {
		t.Errorf("took %d of none, ready %d", n, *a.Ready)
	}
	if e.CompleteConnection(a.Connection) != 1 || e.CompleteConnection(a.Connection) != 0 {
		t.Error("complete connection")
	}
	if _, n := next(e, b.Handle); n != Ended {
		t.Errorf("next of a completed connection: %d", n)
	}
	if _, n := e.TakeConnection(nil, a.Connection, 3); n != 0 {
		t.Errorf("take of a completed connection: %d", n)
	}
	if again := subscribe(t, e, "a", users); again.Connection == a.Connection || again.Handle == a.Handle {
		t.Error("a handle is used again")
	}
}

func TestReadyWord(t *testing.T) {
	e := open(t, `{}`)
	a, b := subscribe(t, e, "a", users), subscribe(t, e, "b", `subscription { others { id } }`)
	ready := func() uint32 { return atomic.LoadUint32(a.Ready) }
	if next(e, a.Handle); ready() != 0 {
		t.Error("ready without a message")
	}
	if publish(t, e, `{"id":1}`); ready() == 0 {
		t.Error("not ready with a message")
	}
	if next(e, b.Handle); ready() == 0 {
		t.Error("not ready while the other subscription has a message")
	}
	next(e, a.Handle)
	if next(e, a.Handle); ready() != 0 {
		t.Error("ready after the last message")
	}
}

// TestEndKeepsTheWord: whoever asks a subscription that has ended hears so, every time, until it is completed.
func TestEndKeepsTheWord(t *testing.T) {
	e := open(t, `{"limits":{"queue_messages":2}}`)
	s := subscribe(t, e, "s", users)
	publish(t, e, `{"id":1}`, `{"id":2}`, `{"id":3}`)
	var got []int64
	for range 5 {
		if atomic.LoadUint32(s.Ready) == 0 {
			t.Fatalf("not ready after %v", got)
		}
		_, n := next(e, s.Handle)
		got = append(got, n)
	}
	if !slices.Equal(got, []int64{1, 1, Slow, Slow, Slow}) {
		t.Errorf("next: %v", got)
	}
	if _, n := e.Take(nil, s.Handle, 3); n != Slow {
		t.Errorf("take: %d", n)
	}
	e.Complete(s.Handle)
	other := subscribe(t, e, "s", users)
	if next(e, other.Handle); atomic.LoadUint32(other.Ready) != 0 {
		t.Error("ready for a subscription that is not there any more")
	}
}

func TestRefusedSubscribeLeavesNoConnection(t *testing.T) {
	e := open(t, `{}`)
	for range 100 {
		if _, err := e.Subscribe(&Subscription{ConnectionID: []byte("x"), SubscriptionID: []byte("s"), Query: []byte("{{")}); err == nil {
			t.Fatal("accepted")
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.connections) != 0 {
		t.Errorf("%d connections are left", len(e.connections))
	}
}

// TestWordLosesNothing: a host that calls Next only while the word is not 0 gets every message.
func TestWordLosesNothing(t *testing.T) {
	const publishers, each = 4, 500
	e := open(t, `{"limits":{"queue_messages":100000}}`)
	a, b := subscribe(t, e, "a", users), subscribe(t, e, "b", users)
	var wg sync.WaitGroup
	for range publishers {
		wg.Go(func() {
			for range each {
				publish(t, e, `{"id":1}`)
			}
		})
	}
	left := 2 * publishers * each
	buf := make([]byte, 0, 256)
	for turn := 0; left > 0; turn++ {
		if atomic.LoadUint32(a.Ready) == 0 {
			runtime.Gosched()
			continue
		}
		h := a.Handle
		if turn%2 == 1 {
			h = b.Handle
		}
		if _, n := e.Next(buf, h); n == 1 {
			left--
		} else if n < 0 {
			t.Fatalf("next: %d", n)
		}
	}
	wg.Wait()
}

// TestWatchLosesNothing: a host that sleeps on its mailbox until the token of a watch comes gets every message.
func TestWatchLosesNothing(t *testing.T) {
	const subscriptions, each = 8, 400
	e := open(t, `{"limits":{"queue_messages":100000}}`)
	box, fd, err := e.Mailbox()
	if err != nil {
		t.Fatal(err)
	}
	var handles []int64
	for i := range subscriptions {
		handles = append(handles, subscribe(t, e, fmt.Sprint(i), users).Handle)
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range each {
				publish(t, e, `{"id":1}`)
			}
		})
	}
	left := subscriptions * each * 2
	drain := func(i int) {
		for {
			for {
				if _, n := e.Next(nil, handles[i]); n != 1 {
					break
				}
				left--
			}
			if e.Watch(handles[i], box, int64(i)) == 0 {
				return
			}
		}
	}
	for i := range handles {
		drain(i)
	}
	tokens := make([]int64, 3)
	for left > 0 {
		if !readable(t, fd, patience) {
			t.Fatalf("asleep with %d left", left)
		}
		for _, token := range tokens[:e.MailboxTake(box, tokens)] {
			drain(int(token))
		}
	}
	wg.Wait()
}

func TestWatch(t *testing.T) {
	e := open(t, `{}`)
	s := subscribe(t, e, "s", users)
	one, _, _ := e.Mailbox()
	two, _, _ := e.Mailbox()
	taken := func(box int64) []int64 {
		tokens := make([]int64, 8)
		return tokens[:e.MailboxTake(box, tokens)]
	}
	if n := e.Watch(s.Handle, one, 5); n != 0 {
		t.Fatalf("watch: %d", n)
	}
	e.Watch(s.Handle, two, 6) // replaces the first
	publish(t, e, `{"id":1}`, `{"id":2}`)
	if a, b := taken(one), taken(two); len(a) != 0 || !slices.Equal(b, []int64{6}) {
		t.Errorf("told %v and %v", a, b)
	}
	if n := e.Watch(s.Handle, two, 6); n != 1 {
		t.Errorf("watch while a message waits: %d", n)
	}
	e.Take(nil, s.Handle, 10)
	e.Watch(s.Handle, two, 7)
	e.Watch(s.Handle, 0, 0)
	publish(t, e, `{"id":1}`)
	if got := taken(two); len(got) != 0 {
		t.Errorf("told %v after the watch was taken back", got)
	}
	e.Take(nil, s.Handle, 10)
	e.Watch(s.Handle, one, 8)
	e.Complete(s.Handle)
	if got := taken(one); !slices.Equal(got, []int64{8}) {
		t.Errorf("told %v of the end", got)
	}
	if n := e.Watch(s.Handle, one, 9); n != Ended {
		t.Errorf("watch after the end: %d", n)
	}
	if n := e.Watch(subscribe(t, e, "x", users).Handle, 12345, 1); n != Unknown {
		t.Errorf("watch with an unknown mailbox: %d", n)
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	e := open(t, `{}`)
	s := subscribe(t, e, "s", users)
	buf := make([]byte, 0, 512)
	ev := Event{Channel: []byte("users"), Type: []byte("t"), Data: []byte(`{"id":"1","name":"n"}`)}
	send := func() {
		sheet := e.Sheet()
		sheet.Add(&ev)
		if _, err := sheet.Publish(); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(2000, send); !raceEnabled && n != 0 {
		t.Errorf("publish: %v allocations", n)
	}
	for range 1000 {
		e.Take(buf, s.Handle, 1000)
	}
	s = subscribe(t, e, "other", users)
	for range 900 {
		send()
	}
	if n := testing.AllocsPerRun(800, func() { e.Next(buf, s.Handle) }); n != 0 {
		t.Errorf("next: %v allocations", n)
	}
	e.Take(buf[:0], s.Handle, 1000)
	if n := testing.AllocsPerRun(800, func() { e.Next(buf, s.Handle) }); n != 0 {
		t.Errorf("next, none: %v allocations", n)
	}
}

// TestChurn lets many threads open and complete the same connections while others publish to them and take.
func TestChurn(t *testing.T) {
	e := open(t, `{}`)
	done := make(chan struct{})
	var publishing, churning sync.WaitGroup
	publishing.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				publish(t, e, `{"id":1}`)
			}
		}
	})
	for w := range 4 {
		churning.Go(func() {
			for i := range 300 {
				s, err := e.Subscribe(&Subscription{
					ConnectionID: fmt.Append(nil, i%3), SubscriptionID: fmt.Append(nil, w), Query: []byte(users), Resolver: int64(i % 2),
				})
				if err != nil {
					t.Errorf("subscribe: %v", err)
					return
				}
				e.Next(nil, s.Handle)
				e.TakeConnection(nil, s.Connection, 10)
				if i%2 == 0 {
					e.CompleteConnection(s.Connection)
				}
				e.Complete(s.Handle)
			}
		})
	}
	churning.Wait()
	close(done)
	publishing.Wait()
	for _, c := range e.connections {
		e.CompleteConnection(c.handle)
	}
	if len(e.resolvers) != 0 {
		t.Errorf("%d resolvers are left", len(e.resolvers))
	}
	if m := e.facade.Metrics(); m.Connections != 0 || m.Subscriptions != 0 {
		t.Errorf("%d connections and %d subscriptions are left", m.Connections, m.Subscriptions)
	}
}

func BenchmarkNext(b *testing.B) {
	e := open(b, `{}`)
	s := subscribe(b, e, "s", users)
	buf := make([]byte, 0, 512)
	b.ReportAllocs()
	waiting := 0
	for b.Loop() {
		if waiting == 0 {
			b.StopTimer()
			for range 500 {
				publish(b, e, `{"id":"1","name":"n"}`)
			}
			waiting = 500
			b.StartTimer()
		}
		e.Next(buf, s.Handle)
		waiting--
	}
}

func BenchmarkPublishNext(b *testing.B) {
	e := open(b, `{}`)
	s := subscribe(b, e, "s", `subscription { users { id name } }`)
	buf := make([]byte, 0, 512)
	ev := Event{Channel: []byte("users"), Type: []byte("t"), Data: []byte(`{"id":"123","name":"somebody","age":42,"active":true,"score":1.5}`)}
	b.ReportAllocs()
	for b.Loop() {
		sheet := e.Sheet()
		sheet.Add(&ev)
		if _, err := sheet.Publish(); err != nil {
			b.Fatal(err)
		}
		e.Next(buf, s.Handle)
	}
}

func BenchmarkOpenClose(b *testing.B) {
	l := New(nil)
	b.ReportAllocs()
	for b.Loop() {
		h, _, err := l.Open([]byte(`{}`))
		if err != nil {
			b.Fatal(err)
		}
		if err := l.Close(h); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTakeConnection(b *testing.B) {
	e := open(b, `{}`)
	var s Subscribed
	for i := range 10 {
		s = subscribe(b, e, fmt.Sprint(i), users)
	}
	buf := make([]byte, 0, 1<<20)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for range 100 {
			publish(b, e, `{"id":"1","name":"n"}`)
		}
		b.StartTimer()
		if _, n := e.TakeConnection(buf, s.Connection, 1000); n != 1000 {
			b.Fatal(n)
		}
	}
}
