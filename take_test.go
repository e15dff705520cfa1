package fraiseql_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fraiseql/fraiseql-go"
)

// taken is what Take gives, as `subscription:data`.
func taken(e *fraiseql.Engine, connection string, max int) (lines []string) {
	n := e.Take(connection, max, func(s *fraiseql.Subscription, message []byte) {
		_, data, _ := strings.Cut(string(message), `"payload":{"data":`)
		lines = append(lines, s.ID()+":"+strings.TrimSuffix(data, "}}"))
	})
	if n != len(lines) {
		lines = append(lines, fmt.Sprint(n, " announced"))
	}
	return lines
}

func TestTake(t *testing.T) {
	e := newEngine(t, fraiseql.Config{})
	var subs []*fraiseql.Subscription
	for _, channel := range []string{"a", "b", "c"} {
		subs = append(subs, on(t, e, "conn", channel, channel, nil))
	}
	on(t, e, "other", "a", "a", nil)
	for i := range 3 {
		publish(t, e, "a", fmt.Sprintf(`{"i":%d}`, i))
		if i < 2 {
			publish(t, e, "c", fmt.Sprintf(`{"i":%d}`, i))
		}
	}
	for _, step := range []struct {
		max  int
		want []string
	}{
		{0, nil},
		{1, []string{`a:{"a":{"i":0}}`}},
		{2, []string{`c:{"c":{"i":0}}`, `a:{"a":{"i":1}}`}}, // whoever was served goes behind
		{100, []string{`c:{"c":{"i":1}}`, `a:{"a":{"i":2}}`}},
		{100, nil},
	} {
		if diff := cmp.Diff(step.want, taken(e, "conn", step.max)); diff != "" {
			t.Errorf("up to %d: %s", step.max, diff)
		}
	}
	publish(t, e, "b", `{}`)
	subs[1].Complete()
	if got := append(taken(e, "conn", 10), taken(e, "nobody", 10)...); got != nil {
		t.Errorf("got %v", got)
	}
	if got := taken(e, "other", 10); len(got) != 3 {
		t.Errorf("got %v", got)
	}
	if !subs[0].Waiting() {
		t.Error("Take must not hide the end of a subscription")
	}
}

// More subscriptions than one look finds are all served, each once before any is served twice.
func TestTakeFromMany(t *testing.T) {
	const subs = 700
	e := newEngine(t, fraiseql.Config{})
	for i := range subs {
		on(t, e, "conn", fmt.Sprint(i), "a", nil)
	}
	for range 3 {
		publish(t, e, "a", `{}`)
	}
	for range 3 {
		seen := map[string]bool{}
		e.Take("conn", subs, func(s *fraiseql.Subscription, _ []byte) { seen[s.ID()] = true })
		if len(seen) != subs {
			t.Fatalf("%d of %d served", len(seen), subs)
		}
	}
	if e.Take("conn", 1, func(*fraiseql.Subscription, []byte) {}) != 0 {
		t.Error("something is left")
	}
}

// yield may do with the engine what it likes.
func TestTakeAndComplete(t *testing.T) {
	e := newEngine(t, fraiseql.Config{})
	for i := range 3 {
		on(t, e, "conn", fmt.Sprint(i), "a", nil)
	}
	publish(t, e, "a", `{}`)
	publish(t, e, "a", `{}`)
	var got []string
	e.Take("conn", 100, func(s *fraiseql.Subscription, _ []byte) {
		if got = append(got, s.ID()); len(got) == 1 {
			e.Complete("conn", "1")
			publish(t, e, "a", `{}`)
		}
		if len(got) == 4 {
			e.CompleteConnection("conn")
		}
	})
	if diff := cmp.Diff([]string{"0", "2", "0", "2"}, got); diff != "" {
		t.Error(diff)
	}
}

// Takers, publishers and registrations at once: every message is taken once.
func TestConcurrentTakes(t *testing.T) {
	const subs, events = 20, 300
	e := newEngine(t, fraiseql.Config{})
	for i := range subs {
		on(t, e, "conn", fmt.Sprint(i), "a", nil)
	}
	var mu sync.Mutex
	n := 0
	ctx := limited(t)
	var work sync.WaitGroup
	for range 3 {
		work.Go(func() {
			for ctx.Err() == nil {
				got := e.Take("conn", 7, func(*fraiseql.Subscription, []byte) {})
				mu.Lock()
				n += got
				over := n >= subs*events
				mu.Unlock()
				if over {
					return
				}
			}
		})
	}
	work.Go(func() {
		for i := range 200 {
			s, err := e.Register(context.Background(), fraiseql.Registration{ConnectionID: "conn", SubscriptionID: "more", Query: `subscription { other }`})
			if err != nil {
				t.Error(i, err)
				return
			}
			s.Complete()
		}
	})
	for range events {
		publish(t, e, "a", `{}`)
	}
	work.Wait()
	if n != subs*events {
		t.Errorf("%d messages, want %d", n, subs*events)
	}
}
