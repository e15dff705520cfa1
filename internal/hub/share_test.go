package hub

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/plan"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// TestGroupsOfOneDocumentShareBytes: groups that differ in arguments only are projected once.
func TestGroupsOfOneDocumentShareBytes(t *testing.T) {
	w := newWorld(t, Addressing{})
	p := w.plan(`subscription($min: Int) { order(min: $min) { id total } }`)
	other := w.plan(`subscription($min: Int) { order(min: $min) { id } }`)
	subs := []*Subscription{
		w.join(newConn(), p, `{"min":1}`, user("u")),
		w.join(newConn(), p, `{"min":2}`, user("u")),
		w.join(newConn(), other, `{"min":2}`, user("u")),
	}
	if n := w.publish(event.Event{Channel: "orders", Data: []byte(orderData)}); n != 3 {
		t.Fatalf("%d subscriptions receive, want 3", n)
	}
	var payloads [][]byte
	for _, s := range subs {
		it, ok, _ := s.Pop()
		if !ok {
			t.Fatal("no message")
		}
		payloads = append(payloads, it.Message.Payload)
	}
	if &payloads[0][0] != &payloads[1][0] {
		t.Error("equal projections are not shared")
	}
	if got := string(payloads[2]); got != `{"data":{"order":{"id":"42"}}` {
		t.Errorf("another projection gets %s", got)
	}
}

// TestCellsShareTheMessage: members of several tenants in one group get one message, also where other groups are served in between,
// and with one event and the next.
func TestCellsShareTheMessage(t *testing.T) {
	w := newWorld(t, Addressing{})
	plans := []*plan.Plan{w.plan(`subscription { order { id } }`), w.plan(`subscription { order { total } }`)}
	want := []string{`{"data":{"order":{"id":"7"}}}`, `{"data":{"order":{"total":8}}}`}
	var subs [2][]*Subscription
	for _, tn := range []string{"a", "b", "c"} {
		for i, p := range plans {
			for _, u := range []string{"u", "v"} {
				subs[i] = append(subs[i], w.join(newConn(), p, `{}`, &identity.Identity{TenantID: tn, UserID: u}))
			}
		}
	}
	for _, ev := range []event.Event{{Broadcast: true}, {UserID: "u"}, {TenantID: "b"}, {Broadcast: true}} {
		ev.Channel, ev.Data = "orders", []byte(`{"id":7,"total":8}`)
		received := w.publish(ev)
		for i, list := range subs {
			var shared *queue.Message
			for _, s := range list {
				it, ok, _ := s.Pop()
				if !ok {
					continue
				}
				received--
				if got := string(it.Message.Payload) + "}"; got != want[i] {
					t.Errorf("%+v: got %s, want %s", ev, got, want[i])
				}
				if shared == nil {
					shared = it.Message
				}
				if it.Message != shared {
					t.Errorf("%+v: members of one group get different messages", ev)
				}
			}
			if shared == nil {
				t.Errorf("%+v: nobody of group %d received", ev, i)
			}
		}
		if received != 0 {
			t.Errorf("%+v: %d more are said to receive than did", ev, received)
		}
	}
}
