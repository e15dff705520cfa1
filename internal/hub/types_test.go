package hub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
)

// Events of a type without a resolver pass: at once when nothing waits, else in their place.
func TestTypesWithoutAResolverPassInOrder(t *testing.T) {
	w := newWorld(t, Addressing{})
	var asked sink
	s := w.joinLate(w.plan(`subscription { order(min: 1) { id } }`), user("u"), nil, NewTypes(map[string]*Resolver{"late": asked.resolver()}))
	send := func(kind, id string, total int) int {
		return w.publish(event.Event{Channel: "orders", Type: kind, ID: id, Data: fmt.Appendf(nil, `{"id":%q,"total":%d}`, id, total)})
	}
	if send("plain", "1", 1) != 1 || next(s) != order("1") {
		t.Error("nothing waits: it is there at once")
	}
	if send("plain", "2", 0) != 0 || send("late", "3", 0) != 0 {
		t.Error("the filter goes first")
	}
	if send("late", "4", 1) != 1 || send("plain", "5", 1) != 1 || send("late", "6", 1) != 1 || send("plain", "7", 1) != 1 {
		t.Error("what waits counts as enqueued")
	}
	if got := next(s); got != "" {
		t.Errorf("it overtook: %s", got)
	}
	if len(asked.list) != 2 || asked.list[0].Event().ID != "4" || asked.list[1].Event().ID != "6" {
		t.Fatalf("asked for %d", len(asked.list))
	}
	asked.list[1].Resolve([]byte(`{"id":"six"}`))
	asked.list[0].Resolve([]byte(`{"id":"four"}`))
	for _, id := range []string{"four", "5", "six", "7"} {
		if got := next(s); got != order(id) {
			t.Errorf("got %s, want %s", got, order(id))
		}
	}
	if send("plain", "8", 1) != 1 || next(s) != order("8") {
		t.Error("nothing waits any more")
	}
}

// A full lane treats what passes like everything else.
func TestTypesInAFullLane(t *testing.T) {
	for field, want := range map[string]string{"oldest": "3 4 5", "latest": "5", "newest": "0 1 2"} {
		w := newWorld(t, Addressing{})
		var asked sink
		s := w.joinLate(w.plan(`subscription { `+field+` { id } }`), user("u"), nil, NewTypes(map[string]*Resolver{"late": asked.resolver()}))
		for i := range 6 {
			kind := "plain"
			if i == 0 || i == 3 {
				kind = "late"
			}
			w.publish(event.Event{Channel: field, Type: kind, ID: fmt.Sprint(i), Data: fmt.Appendf(nil, `{"id":"%d"}`, i/6)})
		}
		for _, r := range asked.list {
			r.Resolve(fmt.Appendf(nil, `{"id":"%s"}`, r.Event().ID))
		}
		if n := s.Len(); n != len(strings.Fields(want)) {
			t.Errorf("%s: %d messages, want %s", field, n, want)
		}
	}
}

// Workers, deferred answers and what passes meet in one lane; nobody is promised to a worker twice.
func TestTypesOfEveryKind(t *testing.T) {
	w := newWorld(t, Addressing{})
	w.limit(func(l *Limits) { l.Workers = 1 })
	var asked sink
	release, began := make(chan struct{}), make(chan struct{}, 100)
	types := NewTypes(map[string]*Resolver{"late": asked.resolver(), "work": {
		Resolve: func(_ context.Context, ev *event.Event, _ []byte, _ *identity.Identity) ([]byte, error) {
			began <- struct{}{}
			<-release
			return fmt.Appendf(nil, `{"id":%q}`, ev.ID), nil
		},
	}})
	s := w.joinLate(w.plan(`subscription { oldest { id } }`), user("u"), nil, types)
	kinds := []string{"work", "late", "plain"}
	for i := range 60 {
		w.publish(event.Event{Channel: "oldest", Type: kinds[i%3], ID: fmt.Sprint(i), Data: fmt.Appendf(nil, `{"id":"%d"}`, i)})
		if i == 0 {
			<-began
		}
	}
	l := s.cell.group.lane()
	w.hub.workers.mu.Lock()
	if n := len(w.hub.workers.backlog); n > w.hub.limits.Load().Lane || n != l.promised {
		t.Errorf("%d promised for a lane of %d, which knows of %d", n, w.hub.limits.Load().Lane, l.promised)
	}
	w.hub.workers.mu.Unlock()
	close(release)
	for _, r := range asked.list {
		r.Resolve([]byte(`{"id":"late"}`))
	}
	w.hub.workers.wg.Wait() // workers end when nothing is promised
	if l.len() != 0 || l.idle != 0 || l.promised != 0 {
		t.Errorf("left in the lane: %d, %d idle, %d promised", l.len(), l.idle, l.promised)
	}
	if got := next(s); got != `{"data":{"oldest":{"id":"57"}}}` {
		t.Errorf("got %s", got)
	}
}

// What fails is masked, also where other events pass as they are.
func TestTypesFailMasked(t *testing.T) {
	w := newWorld(t, Addressing{})
	fails := &Resolver{Deferred: func(r *Request) { r.Fail(errors.New("secret")) }}
	s := w.joinLate(w.plan(`subscription { order { id } }`), user("u"), nil, NewTypes(map[string]*Resolver{"late": fails}))
	w.publish(event.Event{Channel: "orders", Type: "late", Data: []byte(`{"id":"secret"}`)})
	if got := next(s); strings.Contains(got, "secret") || !strings.Contains(got, "RESOLVER_FAILED") {
		t.Errorf("got %s", got)
	}
}

// Groups are split as for the resolver of a field, and by which resolver it is.
func TestResolversSplitGroups(t *testing.T) {
	one, other := (&sink{}).resolver(), (&sink{}).resolver()
	aware := &Resolver{Context: true, Deferred: one.Deferred}
	types := func(r *Resolver) *Types { return NewTypes(map[string]*Resolver{"late": r}) }
	shared := new(int)
	people := []*identity.Identity{
		{TenantID: "a", UserID: "1"}, {TenantID: "a", UserID: "2"}, {TenantID: "b", UserID: "1"},
		{TenantID: "a", UserID: "1", FederationID: "f"}, {TenantID: "a", UserID: "1", ServiceName: "f"},
		{TenantID: "a", UserID: "1", Roles: []string{"x"}}, {TenantID: "a", UserID: "1", Scopes: []string{"x"}},
	}
	same, known := types(one), types(aware)
	for name, c := range map[string]struct {
		query  string
		join   func(*Join, int)
		groups int
	}{
		"none":              {`order`, func(*Join, int) {}, 1},
		"by type":           {`order`, func(j *Join, _ int) { j.Types = same }, 4},
		"by type, owner":    {`mine`, func(j *Join, _ int) { j.Types = same }, 5},
		"by type, context":  {`order`, func(j *Join, _ int) { j.Types = known }, 7},
		"others by type":    {`order`, func(j *Join, _ int) { j.Types = types(one) }, 7},
		"of the field":      {`order`, func(j *Join, i int) { j.Resolver = one }, 4},
		"two of the field":  {`order`, func(j *Join, i int) { j.Resolver = []*Resolver{one, other}[i%2] }, 5},
		"each its own":      {`order`, func(j *Join, _ int) { j.Resolver = &Resolver{Deferred: one.Deferred} }, 7},
		"the same, anew":    {`order`, func(j *Join, _ int) { j.Resolver = &Resolver{Deferred: one.Deferred, Same: shared} }, 4},
		"field before type": {`order`, func(j *Join, _ int) { j.Resolver, j.Types = one, types(other) }, 4},
	} {
		w := newWorld(t, Addressing{})
		p := w.plan(`subscription { ` + c.query + ` { id } }`)
		var subs []*Subscription
		for i, who := range people {
			j := w.request(newConn(), p, `{}`, who)
			c.join(j, i)
			s, errs := w.hub.Join(j, nil)
			if errs != nil {
				t.Fatal(errs[0])
			}
			subs = append(subs, s)
		}
		if _, groups, _ := w.hub.Sizes(); groups != c.groups {
			t.Errorf("%s: %d groups, want %d", name, groups, c.groups)
		}
		for _, s := range subs {
			s.Complete()
		}
		if ch, g, n := w.hub.Sizes(); ch+g+n != 0 {
			t.Errorf("%s: left over: %d channels, %d groups, %d subscriptions", name, ch, g, n)
		}
	}
}

// Who asks is shown to those only that ask for it, whatever others of the same lane do.
func TestTypesShowTheContextToThoseThatAsk(t *testing.T) {
	w := newWorld(t, Addressing{})
	var plain, aware sink
	types := NewTypes(map[string]*Resolver{"plain": plain.resolver(), "aware": {Context: true, Deferred: aware.take}})
	who := &identity.Identity{UserID: "u", TenantID: "t", Roles: []string{"r"}, Claims: map[string]any{"secret": 1}, FederationID: "f"}
	w.joinLate(w.plan(`subscription { order { id } }`), who, nil, types)
	w.publish(event.Event{Channel: "orders", Type: "plain", FederationID: "f", Data: []byte(`{}`)})
	w.publish(event.Event{Channel: "orders", Type: "aware", FederationID: "f", Data: []byte(`{}`)})
	if got := plain.list[0].Who(); got != nil {
		t.Errorf("shown: %+v", got)
	}
	got := aware.list[0].Who()
	if got == nil || got.UserID != "u" || got.TenantID != "t" || got.Roles[0] != "r" || got.Claims != nil || got.FederationID != "" {
		t.Errorf("shown: %+v", got)
	}
}
