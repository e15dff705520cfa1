package hub

import (
	"fmt"
	"testing"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// BenchmarkNarrow is one event among 10,000 subscriptions with a filter that is no equality. It matches so many in a
// hundred.
func BenchmarkNarrow(b *testing.B) {
	for _, percent := range []int{0, 1, 10, 50, 100} {
		b.Run(fmt.Sprintf("range/percent=%d", percent), func(b *testing.B) {
			narrow(b, `subscription($a: Float, $b: Float) { order(from: $a, to: $b) `+fiveFields+` }`, percent, func(i int, matches bool) string {
				if matches { // f is 1.25
					return fmt.Sprintf(`{"a":%g,"b":2}`, 1+float64(i)/1e6)
				}
				return fmt.Sprintf(`{"a":%d,"b":%d}`, 2+i, 3+i)
			})
		})
		b.Run(fmt.Sprintf("prefix/percent=%d", percent), func(b *testing.B) {
			narrow(b, `subscription($s: String, $m: Int) { order(prefix: $s, min: $m) `+fiveFields+` }`, percent, func(i int, matches bool) string {
				if matches {
					return fmt.Sprintf(`{"s":"Lon","m":%d}`, i%1000)
				}
				return fmt.Sprintf(`{"s":"Lon %d"}`, i)
			})
		})
	}
}

func narrow(b *testing.B, query string, percent int, variables func(i int, matches bool) string) {
	const subscriptions = 10_000
	w := newWorld(b, Addressing{})
	p := w.plan(query)
	d := &drainer{}
	for i := range subscriptions {
		c := &queue.Conn{}
		c.Init(nullSink{}, nil)
		matches := i%100 < percent
		w.join(c, p, variables(i, matches), user("u"))
		if matches {
			d.conns = append(d.conns, c)
		}
	}
	m := &bus.Message{Event: event.Event{Channel: "orders", Type: "t", Data: []byte(orderData)}}
	b.ReportAllocs()
	for b.Loop() {
		m.Position.Major++
		m.Position.Epoch = 1
		if n := w.hub.Deliver(m); n != subscriptions*percent/100 {
			b.Fatal(n)
		}
		d.drain()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/subscriptions, "ns/subscription")
}

// BenchmarkJoinNarrow is BenchmarkJoin of a new group with a range beside 10,000 others.
func BenchmarkJoinNarrow(b *testing.B) {
	w := newWorld(b, Addressing{})
	p := w.plan(`subscription($a: Float, $b: Float) { order(from: $a, to: $b) ` + fiveFields + ` }`)
	who, conn := user("u"), newConn()
	for i := range 10_000 {
		w.join(conn, p, fmt.Sprintf(`{"a":%d,"b":%d}`, i, i+2), who)
	}
	j := w.request(conn, p, `{"a":5000.5,"b":5001}`, who)
	b.ReportAllocs()
	for b.Loop() {
		s, _ := w.hub.Join(j, nil)
		s.Complete()
	}
}
