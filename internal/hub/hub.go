// Package hub matches events against live subscriptions.
//
// Concurrency: a channel has a turn, a FIFO lock held from an event's arrival to its last enqueue, so that a
// channel's events reach every queue in bus order while other channels run in parallel; and mu, which guards the
// channel's index and is held for O(1) joins and leaves and by the dispatcher for a bounded number of members at
// a time. Order: turn, mu, connection. Neither is held over I/O, a resolver or an observer.
package hub

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/observe"
	"github.com/fraiseql/fraiseql-go/policy"
)

// Config is what a hub needs to know; every member must be set.
type Config struct {
	Observer observe.Observer
	// Interest is told when a channel gets its first and loses its last subscriber.
	Interest func(channel string, wanted bool)
	// Left is told once of each subscription that was completed, if Join has returned it or called begin for it; nil:
	// nobody is.
	Left    func(*Subscription)
	Address Addressing
	Limits  Limits // at first
	// Timeout is how long a resolver may take.
	Timeout time.Duration
	// Failed is told why a resolver failed, for the log.
	Failed func(field string, err error)
	// Renew says what a subscription is under the schema that took the place of the one it was made under, see Hub.Renew, and
	// for the identity that Hub.Readmit has given to one that is about to join; nil: neither happens. It is called without a lock.
	Renew func(j *Join) *Renewal
	// Ended returns the JSON array of errors for subscriptions that end because they are not valid any more, and why.
	Ended func(why []*gql.Error) []byte
	// Refused is Ended for one whose identity was replaced before it had joined, and may not have it.
	Refused func(why []*gql.Error) []byte
	// Bus is what resuming needs of the bus.
	Bus BusAccess
}

// Limits are the bounds of a hub that may change.
type Limits struct {
	// Events bounds what is parsed.
	Events jsontape.Limits
	// GroupsPerChannel and GroupsPerTenant bound what clients can make by varying documents.
	GroupsPerChannel, GroupsPerTenant int
	// Workers is how many resolvers run at once, Lane how many events may wait for them in a group.
	Workers, Lane int
	// ResumeEvents is how many events a subscriber that comes back may have missed.
	ResumeEvents int
}

// SetLimits changes the bounds, for what comes from now on.
func (h *Hub) SetLimits(l Limits) { h.limits.Store(&l) }

// BusAccess is what a hub asks of its bus where subscriptions resume. The zero value: they cannot.
type BusAccess struct {
	// Name is event.HashName of the bus' name.
	Name uint32
	// Redelivers: events may come again, and are looked for.
	Redelivers bool
	// History and Established are the bus'.
	History     func(ctx context.Context, channel string, after event.Position, limit int) (bus.Page, error)
	Established func(ctx context.Context, channel string) error
	// Recall is that of bus.Recaller; nil: the bus is none.
	Recall func(ctx context.Context, channel string, from, upTo event.Position) ([]bus.Recalled, bool, error)
	// Positions is how often followers are told that only the position moved.
	Positions time.Duration
	// Gap is told, for the log, how many subscriptions a gap concerns, and how many of them were told.
	Gap func(subscriptions, told int)
}

const (
	shardCount     = 64
	recentChannels = 8 // per shard: one cache line
)

// Hub is the live subscriptions of one engine.
type Hub struct {
	cfg     Config
	seed    maphash.Seed
	shards  atomic.Pointer[shards] // nil until somebody subscribes or publishes
	domains domains
	scratch sync.Pool // *dispatch
	workers workers

	deferred deferred
	replays  replays
	follows  follows
	// seenEntries and recorded are what all channels together remember for resuming: ids, and bytes of events.
	seenEntries, recorded atomic.Int64
	recalledIDs           atomic.Int64 // of all that was recalled, see recalled
	replayedIDs           atomic.Int64 // that all replays remember
	limits                atomic.Pointer[Limits]
	answering             sync.Pool // *answering
	renewing              renewing

	subscriptions atomic.Int64
	groups        atomic.Int64
	channels      atomic.Int64
}

// shard is a part of the channels, with the totals of their events.
type shard struct {
	// recent are channels looked up lately, by further bits of their hash: found without lock and map. Only what is in
	// the table is here: an entry is made under mu, and goes with its channel.
	recent [recentChannels]atomic.Pointer[channel]

	mu       sync.RWMutex
	channels map[string]*channel // nil until there is one

	events, messages, dropped atomic.Uint64
	denied                    [policy.Checks]atomic.Uint64
	_                         [32]byte // whole cache lines
}

// shards are all of them.
type shards [shardCount]shard

// Totals are counts since the hub was made.
type Totals struct {
	// Events that were dispatched, Messages enqueued for subscriptions, Dropped by full queues.
	Events, Messages, Dropped uint64
	// Denied counts subscriptions per event and check; Scope and Role are zero.
	Denied [policy.Checks]uint64
}

// Totals adds up the counts of all channels.
func (h *Hub) Totals() (t Totals) {
	all := h.shards.Load()
	if all == nil {
		return t
	}
	for i := range all {
		s := &all[i]
		t.Events += s.events.Load()
		t.Messages += s.messages.Load()
		t.Dropped += s.dropped.Load()
		for c := range s.denied {
			t.Denied[c] += s.denied[c].Load()
		}
	}
	return t
}

// count adds what became of an event. Most counters are zero and stay untouched.
func (s *shard) count(d *dispatch) {
	s.events.Add(1)
	if n := d.out.Enqueued; n > 0 {
		s.messages.Add(uint64(n))
	}
	if n := d.results.dropped(); n > 0 {
		s.dropped.Add(uint64(n))
	}
	for c := range d.out.Denied {
		if n := d.out.Denied[c]; n > 0 {
			s.denied[c].Add(uint64(n))
		}
	}
}

// New returns an empty hub.
func New(cfg Config) *Hub {
	h := &Hub{cfg: cfg, seed: maphash.MakeSeed()}
	h.SetLimits(cfg.Limits)
	h.domains.init()
	h.scratch.New = func() any { return newDispatch(h) }
	h.answering.New = func() any { return new(answering) }
	h.workers.init(h)
	h.deferred.init(h)
	h.replays.init(h)
	h.follows.init(h)
	return h
}

// Close stops the resolvers' workers and waits for them. Deferred resolvers may answer later; nobody is told.
func (h *Hub) Close() {
	h.replays.close()
	h.follows.close()
	h.workers.close()
	h.deferred.close()
}

// Sizes returns how many channels, groups and subscriptions live.
func (h *Hub) Sizes() (channels, groups, subscriptions int) {
	return int(h.channels.Load()), int(h.groups.Load()), int(h.subscriptions.Load())
}

// shard returns the shard of a channel name, and its place among the recent ones there.
func (h *Hub) shard(name string) (s *shard, recent *atomic.Pointer[channel]) {
	hash := maphash.String(h.seed, name)
	all := h.shards.Load()
	if all == nil {
		h.shards.CompareAndSwap(nil, new(shards))
		all = h.shards.Load()
	}
	s = &all[hash%shardCount]
	return s, &s.recent[hash/shardCount%recentChannels]
}

// lookup returns the shard of a channel name, and the channel, nil if it has no subscribers.
func (h *Hub) lookup(name string) (*shard, *channel) {
	s, recent := h.shard(name)
	if c := recent.Load(); c != nil && c.name == name {
		return s, c
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	c := s.channels[name]
	if c != nil {
		recent.Store(c)
	}
	return s, c
}

// acquire returns the channel of that name with mu held, made if need be.
func (h *Hub) acquire(name string) *channel {
	for {
		s, c := h.lookup(name)
		if c == nil {
			c = h.create(s, name)
		}
		c.mu.Lock()
		if !c.dead {
			return c
		}
		c.mu.Unlock()
	}
}

func (h *Hub) create(s *shard, name string) *channel {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.channels[name]; c != nil {
		return c
	}
	c := &channel{hub: h, name: name}
	c.groups.init(h.seed)
	if s.channels == nil {
		s.channels = make(map[string]*channel)
	}
	s.channels[name] = c
	h.channels.Add(1)
	h.cfg.Interest(name, true)
	return c
}

// retireLocked removes an empty channel; the caller holds c.mu and releases it afterwards. The shard's lock is
// taken inside: nobody waits for c.mu while holding a shard's lock.
func (h *Hub) retireLocked(c *channel) {
	c.dead = true
	s, recent := h.shard(c.name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.channels[c.name] == c {
		delete(s.channels, c.name)
		recent.CompareAndSwap(c, nil)
		h.channels.Add(-1)
		h.cfg.Interest(c.name, false)
	}
}

// Deliver dispatches one event and returns the number of subscriptions that it was enqueued for. Calls for one
// channel must come one at a time and in bus order; other channels may run beside it. A message that comes with
// its Parsed is for HandOver afterwards; for others Deliver does that itself, at its end.
func (h *Hub) Deliver(m *bus.Message) int {
	s, c := h.lookup(m.Event.Channel)
	if p, ok := m.Parsed.(*Parsed); ok && p.scratch != nil {
		return h.deliver(s, c, m, p.scratch)
	}
	d := h.scratch.Get().(*dispatch)
	defer h.scratch.Put(d)
	return h.deliver(s, c, m, d)
}

func (h *Hub) deliver(s *shard, c *channel, m *bus.Message, d *dispatch) int {
	d.begin(m)
	if c == nil {
		s.events.Add(1)
		h.cfg.Observer.Dispatched(&d.out)
		d.end()
		return 0
	}
	if reason := d.open(m); reason != "" {
		h.cfg.Observer.Counted(observe.EventsDiscarded, reason, 1)
		d.end()
		return 0
	}
	c.dispatch(d)
	n := d.out.Enqueued
	if d.results[queue.Filled] > 0 {
		m.Filled = true
	}
	s.count(d)
	h.report(d)
	d.end()
	return n
}

// report tells the observer, outside every lock.
func (h *Hub) report(d *dispatch) {
	if d.discarded != "" {
		h.cfg.Observer.Counted(observe.EventsDiscarded, d.discarded, 1)
		return
	}
	if d.isolated && !d.addressed {
		h.cfg.Observer.Counted(observe.EventsDiscarded, "isolation", 1)
	}
	d.results.report(h.cfg.Observer)
	for _, g := range d.lanes {
		h.workers.submit(g)
	}
	if d.parsed == &d.own { // nobody else will
		h.HandOver(d.parsed)
	}
	h.cfg.Observer.Dispatched(&d.out)
}

// results counts what became of messages, by queue.Result.
type results [queue.Gone + 1]int

var dropLabels = [queue.Gone + 1]string{queue.Dropped: "drop_oldest", queue.Replaced: "latest", queue.Refused: "drop_newest", queue.Closed: "close"}

// dropped is how many messages were dropped.
func (rs *results) dropped() int {
	return rs[queue.Dropped] + rs[queue.Replaced] + rs[queue.Refused] + rs[queue.Closed]
}

// dropped counts what was dropped beside a dispatch, when a result came or a subscription moved, outside every lock.
func (c *channel) dropped(rs *results) {
	n := rs.dropped()
	if n == 0 {
		return
	}
	s, _ := c.hub.shard(c.name)
	s.dropped.Add(uint64(n))
	rs.report(c.hub.cfg.Observer)
}

// report tells the observer of those that were dropped.
func (rs *results) report(o observe.Observer) {
	if rs.dropped() == 0 {
		return
	}
	for r, n := range rs {
		if n != 0 && dropLabels[r] != "" {
			o.Counted(observe.Dropped, dropLabels[r], n)
		}
	}
}
