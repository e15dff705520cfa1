package hub

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/bus/membus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// FuzzCursor subscribes with whatever a client may send: the answer is a place in the channel, and nothing of another
// tenant.
func FuzzCursor(f *testing.F) {
	w, b := onMemory(f, membus.Options{})
	publish := memoryPublish(f, b)
	c := newClient(w, ordersQuery, tenant("a"))
	c.resume()
	c.first()
	for i := range 3 {
		publish(numbered(i, "a"))
		publish(numbered(100+i, "b"))
	}
	c.wantEvents(0, 1)
	own, _ := event.ParseCursor(c.cursor)
	f.Add(c.cursor)
	for _, seed := range []string{"", "-", "AQ", c.cursor[1:], c.cursor + "A", "\x00", "🙂"} {
		f.Add(seed)
	}
	for _, at := range []event.Position{{}, {Epoch: own.Position.Epoch}, {Epoch: own.Position.Epoch, Minor: 1<<64 - 1}, {Epoch: 1, Partition: 1<<32 - 1, Major: 1<<64 - 1, Minor: 1<<64 - 1}} {
		for _, id := range []uint32{0, own.Event} {
			f.Add(event.Cursor{Bus: own.Bus, Channel: own.Channel, Position: at, Event: id}.String())
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		own := *w
		own.tb = t
		c := newClient(&own, ordersQuery, tenant("a"))
		c.cursor = text
		c.resume()
		recovered := c.first()
		if (text == "") != (recovered == queue.Untold) {
			t.Fatalf("%q: %v", text, recovered)
		}
		for {
			m, ok := c.next(0)
			if !ok {
				break
			}
			if recovered != queue.Recovered || m.data == "" || total(t, m.data) >= 100 {
				t.Fatalf("%q: %v, %+v", text, recovered, m)
			}
		}
		c.sub.Complete()
	})
}
