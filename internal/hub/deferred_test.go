package hub

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/plan"
	"github.com/fraiseql/fraiseql-go/observe"
)

// sink keeps the requests of a deferred resolver.
type sink struct {
	mu   sync.Mutex
	list []*Request
}

func (s *sink) take(r *Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, r)
}

// pop removes one request at random, nil when there is none.
func (s *sink) pop() *Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.list) == 0 {
		return nil
	}
	i, last := rand.IntN(len(s.list)), len(s.list)-1
	r := s.list[i]
	s.list[i] = s.list[last]
	s.list = s.list[:last]
	return r
}

func (s *sink) resolver() *Resolver { return &Resolver{Deferred: s.take} }

func (w *world) joinLate(p *plan.Plan, who *identity.Identity, r *Resolver, types *Types) *Subscription {
	w.tb.Helper()
	j := w.request(newConn(), p, `{}`, who)
	j.Resolver, j.Types = r, types
	s, errs := w.hub.Join(j, nil)
	for _, err := range errs {
		w.tb.Fatal(err)
	}
	return s
}

// listed counts the requests that wait for an answer.
func (w *world) listed() (n int) {
	w.hub.deferred.mu.Lock()
	defer w.hub.deferred.mu.Unlock()
	for r := w.hub.deferred.begun.first; r != nil; r = r.next {
		n++
	}
	for r := w.hub.deferred.turns.first; r != nil; r = r.next {
		n++
	}
	return n
}

func order(id string) string { return `{"data":{"order":{"id":"` + id + `"}}}` }

// Eight goroutines answer at random; each subscription gets its events in their order, each once.
func TestDeferredAnswersKeepOrder(t *testing.T) {
	const events, tenants = 500, 4
	w := newWorld(t, Addressing{})
	w.limit(func(l *Limits) { l.Lane = events })
	var asked sink
	var subs []*Subscription
	r := asked.resolver()
	for i := range tenants {
		subs = append(subs, w.joinLate(w.plan(`subscription { order { id } }`), tenant(fmt.Sprint(i)), r, nil))
	}
	var published atomic.Bool
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for {
				last := published.Load()
				if r := asked.pop(); r != nil {
					if !r.Resolve(fmt.Appendf(nil, `{"id":%q}`, r.Event().ID)) {
						t.Error("a first answer must count")
					}
				} else if last {
					return
				}
			}
		})
	}
	for i := range events {
		w.publish(event.Event{Channel: "orders", ID: fmt.Sprint(i), Data: []byte(`{}`)})
	}
	published.Store(true)
	group.Wait()
	for _, s := range subs {
		for i := range events {
			if got, want := next(s), order(fmt.Sprint(i)); got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
		}
		if more := next(s); more != "" {
			t.Error("more than was published: " + more)
		}
	}
	if n := w.listed(); n != 0 {
		t.Errorf("%d requests are left", n)
	}
}

func TestDeferredTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Addressing{})
		var causes atomic.Int32
		w.hub.cfg.Failed = func(_ string, err error) {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			causes.Add(1)
		}
		var asked sink
		s := w.joinLate(w.plan(`subscription { order { id } }`), user("u"), asked.resolver(), nil)
		for _, id := range []string{"1", "2", "3"} {
			w.publish(event.Event{Channel: "orders", ID: id, Data: []byte(`{"id":"raw"}`)})
			<-time.After(10 * time.Second)
		}
		first, second, third := asked.list[0], asked.list[1], asked.list[2]
		if !second.Resolve([]byte(`{"id":2}`)) || second.Resolve([]byte(`{"id":2}`)) || second.Skip() {
			t.Error("the first answer counts, no other one")
		}
		<-time.After(30*time.Second - time.Nanosecond) // 60 s since the first
		if got := next(s); got != "" {
			t.Errorf("too early: %s", got)
		}
		<-time.After(time.Nanosecond)
		synctest.Wait()
		const late = `{"data":{"order":null},"errors":[{"message":"The resolver took too long.","path":["order"],"extensions":{"code":"RESOLVER_TIMEOUT"}}]}`
		if got := next(s); got != late {
			t.Errorf("got %s", got)
		}
		if got := next(s); got != order("2") {
			t.Errorf("got %s", got)
		}
		if first.Resolve([]byte(`{"id":1}`)) || first.Fail(nil) || next(s) != "" {
			t.Error("it is too late")
		}
		<-time.After(20 * time.Second) // the timer goes on to the next
		synctest.Wait()
		if third.Skip() || next(s) != late {
			t.Error("the third has timed out")
		}
		if n := causes.Load(); n != 2 || w.listed() != 0 {
			t.Errorf("logged %d times, %d left", n, w.listed())
		}
		w.publish(event.Event{Channel: "orders", ID: "4", Data: []byte(`{}`)}) // and starts again
		<-time.After(time.Minute)
		synctest.Wait()
		if next(s) != late {
			t.Error("the fourth has timed out")
		}
	})
}

// However answers and timeouts race, each event has one outcome, and its place.
func TestDeferredAnswersRaceWithTimeouts(t *testing.T) {
	const events = 900
	w := newWorld(t, Addressing{})
	w.limit(func(l *Limits) { l.Lane = events })
	w.hub.cfg.Timeout = time.Millisecond
	var asked sink
	s := w.joinLate(w.plan(`subscription { order { id } }`), user("u"), asked.resolver(), nil)
	var published atomic.Bool
	var answers atomic.Int64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for last := false; ; last = published.Load() {
				r := asked.pop()
				if r == nil && last {
					return
				}
				if r == nil || rand.IntN(4) == 0 {
					continue // never answered
				}
				if r.Resolve(fmt.Appendf(nil, `{"id":%q}`, r.Event().ID)) {
					answers.Add(1)
				}
			}
		})
	}
	for i := range events {
		w.publish(event.Event{Channel: "orders", ID: fmt.Sprint(i), Data: []byte(`{}`)})
	}
	published.Store(true)
	group.Wait()
	w.hub.deferred.sweeps.Wait() // the timer is set while anything waits
	timeouts := 0
	for i := range events {
		switch got := next(s); {
		case strings.Contains(got, "RESOLVER_TIMEOUT"):
			timeouts++
		case got != order(fmt.Sprint(i)):
			t.Fatalf("event %d: got %q", i, got)
		}
	}
	if got := int(answers.Load()) + timeouts; got != events || next(s) != "" {
		t.Errorf("%d answers and %d timeouts of %d", answers.Load(), timeouts, events)
	}
}

// What a deferred resolver does wrong is masked, and nothing of the event shows.
func TestDeferredFailuresAreMasked(t *testing.T) {
	const masked = `{"data":{"order":null},"errors":[{"message":"The resolver failed.","path":["order"],"extensions":{"code":"RESOLVER_FAILED"}}]}`
	for name, c := range map[string]struct {
		answer      func(*Request)
		want, label string
	}{
		"fail":           {func(r *Request) { r.Fail(errors.New("secret")) }, masked, "error"},
		"no reason":      {func(r *Request) { r.Fail(nil) }, masked, "error"},
		"panic":          {func(*Request) { panic("secret") }, masked, "panic"},
		"no JSON":        {func(r *Request) { r.Resolve([]byte(`{secret`)) }, masked, "error"},
		"empty":          {func(r *Request) { r.Resolve([]byte{}) }, masked, "error"},
		"skip":           {func(r *Request) { r.Skip() }, "", "ok"},
		"at once":        {func(r *Request) { r.Resolve([]byte(`{"id":"1"}`)) }, order("1"), "ok"},
		"null":           {func(r *Request) { r.Resolve([]byte(`null`)) }, `{"data":{"order":null}}`, "ok"},
		"late panic":     {func(r *Request) { r.Resolve([]byte(`{"id":"1"}`)); panic("secret") }, order("1"), "ok"},
		"failed to skip": {func(r *Request) { r.Fail(fmt.Errorf("none: %w", ErrSkip)) }, "", "ok"},
	} {
		w := newWorld(t, Addressing{})
		s := w.joinLate(w.plan(`subscription { order { id } }`), user("u"), &Resolver{Deferred: c.answer}, nil)
		w.publish(event.Event{Channel: "orders", Data: []byte(`{"id":"secret"}`)})
		if got := next(s); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
		if n := w.counts.counted[fmt.Sprint(observe.Resolved, " ", c.label)]; n != 1 {
			t.Errorf("%s: counted %v", name, w.counts.counted)
		}
	}
}

// A subscription that ends takes its requests with it.
func TestCompleteWhileDeferred(t *testing.T) {
	w := newWorld(t, Addressing{})
	var asked sink
	r := asked.resolver()
	p := w.plan(`subscription { order { id } }`)
	s, other := w.joinLate(p, user("u"), r, nil), w.joinLate(p, user("u"), r, nil)
	for range 3 {
		w.publish(event.Event{Channel: "orders", Data: []byte(`{}`)})
	}
	s.Complete()
	if !asked.list[0].Resolve([]byte(`{"id":"1"}`)) || next(other) != order("1") {
		t.Error("the other member waits")
	}
	other.Complete()
	if asked.list[1].Resolve([]byte(`{}`)) || asked.list[2].Fail(nil) {
		t.Error("nobody waits")
	}
	if c, g, n := w.hub.Sizes(); c+g+n+w.listed() != 0 {
		t.Errorf("left over: %d channels, %d groups, %d subscriptions, %d requests", c, g, n, w.listed())
	}
	if len(w.counts.counted) != 1 { // the one answer
		t.Errorf("counted %v", w.counts.counted)
	}
}

// Closing ends what waits and calls no resolver any more.
func TestCloseWhileDeferred(t *testing.T) {
	w := newWorld(t, Addressing{})
	var asked sink
	s := w.joinLate(w.plan(`subscription { order { id } }`), user("u"), asked.resolver(), nil)
	w.publish(event.Event{Channel: "orders", Data: []byte(`{}`)})
	w.hub.Close()
	w.publish(event.Event{Channel: "orders", Data: []byte(`{}`)})
	if len(asked.list) != 1 || asked.list[0].Resolve([]byte(`{}`)) || next(s) != "" || w.listed() != 0 {
		t.Errorf("asked %d times, %d wait", len(asked.list), w.listed())
	}
	s.Complete()
}

// An event that leaves a full lane before its resolver was called is not asked for; one that leaves later is
// answered in vain.
func TestDeferredLaneOverflows(t *testing.T) {
	for field, want := range map[string][]string{
		"oldest": {"4", "5", "6", "7"}, "newest": {"0", "1", "2", "3"},
	} {
		w := newWorld(t, Addressing{})
		var asked sink
		s := w.joinLate(w.plan(`subscription { `+field+` { id } }`), user("u"), asked.resolver(), nil)
		var parsed Parsed
		for i := range 8 {
			w.seq++
			m := bus.Message{Event: event.Event{Channel: field, Type: "t", ID: fmt.Sprint(i), Data: []byte(`{}`)}, Position: event.Position{Epoch: 1, Major: w.seq}}
			if err := parsed.Parse(&m.Event, &w.hub.cfg.Address, w.hub.limits.Load().Events); err != nil {
				t.Fatal(err)
			}
			m.Parsed = &parsed
			w.hub.Deliver(&m)
		}
		w.hub.HandOver(&parsed)
		var ids []string
		for _, r := range asked.list {
			ids = append(ids, r.Event().ID)
		}
		if fmt.Sprint(ids) != fmt.Sprint(want) {
			t.Errorf("%s: asked for %v, want %v", field, ids, want)
		}
		w.publish(event.Event{Channel: field, ID: "8", Data: []byte(`{}`)})
		if counts := asked.list[0].Skip(); counts != (field == "newest") {
			t.Errorf("%s: the answer for the oldest counts: %v", field, counts)
		}
		s.Complete()
	}
}

// A lane that many events have passed is as small as before.
func TestDeferredLeavesNothing(t *testing.T) {
	w := newWorld(t, Addressing{})
	var asked sink
	s := w.joinLate(w.plan(`subscription { order { id } }`), user("u"), asked.resolver(), nil)
	for i := range 10_000 {
		w.publish(event.Event{Channel: "orders", Data: []byte(`{}`)})
		if i >= 2 { // two are always on their way
			asked.list[0].Resolve([]byte(`{"id":1}`))
			asked.list = asked.list[1:]
		}
		next(s)
	}
	l := s.cell.group.lane()
	if cap(l.waiting) > 2*w.hub.limits.Load().Lane || w.listed() != 2 || len(w.hub.workers.backlog) != 0 {
		t.Errorf("room for %d in the lane, %d listed", cap(l.waiting), w.listed())
	}
}
