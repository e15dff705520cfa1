package membus

import (
	"fmt"
	"testing"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

type count struct{ n int }

func (c *count) Deliver(*bus.Message) int { c.n++; return 1 }

func BenchmarkPublish(b *testing.B) {
	for _, channels := range []int{1, 1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(channels), func(b *testing.B) {
			m := New(Options{})
			_ = m.Attach(b.Context(), &count{})
			names := make([]string, channels)
			for i := range names {
				names[i] = fmt.Sprintf("channel%d", i)
			}
			data := make([]byte, 370)
			batch := make([]bus.Message, 1)
			b.ReportAllocs()
			b.ResetTimer()
			i := 0
			for b.Loop() {
				batch[0] = bus.Message{Event: event.Event{Channel: names[i%channels], Type: "t", ID: "0123456789", Data: data}}
				if _, err := m.Publish(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
				i++
			}
			b.ReportMetric(float64(m.held.Load()), "held")
		})
	}
}
