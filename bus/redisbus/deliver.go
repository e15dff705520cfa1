package redisbus

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
)

// reports counts what operators should know, and logs it now and then.
type reports struct {
	gaps, repeated, invalid atomic.Uint64
	driven                  atomic.Uint64 // answers to XREAD that the driver took apart
	said                    atomic.Int64  // when an invalid entry was logged last
	noUnblock               atomic.Bool
}

// sayEach is how often invalid entries are logged.
const sayEach = int64(time.Minute)

func (r *reports) drop(log *slog.Logger, p *partition, at id, err error) {
	n := r.invalid.Add(1)
	now := time.Now().UnixNano()
	if last := r.said.Load(); (last == 0 || now-last > sayEach) && r.said.CompareAndSwap(last, now) {
		log.Warn("redis: an entry was dropped because it breaks the format", "stream", p.stream, "entry", at.String(), "why", err.Error(), "dropped", n)
	}
}

// dropMessage is drop for plain pub/sub.
func (r *reports) dropMessage(log *slog.Logger, err error) {
	n := r.invalid.Add(1)
	now := time.Now().UnixNano()
	if last := r.said.Load(); (last == 0 || now-last > sayEach) && r.said.CompareAndSwap(last, now) {
		log.Warn("redis: a message was dropped because it breaks the format", "why", err.Error(), "dropped", n)
	}
}

func (r *reports) unblock(log *slog.Logger) {
	if r.noUnblock.CompareAndSwap(false, true) {
		log.Warn("redis: this user may not CLIENT UNBLOCK: first subscriptions of a partition wait for up to two seconds")
	}
}

// deliver hands one entry to the engine as m, if it wants the channel, and returns where the partition is now.
func (p *partition) deliver(h bus.Handler, gaps bus.GapHandler, last id, r *record, m *bus.Message) id {
	*m = bus.Message{}
	at := r.at
	e := entry{event: &m.Event, id: at}
	switch {
	case at.epoch == last.epoch && at.seq == last.seq+1:
	case !last.less(at):
		p.bus.reports.repeated.Add(1)
		return last
	default:
		p.gap(gaps, last, at)
	}
	if err := e.decode(p, r.fields, time.Now); err != nil {
		p.bus.reports.drop(p.bus.o.Logger, p, at, err)
		return at
	}
	if e.marker || !p.wants(e.event.Channel) {
		return at
	}
	m.Position = p.position(at)
	h.Deliver(m)
	bus.Pace(h, m)
	return at
}

// gap tells that there were entries between two, which Redis does not hold any more.
func (p *partition) gap(h bus.GapHandler, last, at id) {
	p.bus.reports.gaps.Add(1)
	p.bus.o.Logger.Warn("redis: entries were trimmed or lost before this node had read them", "stream", p.stream, "after", last.String(), "before", at.String())
	if h == nil {
		return
	}
	head := at
	if head.seq > 0 {
		head.seq-- // the entry itself is delivered
	}
	for _, channel := range p.interests() {
		h.Gap(channel, p.position(head))
	}
}
