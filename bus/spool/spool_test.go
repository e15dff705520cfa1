package spool

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/bustest"
	"github.com/fraiseql/fraiseql-go/bus/membus"
	"github.com/fraiseql/fraiseql-go/event"
)

// away is a memory bus whose carrier can be taken away.
type away struct {
	*membus.Bus
	mu         sync.Mutex
	gone       bool
	reconnects uint64
	since      time.Time
	tried      chan struct{} // told of each attempt without a carrier
	poison     string        // id of an event that the carrier never takes
	whole      bool          // it takes all of a batch or nothing
}

func newAway() *away {
	return &away{Bus: membus.New(membus.Options{}), tried: make(chan struct{}, 1)}
}

func (a *away) cut(gone bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone && !gone {
		a.reconnects++
	}
	a.gone, a.since = gone, time.Now()
}

func (a *away) Status() bus.Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := bus.Status{Connected: !a.gone, Since: a.since, Reconnects: a.reconnects}
	if a.gone {
		s.Problem = "taken away"
	}
	return s
}

func (a *away) Publish(ctx context.Context, batch []bus.Message) (bus.Receipt, error) {
	if !a.Status().Connected {
		select {
		case a.tried <- struct{}{}:
		default:
		}
		return bus.Receipt{}, fmt.Errorf("publish: %w", bus.ErrUnavailable)
	}
	for i := range batch {
		if batch[i].Event.ID == a.poison {
			if a.whole {
				i = 0
			}
			r, _ := a.Bus.Publish(ctx, batch[:i])
			return r, errors.New("refused by the carrier")
		}
	}
	return a.Bus.Publish(ctx, batch)
}

func TestConformance(t *testing.T) {
	bustest.Run(t, bustest.Options{New: func(t *testing.T) bus.Bus {
		b := New(newAway(), 1<<20, nil)
		t.Cleanup(func() { _ = b.Close(context.Background()) })
		return b
	}})
}

type collector struct {
	mu   sync.Mutex
	ids  []string
	want int
	full chan struct{}
}

func (c *collector) Deliver(m *bus.Message) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ids = append(c.ids, m.Event.ID); len(c.ids) == c.want {
		close(c.full)
	}
	return 1
}

func numbered(n int) bus.Message {
	return bus.Message{Event: event.Event{Channel: "c", Type: "t", ID: fmt.Sprint(n), Data: []byte(`{}`)}}
}

func publishAll(t *testing.T, b bus.Bus, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		if _, err := b.Publish(t.Context(), []bus.Message{numbered(n)}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatWaitedArrivesInOrder(t *testing.T) {
	for name, whole := range map[string]bool{"in part": false, "as a whole": true} {
		t.Run(name, func(t *testing.T) { testWhatWaited(t, whole) })
	}
}

// testWhatWaited has a carrier that never takes event 500, nor, if that is asked for, what comes with it.
func testWhatWaited(t *testing.T, whole bool) {
	inner := newAway()
	inner.whole = whole
	b := New(inner, 1<<20, nil)
	c := &collector{want: 999, full: make(chan struct{})}
	if err := b.Attach(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	inner.poison = "500"
	publishAll(t, b, 0, 300)
	inner.cut(true)
	publishAll(t, b, 300, 700)
	if g := b.Status().Gauges; len(g) != 1 || g[0].Value <= 0 {
		t.Errorf("while 400 events wait: %+v", g)
	}
	<-inner.tried
	inner.cut(false)
	publishAll(t, b, 700, 1000)
	select {
	case <-c.full:
	case <-time.After(30 * time.Second):
		t.Fatalf("%d events arrived", len(c.ids))
	}
	for i, id := range c.ids {
		want := i
		if i >= 500 { // the one that the carrier refuses does not hold up the others
			want = i + 1
		}
		if id != fmt.Sprint(want) {
			t.Fatalf("event %d is %s, want %d", i, id, want)
		}
	}
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if g := b.Status().Gauges; g[0].Value != 0 {
		t.Errorf("afterwards %v bytes wait", g[0].Value)
	}
}

func TestFullSpoolRefuses(t *testing.T) {
	inner := newAway()
	inner.cut(true)
	b := New(inner, 3*(overhead+8), nil)
	batch := []bus.Message{numbered(0), numbered(1), numbered(2), numbered(3)}
	r, err := b.Publish(t.Context(), batch)
	if !errors.Is(err, bus.ErrUnavailable) || r.Accepted != 3 || r.Delivered != -1 {
		t.Errorf("%+v, %v", r, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Close(ctx); err == nil {
		t.Error("three events are lost, and Close does not say so")
	}
	if _, err := b.Publish(t.Context(), batch); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestControlIsNotKept: who revokes must know whether others have heard of it.
func TestControlIsNotKept(t *testing.T) {
	inner := newAway()
	inner.cut(true)
	b := New(inner, 1<<20, nil)
	for _, channel := range []string{bus.ControlChannel, bus.NodeChannel("n")} {
		m := numbered(1)
		m.Event.Channel = channel
		if r, err := b.Publish(t.Context(), []bus.Message{m}); !errors.Is(err, bus.ErrUnavailable) || r.Accepted != 0 {
			t.Errorf("%s: %+v, %v", channel, r, err)
		}
	}
	if kept := b.Status().Gauges[0].Value; kept != 0 {
		t.Errorf("%v bytes are kept", kept)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
