package bustest

import (
	"fmt"
	"testing"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// recall publishes to two channels of two tenants by turns and asks, of one of them, what was before positions: on this
// node, and on one that comes later.
func (s *suite) recall(t *testing.T) {
	const n = 30
	b, r := s.attached(t, "c", "other")
	for i := range n {
		m := message("c", i)
		m.Event.TenantID = fmt.Sprint("t", i%2)
		publish(t, b, m, message("other", i))
	}
	list := distinct(s.await(t, r, "c", n))
	nodes := []bus.Bus{b}
	if s.Join != nil {
		second := s.Join(t, b)
		attach(t, second)
		nodes = append(nodes, second)
	}
	for _, b := range nodes {
		for _, span := range [][2]int{{4, 9}, {0, 0}, {9, 9}, {12, n - 1}, {3, 20}} {
			recalled(t, b, list, span[0], span[1])
		}
		at := list[9].Position
		for name, upTo := range map[string]event.Position{
			"another epoch":     {Epoch: at.Epoch + 1, Partition: at.Partition, Major: at.Major, Minor: at.Minor},
			"another partition": {Epoch: at.Epoch, Partition: at.Partition + 1, Major: at.Major, Minor: at.Minor},
		} {
			if got, _, err := b.(bus.Recaller).Recall(t.Context(), "c", upTo, upTo); err != nil || len(got) > 0 {
				t.Errorf("%s: %d events, %v", name, len(got), err)
			}
		}
	}
	publish(t, b, messages("c", n, 5)...)
	list = distinct(s.await(t, r, "c", n+5))
	for _, b := range nodes {
		recalled(t, b, list, n+1, n+4)
		recalled(t, b, list, 2, n+2)
	}
}

// recalled asks for what was before one event of a list up to another one.
func recalled(t *testing.T, b bus.Bus, list []bus.Message, from, upTo int) {
	t.Helper()
	got, whole, err := b.(bus.Recaller).Recall(t.Context(), list[0].Event.Channel, list[from].Position, list[upTo].Position)
	if err != nil || !whole {
		t.Fatalf("from %d up to %d: whole %v, %v", from, upTo, whole, err)
	}
	at := map[event.Position]bus.Recalled{}
	for _, e := range got {
		at[e.Position] = e
	}
	for i := range list {
		ev := &list[i].Event
		e, ok := at[list[i].Position]
		if ok != (i <= upTo) || ok && (e.ID != ev.ID || e.TenantID != ev.TenantID || e.At.Unix() <= 0) {
			t.Errorf("from %d up to %d: event %d is recalled: %v %+v", from, upTo, i, ok, e)
		}
	}
	if len(got) != upTo+1 {
		t.Errorf("from %d up to %d: %d events", from, upTo, len(got))
	}
}

// recallTrimmed asks where the past is not held any more: what is held is told.
func (s *suite) recallTrimmed(t *testing.T) {
	const keep, n = 10, 40
	b := s.Small(t, keep)
	r := attach(t, b, "c")
	for i := 0; i < n; i += keep / 2 {
		publish(t, b, messages("c", i, keep/2)...)
		s.await(t, r, "c", i+keep/2)
	}
	list := distinct(r.of("c"))
	got, _, err := b.(bus.Recaller).Recall(t.Context(), "c", list[n-2].Position, list[n-1].Position)
	if err != nil || len(got) == 0 || len(got) > n {
		t.Fatalf("%d events, %v", len(got), err)
	}
	held := map[event.Position]bool{}
	for _, e := range got {
		held[e.Position] = true
	}
	if !held[list[n-1].Position] || !held[list[n-2].Position] {
		t.Error("the newest are not recalled")
	}
	if _, _, err := b.(bus.Recaller).Recall(t.Context(), "c", list[0].Position, list[0].Position); err != nil {
		t.Error(err)
	}
}
