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

// publish hands messages to the bus and writes, after that, to the connections that wait if they are few. calls is the
// caller's for counting.
func (e *Engine) publish(ctx context.Context, messages []bus.Message, calls *uint32) (r Receipt, err error) {
	h := e.helped.Load()
	if h == nil {
		return e.bus.Publish(ctx, messages)
	}
	defer func() { h.pace.count(calls, r.Delivered) }()
	if h.pace.calm() {
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
	// A call counts once for every paceEach deliveries, and at most paceMost times: beyond that writers do the work.
	paceEach, paceMost = 8, 4
)

// pace judges how fast calls follow each other, at little cost: every caller counts for itself, and looks at the clock
// and at what all share once for many calls. Else publishers of different channels, which have nothing else in common,
// would take turns with a cache line.
type pace struct {
	start time.Time
	fast  atomic.Bool
	many  atomic.Int64 // how often a caller had counted paceCalls, since the last judgement
	since atomic.Int64 // when that was, in ns since start
}

// calm reports whether the calls of late were slow.
func (p *pace) calm() bool { return !p.fast.Load() }

// count counts a call that made so many deliveries. calls belongs to the caller.
func (p *pace) count(calls *uint32, deliveries int) {
	before := *calls / paceCalls
	*calls += uint32(min(max((deliveries+paceEach-1)/paceEach, 1), paceMost))
	if *calls/paceCalls != before {
		p.judge()
	}
}

func (p *pace) judge() {
	many, now, since := p.many.Add(1), int64(time.Since(p.start)), p.since.Load()
	if now-since >= int64(paceTime) && p.since.CompareAndSwap(since, now) {
		p.many.Add(-many)
		p.fast.Store(now-since < many*int64(paceTime))
	}
}

// noteHelpedLocked brings the list up to date. Publishers help only the memory bus: others wait for a network, and
// deliver on goroutines of their own.
func (e *Engine) noteHelpedLocked() {
	if _, ok := e.bus.(*membus.Bus); !ok {
		return
	}
	h := &helped{pace: pace{start: time.Now()}}
	for _, s := range e.servers {
		if p := s.layer(); p != nil {
			h.pollers = append(h.pollers, p)
		}
	}
	if h.pollers == nil {
		h = nil
	}
	e.helped.Store(h)
}
