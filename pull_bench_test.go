package fraiseql_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// BenchmarkNext is what a host does for one message, and for none, behind a word that it shares with the engine.
func BenchmarkNext(b *testing.B) {
	for _, c := range []string{"empty", "message", "notified"} {
		b.Run(c, func(b *testing.B) {
			e := newEngine(b, fraiseql.Config{})
			var word atomic.Uint32
			s := on(b, e, "c", "s", "x", func() { word.Store(1) })
			ev := fraiseql.Event{Channel: "x", Type: "t", Data: []byte(`{"a":1,"b":"two"}`)}
			var buf []byte
			next := func() (ok bool) {
				word.Store(0)
				buf, ok, _ = s.Next(buf[:0])
				if s.Waiting() {
					word.Store(1)
				}
				return ok
			}
			calls := 0
			count := func() { calls++ }
			b.ReportAllocs()
			defer testkit.CPUTime(b)()
			for b.Loop() {
				if c == "empty" {
					next()
					continue
				}
				if c == "notified" {
					s.Notify(count)
				}
				if _, err := e.Publish(context.Background(), ev); err != nil {
					b.Fatal(err)
				}
				if !next() {
					b.Fatal("nothing came")
				}
			}
		})
	}
}

// BenchmarkTake drains a connection, per message.
func BenchmarkTake(b *testing.B) {
	for _, subs := range []int{1, 100} {
		b.Run(fmt.Sprintf("subscriptions=%d", subs), func(b *testing.B) {
			const batch = 1000
			e := newEngine(b, fraiseql.Config{})
			for i := range subs {
				on(b, e, "c", fmt.Sprint(i), "x", nil)
			}
			ev := fraiseql.Event{Channel: "x", Type: "t", Data: []byte(`{"a":1,"b":"two"}`)}
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += batch {
				b.StopTimer()
				for range batch / subs {
					if _, err := e.Publish(context.Background(), ev); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
				if got := e.Take("c", batch, func(*fraiseql.Subscription, []byte) {}); got != batch {
					b.Fatalf("%d messages", got)
				}
			}
		})
	}
}

// BenchmarkSession is one event on its way to sessions of one group, up to the bytes for their sockets.
func BenchmarkSession(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("sessions=%d", n), func(b *testing.B) {
			e := newEngine(b, fraiseql.Config{})
			sessions := anonymous(b, e, fraiseql.HandlerConfig{})
			open := make([]*fraiseql.Session, n)
			for i := range open {
				open[i] = subscribedSession(b, e, sessions, i+1)
			}
			ev := fraiseql.Event{Channel: "x", Type: "t", Data: []byte(`{"a":1,"b":"two"}`)}
			var out []fraiseql.Outgoing
			b.ReportAllocs()
			defer testkit.CPUTime(b)()
			for b.Loop() {
				if _, err := e.Publish(context.Background(), ev); err != nil {
					b.Fatal(err)
				}
				for _, s := range open {
					if out, _ = s.Take(out[:0], 0); len(out) != 1 {
						b.Fatalf("%d messages", len(out))
					}
				}
			}
		})
	}
}

// subscribedSession opens a session that is subscribed to x, the n-th of its engine.
func subscribedSession(t testing.TB, e *fraiseql.Engine, sessions *fraiseql.Sessions, n int) *fraiseql.Session {
	t.Helper()
	woken := make(chan struct{}, 1)
	s, err := sessions.Open(fraiseql.SessionRequest{}, func() {
		select {
		case woken <- struct{}{}:
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.Receive([]byte(`{"type":"connection_init"}`))
	<-woken
	s.Take(nil, 0)
	s.Receive([]byte(`{"id":"1","type":"subscribe","payload":{"query":"subscription { x { a b } }"}}`))
	for e.Stats().Subscriptions < n {
		if t.Context().Err() != nil {
			t.Fatal("not subscribed")
		}
	}
	return s
}

// BenchmarkLimits is what the bounds of users and tenants add to a subscribe and to an event.
func BenchmarkLimits(b *testing.B) {
	bounds := fraiseql.Limits{
		SubscriptionsPerUser: 1_000_000, SubscribeRate: 1_000_000_000, SubscribeBurst: 1_000_000_000, PublishRate: 1_000_000_000, PublishBurst: 1_000_000_000,
	}
	for _, c := range []struct {
		name   string
		limits fraiseql.Limits
	}{{"without", fraiseql.Limits{}}, {"with", bounds}} {
		b.Run("subscribe/"+c.name, func(b *testing.B) {
			e := newEngine(b, fraiseql.Config{Limits: c.limits})
			r := fraiseql.Registration{
				ConnectionID: "c", SubscriptionID: "s", Query: "subscription { x { a } }", Identity: fraiseql.Identity{TenantID: "t", UserID: "u"},
			}
			b.ReportAllocs()
			defer testkit.CPUTime(b)()
			for b.Loop() {
				s, err := e.Register(context.Background(), r)
				if err != nil {
					b.Fatal(err)
				}
				s.Complete()
			}
		})
		b.Run("publish/"+c.name, func(b *testing.B) {
			e := newEngine(b, fraiseql.Config{Limits: c.limits})
			ev := fraiseql.Event{Channel: "x", Type: "t", TenantID: "t", Data: []byte(`{"a":1,"b":"two"}`)}
			b.ReportAllocs()
			defer testkit.CPUTime(b)()
			for b.Loop() {
				if _, err := e.Publish(context.Background(), ev); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
