package hub

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
)

// hanging are resolvers whose calls ignore their context and hang until they are released.
type hanging struct {
	release     chan struct{}
	under, most atomic.Int64 // calls under way, now and at most
}

func (h *hanging) resolver() *Resolver {
	return &Resolver{Resolve: func(context.Context, *event.Event, []byte, *identity.Identity) ([]byte, error) {
		n := h.under.Add(1)
		defer h.under.Add(-1)
		for most := h.most.Load(); n > most && !h.most.CompareAndSwap(most, n); most = h.most.Load() {
		}
		<-h.release
		return []byte(`{"id":"late"}`), nil
	}}
}

// hangs is a world in which calls of resolvers time out after 10 ms of a bubble.
func hangs(t *testing.T, workers int) (*world, *hanging) {
	w := newWorld(t, Addressing{})
	w.limit(func(l *Limits) { l.Workers, l.Lane = workers, 1000 })
	w.hub.cfg.Timeout = 10 * time.Millisecond
	return w, &hanging{release: make(chan struct{})}
}

// subscribed joins a group of its own with a resolver.
func (w *world) subscribed(alias string, r *Resolver) *Subscription {
	j := w.request(newConn(), w.plan(`subscription { order { `+alias+`: id } }`), `{}`, user("u"))
	j.Resolver = r
	s, errs := w.hub.Join(j, nil)
	for _, err := range errs {
		w.tb.Fatal(err)
	}
	return s
}

func (w *world) publishOrders(n int) {
	for range n {
		w.publish(event.Event{Channel: "orders", Data: []byte(`{"id":"1"}`)})
	}
}

// tally counts the messages of a subscription that have a text, and the others.
func tally(s *Subscription, text string) (with, without int) {
	for m := next(s); m != ""; m = next(s) {
		if strings.Contains(m, text) {
			with++
		} else {
			without++
		}
	}
	return with, without
}

// A resolver whose calls hang is not called any more when two per worker do, so that others have waited for it twice as
// long as a call may take. It is called again once they have returned.
func TestResolverThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := hangs(t, 2)
		one, two := h.resolver(), h.resolver()
		one.Same = h // they are one
		two.Same = h
		stuck := []*Subscription{w.subscribed("a", one), w.subscribed("b", two)}
		well := w.subscribed("c", &Resolver{Resolve: func(context.Context, *event.Event, []byte, *identity.Identity) ([]byte, error) {
			return []byte(`{"id":"well"}`), nil
		}})
		w.publishOrders(100)
		<-time.After(2*w.hub.cfg.Timeout + time.Millisecond)
		synctest.Wait()
		if n, others := tally(well, "well"); n != 100 || others != 0 {
			t.Errorf("%d results, and %d others, of the resolver that does not hang", n, others)
		}
		<-time.After(time.Second)
		for _, s := range stuck {
			if n, others := tally(s, "RESOLVER_TIMEOUT"); n != 100 || others != 0 {
				t.Errorf("%d of 100 took too long, %d others", n, others)
			}
		}
		if n := h.most.Load(); n != 4 {
			t.Errorf("%d calls at a time, want 4", n)
		}
		close(h.release)
		synctest.Wait()
		w.publishOrders(1)
		synctest.Wait()
		if n, others := tally(stuck[0], "late"); n != 1 || others != 0 {
			t.Errorf("released: %d results, %d others", n, others)
		}
	})
}

// However many resolvers hang, their calls are bounded.
func TestManyResolversThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := hangs(t, 1)
		for i := range 20 {
			w.subscribed(fmt.Sprint("a", i), h.resolver())
		}
		w.publishOrders(3)
		<-time.After(time.Second)
		if n := h.most.Load(); n != 16 {
			t.Errorf("%d calls at a time, want 16", n)
		}
		close(h.release)
	})
}

// Fewer workers while there is a backlog: those that are too many end after their calls, and no event is without its value.
func TestFewerWorkersWithABacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := hangs(t, 8)
		s := w.subscribed("a", h.resolver())
		w.publishOrders(16)
		synctest.Wait()
		w.limit(func(l *Limits) { l.Workers = 2 })
		for returned := range 16 {
			if n, want := h.under.Load(), int64(min(max(8-returned, 2), 16-returned)); n != want {
				t.Errorf("%d calls under way after %d have returned, want %d", n, returned, want)
			}
			select {
			case h.release <- struct{}{}:
			default:
			}
			synctest.Wait()
		}
		if n, others := tally(s, "late"); n != 16 || others != 0 {
			t.Errorf("%d results, %d others", n, others)
		}
	})
}

// A call that ends its goroutine has returned: it is no answer, and does not count as one that hangs.
func TestResolverThatEndsItsGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _ := hangs(t, 1)
		calls := 0
		s := w.subscribed("a", &Resolver{Resolve: func(context.Context, *event.Event, []byte, *identity.Identity) ([]byte, error) {
			if calls++; calls <= 3 {
				runtime.Goexit()
			}
			return []byte(`{"id":"well"}`), nil
		}})
		w.publishOrders(4)
		<-time.After(time.Second)
		if n, others := tally(s, "well"); n != 1 || others != 3 {
			t.Errorf("%d results, %d others after %d calls", n, others, calls)
		}
	})
}
