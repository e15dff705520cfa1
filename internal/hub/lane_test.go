package hub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// received waits for n messages of a subscription; its connection's sink signals.
type arrivals chan struct{}

func (a arrivals) Wake(*queue.Queue) { a <- struct{}{} }

func (w *world) joinResolved(p string, who *identity.Identity, r *Resolver) (*Subscription, arrivals) {
	w.tb.Helper()
	news := make(arrivals, 100)
	c := newConn()
	c.InitPull(news, nil)
	j := w.request(c, w.plan(p), `{}`, who)
	j.Resolver = r
	s, errs := w.hub.Join(j, nil)
	for _, err := range errs {
		w.tb.Fatal(err)
	}
	return s, news
}

func TestResolverResultsKeepOrder(t *testing.T) {
	w := newWorld(t, Addressing{})
	release := map[string]chan struct{}{"1": make(chan struct{}), "2": make(chan struct{}), "3": make(chan struct{})}
	done := make(chan string, 3)
	r := &Resolver{Resolve: func(_ context.Context, ev *event.Event, _ []byte, who *identity.Identity) ([]byte, error) {
		if who != nil {
			t.Error("a resolver without context must see no identity")
		}
		<-release[ev.ID]
		done <- ev.ID
		return fmt.Appendf(nil, `{"id":"r%s"}`, ev.ID), nil
	}}
	s, news := w.joinResolved(`subscription { order { id } }`, user("u"), r)
	for _, id := range []string{"1", "2", "3"} {
		if n := w.publish(event.Event{Channel: "orders", ID: id, Data: []byte(`{"id":"raw"}`)}); n != 1 {
			t.Errorf("an event that waits for its resolver counts as enqueued: %d", n)
		}
	}
	for _, id := range []string{"3", "2", "1"} {
		close(release[id])
		<-done
	}
	for _, id := range []string{"1", "2", "3"} {
		<-news
		if got, want := next(s), `{"data":{"order":{"id":"r`+id+`"}}}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestResolverFailuresAreMasked(t *testing.T) {
	w := newWorld(t, Addressing{})
	var logged error
	w.hub.cfg.Failed = func(_ string, err error) { logged = err }
	stuck := make(chan struct{})
	t.Cleanup(func() { close(stuck) })
	for name, c := range map[string]struct {
		resolve func(*event.Event) ([]byte, error)
		code    string
	}{
		"error":   {func(*event.Event) ([]byte, error) { return nil, errors.New("secret of the database") }, "RESOLVER_FAILED"},
		"panic":   {func(*event.Event) ([]byte, error) { panic("secret") }, "RESOLVER_FAILED"},
		"invalid": {func(*event.Event) ([]byte, error) { return []byte("{secret"), nil }, "RESOLVER_FAILED"},
		"timeout": {func(*event.Event) ([]byte, error) { <-stuck; return nil, nil }, "RESOLVER_TIMEOUT"},
	} {
		w.hub.cfg.Timeout = time.Minute
		if name == "timeout" {
			w.hub.cfg.Timeout = time.Millisecond
		}
		s, news := w.joinResolved(`subscription { order { id } }`, user("u"), &Resolver{
			Resolve: func(_ context.Context, ev *event.Event, _ []byte, _ *identity.Identity) ([]byte, error) {
				return c.resolve(ev)
			},
		})
		w.publish(event.Event{Channel: "orders", Data: []byte(`{"id":"secret"}`)})
		<-news
		got := next(s)
		if strings.Contains(got, "secret") || !strings.Contains(got, c.code) || !strings.HasPrefix(got, `{"data":{"order":null},"errors":[{"message":`) {
			t.Errorf("%s: got %s", name, got)
		}
		if logged == nil {
			t.Errorf("%s: the cause must be logged", name)
		}
		s.Complete()
	}
}

// No more calls of resolvers run at a time than workers there are; the others wait.
func TestResolverWorkersAreBounded(t *testing.T) {
	w := newWorld(t, Addressing{})
	most := w.hub.limits.Load().Workers
	began, goOn := make(chan struct{}, 3*most), make(chan struct{})
	var running atomic.Int64
	var all []arrivals
	for i := range 3 * most {
		_, news := w.joinResolved(fmt.Sprintf(`subscription { order { a%d: id } }`, i), user("u"), &Resolver{
			Resolve: func(context.Context, *event.Event, []byte, *identity.Identity) ([]byte, error) {
				if n := running.Add(1); n > int64(most) {
					t.Errorf("%d calls at a time, want at most %d", n, most)
				}
				began <- struct{}{}
				<-goOn
				running.Add(-1)
				return []byte(`{"id":"1"}`), nil
			},
		})
		all = append(all, news)
	}
	w.publish(event.Event{Channel: "orders", Data: []byte(`{"id":"1"}`)})
	for range most {
		<-began
	}
	close(goOn)
	for _, news := range all {
		<-news
	}
}

func TestResolverSkip(t *testing.T) {
	w := newWorld(t, Addressing{})
	s, news := w.joinResolved(`subscription { order { id } }`, user("u"), &Resolver{
		Resolve: func(_ context.Context, ev *event.Event, _ []byte, _ *identity.Identity) ([]byte, error) {
			if ev.ID == "skip" {
				return nil, fmt.Errorf("not this one: %w", ErrSkip)
			}
			return []byte(`{"id":1}`), nil
		},
	})
	w.publish(event.Event{Channel: "orders", ID: "skip", Data: []byte(`{}`)})
	w.publish(event.Event{Channel: "orders", ID: "send", Data: []byte(`{}`)})
	<-news
	if got := next(s); got != `{"data":{"order":{"id":"1"}}}` || next(s) != "" {
		t.Errorf("got %s", got)
	}
}

// A result is shared by those only who are equal in what it may depend on.
func TestResolverGroups(t *testing.T) {
	w := newWorld(t, Addressing{})
	plain := &Resolver{Resolve: func(context.Context, *event.Event, []byte, *identity.Identity) ([]byte, error) {
		return []byte("null"), nil
	}}
	aware := &Resolver{Context: true, Resolve: plain.Resolve}
	people := []*identity.Identity{
		{TenantID: "a", UserID: "1"}, {TenantID: "a", UserID: "2"}, {TenantID: "b", UserID: "1"},
		{TenantID: "a", UserID: "1", Roles: []string{"x"}}, {TenantID: "a", UserID: "1", Scopes: []string{"x"}},
	}
	for _, c := range []struct {
		resolver *Resolver
		query    string
		groups   int
	}{
		{nil, `subscription { order { id } }`, 1},
		{plain, `subscription { order { id } }`, 2},
		{plain, `subscription { mine { id } }`, 3},
		{aware, `subscription { order { id } }`, 5},
	} {
		var subs []*Subscription
		p := w.plan(c.query)
		for _, who := range people {
			j := w.request(newConn(), p, `{}`, who)
			j.Resolver = c.resolver
			s, errs := w.hub.Join(j, nil)
			if errs != nil {
				t.Fatal(errs[0])
			}
			subs = append(subs, s)
		}
		if _, groups, _ := w.hub.Sizes(); groups != c.groups {
			t.Errorf("%s: %d groups, want %d", c.query, groups, c.groups)
		}
		for _, s := range subs {
			s.Complete()
		}
	}
}
