package hub

import (
	"fmt"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

const fiveFields = `{ id status total customer city }`

// drainer takes what its connections were given, as a writer would.
type drainer struct {
	conns []*queue.Conn
	items []queue.Item
}

func (d *drainer) drain() {
	for _, c := range d.conns {
		d.items, _ = c.Take(d.items[:0], 1<<20)
	}
}

// BenchmarkDispatchArguments is BenchmarkDispatch with 100 groups of one document that differ in the argument of a
// range: each filters for itself, the bytes are shared.
func BenchmarkDispatchArguments(b *testing.B) {
	w := newWorld(b, Addressing{})
	d := &drainer{}
	p := w.plan(`subscription($min: Int) { order(min: $min) ` + fiveFields + ` }`)
	for i := range 100 {
		c := &queue.Conn{}
		c.Init(nullSink{}, nil)
		w.join(c, p, fmt.Sprintf(`{"min":%d}`, i), user("u"))
		d.conns = append(d.conns, c)
	}
	w.run(b, d.drain)
}

// BenchmarkDispatch is the cost of one 370-byte event for 100 matching subscriptions, 5 of 12 fields, bytes
// ready for each, queues emptied as by a writer.
func BenchmarkDispatch(b *testing.B) {
	for _, groups := range []int{1, 100} {
		b.Run(fmt.Sprintf("subscriptions=100/groups=%d", groups), func(b *testing.B) {
			w := newWorld(b, Addressing{})
			d := &drainer{}
			shared := w.plan(`subscription { order ` + fiveFields + ` }`)
			for i := range 100 {
				c := &queue.Conn{}
				c.Init(nullSink{}, nil)
				p := shared
				if groups > 1 {
					p = w.plan(fmt.Sprintf(`subscription { order { a%d: id status total customer city } }`, i))
				}
				w.join(c, p, `{}`, user("u"))
				d.conns = append(d.conns, c)
			}
			w.run(b, d.drain)
		})
	}
}

// run publishes the event b.N times, parsed by the hub as from a bus. Beside the whole it reports the part of the
// dispatch alone, from the event to the last enqueue: dispatch-ns/op.
func (w *world) run(b *testing.B, after func()) {
	m := &bus.Message{Event: event.Event{Channel: "orders", Type: "t", Data: []byte(orderData)}}
	var dispatching time.Duration
	b.ReportAllocs()
	for b.Loop() {
		m.Position.Major++
		m.Position.Epoch = 1
		start := time.Now()
		if w.hub.Deliver(m) == 0 {
			b.Fatal("nobody received")
		}
		dispatching += time.Since(start)
		after()
	}
	b.ReportMetric(float64(dispatching)/float64(b.N), "dispatch-ns/op")
}

// BenchmarkRoute is the cost of one event among many subscriptions with distinct equality arguments, one of
// which it matches.
func BenchmarkRoute(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprintf("subscriptions=%d", n), func(b *testing.B) {
			w := newWorld(b, Addressing{})
			p := w.plan(`subscription($i: ID) { order(id: $i) ` + fiveFields + ` }`)
			var subs []*Subscription
			for i := range n {
				c := &queue.Conn{}
				c.Init(nullSink{}, nil)
				subs = append(subs, w.join(c, p, fmt.Sprintf(`{"i":"%d"}`, i), user("u")))
			}
			var items []queue.Item
			w.run(b, func() { items, _ = subs[42].Conn().Take(items[:0], 1<<20) })
		})
	}
}

// BenchmarkDenied is the cost of an event of one tenant beside 10,000 subscriptions of others.
func BenchmarkDenied(b *testing.B) {
	w := newWorld(b, Addressing{})
	p := w.plan(`subscription { order ` + fiveFields + ` }`)
	for i := range 10_000 {
		w.join(newConn(), p, `{}`, tenant(fmt.Sprint(i)))
	}
	m := &bus.Message{Event: event.Event{Channel: "orders", Type: "t", TenantID: "none", Data: []byte(orderData)}}
	b.ReportAllocs()
	for b.Loop() {
		m.Position.Major++
		w.hub.Deliver(m)
	}
}

// BenchmarkJoin is a subscribe and complete in the hub: a new group each time, and an existing one.
func BenchmarkJoin(b *testing.B) {
	w := newWorld(b, Addressing{})
	p := w.plan(`subscription($i: ID) { order(id: $i) ` + fiveFields + ` }`)
	conn := newConn()
	w.join(conn, p, `{"i":"1"}`, user("u"))
	for _, same := range []bool{true, false} {
		b.Run(fmt.Sprintf("group=%v", same), func(b *testing.B) {
			who := user("u")
			pol := &queue.Policy{Messages: 1000, Bytes: 4 << 20}
			var vars jsontape.Tape
			text := []byte(`{"i":"1"}`)
			if !same {
				text = []byte(`{"i":"2"}`)
			}
			if err := vars.Parse(text, jsontape.Limits{}); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				s, _ := w.hub.Join(&Join{Conn: conn, ID: []byte("s"), Plan: p, Variables: text, Tape: &vars, Identity: who, Policy: pol}, nil)
				s.Complete()
			}
		})
	}
}
