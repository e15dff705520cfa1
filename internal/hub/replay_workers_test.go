package hub

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus/membus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
)

// callsInOrder notes which calls of resolvers begin.
type callsInOrder struct {
	mu   sync.Mutex
	text string
}

func (c *callsInOrder) of(name string, goOn <-chan struct{}) *Resolver {
	return &Resolver{Resolve: func(context.Context, *event.Event, []byte, *identity.Identity) ([]byte, error) {
		c.mu.Lock()
		c.text += name
		c.mu.Unlock()
		<-goOn
		return []byte(`{"total":1}`), nil
	}}
}

func (c *callsInOrder) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text
}

// manyReplay has subscribers come back, each to as many events as a lane may hold, to a resolver whose calls are named x. It
// returns once the first call has begun.
func manyReplay(t *testing.T, workers, clients int, calls *callsInOrder, goOn <-chan struct{}) (w *world, publish func(event.Event), all []*client) {
	t.Helper()
	w, b := onMemory(t, membus.Options{})
	w.limit(func(l *Limits) { l.Workers = workers })
	publish = memoryPublish(t, b)
	r := calls.of("x", goOn)
	for range clients {
		c := newClient(w, ordersQuery, tenant("a"))
		c.answer = func(j *Join) { j.Resolver = r }
		c.resume()
		c.first()
		c.sub.Complete()
		all = append(all, c)
	}
	for i := range w.hub.limits.Load().Lane {
		publish(numbered(i, "a"))
	}
	for _, c := range all {
		c.resume()
		c.first()
	}
	w.until(func() bool { return calls.String() != "" })
	return w, publish, all
}

// Calls for those who come back that do not return leave workers to live events.
func TestReplaysLeaveWorkersToLiveEvents(t *testing.T) {
	var calls callsInOrder
	goOn, now := make(chan struct{}), make(chan struct{})
	close(now)
	w, publish, _ := manyReplay(t, 4, 3, &calls, goOn)
	defer close(goOn)
	s, news := w.joinResolved(`subscription { oldest { total } }`, tenant("a"), calls.of("y", now))
	publish(event.Event{Channel: "oldest", Type: "t", TenantID: "a", Data: []byte(`{"total":2}`)})
	select {
	case <-news:
	case <-time.After(10 * time.Second):
		t.Fatalf("a live event waits for those who came back: %s", &calls)
	}
	if got := next(s); got != `{"data":{"oldest":{"total":1}}}` || strings.Count(calls.String(), "x") > 2 {
		t.Errorf("got %s after the calls %s", got, &calls)
	}
}

// Calls for those who come back and for live events take turns.
func TestReplaysAndLiveEventsTakeTurns(t *testing.T) {
	var calls callsInOrder
	goOn := make(chan struct{})
	w, publish, all := manyReplay(t, 1, 3, &calls, goOn)
	_, news := w.joinResolved(`subscription { oldest { total } }`, tenant("a"), calls.of("y", goOn))
	for range 3 {
		publish(event.Event{Channel: "oldest", Type: "t", TenantID: "a", Data: []byte(`{"total":2}`)})
	}
	close(goOn)
	for range 3 {
		<-news
	}
	for _, c := range all {
		for range w.hub.limits.Load().Lane {
			c.wantTotals(1)
		}
	}
	if got := calls.String(); got != "xyxyxy"+strings.Repeat("x", 9) {
		t.Errorf("called in the order %s", got)
	}
}

// What a subscription that went away was to be told is not asked for any more.
func TestNobodyIsAskedForWhoWentAway(t *testing.T) {
	var calls callsInOrder
	goOn := make(chan struct{})
	w, _, all := manyReplay(t, 1, 1, &calls, goOn)
	all[0].sub.Complete()
	w.wantIdle()
	close(goOn)
	w.hub.workers.wg.Wait()
	if got := calls.String(); got != "x" {
		t.Errorf("called %d times", len(got))
	}
}
