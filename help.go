package fraiseql

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/membus"
	"github.com/fraiseql/fraiseql-go/internal/poll"
)

// helped are the connection layers of an engine's handlers, which a publisher helps: the few connections that its
// events make dirty are written by its own goroutine, without waking another one.
type helped struct {
	pollers []*poll.Poller
	pace    pace
}

// publish hands messages to the bus and writes, after that, to the connections that wait if they are few.
func (e *Engine) publish(ctx context.Context, messages []bus.Message) (Receipt, error) {
	if h := e.helped.Load(); h != nil && h.pace.calm() {
		for _, p := range h.pollers {
			p.Announce()
		}
		defer h.help()
	}
	return e.bus.Publish(ctx, messages)
}

func (h *helped) help() {
	for _, p := range h.pollers {
		p.Help()
	}
}

const (
	paceCalls = 64
	// paceTime is what so many calls must take for the next ones to help, 10,000 a second. Beyond that it is cheaper to
	// let messages gather for writers that are awake in any case (docs/adr/0011).
	paceTime = paceCalls * 100 * time.Microsecond
)

// pace judges how fast calls follow each other, at little cost: the clock is read once for many of them.
type pace struct {
	start time.Time
	calls atomic.Uint32
	fast  atomic.Bool
	since atomic.Int64 // when the last many began, in ns since start
}

// calm counts a call and reports whether the many before it were slow.
func (p *pace) calm() bool {
	if p.calls.Add(1)%paceCalls == 0 {
		now := int64(time.Since(p.start))
		p.fast.Store(now-p.since.Swap(now) < int64(paceTime))
	}
	return !p.fast.Load()
}

// noteHelpedLocked brings the list up to date. Publishers help only the memory bus: others wait for a network, and
// deliver on goroutines of their own.
func (e *Engine) noteHelpedLocked() {
	if _, ok := e.bus.(*membus.Bus); !ok {
		return
	}
	h := &helped{pace: pace{start: time.Now()}}
	for _, s := range e.servers {
		if made, ok := s.(*endpoint); ok {
			h.pollers = append(h.pollers, made.poller)
		}
	}
	if h.pollers == nil {
		h = nil
	}
	e.helped.Store(h)
}
