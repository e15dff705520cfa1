package bustest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// outage takes the carrier away: publishing fails in bounded time and can be tried again, the status says so, and
// afterwards everything goes on. Whatever was acknowledged arrives if the bus delivers at least once.
func (s *suite) outage(t *testing.T) {
	b, r := s.attached(t, "c")
	publish(t, b, messages("c", 0, 3)...)
	s.await(t, r, "c", 3)
	before := time.Now()
	restore := s.Outage(t, b)
	ctx, cancel := context.WithTimeout(t.Context(), s.Patience)
	defer cancel()
	receipt, err := b.Publish(ctx, []bus.Message{message("c", 3)})
	if !errors.Is(err, bus.ErrUnavailable) || receipt.Accepted != 0 {
		t.Errorf("published %d without a carrier: %v", receipt.Accepted, err)
	}
	status := s.awaitStatus(t, b, false)
	if status.Problem == "" || status.Since.Before(before) {
		t.Errorf("status without a carrier: %+v", status)
	}
	// One that keeps nothing asks no server: it knows once its status does.
	if _, err := b.History(ctx, "c", event.Position{}, 1); !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("history without a carrier: %v", err)
	}
	restore()
	if status := s.awaitStatus(t, b, true); status.Reconnects == 0 || status.Problem != "" {
		t.Errorf("status after it came back: %+v", status)
	}
	if err := bus.Established(ctx, b, "c"); err != nil {
		t.Fatal(err)
	}
	// The refused one may have been accepted after all: it is published again, with its id.
	if bus.Describe(b).Guarantee == bus.AtLeastOnce {
		publish(t, b, messages("c", 3, 3)...)
	} else {
		insist(t, b, messages("c", 3, 3)) // it may have several connections
	}
	list := s.await(t, r, "c", 6)
	for n := 7; len(firstOfEach(list)) < 6; n++ {
		list = s.await(t, r, "c", n)
	}
	s.wantOrder(t, b, firstOfEach(list), 0, 6)
}

// firstOfEach leaves out messages whose id came before, as the engine does.
func firstOfEach(list []bus.Message) []bus.Message {
	seen := map[string]bool{}
	var out []bus.Message
	for _, m := range list {
		if !seen[m.Event.ID] {
			seen[m.Event.ID] = true
			out = append(out, m)
		}
	}
	return out
}

// awaitStatus asks until the bus is connected or not.
func (s *suite) awaitStatus(t *testing.T, b bus.Bus, connected bool) bus.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), s.Patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		status := bus.StatusOf(b)
		if status.Connected == connected {
			return status
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("after %v: %+v", s.Patience, status)
		}
	}
}
