package fraiseql_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/fraiseql/fraiseql-go"
)

// A batch is empty after each Publish, whatever became of it, and used again.
func TestBatchIsUsedAgain(t *testing.T) {
	e := newEngine(t, fraiseql.Config{})
	s := on(t, e, "c", "s", "x", nil)
	b := e.Batch()
	add := func(id, data string) {
		ev := b.Add()
		if ev.ID != "" || ev.TenantID != "" || ev.Data != nil || !ev.Timestamp.IsZero() {
			t.Fatalf("a new event holds %+v", ev)
		}
		ev.Channel, ev.Type, ev.ID, ev.Data = "x", "t", id, []byte(data)
	}
	for round, n := range []int{1, 3, 100, 2} { // more than is kept, then fewer
		for i := range n {
			add(fmt.Sprint(i), fmt.Sprintf(`{"a":%d,"b":"two"}`, i))
		}
		if b.Len() != n {
			t.Fatalf("%d events", b.Len())
		}
		if r, err := b.Publish(t.Context()); err != nil || r.Accepted != n || r.Delivered != n || b.Len() != 0 {
			t.Fatalf("round %d: %+v, %v, %d left", round, r, err, b.Len())
		}
		for i := range n {
			if message, ok, _ := s.Next(nil); !ok || string(message) != fmt.Sprintf(`{"id":"s","type":"next","payload":{"data":{"x":{"a":%d,"b":"two"}}}}`, i) {
				t.Fatalf("round %d: %s", round, message)
			}
		}
		add("good", `{"a":1}`)
		add("bad", `{`)
		var errs fraiseql.PublishErrors
		if _, err := b.Publish(t.Context()); !errors.As(err, &errs) || len(errs) != 1 || errs[0].Index != 1 || b.Len() != 0 {
			t.Fatalf("%v, %d left", err, b.Len())
		}
	}
	if r, err := b.Publish(t.Context()); err != nil || r != (fraiseql.Receipt{}) {
		t.Errorf("an empty batch: %+v, %v", r, err)
	}
	add("dropped", `{}`)
	b.Clear()
	if _, err := b.Publish(t.Context()); err != nil {
		t.Error(err)
	}
	if _, ok, _ := s.Next(nil); ok {
		t.Error("what was cleared came")
	}
}

// BenchmarkBatch is BenchmarkPublish of a small event through a batch.
func BenchmarkBatch(b *testing.B) {
	e := newEngine(b, fraiseql.Config{})
	s := on(b, e, "c", "s", "x", nil)
	data := []byte(`{"a":1,"b":"two"}`)
	batch, buf := e.Batch(), []byte(nil)
	b.ReportAllocs()
	for b.Loop() {
		ev := batch.Add()
		ev.Channel, ev.Type, ev.Data = "x", "t", data
		if _, err := batch.Publish(context.Background()); err != nil {
			b.Fatal(err)
		}
		buf, _, _ = s.Next(buf[:0])
	}
}
