package hub

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// hook runs in the middle of a dispatch, where joins and leaves get their chance.
type hook func()

func (h hook) Wake(*queue.Queue) {
	if h != nil {
		h()
	}
}

// A subscribe that is given up while an event is under way takes its shape along. Another shape then moves to
// its place: its subscribers must not miss the event for that.
func TestGivenUpInTheMiddleOfADispatch(t *testing.T) {
	w := newWorld(t, Addressing{})
	byID := w.plan(`subscription { order(id: "42") { id } }`)
	byStatus := w.plan(`subscription { order(status: ["open"]) { id } }`)
	all := w.plan(`subscription { order { id } }`)
	var pending *Group
	conn := &queue.Conn{}
	conn.InitPull(hook(func() {
		if pending != nil { // the dispatcher holds mu here, as the other goroutine would between two batches
			pending.channel().unreserveLocked(pending)
			pending = nil
		}
	}), nil)
	j := w.request(newConn(), byID, `{}`, user("u"))
	var scratch [256]byte
	g, errs := w.hub.reserve(j, j.appendKey(scratch[:0]))
	if errs != nil {
		t.Fatal(errs[0])
	}
	first := w.join(conn, byStatus, `{}`, user("u"))
	second := w.join(newConn(), all, `{}`, user("u"))
	pending = g
	if n := w.publish(event.Event{Channel: "orders", Data: []byte(orderData)}); n != 2 {
		t.Errorf("reached %d, want 2", n)
	}
	if next(first) == "" || next(second) == "" {
		t.Error("the event must reach both")
	}
	first.Complete()
	second.Complete()
	if ch, g, n := w.hub.Sizes(); ch+g+n != 0 {
		t.Errorf("left over: %d channels, %d groups, %d subscriptions", ch, g, n)
	}
}
