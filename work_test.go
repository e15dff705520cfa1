package fraiseql

import (
	"context"
	"errors"
	"testing"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/membus"
	"github.com/fraiseql/fraiseql-go/event"
)

// plain is a bus without optional abilities.
type plain struct{ bus.Bus }

func TestWork(t *testing.T) {
	e, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close(context.Background()) }()
	ctx, cancel := context.WithCancel(t.Context())
	began, done := make(chan struct{}), make(chan error, 1)
	var worked []string
	go func() {
		first := true
		done <- e.Work(ctx, "mail", "orders", func(_ context.Context, ev *Event) error {
			if ev.Type == "begin" && first {
				first = false
				close(began)
				panic("once")
			}
			worked = append(worked, ev.Type+string(ev.Data))
			if ev.Type == "end" {
				cancel()
			}
			return nil
		})
	}()
	for begun := false; !begun; { // until the group is there
		if _, err := e.Publish(ctx, Event{Channel: "orders", Type: "begin", Data: []byte(`{}`)}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-began:
			begun = true
		default:
		}
	}
	if _, err := e.Publish(ctx, Event{Channel: "orders", Type: "end", Data: []byte(`{"a":1}`)}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if n := len(worked); n < 2 || worked[0] != "begin{}" || worked[n-1] != `end{"a":1}` {
		t.Errorf("worked on %v", worked)
	}
	for name, want := range map[string]string{"": "work: the name of the channel ", "$x": "work: the name of the channel begins"} {
		if err := e.Work(t.Context(), "g", name, nil); err == nil || err.Error()[:len(want)] != want {
			t.Errorf("channel %q: %v", name, err)
		}
	}
	if err := e.Work(t.Context(), "a b", "c", nil); err == nil {
		t.Error("a group with a space in its name")
	}
}

func TestWorkNeedsABusThatCan(t *testing.T) {
	e, err := New(Config{Bus: plain{membus.New(membus.Options{})}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close(context.Background()) }()
	if err := e.Work(t.Context(), "g", "c", nil); !errors.Is(err, ErrNoWork) {
		t.Error(err)
	}
}

// Work ends with the engine, also on a bus that goes on; Close waits for what it is doing.
func TestWorkEndsWithTheEngine(t *testing.T) {
	b := membus.New(membus.Options{})
	e, err := New(Config{Bus: b})
	if err != nil {
		t.Fatal(err)
	}
	began, ended := make(chan struct{}), false
	done := make(chan error, 1)
	go func() {
		done <- e.Work(t.Context(), "mail", "orders", func(ctx context.Context, _ *Event) error {
			close(began)
			<-ctx.Done()
			ended = true
			return ctx.Err()
		})
	}()
	for begun := false; !begun; { // until the group is there
		if _, err := e.Publish(t.Context(), Event{Channel: "orders", Type: "t", Data: []byte(`{}`)}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-began:
			begun = true
		default:
		}
	}
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if !ended {
		t.Error("Close has not waited")
	}
	if err := <-done; !errors.Is(err, bus.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if err := e.Work(t.Context(), "mail", "orders", nil); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("afterwards: %v", err)
	}
	if _, err := b.History(t.Context(), "orders", event.Position{}, 1); err != nil {
		t.Errorf("the host's bus: %v", err)
	}
}
