package fraiseql_test

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

const orderSDL = `
type Subscription { order(id: ID): Order @source(channel: "orders") }
type Order { id: ID! status: String total: Int customer: String city: String note: String a: Int b: Int c: Int d: Int e: Boolean f: Float }
`

// orderData has 12 members and about 370 bytes.
const orderData = `{"id":"42","status":"open","total":1250,"customer":"Ada Lovelace, Analytical Engines Ltd","city":"London","note":"please ring twice and leave it with the neighbour at number 12, they know about it; if nobody opens, try the shop at the corner of the street, it is open until eight in the evening on all days","a":1,"b":22,"c":333,"d":4444,"e":true,"f":1.25}`

// BenchmarkPublishNext is the whole way in-process: publish, match, project, next; one subscriber per channel,
// without a schema as the original's bindings are used.
func BenchmarkPublishNext(b *testing.B) {
	for _, channels := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprintf("channels=%d", channels), func(b *testing.B) { publishNext(b, channels) })
	}
}

// warmEvents fill the memory bus's history, 64 MiB.
const warmEvents = 150_000

func publishNext(b *testing.B, channels int) {
	e := newEngine(b, fraiseql.Config{})
	subs := make([]*fraiseql.Subscription, channels)
	names := make([]string, channels)
	for i := range subs {
		names[i] = fmt.Sprint("room", i)
		s, err := e.Register(b.Context(), fraiseql.Registration{
			ConnectionID: names[i], SubscriptionID: "s", Query: "subscription { " + names[i] + " { id status total customer city } }",
		})
		if err != nil {
			b.Fatal(err)
		}
		subs[i] = s
	}
	data := []byte(orderData)
	for i := range warmEvents { // until the channels' history has its steady size
		if _, err := e.Publish(b.Context(), fraiseql.Event{Channel: names[i%channels], Type: "t", Data: data}); err != nil {
			b.Fatal(err)
		}
		if _, ok, _ := subs[i%channels].Next(nil); !ok {
			b.Fatal("nothing came")
		}
	}
	var worker atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	defer testkit.CPUTime(b)()
	b.RunParallel(func(pb *testing.PB) {
		buf := make([]byte, 0, 1024)
		workers := runtime.GOMAXPROCS(0)
		first := int(worker.Add(1)) - 1
		for i := first; pb.Next(); i += workers {
			k := i % channels
			if _, err := e.Publish(context.Background(), fraiseql.Event{Channel: names[k], Type: "t", Data: data}); err != nil {
				b.Error(err)
				return
			}
			var ok bool
			if buf, ok, _ = subs[k].Next(buf[:0]); !ok {
				b.Error("nothing came")
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkPublish is one publisher and one subscriber that never looks, its queue dropping the oldest.
func BenchmarkPublish(b *testing.B) {
	e := newEngine(b, fraiseql.Config{Schema: []fraiseql.SchemaSource{{Text: orderSDL}}})
	s := register(b, e, "s", "subscription { order { id status total customer city } }", "")
	ev := fraiseql.Event{Channel: "orders", Type: "t", Data: []byte(orderData)}
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	defer testkit.CPUTime(b)()
	for b.Loop() {
		if _, err := e.Publish(context.Background(), ev); err != nil {
			b.Fatal(err)
		}
		buf, _, _ = s.Next(buf[:0])
	}
}

// BenchmarkSubscribe is Register and Complete of a known document with one variable.
func BenchmarkSubscribe(b *testing.B) {
	e := newEngine(b, fraiseql.Config{Schema: []fraiseql.SchemaSource{{Text: orderSDL}}})
	const query = "subscription($i: ID) { order(id: $i) { id status total customer city } }"
	register(b, e, "first", query, `{"i":"1"}`)
	for _, c := range []struct{ name, variables string }{{"group=known", `{"i":"1"}`}, {"group=new", `{"i":"2"}`}} {
		b.Run(c.name, func(b *testing.B) {
			r := fraiseql.Registration{ConnectionID: "c", SubscriptionID: "s", Query: query, Variables: []byte(c.variables)}
			b.ReportAllocs()
			for b.Loop() {
				s, err := e.Register(context.Background(), r)
				if err != nil {
					b.Fatal(err)
				}
				s.Complete()
			}
		})
	}
}

// BenchmarkResolve is BenchmarkPublish with a deferred resolver: publish, match, ask, answer, project, next. The
// answer comes from the publishing goroutine after Publish has returned, as it does where the host has one thread.
func BenchmarkResolve(b *testing.B) {
	const selected = `{"id":"42","status":"open","total":1250,"customer":"Ada Lovelace, Analytical Engines Ltd","city":"London"}`
	for _, answer := range []string{selected, orderData} {
		b.Run(fmt.Sprintf("answer=%dB", len(answer)), func(b *testing.B) {
			var asked *fraiseql.ResolveRequest
			e := newEngine(b, fraiseql.Config{
				Schema:    []fraiseql.SchemaSource{{Text: orderSDL}},
				Resolvers: map[string]fraiseql.Resolver{"order": {Deferred: func(r *fraiseql.ResolveRequest) { asked = r }}},
			})
			s := register(b, e, "s", "subscription { order { id status total customer city } }", "")
			ev := fraiseql.Event{Channel: "orders", Type: "t", Data: []byte(orderData)}
			value := []byte(answer)
			buf := make([]byte, 0, 1024)
			b.ReportAllocs()
			defer testkit.CPUTime(b)()
			for b.Loop() {
				if _, err := e.Publish(context.Background(), ev); err != nil {
					b.Fatal(err)
				}
				if !asked.Resolve(value) {
					b.Fatal("nobody waits")
				}
				var ok bool
				if buf, ok, _ = s.Next(buf[:0]); !ok {
					b.Fatal("nothing came")
				}
			}
		})
	}
}
