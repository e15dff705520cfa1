//go:build !race

package fraiseql_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/fraiseql/fraiseql-go"
)

// TestPublishAllocates holds the promise of ENGINE, "Buffers": less than one allocation in ten events, the ids
// of events included.
func TestPublishAllocates(t *testing.T) {
	e := newEngine(t, fraiseql.Config{Schema: []fraiseql.SchemaSource{{Text: orderSDL}}})
	s := register(t, e, "s", "subscription { order { id status total customer city } }", "")
	ev := fraiseql.Event{Channel: "orders", Type: "t", Data: []byte(orderData)}
	buf := make([]byte, 0, 1024)
	one := func() {
		if _, err := e.Publish(context.Background(), ev); err != nil {
			t.Fatal(err)
		}
		buf, _, _ = s.Next(buf[:0])
	}
	if n := testing.AllocsPerRun(1000, one); n != 0 {
		t.Errorf("%v allocations per event", n)
	}
	const events = 100_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range events {
		one()
	}
	runtime.ReadMemStats(&after)
	if n := float64(after.Mallocs-before.Mallocs) / events; n >= 0.1 {
		t.Errorf("%.3f allocations per event, want < 0.1", n)
	}
}

// TestResolveAllocates bounds what a deferred resolver adds: the request itself, and little now and then.
func TestResolveAllocates(t *testing.T) {
	var asked *fraiseql.ResolveRequest
	e := newEngine(t, fraiseql.Config{
		Schema:    []fraiseql.SchemaSource{{Text: orderSDL}},
		Resolvers: map[string]fraiseql.Resolver{"order": {Deferred: func(r *fraiseql.ResolveRequest) { asked = r }}},
	})
	s := register(t, e, "s", "subscription { order { id status total customer city } }", "")
	ev := fraiseql.Event{Channel: "orders", Type: "t", Data: []byte(orderData)}
	buf := make([]byte, 0, 1024)
	one := func() {
		if _, err := e.Publish(context.Background(), ev); err != nil {
			t.Fatal(err)
		}
		asked.Resolve(ev.Data)
		buf, _, _ = s.Next(buf[:0])
	}
	if n := testing.AllocsPerRun(1000, one); n > 1 {
		t.Errorf("%v allocations per event", n)
	}
}
