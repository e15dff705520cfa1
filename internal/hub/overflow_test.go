package hub

import (
	"context"
	"fmt"
	"testing"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/observe"
)

// Each policy has its own count.
func TestDropsAreCountedByPolicy(t *testing.T) {
	for field, label := range map[string]string{"latest": "latest", "oldest": "drop_oldest", "newest": "drop_newest"} {
		w := newWorld(t, Addressing{})
		s := w.join(newConn(), w.plan(`subscription { `+field+` { id } }`), `{}`, user("u"))
		for i := range 5 {
			w.publish(event.Event{Channel: field, Data: fmt.Appendf(nil, `{"id":%d}`, i)})
		}
		if got := w.counts.counted[fmt.Sprint(observe.Dropped, " ", label)]; got != 2 || s.Len() != 3 {
			t.Errorf("%s: %d counted as %s, %d wait; want 2 and 3", field, got, label, s.Len())
		}
	}
}

// stuckLane is a subscription of a field whose resolver waits for release, on a hub with one worker: events 1
// to n were published.
func stuckLane(t *testing.T, field string, n int) (w *world, s *Subscription, news arrivals, release chan struct{}) {
	w = newWorld(t, Addressing{})
	w.limit(func(l *Limits) { l.Workers = 1 })
	release = make(chan struct{})
	began := make(chan struct{}, 100)
	s, news = w.joinResolved(`subscription { `+field+` { id } }`, user("u"), &Resolver{
		Resolve: func(_ context.Context, ev *event.Event, _ []byte, _ *identity.Identity) ([]byte, error) {
			began <- struct{}{}
			<-release
			return fmt.Appendf(nil, `{"id":%q}`, ev.ID), nil
		},
	})
	for i := range n {
		w.publish(event.Event{Channel: field, ID: fmt.Sprint(i + 1), Data: []byte(`{"id":1}`)})
		if i == 0 {
			<-began
		}
	}
	return w, s, news, release
}

// A resolver that does not keep up meets the field's policy, is called for no event that was dropped, and
// leaves nothing behind that grows.
func TestFullLanes(t *testing.T) {
	for field, want := range map[string][]string{
		"oldest": {"7", "8", "9", "10"}, "latest": {"7", "8", "9", "10"}, "newest": {"1", "2", "3"},
	} {
		w, s, news, release := stuckLane(t, field, 10)
		w.hub.workers.mu.Lock()
		if n := len(w.hub.workers.backlog); n > w.hub.limits.Load().Lane {
			t.Errorf("%s: %d promised for a lane of %d", field, n, w.hub.limits.Load().Lane)
		}
		w.hub.workers.mu.Unlock()
		close(release)
		// The subscription's own queue holds three.
		for range want {
			<-news
		}
		w.hub.Close()
		label := map[string]string{"latest": "latest", "oldest": "drop_oldest", "newest": "drop_newest"}[field]
		if got, want := w.hub.Totals().Dropped, 10-s.Len(); got != uint64(want) || w.counts.counted[fmt.Sprint(observe.Dropped, " ", label)] != want {
			t.Errorf("%s: %d dropped in all, counted %v, want %d", field, got, w.counts.counted, want)
		}
		it, ok, _ := s.Pop()
		if !ok {
			t.Fatalf("%s: nothing came", field)
		}
		payload := string(it.Message.Payload) + "}"
		first := want[len(want)-3]
		if field == "newest" {
			first = want[0]
		}
		if field == "latest" { // by key: the data of all have one id
			first = want[len(want)-1]
		}
		if text := fmt.Sprintf(`{"data":{"%s":{"id":"%s"}}}`, field, first); payload != text {
			t.Errorf("%s: got %s, want %s", field, payload, text)
		}
	}
}

// A lane that overflows under CLOSE ends each subscription once, however many events follow.
func TestFullLaneCloses(t *testing.T) {
	w := newWorld(t, Addressing{})
	release := make(chan struct{})
	s, _ := w.joinResolved(`subscription { order { id } }`, user("u"), &Resolver{
		Resolve: func(context.Context, *event.Event, []byte, *identity.Identity) ([]byte, error) {
			<-release
			return []byte("null"), nil
		},
	})
	for range w.hub.limits.Load().Lane + 5 {
		w.publish(event.Event{Channel: "orders", Data: []byte(`{"id":1}`)})
	}
	if got := w.counts.counted[fmt.Sprint(observe.Dropped, " close")]; got != 1 {
		t.Errorf("counted %d, want 1", got)
	}
	if _, ok, overflowed := s.Pop(); ok || !overflowed {
		t.Error("the subscription must have ended")
	}
	close(release)
}

// Subscribers that asked to be told of drops hear of those in the lane too.
func TestLaneDropsAreTold(t *testing.T) {
	w := newWorld(t, Addressing{})
	release := make(chan struct{})
	news := make(arrivals, 100)
	c := &queue.Conn{}
	c.InitPull(news, nil)
	j := w.request(c, w.plan(`subscription { newest { id } }`), `{}`, user("u"))
	j.Extensions = true
	j.Policy = &queue.Policy{Overflow: queue.DropNewest, Messages: 100, Bytes: 1 << 20}
	j.Resolver = &Resolver{Resolve: func(context.Context, *event.Event, []byte, *identity.Identity) ([]byte, error) {
		<-release
		return []byte("null"), nil
	}}
	s, _ := w.hub.Join(j, nil)
	for range w.hub.limits.Load().Lane + 5 {
		w.publish(event.Event{Channel: "newest", Data: []byte(`{"id":1}`)})
	}
	close(release)
	<-news
	if it, ok, _ := s.Pop(); !ok || it.Dropped != 5 {
		t.Errorf("told of %d drops, want 5", it.Dropped)
	}
}
