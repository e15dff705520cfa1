package hub

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/filter"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/plan"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/observe"
	"github.com/fraiseql/fraiseql-go/policy"
)

// replay is a subscription on its way from a place in the channel's history into the index. It is outside of the
// index meanwhile: pages of the bus' history go into its queue at the pace of its client, then what the recorder has,
// and the last few events under the channel's turn, in which it joins. So there is no gap, nothing comes twice, and
// the order holds. One goroutine at a time works on it, see replays.
type replay struct {
	hub     *Hub
	channel *channel
	group   *Group // in which a place is kept; it and match change under the channel's mu, by the goroutine at work
	sub     *follower
	match   matcher
	at      standing // what is up to here was for the subscription, or was not
	pages   pageSize
	// current: history was read to its end at at, and is of the run that the bus is in.
	current bool
	losses  int // in a row, without an event between
	tries   int // to join, since the queue was last full
	seen    *seen
	known   *recalled // what was before its cursor; nil: it has none, or nothing comes again
	checked verdicts  // not reported yet

	// Guarded by the channel's mu.
	gap    bool     // the bus proved one: look again
	change adoption // to be taken over by the goroutine at work
	over   bool     // it joined, or was abandoned
	begun  bool     // its subscription may be told of things
	// refused is the JSON array of errors that end it once it has begun; nil: none.
	refused []byte
	waits   bool // in follow.waiting: nobody works on it

	changed atomic.Bool // there is a change

	// results are of resolvers, in the order of their events: those that are due, or wait for room. Guarded by the
	// channel's mu.
	results []*Request
	calls   []*Request // of results, not asked for yet

	work work // guarded by replays.mu
}

// matcher is what of a group decides whether an event is for it. Nothing of it changes.
type matcher struct {
	shape      *shape
	keys       []string // of the group's buckets
	filter     *filter.Pred
	projection *plan.Projection
	lane       *lane // nil: no resolver; resolver and types of it do not change
}

// Follow is Join for a subscription with cursors: it goes on after the event of a cursor, or, if that is "", with the
// events from now on. It waits for the bus. failed is set, and begin was not called, when the bus is out of reach or
// ctx ends. Messages of the subscription may be in its queue already when Follow returns.
func (h *Hub) Follow(ctx context.Context, j *Join, cursor string, begin func(*Subscription) bool) (s *Subscription, errs []*gql.Error, failed error) {
	if h.cfg.Bus.History == nil {
		return nil, nil, errors.New("the bus has no history")
	}
	r, errs := h.newReplay(j)
	if errs != nil {
		return nil, errs, nil
	}
	first, err := r.locate(ctx, cursor)
	if err != nil {
		r.abandon()
		return nil, nil, err
	}
	s = &r.sub.Subscription
	if begin != nil && !begin(s) {
		r.abandon()
		return nil, nil, nil
	}
	h.cfg.Observer.Counted(observe.Resumed, resumedLabels[first], 1)
	s.Note(h.note(r.channel.name, r.at, first))
	if r.begin() {
		h.replays.start(r)
	}
	return s, nil, nil
}

// begin says that the subscription may be told of things; false: it was refused under another schema meanwhile, and has
// ended now.
func (r *replay) begin() bool {
	c := r.channel
	c.mu.Lock()
	r.begun = true
	refused := r.refused
	c.mu.Unlock()
	if refused == nil {
		return true
	}
	r.sub.End(refused)
	r.abandon()
	return false
}

var resumedLabels = [...]string{queue.Untold: "started", queue.Recovered: "recovered", queue.Lost: "lost"}

// newReplay registers a subscription that is about to replay: what is delivered from now on is recorded.
func (h *Hub) newReplay(j *Join) (*replay, []*gql.Error) {
	for {
		g, errs := h.reserveNow(j)
		if errs != nil {
			return nil, errs
		}
		if r := h.registerReplay(g, j); r != nil {
			return r, nil
		}
	}
}

// registerReplay is newReplay for a group in which a place is kept; nil: its schema was replaced.
func (h *Hub) registerReplay(g *Group, j *Join) *replay {
	c := g.channel()
	r := &replay{hub: h, channel: c, group: g, sub: j.subscription(c).follower()}
	if h.cfg.Bus.Redelivers {
		r.seen = new(seen)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.stale(g.projection.Plan) {
		c.unreserveLocked(g)
		return nil
	}
	r.match = g.matcherLocked()
	f := c.followLocked()
	f.replays[&r.sub.Subscription] = r
	if f.recorder == nil {
		f.recorder = &recorder{total: &h.recorded}
	}
	return r
}

func (g *Group) matcherLocked() matcher {
	m := matcher{shape: g.shape, filter: g.filter, projection: g.projection, lane: g.lane()}
	g.eachBucket(func(b *bucket) { m.keys = append(m.keys, b.key) })
	return m
}

// abandon ends a replay that nobody works on.
func (r *replay) abandon() {
	c := r.channel
	c.mu.Lock()
	defer c.mu.Unlock()
	if !r.over {
		c.follow.abandonLocked(r)
	}
}

// progress is what became of a piece of work on a replay.
type progress uint8

const (
	again  progress = iota // there is more to do
	parked                 // its queue is full
	later                  // the bus is out of reach
	ended                  // it joined, or is not wanted any more
)

// step reads one page, or joins.
func (r *replay) step(ctx context.Context, d *dispatch) progress {
	if r.resolves() && !r.deliver() || !r.sub.Room() {
		r.tries = 0
		return parked
	}
	target, list, p := r.join(d)
	r.call()
	switch {
	case p != again:
		return p
	case len(list) > 0:
		p = r.take(d, list, true)
		r.call()
		return p
	}
	h, c := r.hub, r.channel
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	page, err := h.cfg.Bus.History(ctx, c.name, r.at.at, r.pages.limit())
	switch {
	case errors.Is(err, bus.ErrClosed):
		r.abandon()
		return ended
	case err != nil:
		return later
	case !page.Complete && r.due():
		return parked
	case !page.Complete:
		return r.lose(page.Head)
	case len(page.Messages) > 0:
		r.pages.note(page.Messages)
		p = r.take(d, page.Messages, false)
		r.call()
		return p
	case r.current && r.behind(target) && r.due():
		return parked
	case r.current && r.behind(target):
		return r.lose(target) // was delivered, but is not in history
	}
	r.current = true
	return again
}

// behind reports whether the event at a position is yet to come.
func (r *replay) behind(target event.Position) bool {
	if r.at.at.IsZero() {
		return !target.IsZero()
	}
	return target.SameRun(r.at.at) && target.Compare(r.at.at) > 0
}

// underTurn is how many events are projected under the turn at most, maxUnderTurn where publishers are quicker than
// the replay.
const (
	underTurn    = 32
	maxUnderTurn = 1024
	// chunk is how many events of the recorder are taken at a time.
	chunk = 256
)

// join joins, if everything that was delivered so far is in the queue or can be put there now. Else it returns what
// comes next if the recorder has it, and the newest position.
func (r *replay) join(d *dispatch) (target event.Position, list []bus.Message, p progress) {
	c := r.channel
	c.turn.Lock()
	defer c.turn.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	f, last := c.follow, c.last
	r.adoptLocked()
	switch {
	case r.sub.Ended():
		f.abandonLocked(r)
		return last, nil, ended
	case r.gap:
		r.gap, r.current = false, false
		return last, nil, again
	}
	rest, ok := f.recorder.after(r.at.at)
	switch {
	case !ok && !r.current:
		return last, nil, again // events after its place may be on their way, or never come here
	case len(r.results) > r.mayBeDue() && (last.IsZero() || last.Compare(r.at.at) <= 0):
		return last, nil, parked
	case last.IsZero(), !r.at.at.IsZero() && !last.SameRun(r.at.at), last.Compare(r.at.at) < 0:
		r.handOverLocked()
		f.waiting, r.waits = append(f.waiting, r), true
		r.forgetKnownLocked()
		return last, nil, ended
	case last == r.at.at:
		r.handOverLocked()
		f.joinLocked(r)
		return last, nil, ended
	case !ok:
		return last, nil, again
	}
	r.tries++
	if len(rest) > min(underTurn<<min(r.tries/8, 5), maxUnderTurn) {
		return last, slices.Clone(rest[:min(len(rest), chunk)]), again
	}
	switch p = r.takeLocked(d, rest, true); {
	case p == again && len(r.results) > r.mayBeDue():
		p = parked
	case p == again:
		r.handOverLocked()
		f.joinLocked(r)
		p = ended
	}
	return last, nil, p
}

// take offers events to the queue, in order. Those that were recorded are no repetition of what this node has delivered.
func (r *replay) take(d *dispatch, list []bus.Message, recorded bool) progress {
	if !r.resolves() {
		return r.takeLocked(d, list, recorded)
	}
	c := r.channel
	c.mu.Lock()
	defer c.mu.Unlock()
	return r.takeLocked(d, list, recorded)
}

// takeLocked is take with the channel's mu held, which those that resolve need.
func (r *replay) takeLocked(d *dispatch, list []bus.Message, recorded bool) progress {
	r.losses, r.current = 0, false
	for i := range list {
		if r.resolves() && len(r.results) >= r.hub.limits.Load().Lane {
			return parked
		}
		if d.now = 0; r.expired(d) && r.changed.Load() { // what it is now may see the event
			return again
		}
		m := r.project(d, &list[i], recorded)
		at := d.standing()
		d.end()
		r.checked.add(&d.out)
		if m != nil {
			if result, wait := r.sub.Offer(m); wait || result == queue.Gone {
				r.tries = 0
				return parked
			}
		}
		r.at = at
	}
	return again
}

// verdicts are the counts of checks 2 to 4.
type verdicts struct{ allowed, denied [policy.Checks]int }

func (v *verdicts) add(out *observe.Dispatch) {
	for c := range v.allowed {
		v.allowed[c] += out.Allowed[c]
		v.denied[c] += out.Denied[c]
	}
}

// report tells the observer, outside every lock.
func (v *verdicts) report(o observe.Observer) {
	for c := range v.allowed {
		if v.allowed[c] > 0 || v.denied[c] > 0 {
			o.Checked(policy.Check(c), v.allowed[c], v.denied[c])
		}
	}
	*v = verdicts{}
}

// project does for one subscriber what dispatch does for all: the message of an event, nil if it is not for it.
func (r *replay) project(d *dispatch, m *bus.Message, recorded bool) *queue.Message {
	d.begin(m)
	s := &r.sub.Subscription
	if r.expired(d) || r.repeats(d, recorded) {
		return nil
	}
	if !r.match.shape.wants(d.event.Type) || d.open(m) != "" || !r.match.keyed(d) || !d.admits(r.match.shape, s) {
		return nil
	}
	if r.match.filter != nil && !r.match.filter.Match(d.tape, 0) {
		return nil
	}
	if r.resolves() && r.enterLocked(d) {
		return nil
	}
	return d.extend(r.group, d.slab.carve(r.match.projection.AppendPayload(d.slab.room(), d.tape, 0)))
}

// expired reports whether the identity that it has taken over has ended.
func (r *replay) expired(d *dispatch) bool { return r.sub.expires != 0 && r.sub.expires <= d.clock() }

// keyed reports whether the event has the values that the group asks for.
func (m *matcher) keyed(d *dispatch) bool {
	return d.appendKey(m.shape) && slices.Contains(m.keys, view(d.key))
}

// repeats reports whether the event is one that was there before, under an earlier position, not long before it was
// stored: within what is replayed, before the cursor, or as far as this node remembers. Of those that were recorded the
// channel knew the last.
func (r *replay) repeats(d *dispatch, recorded bool) bool {
	if r.seen == nil {
		return false
	}
	key, c := d.identityKey(), r.channel
	r.seen.pass(d.at)
	saw := c.sawBefore
	if r.resolves() { // the channel's mu is held, see take
		saw = c.seen.before
	}
	stored := r.known.stored(key, d)
	if r.seen.before(key, d.at, stored) || r.known.before(key, d.at, stored) || !recorded && saw(key, d.at, stored) {
		return true
	}
	if p, offered := r.seen.known[key]; !offered || p.second+seenSeconds < stored { // it may be offered again
		r.seen.putWithin(&r.hub.replayedIDs, key, stored)
	}
	return false
}

// admits runs checks 2 to 4 for one subscriber, as dispatchCellLocked does for the members of a cell.
func (d *dispatch) admits(sh *shape, s *Subscription) bool {
	d.narrow(sh)
	if check, ok := d.aud.Admits(s.who.Load()); !ok {
		d.deny(check, 1)
		return false
	}
	for c := policy.Tenant; c <= policy.Federation; c++ {
		d.out.Allowed[c]++
	}
	return true
}
