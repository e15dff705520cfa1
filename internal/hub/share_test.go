package hub

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/event"
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
