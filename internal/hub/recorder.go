package hub

import (
	"slices"
	"sync/atomic"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// recorder keeps the newest events of a channel while subscriptions of it replay: what lies between the history that
// one of them has read and the turn in which it joins. Guarded by the channel's mu.
type recorder struct {
	// from: every event that is dispatched after it is in list, once the recorder has begun.
	from  event.Position
	begun bool
	list  []bus.Message // oldest first
	bytes int64
	total *atomic.Int64 // of all recorders of the hub
}

const (
	recordEvents = 4096
	recordBytes  = 4 << 20
	// recordBudget is for all channels together.
	recordBudget = 64 << 20
)

func messageBytes(m *bus.Message) int64 { return int64(len(m.Event.Data)) + 256 }

// recordLocked keeps the event at work for those that replay.
func (f *follow) recordLocked(d *dispatch) {
	r := f.recorder
	if r == nil || len(f.replays) == len(f.waiting) {
		if r != nil {
			r.reset(d.at)
		}
		return
	}
	if n := len(r.list); n > 0 && !r.list[n-1].Position.SameRun(d.at) {
		r.reset(d.at)
		return
	}
	m := bus.Message{Event: *d.event, Position: d.at}
	r.list = append(r.list, m)
	r.add(messageBytes(&m))
	for len(r.list) > 0 && (len(r.list) > recordEvents || r.bytes > recordBytes || r.total.Load() > recordBudget) {
		r.from = r.list[0].Position
		r.add(-messageBytes(&r.list[0]))
		r.list[0] = bus.Message{}
		r.list = r.list[1:]
	}
}

func (r *recorder) add(n int64) {
	r.bytes += n
	r.total.Add(n)
}

// reset forgets everything up to a position.
func (r *recorder) reset(at event.Position) {
	r.add(-r.bytes)
	r.list, r.from = nil, at
}

// free gives what is held back.
func (r *recorder) free(h *Hub) {
	if r != nil {
		r.add(-r.bytes)
		r.list = nil
	}
}

// begin says that everything after a position is delivered, and hence was or will be recorded. What was delivered
// before that says nothing: it may be of an interest in the channel that was given up, and others may be missing behind
// it.
func (r *recorder) begin(at event.Position) {
	if r.begun {
		return
	}
	r.begun = true
	if r.from.IsZero() || r.from.SameRun(at) && r.from.Compare(at) < 0 { // else what it forgot is newer
		r.from = at
	}
}

// after returns the events after a position; not ok when some are not held any more.
func (r *recorder) after(at event.Position) (list []bus.Message, ok bool) {
	if r == nil || !r.begun || !r.from.IsZero() && (!r.from.SameRun(at) || at.Compare(r.from) < 0) {
		return nil, false
	}
	i, _ := slices.BinarySearchFunc(r.list, at, func(m bus.Message, at event.Position) int {
		if at.IsZero() || m.Position.Compare(at) > 0 {
			return 1
		}
		return -1
	})
	return r.list[i:], true
}
