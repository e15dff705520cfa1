package hub

import (
	"fmt"
	"hash/maphash"
	"testing"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/observe"
	"github.com/fraiseql/fraiseql-go/policy"
)

func TestOneResultPerMatch(t *testing.T) {
	w := newWorld(t, Addressing{})
	all := w.join(newConn(), w.plan(`subscription { order { id } }`), `{}`, user("u"))
	one := w.join(newConn(), w.plan(`subscription($i: ID) { order(id: $i) { id total } }`), `{"i": 42}`, user("u"))
	other := w.join(newConn(), w.plan(`subscription($i: ID) { order(id: $i) { id } }`), `{"i":"43"}`, user("u"))
	in := w.join(newConn(), w.plan(`subscription { order(status: ["open","late"], min: 1000) { status } }`), `{}`, user("u"))
	high := w.join(newConn(), w.plan(`subscription { order(min: 2000) { status } }`), `{}`, user("u"))
	if n := w.publish(event.Event{Channel: "orders", Data: []byte(orderData)}); n != 3 {
		t.Errorf("enqueued for %d, want 3", n)
	}
	for _, c := range []struct {
		s    *Subscription
		want string
	}{
		{all, `{"data":{"order":{"id":"42"}}}`}, {one, `{"data":{"order":{"id":"42","total":1250}}}`},
		{other, ""}, {in, `{"data":{"order":{"status":"open"}}}`}, {high, ""},
	} {
		if got := next(c.s); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func TestAddressesSelectMembers(t *testing.T) {
	w := newWorld(t, Addressing{RowTenant: true, RowUser: true})
	p := w.plan(`subscription { order { id } }`)
	subs := map[string]*Subscription{}
	for _, tn := range []string{"", "a", "b"} {
		for _, u := range []string{"", "1", "2"} {
			subs[tn+u] = w.join(newConn(), p, `{}`, &identity.Identity{TenantID: tn, UserID: u})
		}
	}
	cases := []struct {
		ev                   event.Event
		want                 string
		deniedTenant, denied int
	}{
		{event.Event{Data: []byte(`{"id":1}`)}, "|1|2|a|a1|a2|b|b1|b2", 0, 0},
		{event.Event{TenantID: "a", Data: []byte(`{"id":1}`)}, "a|a1|a2", 6, 0},
		{event.Event{Data: []byte(`{"id":1,"tenant_id":"b","user_id":2}`)}, "b2", 6, 2},
		{event.Event{TenantID: "a", UserID: "1", Data: []byte(`{"id":1}`)}, "a1", 6, 2},
		{event.Event{TenantID: "a", Data: []byte(`{"id":1,"tenant_id":"b"}`)}, "", 9, 0},
		{event.Event{TenantID: "z", Data: []byte(`{"id":1}`)}, "", 9, 0},
		{event.Event{Data: []byte(`{"id":1,"tenant_id":true}`)}, "", 9, 0},
		// numbers that a double takes for another's integer
		{event.Event{Data: []byte(`{"id":1,"tenant_id":"a","user_id":1.00000000000000000001}`)}, "", 0, 9},
		{event.Event{Data: []byte(`{"id":1,"tenant_id":"a","user_id":1.0}`)}, "", 0, 9},
		{event.Event{Data: []byte(`{"id":1,"tenant_id":"a","user_id":1.0}`)}, "", 0, 9},
	}
	for i, c := range cases {
		c.ev.Channel = "orders"
		w.publish(c.ev)
		got := ""
		for _, tn := range []string{"", "a", "b"} {
			for _, u := range []string{"", "1", "2"} {
				if next(subs[tn+u]) != "" {
					got += "|" + tn + u
				}
			}
		}
		if want := c.want; got != want && got != "|"+want {
			t.Errorf("case %d reached %q, want %q", i, got, want)
		}
		if w.denied(policy.Tenant) != c.deniedTenant || w.denied(policy.Row) != c.denied {
			t.Errorf("case %d denied %d by tenant and %d by row, want %d and %d", i, w.denied(policy.Tenant), w.denied(policy.Row), c.deniedTenant, c.denied)
		}
	}
}

func TestOwnerListsAndLargeCells(t *testing.T) {
	w := newWorld(t, Addressing{})
	p := w.plan(`subscription { mine { id } }`)
	var subs []*Subscription
	for i := range 40 {
		subs = append(subs, w.join(newConn(), p, `{}`, user(fmt.Sprint(i))))
	}
	if n := w.publish(event.Event{Channel: "owned", Data: []byte(`{"id":1,"owners":["3",17,"3",null,{}]}`)}); n != 2 {
		t.Errorf("enqueued for %d, want 2", n)
	}
	if next(subs[3]) == "" || next(subs[17]) == "" || next(subs[4]) != "" {
		t.Error("the owners must receive, and nobody else")
	}
	if w.denied(policy.Row) != 38 {
		t.Errorf("denied %d, want 38", w.denied(policy.Row))
	}
	for _, data := range []string{`{"id":1}`, `{"id":1,"owners":null}`, `{"id":1,"owners":[]}`, `{"id":1,"owners":{"x":1}}`, `{"id":1,"owners":[3.0,17e0]}`} {
		if n := w.publish(event.Event{Channel: "owned", Data: []byte(data)}); n != 0 {
			t.Errorf("%s reached %d", data, n)
		}
	}
	subs[3].Complete()
	if n := w.publish(event.Event{Channel: "owned", Data: []byte(`{"id":1,"owners":["3","5"]}`)}); n != 1 {
		t.Errorf("after a leave: enqueued for %d, want 1", n)
	}
}

// Who joins while a dispatch lets joins in is not one of those that the event was checked for.
func TestWhoJoinsMeanwhileIsNotCounted(t *testing.T) {
	for _, others := range []int{0, flatMembers} {
		w := newWorld(t, Addressing{})
		p := w.plan(`subscription { order { id } }`)
		first, late := w.join(newConn(), p, `{}`, user("u")), w.join(newConn(), p, `{}`, user("u"))
		for i := range others {
			w.join(newConn(), p, `{}`, user(fmt.Sprint(i)))
		}
		c, d := first.channel, newDispatch(w.hub)
		m := &bus.Message{Event: event.Event{Channel: "orders", Type: "t", UserID: "u", Data: []byte(orderData)}}
		d.begin(m)
		if why := d.open(m); why != "" {
			t.Fatal(why)
		}
		c.mu.Lock()
		c.seq++
		d.seq, d.aud, d.budget, late.joined = c.seq, d.base, memberBatch, c.seq
		served := c.serveUsersLocked(d, first.cell, true)
		c.mu.Unlock()
		if served != 1 || first.Len() != 1 || late.Len() != 0 {
			t.Errorf("beside %d others: %d served, %d and %d messages", others, served, first.Len(), late.Len())
		}
	}
}

func TestManyTenantsInABucket(t *testing.T) {
	w := newWorld(t, Addressing{})
	p := w.plan(`subscription { order { id } }`)
	subs := map[string]*Subscription{}
	for i := range 50 {
		tn := fmt.Sprint("t", i)
		subs[tn] = w.join(newConn(), p, `{}`, tenant(tn))
	}
	w.publish(event.Event{Channel: "orders", TenantID: "t7", Data: []byte(`{"id":1}`)})
	if next(subs["t7"]) == "" || next(subs["t8"]) != "" || w.denied(policy.Tenant) != 49 {
		t.Errorf("only t7 must receive, 49 be denied; denied %d", w.denied(policy.Tenant))
	}
	if n := w.publish(event.Event{Channel: "orders", Broadcast: true, Data: []byte(`{"id":1}`)}); n != 50 {
		t.Errorf("broadcast reached %d of 50", n)
	}
	for _, s := range subs {
		s.Complete()
	}
	if ch, g, n := w.hub.Sizes(); ch+g+n != 0 || len(w.hub.domains.live) != 0 {
		t.Errorf("after all left: %d channels, %d groups, %d subscriptions, %d domains", ch, g, n, len(w.hub.domains.live))
	}
}

func TestFederation(t *testing.T) {
	w := newWorld(t, Addressing{})
	p := w.plan(`subscription { order { id } }`)
	plain := w.join(newConn(), p, `{}`, user("u"))
	fed := w.join(newConn(), p, `{}`, &identity.Identity{FederationID: "f", ServiceName: "s"})
	w.publish(event.Event{Channel: "orders", Data: []byte(`{"id":1}`)})
	if next(plain) == "" || next(fed) != "" || w.denied(policy.Federation) != 1 {
		t.Error("an event without a federation is for subscribers without one")
	}
	w.publish(event.Event{Channel: "orders", FederationID: "f", Data: []byte(`{"id":1}`)})
	if next(plain) != "" || next(fed) == "" {
		t.Error("an event of a federation is for its subscribers")
	}
}

func TestStrictIsolation(t *testing.T) {
	w := newWorld(t, Addressing{Strict: true})
	s := w.join(newConn(), w.plan(`subscription { order { id } }`), `{}`, tenant("a"))
	w.publish(event.Event{Channel: "orders", Data: []byte(`{"id":1}`)})
	w.publish(event.Event{Channel: "orders", TenantID: "a", Data: []byte(`{"id":2}`)})
	if got := next(s); got != `{"data":{"order":{"id":"2"}}}` {
		t.Errorf("got %s", got)
	}
	if n := w.counts.counted[fmt.Sprint(observe.EventsDiscarded, " isolation")]; n != 1 {
		t.Errorf("%d events counted as discarded, want the one without a tenant", n)
	}
}

// Two arguments that compare one member, each by an enum of its own: neither hides the other's values.
func TestEnumsOfOnePath(t *testing.T) {
	w := newWorld(t, Addressing{})
	a := w.join(newConn(), w.plan(`subscription { state(a: OPEN) { id } }`), `{}`, user("u"))
	b := w.join(newConn(), w.plan(`subscription { state(b: LATE) { id } }`), `{}`, user("u"))
	for _, status := range []string{"OPEN", "LATE"} {
		w.publish(event.Event{Channel: "state", Data: fmt.Appendf(nil, `{"id":1,"status":%q}`, status)})
	}
	if a.Len() != 1 || b.Len() != 1 {
		t.Errorf("%d and %d messages, want one each", a.Len(), b.Len())
	}
}

func TestOverflowPolicies(t *testing.T) {
	for field, want := range map[string][]string{
		"latest": {"b3", "a4"}, "oldest": {"b2", "b3", "a4"}, "newest": {"a0", "a1", "b2"},
	} {
		w := newWorld(t, Addressing{})
		s := w.join(newConn(), w.plan(`subscription { `+field+` { id note } }`), `{}`, user("u"))
		for i, id := range []string{"a", "a", "b", "b", "a"} {
			w.publish(event.Event{Channel: field, Data: fmt.Appendf(nil, `{"id":%q,"note":"%d"}`, id, i)})
		}
		for _, m := range want {
			if got, text := next(s), fmt.Sprintf(`{"data":{"%s":{"id":"%c","note":"%c"}}}`, field, m[0], m[1]); got != text {
				t.Errorf("%s: got %s, want %s", field, got, text)
			}
		}
		if got := next(s); got != "" {
			t.Errorf("%s: too many: %s", field, got)
		}
	}
}

// LATEST replaces by a value that is there: events without one wait side by side, and so do they beside an empty one.
func TestLatestWithoutAValue(t *testing.T) {
	w := newWorld(t, Addressing{})
	s := w.join(newConn(), w.plan(`subscription { latest { note } }`), `{}`, user("u"))
	for _, data := range []string{`{"id":"","note":"0"}`, `{"note":"1"}`, `{"id":null,"note":"2"}`, `{"id":"","note":"3"}`} {
		w.publish(event.Event{Channel: "latest", Data: []byte(data)})
	}
	for _, note := range []string{"1", "2", "3"} {
		if got, text := next(s), fmt.Sprintf(`{"data":{"latest":{"note":%q}}}`, note); got != text {
			t.Errorf("got %s, want %s", got, text)
		}
	}
}

func TestDuplicatePositionsAreDropped(t *testing.T) {
	w := newWorld(t, Addressing{})
	s := w.join(newConn(), w.plan(`subscription { order { id } }`), `{}`, user("u"))
	w.publish(event.Event{Channel: "orders", Data: []byte(`{"id":1}`)})
	w.seq--
	w.publish(event.Event{Channel: "orders", Data: []byte(`{"id":1}`)})
	if next(s) == "" || next(s) != "" {
		t.Error("an event at the last position must not be delivered again")
	}
}

// A table finds by full text whatever the hashes are.
func TestTableClashes(t *testing.T) {
	var tb table[*bucket]
	tb.init(maphash.MakeSeed())
	a, b, c := &bucket{key: "a"}, &bucket{key: "b"}, &bucket{key: "c"}
	tb.put(a)
	h := maphash.String(tb.seed, "b") // as if a's hash were b's
	tb.byHash = map[uint64]*bucket{h: a}
	tb.put(b)
	tb.put(c)
	if got, ok := tb.get([]byte("b")); !ok || got != b || tb.len() != 3 {
		t.Error("a value whose hash is taken must be found")
	}
	tb.remove(b)
	if _, ok := tb.get([]byte("b")); ok || tb.len() != 2 {
		t.Error("removed, and still found")
	}
	if got, ok := tb.get([]byte("c")); !ok || got != c {
		t.Error("others must stay")
	}
}
