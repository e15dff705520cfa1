package redisbus

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// recalling asks a node what was before events of a channel, with little to read for one question.
type recalling struct {
	*node
	t    *testing.T
	list []bus.Message
}

// publish publishes events with so much text, one by one.
func (r *recalling) publish(n, size int) {
	r.t.Helper()
	for range n {
		batch := []bus.Message{{Event: event.Event{
			Channel: "c", Type: "t", ID: fmt.Sprint(len(r.list)), Data: []byte(`{"text":"` + strings.Repeat("x", size) + `"}`),
		}}}
		if _, err := r.Publish(r.t.Context(), batch); err != nil {
			r.t.Fatal(err)
		}
		r.list = append(r.list, batch...)
	}
	after := event.Position{}
	if len(r.list) > n {
		after = r.list[len(r.list)-n-1].Position
	}
	page, err := r.History(r.t.Context(), "c", after, n)
	if err != nil || len(page.Messages) != n {
		r.t.Fatalf("%d events, %v", len(page.Messages), err)
	}
	copy(r.list[len(r.list)-n:], page.Messages)
}

// want asks, and wants the newest events up to one, at least so many and without holes.
func (r *recalling) want(from, upTo, least int, whole bool) {
	r.t.Helper()
	list, got, err := r.Recall(r.t.Context(), "c", r.list[from].Position, r.list[upTo].Position)
	if err != nil || got != whole || len(list) < least {
		r.t.Errorf("from %d up to %d: %d events, whole %v, %v", from, upTo, len(list), got, err)
	}
	told := map[event.Position]bool{}
	for _, e := range list {
		told[e.Position] = !e.At.IsZero()
	}
	for i, m := range r.list {
		if told[m.Position] != (i <= upTo && i > upTo-len(list)) {
			r.t.Errorf("from %d up to %d: %d events, event %d is one of them: %v", from, upTo, len(list), i, told[m.Position])
		}
	}
}

// memory looks at what the partition remembers.
func (r *recalling) memory(look func(m *memory)) {
	p := r.home("c")
	p.recalling <- struct{}{}
	look(&p.memory)
	<-p.recalling
}

// However much was read for earlier questions, there is as much to read for the next one, and what is told is the newest. Who
// was away for long is answered apart: others keep what is remembered.
func TestEachQuestionIsBounded(t *testing.T) {
	const size, room = 2000, 50_000
	server := testkit.StartRedis(t, testkit.RedisOptions{})
	r := &recalling{node: open(t, with("redis://"+server.Addr, "prefix", freshPrefix())), t: t}
	r.publish(300, size)
	r.memory(func(m *memory) { m.room = room })
	r.want(299, 299, 20, true)
	var lo, hi uint64
	r.memory(func(m *memory) { lo, hi = m.lo, m.hi })
	for at := 5; at < 40; at += 10 { // far away, and what is told of them is read anew
		r.want(at, 299, 20, false)
		r.want(at, at, at+1, true)
	}
	r.memory(func(m *memory) {
		if m.lo > lo || m.hi != hi {
			t.Errorf("remembered from %d to %d, was %d to %d", m.lo, m.hi, lo, hi)
		}
		if m.bytes < 2*room {
			t.Errorf("%d bytes were read: that shows nothing", m.bytes)
		}
	})
	for range 5 {
		n := len(r.list)
		r.publish(5, size)
		r.want(n, n+4, 10, true)
	}
	n := len(r.list)
	r.publish(200, size) // more than may be read between
	r.want(n+199, n+199, 5, true)
	r.want(n, n+199, 5, false)
	r.want(n, n, 5, true)
}
