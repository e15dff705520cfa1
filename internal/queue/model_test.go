package queue

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// naive is a queue as one would write it who needs it to be right only.
type naive struct {
	policy  Policy
	waiting []*Message
	drops   uint32
	over    bool
	ended   bool
}

func (n *naive) bytes() (sum int) {
	for _, m := range n.waiting {
		sum += len(m.Payload)
	}
	return sum
}

func (n *naive) fits(m *Message) bool {
	return len(n.waiting) == 0 || len(n.waiting) < n.policy.Messages && n.bytes()+len(m.Payload) <= n.policy.Bytes
}

// key is what LATEST compares, and whether there is anything.
func key(m *Message) string { return fmt.Sprint(m.Key()) }

func (n *naive) enqueue(m *Message) {
	if n.ended || n.over {
		return
	}
	if n.policy.Overflow == Latest {
		before := len(n.waiting)
		n.waiting = slices.DeleteFunc(n.waiting, func(w *Message) bool {
			return m.Extra != nil && w.Extra != nil && w.Extra.Key == m.Extra.Key
		})
		n.drops += uint32(before - len(n.waiting))
	}
	if !n.fits(m) {
		switch n.policy.Overflow {
		case CloseConnection:
			n.over = true
			return
		case DropNewest:
			n.drops++
			return
		}
		for !n.fits(m) {
			n.waiting = n.waiting[1:]
			n.drops++
		}
	}
	n.waiting = append(n.waiting, m)
}

// TestQueueAgreesWithANaiveOne draws enqueues, pops, takes that are given back in part, blocks and completes.
func TestQueueAgreesWithANaiveOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &Conn{}
		c.InitPull(&sink{}, nil)
		queues := make([]*Queue, 3)
		models := make([]*naive, len(queues))
		for i := range queues {
			p := Policy{
				Overflow: Overflow(rapid.IntRange(0, 3).Draw(t, "policy")),
				Messages: rapid.IntRange(1, 12).Draw(t, "messages"), Bytes: rapid.IntRange(1, 60).Draw(t, "bytes"),
			}
			queues[i], models[i] = &Queue{}, &naive{policy: p}
			queues[i].Init(c, &p, fmt.Append(nil, i), true)
		}
		for step := range rapid.IntRange(1, 80).Draw(t, "steps") {
			i := rapid.IntRange(0, len(queues)-1).Draw(t, "queue")
			q, n := queues[i], models[i]
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0, 1, 2, 3, 4:
				m := &Message{Payload: make([]byte, rapid.IntRange(0, 20).Draw(t, "size"))}
				if k := rapid.SampledFrom([]string{"a", "b", "", "none"}).Draw(t, "key"); k != "none" {
					m.Extra = &Extra{Key: k, Keyed: true}
				}
				q.Enqueue(m)
				n.enqueue(m)
			case 5, 6:
				it, ok, over := q.Pop()
				if ok != (len(n.waiting) > 0) || over != (!ok && n.over) {
					t.Fatalf("step %d: pop %v %v", step, ok, over)
				}
				if ok {
					if len(it.Message.Payload) != len(n.waiting[0].Payload) || key(it.Message) != key(n.waiting[0]) || it.Dropped != n.drops {
						t.Fatalf("step %d: another message, or %d drops for %d", step, it.Dropped, n.drops)
					}
					n.waiting, n.drops = n.waiting[1:], 0
				}
			case 7:
				c.Block(rapid.Bool().Draw(t, "blocked"))
			case 8:
				takeAndGiveBack(t, c, queues, models)
			case 9:
				if rapid.IntRange(0, 5).Draw(t, "complete") == 0 {
					q.Complete()
					n.ended, n.waiting = true, nil
				}
			}
			agree(t, c, queues, models)
		}
	})
}

// takeAndGiveBack writes a part of what it takes.
func takeAndGiveBack(t *rapid.T, c *Conn, queues []*Queue, models []*naive) {
	items, _ := c.Take(nil, rapid.IntRange(1, 400).Draw(t, "take"))
	written := rapid.IntRange(0, len(items)).Draw(t, "written")
	for _, it := range items[:written] {
		n := models[slices.Index(queues, it.Queue)]
		if len(n.waiting) == 0 || key(it.Message) != key(n.waiting[0]) || it.Dropped != n.drops {
			t.Fatalf("took %+v", it)
		}
		n.waiting, n.drops = n.waiting[1:], 0
	}
	c.Untake(items[written:])
}

func agree(t *rapid.T, c *Conn, queues []*Queue, models []*naive) {
	sum := 0
	for i, q := range queues {
		if q.Len() != len(models[i].waiting) || int(q.bytes) != models[i].bytes() {
			t.Fatalf("queue %d: %d messages of %d bytes, want %d of %d", i, q.Len(), q.bytes, len(models[i].waiting), models[i].bytes())
		}
		if ready := q.flags&flagReady != 0; ready != (q.Len() > 0) {
			t.Fatalf("queue %d: ready %v with %d messages", i, ready, q.Len())
		}
		sum += int(q.bytes)
	}
	if c.Bytes() != sum {
		t.Fatalf("%d bytes, want %d", c.Bytes(), sum)
	}
}
