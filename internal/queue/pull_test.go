package queue

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func listening() (*Conn, *sink) {
	c, s := &Conn{}, &sink{}
	c.InitPull(s, nil)
	return c, s
}

// Every message and every end is told once, with its queue, after it is there.
func TestPulledConnectionsAreWokenForEverything(t *testing.T) {
	c, s := listening()
	q, full := c.queue("q", wide), c.queue("full", Policy{Overflow: CloseConnection, Messages: 1, Bytes: 100})
	newest := c.queue("newest", Policy{Overflow: DropNewest, Messages: 1, Bytes: 100})
	q.Enqueue(text("1"))
	q.Enqueue(text("2"))
	full.Enqueue(text("1"))
	if full.Enqueue(text("2")) != Closed || full.Enqueue(text("3")) != Gone || full.Overflow() {
		t.Error("an overflow happens once")
	}
	newest.Enqueue(text("1"))
	newest.Enqueue(text("2")) // refused: nothing new
	full.Complete()
	full.Complete()
	q.End(&Message{End: true})
	c.Shut()
	q.Complete() // its end must be known, although nothing can be popped any more
	want := []string{"q", "q", "full", "full", "newest", "full", "q", "q"}
	if diff := cmp.Diff(want, s.told); diff != "" {
		t.Error(diff)
	}
}

// A connection waits while a queue of it has a message, or has an end that nobody was told of.
func TestWaiting(t *testing.T) {
	c, _ := listening()
	a, b := c.queue("a", Policy{Overflow: CloseConnection, Messages: 1, Bytes: 100}), c.queue("b", wide)
	step := func(what string, connection, first, second bool) {
		t.Helper()
		if c.Waiting() != connection || a.Waits() != first || b.Waits() != second {
			t.Errorf("%s: waiting %v, a %v, b %v", what, c.Waiting(), a.Waits(), b.Waits())
		}
	}
	tell := func(q *Queue, want Ending) {
		t.Helper()
		if got := q.TellEnd(); got != want {
			t.Errorf("ending %v, want %v", got, want)
		}
	}
	step("at first", false, false, false)
	a.Enqueue(text("1"))
	step("a message", true, true, false)
	a.Enqueue(text("2"))
	tell(a, Live)
	a.Pop()
	step("overflowed and popped", true, true, false)
	tell(a, Overflowed)
	tell(a, Overflowed)
	step("told", false, true, false)
	a.Complete()
	step("completed after its end was told", false, true, false)
	tell(a, Overflowed)
	b.Enqueue(text("1"))
	b.Complete()
	step("completed", true, true, true)
	c.Shut()
	step("shut", true, true, true)
	tell(b, Completed)
	step("all told", false, true, true)
}

// Whoever is popped goes behind the others that wait.
func TestPopTakesTurns(t *testing.T) {
	c, _ := listening()
	for _, id := range []string{"a", "b", "c"} {
		q := c.queue(id, wide)
		for range 3 {
			q.Enqueue(text("x"))
		}
	}
	var order []string
	for ready := c.Ready(nil, 1); len(ready) == 1; ready = c.Ready(ready[:0], 1) {
		ready[0].Pop()
		order = append(order, string(ready[0].AppendID(nil)))
	}
	if diff := cmp.Diff([]string{"a", "b", "c", "a", "b", "c", "a", "b", "c"}, order); diff != "" {
		t.Error(diff)
	}
	if n := len(c.Ready(nil, 10)); n != 0 {
		t.Errorf("%d ready", n)
	}
}
