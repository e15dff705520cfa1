package queue

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sink counts wakes, and notes the ids of the queues that it is told of.
type sink struct {
	wakes int
	told  []string
}

func (s *sink) Wake(q *Queue) {
	s.wakes++
	if q != nil {
		s.told = append(s.told, string(q.AppendID(nil)))
	}
}

func connected(limits *Limits) (*Conn, *sink) {
	c, s := &Conn{}, &sink{}
	c.Init(s, limits)
	return c, s
}

func (c *Conn) queue(id string, p Policy) *Queue {
	q := &Queue{}
	q.Init(c, &p, []byte(id), false)
	return q
}

// describe is one line per item.
func describe(items []Item) (lines []string) {
	for i := range items {
		it := &items[i]
		switch {
		case it.Queue != nil:
			lines = append(lines, fmt.Sprintf("%s:%s", it.Queue.AppendID(nil), it.Message.Payload))
		case it.Control.Kind == Close:
			lines = append(lines, fmt.Sprintf("close %d", it.Control.Code))
		default:
			lines = append(lines, string(it.Control.Data))
		}
	}
	return lines
}

var wide = Policy{Messages: 100, Bytes: 1 << 20}

// What was taken and not written comes back in its order, whatever part of it that is; only what ended
// meanwhile does not.
func TestUntakeRestoresOrder(t *testing.T) {
	for cut := range 9 {
		c, s := connected(nil)
		a, b := c.queue("a", wide), c.queue("b", wide)
		for i := range 3 {
			a.Enqueue(&Message{Payload: fmt.Append(nil, i)})
			b.Enqueue(&Message{Payload: fmt.Append(nil, i)})
		}
		c.Control(Control{Data: []byte("control")})
		c.CloseAfter(1012, "")
		items, more := c.Take(nil, 1<<20)
		if more || len(items) != 8 {
			t.Fatalf("took %v, more %v", describe(items), more)
		}
		want := describe(items)
		written := slices.Clone(items[:cut])
		c.Untake(items[cut:])
		again, more := c.Take(nil, 1<<20)
		if diff := cmp.Diff(want, describe(append(written, again...))); diff != "" || more {
			t.Errorf("cut at %d: more %v, %s", cut, more, diff)
		}
		if c.Bytes() != 0 {
			t.Errorf("%d bytes left", c.Bytes())
		}
		if s.wakes != 2 { // for the first message, and for the close
			t.Errorf("%d wakes", s.wakes)
		}
	}
}

func TestUntakeAfterComplete(t *testing.T) {
	c, _ := connected(nil)
	a, b := c.queue("a", wide), c.queue("b", wide)
	a.Enqueue(&Message{Payload: []byte("stale")})
	b.Enqueue(&Message{Payload: []byte("kept")})
	items, _ := c.Take(nil, 1<<20)
	a.Complete()
	b.Enqueue(&Message{Payload: []byte("next")})
	c.Untake(items)
	items, _ = c.Take(nil, 1<<20)
	if diff := cmp.Diff([]string{"b:kept", "b:next"}, describe(items)); diff != "" {
		t.Error(diff)
	}
}

// An overflow between Take and Untake discards results, and its close comes once.
func TestUntakeAfterOverflow(t *testing.T) {
	c, s := connected(nil)
	q := c.queue("a", Policy{Messages: 1, Bytes: 1 << 20})
	q.Enqueue(&Message{Payload: []byte("taken")})
	items, _ := c.Take(nil, 1<<20)
	q.Enqueue(&Message{Payload: []byte("waits")})
	if r := q.Enqueue(&Message{Payload: []byte("too many")}); r != Closed {
		t.Fatalf("enqueue: %v", r)
	}
	if s.wakes != 3 || !c.Closing() {
		t.Errorf("%d wakes, closing %v", s.wakes, c.Closing())
	}
	c.Untake(items)
	items, _ = c.Take(nil, 1<<20)
	if diff := cmp.Diff([]string{"close 4290"}, describe(items)); diff != "" {
		t.Error(diff)
	}
	if items, _ = c.Take(nil, 1<<20); len(items) != 0 || c.Bytes() != 0 {
		t.Errorf("left: %v, %d bytes", describe(items), c.Bytes())
	}
}
