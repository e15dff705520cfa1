package hub

import (
	"context"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
)

// Whether credentials have expired is a matter of the clock: whoever publishes may date an event as he likes.
func TestExpiryGoesByTheClock(t *testing.T) {
	now := time.Now()
	expired := &identity.Identity{UserID: "u", ExpiresAt: now.Add(-time.Minute)}
	valid := &identity.Identity{UserID: "u", ExpiresAt: now.Add(time.Hour)}
	w := newWorld(t, Addressing{})
	p := w.plan(`subscription { order { id } }`)
	denied, allowed := w.join(newConn(), p, `{}`, expired), w.join(newConn(), p, `{}`, valid)
	for _, at := range []time.Time{now, now.Add(-time.Hour), now.Add(24 * time.Hour), {}, time.Unix(0, 0)} {
		w.seq++
		ev := event.Event{Channel: "orders", Type: "t", Timestamp: at, Data: []byte(`{"id":1}`)}
		n := w.hub.Deliver(&bus.Message{Event: ev, Position: event.Position{Epoch: 1, Major: w.seq}})
		if n != 1 || next(denied) != "" || next(allowed) == "" {
			t.Errorf("dated %v: reached %d; the one whose credentials are valid must receive it, and nobody else", at, n)
		}
	}
}

func TestExpiryOfResolvedResults(t *testing.T) {
	w := newWorld(t, Addressing{})
	r := &Resolver{Resolve: func(context.Context, *event.Event, []byte, *identity.Identity) ([]byte, error) {
		return []byte(`{"id":1}`), nil
	}}
	denied, _ := w.joinResolved(`subscription { order { id } }`, &identity.Identity{ExpiresAt: time.Now().Add(-time.Minute)}, r)
	allowed, news := w.joinResolved(`subscription { order { id } }`, &identity.Identity{ExpiresAt: time.Now().Add(time.Hour)}, r)
	w.hub.Deliver(&bus.Message{Event: event.Event{Channel: "orders", Type: "t", Timestamp: time.Unix(0, 0), Data: []byte(`{}`)}})
	<-news
	if next(allowed) == "" || next(denied) != "" {
		t.Error("a result must reach those only whose credentials are valid")
	}
}
