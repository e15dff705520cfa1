package hub

import (
	"sync/atomic"
	"testing"

	"github.com/fraiseql/fraiseql-go/event"
)

// What was delivered before the interest in a channel was established says nothing of what is behind it, also where the recorder
// could not keep it.
func TestRecorderBeginsWithTheInterest(t *testing.T) {
	at := func(n uint64) event.Position { return event.Position{Epoch: 1, Minor: n} }
	for name, full := range map[string]bool{"room": false, "no room": true} {
		var total atomic.Int64
		if full {
			total.Store(recordBudget + 1)
		}
		r := &recorder{total: &total}
		f := &follow{recorder: r, replays: map[*Subscription]*replay{new(Subscription): {}}}
		record := func(n uint64) { f.recordLocked(&dispatch{at: at(n), event: &event.Event{}}) }
		record(10)
		if _, ok := r.after(at(10)); ok {
			t.Errorf("%s: it answers before it has begun", name)
		}
		r.begin(at(15))
		if _, ok := r.after(at(10)); ok {
			t.Errorf("%s: what came without an interest is not missed", name)
		}
		if list, ok := r.after(at(15)); !ok || len(list) != 0 {
			t.Errorf("%s: %d events after the beginning, known: %v", name, len(list), ok)
		}
		record(16)
		r.begin(at(20)) // for another replay
		if list, ok := r.after(at(15)); ok == full || !full && len(list) != 1 {
			t.Errorf("%s: %d events after the first one, known: %v", name, len(list), ok)
		}
		if list, ok := r.after(at(16)); !ok || len(list) != 0 {
			t.Errorf("%s: %d events after the newest one, known: %v", name, len(list), ok)
		}
	}
}
