package hub

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/membus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// wantEvents reads events with these numbers, in order; notes before them must be none of a loss.
func (c *client) wantEvents(numbers ...int) {
	c.w.tb.Helper()
	for _, want := range numbers {
		m, ok := c.next(10 * time.Second)
		for ok && m.data == "" && m.recovered == queue.Untold {
			m, ok = c.next(10 * time.Second)
		}
		if !ok || m.data == "" || total(c.w.tb, m.data) != want {
			c.w.tb.Fatalf("event %d: %+v %v", want, m, ok)
		}
	}
}

// wantNothing says that nothing waits.
func (c *client) wantNothing() {
	c.w.tb.Helper()
	if m, ok := c.next(0); ok {
		c.w.tb.Errorf("more: %+v", m)
	}
}

func (c *client) wantLost() {
	c.w.tb.Helper()
	if m, ok := c.next(10 * time.Second); !ok || m.data != "" || m.recovered != queue.Lost {
		c.w.tb.Fatalf("want to be told of a loss: %+v %v", m, ok)
	}
}

func memoryPublish(t testing.TB, b *membus.Bus) func(ev event.Event) {
	return func(ev event.Event) {
		if ev.Channel == "" {
			ev.Channel = "orders"
		}
		if _, err := b.Publish(context.Background(), []bus.Message{{Event: ev}}); err != nil {
			t.Error(err)
		}
	}
}

// A gap that the bus proves is told between the events that it lies between; a cursor from before it is not recovered.
func TestGapWhileLive(t *testing.T) {
	w, bus := onCarrier(t, 1)
	c, plain := newClient(w, ordersQuery, tenant("a")), newConn()
	w.join(plain, w.plan(ordersQuery), `{}`, tenant("a"))
	c.resume()
	c.first()
	bus.publish(numbered(1, "a"))
	c.wantEvents(1)
	before := c.cursor
	bus.gap()
	c.wantLost()
	if c.cursor != before {
		t.Error("the cursor of a gap is not that of the event before it")
	}
	bus.publish(numbered(3, "a"))
	c.wantEvents(3)
	if w.counts.of("told") != 1 || w.counts.of("untold") != 1 {
		t.Errorf("counted: %v", w.counts.counted)
	}
	c.sub.Complete()
	c.cursor = before
	c.resume()
	if c.first() != queue.Lost {
		t.Error("a cursor from before the gap was recovered")
	}
	bus.publish(numbered(4, "a"))
	c.wantEvents(4)
}

// of adds up what was counted with a label.
func (c *counts) of(label string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, k := range c.counted {
		if len(name) > len(label) && name[len(name)-len(label)-1:] == " "+label {
			n += k
		}
	}
	return n
}

// Numbers that begin anew without that anybody said so are a gap, too.
func TestNewRunWhileLive(t *testing.T) {
	w, bus := onCarrier(t, 1)
	c := newClient(w, ordersQuery, tenant("a"))
	c.resume()
	c.first()
	bus.publish(numbered(1, "a"))
	c.wantEvents(1)
	bus.mu.Lock()
	bus.epoch, bus.next, bus.history = 8, 3, nil
	bus.mu.Unlock()
	bus.publish(numbered(2, "a"))
	c.wantLost()
	c.wantEvents(2)
	c.sub.Complete()
	c.resume()
	if c.first() != queue.Recovered {
		t.Error("a cursor of the new run")
	}
}

// A bus that lost its tail uses numbers again: the event at the cursor's position is another one.
func TestCursorOfALostTail(t *testing.T) {
	w, bus := onCarrier(t, 1)
	c := newClient(w, ordersQuery, tenant("a"))
	c.resume()
	c.first()
	bus.publish(numbered(1, "a"))
	bus.publish(numbered(2, "a"))
	c.wantEvents(1, 2)
	c.sub.Complete()
	bus.mu.Lock()
	bus.history[1].Event.ID = "another"
	bus.mu.Unlock()
	bus.publish(numbered(3, "a"))
	c.resume()
	if c.first() != queue.Lost {
		t.Error("recovered")
	}
	bus.publish(numbered(4, "a"))
	c.wantEvents(4)
}

// What is forgotten before it could be replayed to a slow client is told in its place.
func TestHistoryGoesDuringReplay(t *testing.T) {
	w, bus := onCarrier(t, 1)
	c := newClient(w, ordersQuery, tenant("a"))
	c.policy.Messages = 4
	c.resume()
	c.first()
	bus.publish(numbered(0, "a"))
	c.wantEvents(0)
	c.sub.Complete()
	for i := 1; i <= 100; i++ {
		bus.publish(numbered(i, "a"))
	}
	c.resume()
	if c.first() != queue.Recovered {
		t.Fatal("not recovered")
	}
	bus.mu.Lock()
	bus.lost, bus.history = bus.history[50].Position, bus.history[51:]
	bus.mu.Unlock()
	for want := 1; ; want++ {
		m, ok := c.next(10 * time.Second)
		if !ok {
			t.Fatal("neither events nor a loss")
		}
		if m.data == "" {
			if m.recovered != queue.Lost || want > 10 {
				t.Errorf("after %d events: %+v", want-1, m)
			}
			break
		}
		if got := total(t, m.data); got != want {
			t.Fatalf("event %d, want %d", got, want)
		}
	}
	bus.publish(numbered(101, "a"))
	c.wantEvents(101)
	c.wantNothing()
}

// A bus that is away for a while delays a replay and ends nothing; one that is away at the subscribe refuses it.
func TestBusAwayDuringReplay(t *testing.T) {
	w, bus := onCarrier(t, 1)
	c := newClient(w, ordersQuery, tenant("a"))
	c.policy.Messages = 4
	c.resume()
	c.first()
	bus.publish(numbered(0, "a"))
	c.wantEvents(0)
	c.sub.Complete()
	for i := 1; i <= 40; i++ {
		bus.publish(numbered(i, "a"))
	}
	c.resume()
	c.first()
	bus.mu.Lock()
	bus.failing = 2
	bus.mu.Unlock()
	for i := 1; i <= 40; i++ {
		c.wantEvents(i)
	}
	c.sub.Complete()
	bus.mu.Lock()
	bus.failing = 1
	bus.mu.Unlock()
	j := w.request(newConn(), w.plan(ordersQuery), `{}`, tenant("a"))
	j.Cursors = true
	if _, _, err := w.hub.Follow(t.Context(), j, "", func(*Subscription) bool { t.Error("begun"); return true }); !errors.Is(err, errAway) {
		t.Errorf("got %v", err)
	}
	w.wantIdle()
}

var errAway = bus.ErrUnavailable

// A client that does not read holds nothing but its queue, and never overflows by what is replayed to it.
func TestReplayWaitsForItsReader(t *testing.T) {
	w, b := onMemory(t, membus.Options{})
	publish := memoryPublish(t, b)
	c := newClient(w, ordersQuery, tenant("a"))
	c.policy = &queue.Policy{Messages: 10, Bytes: 4 << 20}
	c.resume()
	c.first()
	publish(numbered(0, "a"))
	c.wantEvents(0)
	c.sub.Complete()
	for i := 1; i <= 1000; i++ {
		publish(numbered(i, "a"))
	}
	c.resume()
	if n := c.sub.Len(); n > 6 {
		t.Errorf("%d messages wait", n)
	}
	c.first()
	for i := 1; i <= 1000; i++ {
		c.wantEvents(i)
		if n := c.sub.Len(); n > 6 {
			t.Fatalf("%d messages wait", n)
		}
	}
	publish(numbered(1001, "a"))
	c.wantEvents(1001)
	if n := w.counts.of("close"); n != 0 {
		t.Errorf("%d overflows", n)
	}
}

// Other subscriptions of the connection may fill it: the replay waits for them, too.
func TestReplayWaitsForTheConnection(t *testing.T) {
	w, b := onMemory(t, membus.Options{})
	publish := memoryPublish(t, b)
	c := newClient(w, ordersQuery, tenant("a"))
	c.resume()
	c.first()
	publish(numbered(0, "a"))
	c.wantEvents(0)
	at := c.cursor
	c.sub.Complete()
	publish(numbered(1, "a"))
	publish(numbered(2, "a"))
	conn := &queue.Conn{}
	conn.InitPull(c, &queue.Limits{Bytes: 200, Room: w.hub.Room})
	other := w.join(conn, w.plan(`subscription { state { note } }`), `{}`, tenant("a"))
	publish(event.Event{Channel: "state", Type: "t", Data: fmt.Appendf(nil, `{"note":"%0300d"}`, 1)})
	j := w.request(conn, w.plan(ordersQuery), `{}`, tenant("a"))
	j.Cursors = true
	s, _, err := w.hub.Follow(t.Context(), j, at, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.Len(); n != 1 {
		t.Errorf("%d messages wait, want the first one", n)
	}
	other.Complete()
	c.sub, c.conn = s, conn
	c.first()
	c.wantEvents(1, 2)
}

// Followers are told where they stand when only the position moved, and not otherwise.
func TestOnlyThePositionMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b := newWorld(t, Addressing{}), membus.New(membus.Options{})
		cfg := w.hub.cfg
		cfg.Bus = BusAccess{History: b.History, Established: func(context.Context, string) error { return nil }, Positions: 30 * time.Second}
		w.use(cfg)
		if err := b.Attach(t.Context(), w.hub); err != nil {
			t.Fatal(err)
		}
		publish := memoryPublish(t, b)
		c, other := newClient(w, ordersQuery, tenant("a")), newClient(w, ordersQuery, tenant("b"))
		c.resume()
		c.first()
		other.resume()
		other.first()
		<-time.After(31 * time.Second)
		c.wantNothing()
		publish(numbered(1, "a"))
		c.wantEvents(1)
		other.wantNothing()
		<-time.After(31 * time.Second)
		synctest.Wait()
		c.wantNothing()
		if m, ok := other.next(0); !ok || m.data != "" || m.recovered != queue.Untold {
			t.Errorf("the other tenant: %+v %v", m, ok)
		}
		if other.cursor != c.cursor {
			t.Error("two positions")
		}
		<-time.After(31 * time.Second)
		other.wantNothing()
		publish(numbered(2, "b"))
		<-time.After(31 * time.Second)
		synctest.Wait()
		other.wantEvents(2)
		other.wantNothing()
		c.sub.Complete()
		other.sub.Complete()
		w.hub.Close()
	})
}

// Whoever resumes with the cursor of somebody else sees what he may see himself.
func TestACursorGrantsNothing(t *testing.T) {
	ada := &identity.Identity{UserID: "ada", TenantID: "a", FederationID: "f"}
	secret := func(ev event.Event) event.Event { ev.Data = []byte(`{"id":"1","total":1,"owners":["ada"]}`); return ev }
	open := func(ev event.Event) event.Event {
		ev.Data = []byte(`{"id":"2","total":2,"owners":["ada","bob"]}`)
		return ev
	}
	for name, tt := range map[string]struct {
		query         string
		bob           identity.Identity
		denied, shown event.Event
		strict        bool
	}{
		"tenant":     {ordersQuery, identity.Identity{UserID: "bob", TenantID: "b"}, event.Event{TenantID: "a"}, event.Event{TenantID: "b"}, false},
		"row":        {ordersQuery, identity.Identity{UserID: "bob", TenantID: "a"}, event.Event{UserID: "ada"}, event.Event{UserID: "bob"}, false},
		"owner":      {`subscription { mine { total } }`, identity.Identity{UserID: "bob", TenantID: "a"}, event.Event{Channel: "owned"}, event.Event{Channel: "owned"}, false},
		"federation": {ordersQuery, identity.Identity{UserID: "bob", FederationID: "g"}, event.Event{FederationID: "f"}, event.Event{FederationID: "g"}, false},
		"isolation":  {ordersQuery, identity.Identity{UserID: "bob", TenantID: "b"}, event.Event{}, event.Event{TenantID: "b"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w, b := onMemory(t, membus.Options{})
			w.hub.cfg.Address.Strict = tt.strict
			publish := memoryPublish(t, b)
			c := newClient(w, tt.query, ada)
			c.resume()
			c.first()
			at := c.cursor
			tt.denied.Type, tt.shown.Type = "t", "t"
			publish(secret(tt.denied))
			publish(open(tt.shown))
			c = newClient(w, tt.query, &tt.bob)
			c.cursor = at
			c.resume()
			if c.first() != queue.Recovered {
				t.Error("not recovered")
			}
			m, ok := c.next(time.Second)
			if !ok || m.data == "" || numberOf(t, m.data) != 2 {
				t.Errorf("got %+v %v", m, ok)
			}
			c.wantNothing()
		})
	}
}

// numberOf reads the total of whatever field there is.
func numberOf(t testing.TB, data string) int {
	var n int
	for _, prefix := range []string{`{"data":{"order":{"total":%d}}}`, `{"data":{"mine":{"total":%d}}}`} {
		if k, err := fmt.Sscanf(data, prefix, &n); k == 1 && err == nil {
			return n
		}
	}
	t.Errorf("no number in %s", data)
	return 0
}

// Nothing is replayed to credentials that have ended.
func TestNothingIsReplayedAfterTheEnd(t *testing.T) {
	w, b := onMemory(t, membus.Options{})
	publish := memoryPublish(t, b)
	c := newClient(w, ordersQuery, tenant("a"))
	c.resume()
	c.first()
	publish(numbered(1, "a"))
	c.sub.Complete()
	c.who = &identity.Identity{TenantID: "a", ExpiresAt: time.Now().Add(-time.Second)}
	c.resume()
	c.first()
	c.wantNothing()
}
