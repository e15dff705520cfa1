package hub

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus/membus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/plan"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/observe"
	"github.com/fraiseql/fraiseql-go/policy"
)

// allow admits everybody with a mask.
func allow(m policy.Mask) func(*plan.Plan, *jsontape.Tape) (policy.Mask, []*gql.Error) {
	return func(*plan.Plan, *jsontape.Tape) (policy.Mask, []*gql.Error) { return m, nil }
}

// With the same mask a subscription stays in its group, with another one it leaves it, and what it asks for stays.
func TestReadmit(t *testing.T) {
	w := newWorld(t, Addressing{})
	p := w.plan(`subscription($i: ID) { order(id: $i) { id } }`)
	first, second := w.join(newConn(), p, `{"i":"42"}`, user("u")), w.join(newConn(), p, `{"i":"42"}`, user("u"))
	fresh := &identity.Identity{UserID: "u", Roles: []string{"r"}, ExpiresAt: time.Now().Add(time.Hour)}
	group := first.cell.group
	for i, tt := range []struct {
		mask   policy.Mask
		groups int
	}{{0, 1}, {1, 2}, {0, 1}} {
		seen := ""
		errs := w.hub.Readmit(first, fresh, func(_ *plan.Plan, vars *jsontape.Tape) (policy.Mask, []*gql.Error) {
			seen = string(vars.Raw(jsontape.Root))
			return tt.mask, nil
		})
		if errs != nil || seen != `{"i":"42"}` {
			t.Fatalf("%d: %v, variables %s", i, errs, seen)
		}
		if _, groups, n := w.hub.Sizes(); groups != tt.groups || n != 2 {
			t.Errorf("%d: %d groups, %d subscriptions", i, groups, n)
		}
		if first.Identity() != fresh || first.expires == 0 || (first.cell.group == group) != (tt.groups == 1) {
			t.Errorf("%d: identity %v, expires %d", i, first.Identity(), first.expires)
		}
		w.publish(event.Event{Channel: "orders", Data: []byte(orderData)})
	}
	if first.Len() != 3 || second.Len() != 3 {
		t.Errorf("%d and %d messages", first.Len(), second.Len())
	}
	first.End(nil)
	second.Complete()
	if errs := w.hub.Readmit(first, user("u"), allow(0)); errs != nil || first.Identity() != fresh {
		t.Error("a subscription that has ended was changed")
	}
	if channels, groups, n := w.hub.Sizes(); channels+groups+n != 0 {
		t.Errorf("%d channels, %d groups, %d subscriptions are left", channels, groups, n)
	}
}

// A resolver that takes the context is asked as the new identity from the next event on.
func TestReadmitWithAResolver(t *testing.T) {
	w := newWorld(t, Addressing{})
	asked := make(chan []string, 4)
	r := &Resolver{Context: true, Resolve: func(_ context.Context, _ *event.Event, _ []byte, who *identity.Identity) ([]byte, error) {
		asked <- who.Roles
		return []byte(`{"id":"1"}`), nil
	}}
	s, came := w.joinResolved(`subscription { order { id } }`, user("u"), r)
	w.publish(event.Event{Channel: "orders", Data: []byte(orderData)})
	<-came
	<-asked
	if errs := w.hub.Readmit(s, &identity.Identity{UserID: "u", Roles: []string{"r"}}, allow(0)); errs != nil {
		t.Fatal(errs)
	}
	w.publish(event.Event{Channel: "orders", Data: []byte(orderData)})
	if roles := <-asked; len(roles) != 1 {
		t.Errorf("asked with roles %v", roles)
	}
	<-came
	s.Complete()
}

// Results that were asked for with the old identity do not reach the new one, which is told of each that it misses. Those whose
// resolver has said that there is none are none.
func TestReadmitWithResultsDue(t *testing.T) {
	w := newWorld(t, Addressing{})
	var asked sink
	r := &Resolver{Deferred: asked.take, Context: true}
	j := w.request(newConn(), w.plan(`subscription { order { id } }`), `{}`, user("u"))
	j.Resolver, j.Extensions = r, true
	s, errs := w.hub.Join(j, nil)
	if errs != nil {
		t.Fatal(errs)
	}
	w.publish(event.Event{Channel: "orders", Data: []byte(orderData)})
	w.publish(event.Event{Channel: "orders", UserID: "other", Data: []byte(orderData)})
	w.publish(event.Event{Channel: "orders", Data: []byte(orderData)})
	w.publish(event.Event{Channel: "orders", Data: []byte(orderData)})
	if len(asked.list) != 3 {
		t.Fatalf("asked %d times", len(asked.list))
	}
	asked.list[1].Skip()
	asked.list[2].Resolve([]byte(`{"id":"2"}`)) // its turn comes after the first
	if errs := w.hub.Readmit(s, &identity.Identity{UserID: "u", Roles: []string{"r"}}, allow(0)); errs != nil {
		t.Fatal(errs)
	}
	if asked.list[0].Resolve([]byte(`{"id":"0"}`)) {
		t.Error("somebody waits for the result of the old identity")
	}
	w.publish(event.Event{Channel: "orders", Data: []byte(orderData)})
	asked.list[3].Resolve([]byte(`{"id":"3"}`))
	it, ok, _ := s.Pop()
	if !ok || string(it.Message.Payload) != `{"data":{"order":{"id":"3"}}` || it.Dropped != 2 {
		t.Errorf("%v, %d dropped", ok, it.Dropped)
	}
	if n := w.counts.counted[fmt.Sprint(observe.Dropped, " identity")]; n != 2 {
		t.Errorf("%d counted", n)
	}
}

// A replay that gives up on history, and joins, is by then what it was changed to since its step began.
func TestReadmitBeforeALoss(t *testing.T) {
	w, _ := onCarrier(t, 1)
	j := w.request(newConn(), w.plan(ordersQuery), `{}`, user("u"))
	j.Cursors = true
	r, errs := w.hub.newReplay(j)
	if errs != nil {
		t.Fatal(errs)
	}
	s, fresh := &r.sub.Subscription, &identity.Identity{UserID: "u", Roles: []string{"r"}}
	r.losses = maxLosses - 1
	if errs := w.hub.Readmit(s, fresh, allow(1)); errs != nil {
		t.Fatal(errs)
	}
	if p, told := r.loseUnderTurn(event.Position{}); p != ended || !told {
		t.Fatalf("progress %d, told %v", p, told)
	}
	j.Mask = 1
	if s.Identity() != fresh || s.cell == nil || s.cell.group.key != string(j.appendKey(nil)) {
		t.Errorf("it joined as %+v, or in another group", s.Identity())
	}
	s.Complete()
	if channels, groups, n := w.hub.Sizes(); channels+groups+n != 0 {
		t.Errorf("%d channels, %d groups, %d subscriptions are left", channels, groups, n)
	}
}

// Events lose and repeat nothing while identities change.
func TestReadmitBesideEvents(t *testing.T) {
	w := newWorld(t, Addressing{})
	p := w.plan(`subscription { order { id } }`)
	const events = 900
	subs := make([]*Subscription, 4)
	for i := range subs {
		subs[i] = w.join(newConn(), p, `{}`, user("u"))
	}
	var wg sync.WaitGroup
	got := make([]int, len(subs))
	done := make(chan struct{})
	for i, s := range subs {
		wg.Go(func() {
			for n := 0; ; n++ {
				w.hub.Readmit(s, &identity.Identity{UserID: "u", Roles: []string{fmt.Sprint(n)}}, allow(policy.Mask(n%3)))
				for _, ok, _ := s.Pop(); ok; _, ok, _ = s.Pop() {
					got[i]++
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for range events {
		w.publish(event.Event{Channel: "orders", Data: []byte(orderData)})
	}
	close(done)
	wg.Wait()
	for i, s := range subs {
		if n := got[i] + s.Len(); n != events {
			t.Errorf("subscription %d got %d of %d", i, n, events)
		}
		s.Complete()
	}
}

// What is due to a subscription alone, since it resumed, is like other results when it changes its group: they are dropped and
// counted, and nobody else waits for them.
func TestReadmitWithResultsOfItsReplayDue(t *testing.T) {
	w, b := onMemory(t, membus.Options{})
	publish := memoryPublish(t, b)
	var asked sink
	by := &Resolver{Deferred: asked.take, Context: true}
	who := func(role string) *identity.Identity {
		return &identity.Identity{TenantID: "a", UserID: "u", Roles: []string{role}}
	}
	p := w.plan(ordersQuery)
	one, other := newClient(w, ordersQuery, who("old")), newClient(w, ordersQuery, who("old"))
	for _, c := range []*client{one, other} {
		c.answer = func(j *Join) { j.Plan, j.Resolver = p, by } // of one group
		c.resume()
		c.first()
	}
	other.sub.Complete()
	answer := func(from int, want bool) {
		t.Helper()
		for _, r := range asked.list[from:] {
			if r.Resolve(negated(r.Event())) != want {
				t.Errorf("an answer is wanted: %v", !want)
			}
		}
	}
	publish(numbered(1, "a"))
	publish(numbered(2, "a"))
	answer(0, true)
	one.wantEvents(-1, -2)
	other.resume()
	if other.first() != queue.Recovered || len(asked.list) != 4 || other.sub.cell == nil || other.sub.cell.group != one.sub.cell.group {
		t.Fatalf("asked %d times", len(asked.list))
	}
	publish(numbered(3, "a"))
	answer(4, true) // in its turn
	if errs := w.hub.Readmit(other.sub, who("new"), allow(0)); errs != nil {
		t.Fatal(errs)
	}
	one.wantEvents(-3)
	answer(2, false)
	other.wantNothing()
	publish(numbered(4, "a"))
	answer(5, true)
	one.wantEvents(-4)
	if m, ok := other.next(10 * time.Second); !ok || m.dropped != 3 || total(t, m.data) != -4 {
		t.Errorf("%+v %v", m, ok)
	}
	if n := w.counts.of("identity"); n != 3 {
		t.Errorf("%d counted", n)
	}
}

// A refresh makes no more groups than there are subscriptions: the bounds, which are for documents, do not refuse it.
func TestReadmitAtTheBoundOfGroups(t *testing.T) {
	for name, change := range map[string]func(*Limits){
		"channel": func(l *Limits) { l.GroupsPerChannel = 1 },
		"tenant":  func(l *Limits) { l.GroupsPerTenant = 1 },
	} {
		w := newWorld(t, Addressing{})
		w.limit(change)
		s, _ := w.joinResolved(`subscription { order { id } }`, user("u"), &Resolver{Deferred: func(*Request) {}, Context: true})
		fresh := &identity.Identity{UserID: "u", Roles: []string{"r"}}
		if errs := w.hub.Readmit(s, fresh, allow(0)); errs != nil || s.Identity() != fresh {
			t.Errorf("%s: %v", name, errs)
		}
		if _, groups, n := w.hub.Sizes(); groups != 1 || n != 1 {
			t.Errorf("%s: %d groups, %d subscriptions", name, groups, n)
		}
	}
}

// A subscription that is given another identity between its begin and its place in the index gets there as that one, with its
// mask, or ends.
func TestReadmitBeforeItJoins(t *testing.T) {
	w := newWorld(t, Addressing{})
	p := w.plan(`subscription { order { id } }`)
	fresh, refuse := &identity.Identity{UserID: "u", ExpiresAt: time.Now().Add(time.Hour)}, false
	w.hub.cfg.Renew = func(j *Join) *Renewal {
		return &Renewal{Plan: j.Plan, Variables: j.Variables, Tape: j.Tape, Policy: j.Policy, Admit: func(who *identity.Identity) (policy.Mask, []*gql.Error) {
			if who != fresh || refuse {
				return 0, []*gql.Error{{Message: "no"}}
			}
			return 1, nil
		}}
	}
	w.hub.cfg.Refused = func(why []*gql.Error) []byte { return []byte(why[0].Message) }
	other := w.join(newConn(), p, `{}`, user("u"))
	for _, refuse = range []bool{false, true} {
		s, errs := w.hub.Join(w.request(newConn(), p, `{}`, user("u")), func(s *Subscription) bool {
			return w.hub.Readmit(s, fresh, allow(0)) == nil
		})
		if errs != nil || s.Identity() != fresh {
			t.Fatalf("refused %v: %v", refuse, errs)
		}
		w.publish(event.Event{Channel: "orders", Data: []byte(orderData)})
		switch it, _, _ := s.Pop(); {
		case refuse && (string(it.Message.Payload) != "no" || !it.Message.End):
			t.Errorf("ended with %q", it.Message.Payload)
		case !refuse && (it.Message.End || s.expires == 0 || s.cell.group == other.cell.group):
			t.Error("it has joined as who it was")
		}
		s.Complete()
	}
	other.Complete()
	if channels, groups, n := w.hub.Sizes(); channels+groups+n != 0 {
		t.Errorf("%d channels, %d groups, %d subscriptions are left", channels, groups, n)
	}
}
