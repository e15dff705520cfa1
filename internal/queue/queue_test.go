package queue

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

// text is a message with a payload, and what is before a colon as its key.
func text(s string) *Message {
	m := &Message{Payload: []byte(s)}
	if key, _, ok := strings.Cut(s, ":"); ok {
		m.Extra = &Extra{Key: key, Keyed: true}
	}
	return m
}

// pulled is what Pop gives until nothing is left.
func pulled(q *Queue) (lines []string) {
	for {
		it, ok, _ := q.Pop()
		if !ok {
			return lines
		}
		lines = append(lines, string(it.Message.Payload))
	}
}

func pulling() *Conn {
	c := &Conn{}
	c.InitPull(&sink{}, nil)
	return c
}

func TestPolicies(t *testing.T) {
	for _, tt := range []struct {
		name    string
		policy  Policy
		in      []string
		results []Result
		want    []string
		drops   uint32
	}{
		{"close", Policy{Overflow: CloseConnection, Messages: 2, Bytes: 100}, []string{"a", "b", "c", "d"}, []Result{Enqueued, Enqueued, Closed, Gone}, []string{"a", "b"}, 0},
		{"oldest", Policy{Overflow: DropOldest, Messages: 2, Bytes: 100}, []string{"a", "b", "c", "d"}, []Result{Enqueued, Enqueued, Dropped, Dropped}, []string{"c", "d"}, 2},
		{"newest", Policy{Overflow: DropNewest, Messages: 2, Bytes: 100}, []string{"a", "b", "c", "d"}, []Result{Enqueued, Enqueued, Refused, Refused}, []string{"a", "b"}, 2},
		{"latest keeps the newest of each key", Policy{Overflow: Latest, Messages: 9, Bytes: 100}, []string{"a:1", "b:1", "c:1", "b:2", "a:2"},
			[]Result{Enqueued, Enqueued, Enqueued, Replaced, Replaced}, []string{"c:1", "b:2", "a:2"}, 2},
		{"latest of one key", Policy{Overflow: Latest, Messages: 9, Bytes: 100}, []string{"a:1", "a:2", "a:3"}, []Result{Enqueued, Replaced, Replaced}, []string{"a:3"}, 2},
		{"latest beyond the bound", Policy{Overflow: Latest, Messages: 2, Bytes: 100}, []string{"a:1", "b:1", "c:1"}, []Result{Enqueued, Enqueued, Replaced}, []string{"b:1", "c:1"}, 1},
		{"latest at the bound, known key", Policy{Overflow: Latest, Messages: 2, Bytes: 100}, []string{"a:1", "b:1", "a:2"}, []Result{Enqueued, Enqueued, Replaced}, []string{"b:1", "a:2"}, 1},
		{"latest of what has no key, or an empty one", Policy{Overflow: Latest, Messages: 9, Bytes: 100}, []string{"a", "b", ":1", "a:1", "c", ":2"},
			[]Result{Enqueued, Enqueued, Enqueued, Enqueued, Enqueued, Replaced}, []string{"a", "b", "a:1", "c", ":2"}, 1},
		{"latest of what has no key, beyond the bound", Policy{Overflow: Latest, Messages: 2, Bytes: 100}, []string{"a", "b", "c"}, []Result{Enqueued, Enqueued, Replaced}, []string{"b", "c"}, 1},
		{"bytes, close", Policy{Overflow: CloseConnection, Messages: 9, Bytes: 4}, []string{"aa", "bb", "c"}, []Result{Enqueued, Enqueued, Closed}, []string{"aa", "bb"}, 0},
		{"bytes, oldest: as many as it takes", Policy{Overflow: DropOldest, Messages: 9, Bytes: 4}, []string{"a", "b", "c", "dddd"}, []Result{Enqueued, Enqueued, Enqueued, Dropped}, []string{"dddd"}, 3},
		{"bytes, newest: a small one fits later", Policy{Overflow: DropNewest, Messages: 9, Bytes: 4}, []string{"aaa", "bb", "c"}, []Result{Enqueued, Refused, Enqueued}, []string{"aaa", "c"}, 1},
		{"one always fits an empty queue", Policy{Overflow: CloseConnection, Messages: 9, Bytes: 4}, []string{"too large"}, []Result{Enqueued}, []string{"too large"}, 0},
		{"a large one after all others have gone", Policy{Overflow: DropOldest, Messages: 9, Bytes: 4}, []string{"a", "too large", "b"}, []Result{Enqueued, Dropped, Dropped}, []string{"b"}, 2},
	} {
		c := pulling()
		q := c.queue("q", tt.policy)
		var results []Result
		dropped := 0
		for _, s := range tt.in {
			r, messages := q.EnqueueCounted(text(s))
			if results = append(results, r); r == Dropped || r == Replaced || r == Refused {
				dropped += messages
			} else if messages != 1 {
				t.Errorf("%s: %d messages for %q", tt.name, messages, s)
			}
		}
		if dropped != int(tt.drops) {
			t.Errorf("%s: %d counted as dropped, want %d", tt.name, dropped, tt.drops)
		}
		if diff := cmp.Diff(tt.results, results); diff != "" {
			t.Errorf("%s: results %s", tt.name, diff)
		}
		if q.drops != tt.drops {
			t.Errorf("%s: %d drops, want %d", tt.name, q.drops, tt.drops)
		}
		if diff := cmp.Diff(tt.want, pulled(q)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
		if _, _, over := q.Pop(); over != (tt.policy.Overflow == CloseConnection && results[len(results)-1] >= Closed) {
			t.Errorf("%s: overflowed %v", tt.name, over)
		}
		if c.Bytes() != 0 || q.bytes != 0 || q.rest != nil {
			t.Errorf("%s: %d bytes left over", tt.name, c.Bytes())
		}
	}
}

// The bytes of a connection bound all its subscriptions together; one message still fits an empty queue.
func TestConnectionBytes(t *testing.T) {
	c, _ := connected(&Limits{Bytes: 10})
	a, b := c.queue("a", Policy{Overflow: DropNewest, Messages: 100, Bytes: 100}), c.queue("b", Policy{Overflow: DropNewest, Messages: 100, Bytes: 100})
	for i, want := range []Result{Enqueued, Enqueued, Refused} {
		if r := a.Enqueue(text("12345")); r != want {
			t.Errorf("message %d: %v", i, r)
		}
	}
	if r := b.Enqueue(text("12345")); r != Enqueued {
		t.Errorf("the first of another subscription: %v", r)
	}
	if r := b.Enqueue(text("1")); r != Refused || c.Bytes() != 15 {
		t.Errorf("%v with %d bytes", r, c.Bytes())
	}
	b.Complete()
	if c.Bytes() != 10 {
		t.Errorf("%d bytes after a complete", c.Bytes())
	}
}

// TestCrowdedConnections: a client with many subscriptions cannot make a message of each wait beyond the bound of its
// connection and one message.
func TestCrowdedConnections(t *testing.T) {
	for _, tt := range []struct {
		overflow Overflow
		pulls    bool
		want     Result
	}{
		{CloseConnection, false, Closed},
		{CloseConnection, true, Enqueued},
		{DropOldest, false, Enqueued},
		{DropNewest, false, Enqueued},
		{Latest, false, Enqueued},
	} {
		c, limits := &Conn{}, &Limits{Bytes: 10}
		if c.Init(&sink{}, limits); tt.pulls {
			c.InitPull(&sink{}, limits)
		}
		for i, want := range []Result{Enqueued, Enqueued, tt.want} {
			q := c.queue(fmt.Sprint(i), Policy{Overflow: tt.overflow, Messages: 9, Bytes: 100})
			if got := q.Enqueue(text("a message")); got != want {
				t.Errorf("policy %v, pulls %v, message %d: %v, want %v", tt.overflow, tt.pulls, i, got, want)
			}
		}
	}
}

func TestDropsAreToldOnce(t *testing.T) {
	c := pulling()
	q := &Queue{}
	q.Init(c, &Policy{Overflow: DropOldest, Messages: 1, Bytes: 100}, []byte("q"), true)
	for range 3 {
		q.Enqueue(text("x"))
	}
	q.Missed()
	if it, _, _ := q.Pop(); it.Dropped != 3 || !it.Extensions {
		t.Errorf("%+v", it)
	}
	q.Enqueue(text("x"))
	if it, _, _ := q.Pop(); it.Dropped != 0 {
		t.Errorf("%+v", it)
	}
}

func TestCloseDropsResultsAndComesOnce(t *testing.T) {
	for name, shut := range map[string]func(c *Conn, q *Queue){
		"control":       func(c *Conn, _ *Queue) { c.Control(Control{Kind: Close, Code: 4290}) },
		"queue is full": func(_ *Conn, q *Queue) { q.Enqueue(text("x")) },
		"lane is full":  func(_ *Conn, q *Queue) { q.Overflow() },
	} {
		c, s := connected(nil)
		q := c.queue("q", Policy{Overflow: CloseConnection, Messages: 1, Bytes: 100})
		q.Enqueue(text("waits"))
		for range 3 {
			shut(c, q)
		}
		if q.Overflow() {
			t.Errorf("%s: closed twice", name)
		}
		c.Control(Control{Data: []byte("late")})
		c.CloseAfter(1001, "")
		q.End(&Message{})
		items, _ := c.Take(nil, 100)
		if diff := cmp.Diff([]string{"close 4290"}, describe(items)); diff != "" || s.wakes != 2 || c.Bytes() != 0 {
			t.Errorf("%s: %d wakes, %d bytes %s", name, s.wakes, c.Bytes(), diff)
		}
	}
}

// A client that asks and does not read is closed; what was answered before comes first.
func TestTooManyControlMessages(t *testing.T) {
	c, _ := connected(&Limits{ControlMessages: 2})
	for i := range 5 {
		c.Control(Control{Data: fmt.Append(nil, i)})
	}
	items, _ := c.Take(nil, 1000)
	if diff := cmp.Diff([]string{"0", "1", "close 4290"}, describe(items)); diff != "" {
		t.Error(diff)
	}
}

// Replies count for the bytes of a connection, and are taken a few at a time.
func TestControlMessagesHaveABound(t *testing.T) {
	c, _ := connected(&Limits{Bytes: 1000})
	reply := Control{Kind: Text, Data: []byte(strings.Repeat("x", 600))}
	long := Control{Kind: Text, Data: []byte(strings.Repeat("y", 5000))}
	c.Control(long) // one always fits
	if n := c.Bytes(); n != 5000 {
		t.Errorf("%d bytes wait", n)
	}
	items, more := c.Take(nil, 1<<20)
	if len(items) != 1 || more || c.Bytes() != 0 {
		t.Fatalf("took %d, more %v, %d bytes are left", len(items), more, c.Bytes())
	}
	c.Untake(items)
	if n := c.Bytes(); n != 5000 {
		t.Errorf("%d bytes were given back", n)
	}
	c.Control(reply)
	items, _ = c.Take(nil, 1<<20)
	if len(items) != 2 || items[1].Control.Code != CodeSlowConsumer || c.Bytes() != 0 {
		t.Errorf("took %v, %d bytes are left", describe(items), c.Bytes())
	}

	c, _ = connected(nil)
	q := c.queue("q", Policy{Messages: 9})
	for range 10 {
		c.Control(reply)
	}
	q.Enqueue(text("result"))
	c.CloseAfter(1001, "")
	var order []string
	for more := true; more; {
		if items, more = c.Take(items[:0], 1000); len(items) > 2 {
			t.Errorf("took %d at once", len(items))
		}
		order = append(order, describe(items)...)
	}
	if len(order) != 12 || c.Bytes() != 0 {
		t.Errorf("took %q, %d bytes are left", order, c.Bytes())
	}
	c, _ = connected(&Limits{Bytes: 1000})
	q = c.queue("q", Policy{Overflow: CloseConnection})
	c.Control(long)
	if r := q.Enqueue(text("beside a long reply")); r != Enqueued {
		t.Errorf("a result beside a long reply: %v", r)
	}
	c, _ = connected(nil)
	c.Control(reply)
	c.Shut()
	if c.Bytes() != 0 {
		t.Errorf("%d bytes after the end", c.Bytes())
	}
}

func TestCloseAfterLetsResultsOut(t *testing.T) {
	c, _ := connected(nil)
	q := c.queue("q", wide)
	q.Enqueue(text("1"))
	q.Enqueue(text("2"))
	c.CloseAfter(1012, "bye")
	if r := q.Enqueue(text("3")); r != Gone || !c.Closing() {
		t.Errorf("%v, closing %v", r, c.Closing())
	}
	items, more := c.Take(nil, 1)
	if diff := cmp.Diff([]string{"q:1"}, describe(items)); diff != "" || !more {
		t.Errorf("more %v %s", more, diff)
	}
	items, more = c.Take(nil, 1<<20)
	if diff := cmp.Diff([]string{"q:2", "close 1012"}, describe(items)); diff != "" || more {
		t.Errorf("more %v %s", more, diff)
	}
	if items, _ = c.Take(nil, 100); len(items) != 0 {
		t.Errorf("again: %v", describe(items))
	}
}

// Subscriptions take turns, whatever each of them has waiting.
func TestRoundRobin(t *testing.T) {
	c, s := connected(nil)
	a, b := c.queue("a", wide), c.queue("b", wide)
	for _, m := range []string{"1", "2", "3"} {
		a.Enqueue(text(m))
	}
	b.Enqueue(text("1"))
	items, _ := c.Take(nil, 1<<20)
	if diff := cmp.Diff([]string{"a:1", "b:1", "a:2", "a:3"}, describe(items)); diff != "" {
		t.Error(diff)
	}
	if s.wakes != 1 {
		t.Errorf("%d wakes", s.wakes)
	}
	if b.Enqueue(text("2")); s.wakes != 2 {
		t.Error("an emptied connection must wake its sink again")
	}
}

// While the peer does not read, what waits is in no slab that others keep alive.
func TestBlockedConnectionsOwnTheirBytes(t *testing.T) {
	shared := &Message{Payload: []byte("before"), Extra: &Extra{Cursor: []byte("c"), Key: "k", Keyed: true}}
	c, _ := connected(nil)
	q := c.queue("q", wide)
	for range 3 {
		q.Enqueue(shared)
	}
	c.Block(true)
	c.Block(true)
	q.Enqueue(shared)
	c.Block(false)
	q.Enqueue(shared)
	items, _ := c.Take(nil, 1<<20)
	for i, it := range items {
		m := it.Message
		own := unsafe.SliceData(m.Payload) != unsafe.SliceData(shared.Payload)
		if own != (i < 4) || string(m.Payload) != "before" || string(m.Cursor()) != "c" || !m.is("k") {
			t.Errorf("message %d: own %v, %+v", i, own, m)
		}
	}
	if len(items) != 5 || c.Bytes() != 0 {
		t.Errorf("%d items, %d bytes left", len(items), c.Bytes())
	}
}

// What many blocked connections wait for is copied once, not once for each of them: their number must not multiply memory.
func TestBlockedConnectionsShareTheirCopies(t *testing.T) {
	before, after := &Message{Payload: []byte("before")}, &Message{Payload: []byte("after")}
	var first []Item
	for n := range 3 {
		c, _ := connected(nil)
		q := c.queue("q", wide)
		q.Enqueue(before)
		c.Block(true)
		q.Enqueue(after)
		c.Block(false)
		c.Block(true) // again: what is a copy stays it
		items, _ := c.Take(nil, 1<<20)
		if n == 0 {
			first = items
		}
		for i, want := range []*Message{before, after} {
			if got := items[i].Message; got == want || got != first[i].Message || string(got.Payload) != string(want.Payload) {
				t.Errorf("connection %d, message %d: %p %q, that of the first %p", n, i, got, got.Payload, first[i].Message)
			}
		}
	}
}

// A message that its slab keeps must not keep the copy that no queue has any more.
func TestCopiesLiveAsLongAsQueuesHaveThem(t *testing.T) {
	slab := []Message{{Payload: []byte("first")}, {Payload: []byte("second")}}
	c, _ := connected(nil)
	q := c.queue("q", wide)
	c.Block(true)
	q.Enqueue(&slab[0])
	q.Enqueue(&slab[1])
	first, second := slab[0].forms.Load().copy.Load(), slab[1].forms.Load().copy.Load()
	runtime.GC()
	if first.Value() == nil || second.Value() == nil {
		t.Fatal("a copy that waits is gone")
	}
	if items, _ := c.Take(nil, 1); len(items) != 1 {
		t.Fatalf("%d items", len(items))
	}
	runtime.GC()
	if first.Value() != nil {
		t.Error("the slab keeps a copy that was taken")
	}
	if second.Value() == nil {
		t.Error("the copy that waits is gone")
	}
	q.Enqueue(&slab[0])
	c.Take(nil, 1)
	if items, _ := c.Take(nil, 1); len(items) != 1 || string(items[0].Message.Payload) != "first" {
		t.Errorf("copied again: %v", items)
	}
	runtime.KeepAlive(slab)
}

func TestCompleteEndAndShut(t *testing.T) {
	c, _ := connected(nil)
	a, b := c.queue("a", wide), c.queue("b", wide)
	a.Enqueue(text("1"))
	if !a.Complete() || a.Complete() || !a.Ended() {
		t.Error("complete works once")
	}
	b.End(&Message{Payload: []byte("last")})
	b.End(&Message{Payload: []byte("again")})
	if a.Enqueue(text("2")) != Gone || b.Enqueue(text("2")) != Gone || a.Overflow() || c.Closing() {
		t.Error("nothing goes into what has ended")
	}
	items, _ := c.Take(nil, 1<<20)
	if diff := cmp.Diff([]string{"b:last"}, describe(items)); diff != "" {
		t.Error(diff)
	}
	d := c.queue("d", wide)
	d.Enqueue(text("x"))
	c.Control(Control{Data: []byte("x")})
	c.Shut()
	c.Shut()
	if items, more := c.Take(nil, 100); len(items) != 0 || more || c.Bytes() != 0 || d.Enqueue(text("y")) != Gone {
		t.Error("something is left in a connection that was shut")
	}
}

func TestIDs(t *testing.T) {
	c, _ := connected(nil)
	for _, n := range []int{0, 1, inlineID, inlineID + 1, 500} {
		id := strings.Repeat("x", n)
		q := c.queue(id, wide)
		if string(q.AppendID(nil)) != id || q.IDLen() != n || !q.IDIs([]byte(id)) || q.IDIs([]byte(id+"y")) {
			t.Errorf("an id of %d bytes", n)
		}
	}
}
