package membus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

func numbered(channel string, n int) bus.Message {
	return bus.Message{Event: event.Event{Channel: channel, Type: "t", ID: fmt.Sprint(n), Data: []byte(`{}`)}}
}

// TestWork lets three workers of one group and one of another take the events of a channel.
func TestWork(t *testing.T) {
	const n = 300
	b := New(Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	seen := map[string][]string{}
	done := make(chan struct{})
	failed := errors.New("once")
	work := func(group string) func(context.Context, *bus.Message) error {
		return func(_ context.Context, m *bus.Message) error {
			mu.Lock()
			defer mu.Unlock()
			if m.Event.ID == "7" && failed != nil {
				err := failed
				failed = nil
				return err
			}
			seen[group] = append(seen[group], m.Event.ID)
			if len(seen["a"]) == n && len(seen["b"]) == n {
				close(done)
			}
			return nil
		}
	}
	var running sync.WaitGroup
	var ready sync.WaitGroup
	for _, group := range []string{"a", "a", "a", "b"} {
		ready.Add(1)
		running.Go(func() {
			if _, err := b.group(ctx, groupKey{group, "c"}); err != nil { // begins before anything is published
				t.Error(err)
			}
			ready.Done()
			if err := b.Work(ctx, group, "c", work(group)); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	ready.Wait()
	for i := range n {
		if _, err := b.Publish(ctx, []bus.Message{numbered("c", i), numbered("other", i)}); err != nil {
			t.Fatal(err)
		}
	}
	<-done
	cancel()
	running.Wait()
	for group, ids := range seen {
		for i, id := range ids {
			if id != fmt.Sprint(i) {
				t.Fatalf("group %s: event %d is %s", group, i, id)
			}
		}
	}
	if len(b.work.news) != 0 || b.work.count.Load() != 0 {
		t.Errorf("%d channels are listened to after the last worker", len(b.work.news))
	}
}

func TestWorkNeedsHistory(t *testing.T) {
	b := New(Options{Events: -1})
	if err := b.Work(t.Context(), "g", "c", nil); err == nil {
		t.Error("a bus that keeps nothing took a worker")
	}
}
