package hub

import (
	"unsafe"

	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/observe"
)

// follower is a Subscription that asked for cursors. The members of a group with cursors, and nobody else, are
// followers: others pay nothing for it.
type follower struct {
	Subscription
	told standing // by the newest message for it; guarded by channel.mu
}

// follower is the follower that s is part of. Its group has cursors.
func (s *Subscription) follower() *follower { return (*follower)(unsafe.Pointer(s)) }

// standing is a place in a channel: after the event at a position.
type standing struct {
	at event.Position
	id uint32 // event.HashName of the event's id; 0: not known, or no event of the channel is there
}

// follow is what a channel has while it has groups with cursors. Guarded by the channel's mu.
type follow struct {
	channel *channel
	groups  map[*Group]struct{}
	last    standing // the newest event since there is a follow
	warned  bool     // of the gap before the next event
	// followers in the index; others replay.
	followers int
	replays   map[*Subscription]*replay
	waiting   []*replay // of replays: those that join with the first event after their place
	recorder  *recorder // nil: no replay is under way
	// recalled is what was before those that came back; nil: nobody did lately. recalling is closed when the bus has
	// answered what it is; nil: it is not asked.
	recalled  *recalled
	recalling chan struct{}
}

// followLocked returns the channel's follow, made if need be.
func (c *channel) followLocked() *follow {
	if c.follow == nil {
		c.follow = &follow{channel: c, groups: make(map[*Group]struct{}), replays: make(map[*Subscription]*replay)}
		c.hub.follows.add(c)
	}
	return c.follow
}

// unfollowGroupLocked forgets a group with cursors that has no member any more, and the follow with the last one.
func (c *channel) unfollowGroupLocked(g *Group) {
	delete(c.follow.groups, g)
	if len(c.follow.groups) == 0 {
		c.follow.recorder.free(c.hub)
		c.follow.recalled.forgetLocked(c.hub)
		c.follow = nil
		c.hub.follows.remove(c)
	}
}

// standing is the place of the event at work.
func (d *dispatch) standing() standing { return standing{d.at, hashID(d.event)} }

// hashID is event.HashName of an event's id.
func hashID(ev *event.Event) uint32 {
	var text [64]byte
	return event.HashName(view(ev.AppendID(text[:0])))
}

// cursorText returns the text of the event's cursor. It is made once per event, and only for groups that asked.
func (d *dispatch) cursorText() []byte {
	if d.cursor == nil {
		d.cursor = d.hub.cursor(d.event.Channel, d.standing())
	}
	return d.cursor
}

// cursor is the text of a place.
func (h *Hub) cursor(channel string, s standing) []byte {
	return event.AppendCursor(make([]byte, 0, 64), event.Cursor{
		Bus: h.cfg.Bus.Name, Channel: event.HashName(channel), Position: s.at, Event: s.id,
	})
}

// note is a message that tells a follower where it stands, and nothing of an event.
func (h *Hub) note(channel string, s standing, r queue.Recovery) *queue.Message {
	return &queue.Message{
		Payload: []byte(`{"data":null`),
		Extra:   &queue.Extra{Cursor: h.cursor(channel, s), Recovered: r, Key: noteKey, Keyed: true},
	}
}

// noteKey is no value of an event, so that notes replace notes only where LATEST replaces.
const noteKey = "\xff"

// beginLocked prepares for the event at work, before it is dispatched: the channel's turn is held.
func (f *follow) beginLocked(d *dispatch) {
	last := f.channel.last
	if !f.warned && !last.IsZero() && !d.at.IsZero() && !last.SameRun(d.at) { // numbers begin anew: who knows what was there
		f.warnLocked(d.at)
	}
	f.warned = false
	f.last = d.standing()
	kept := f.waiting[:0]
	for _, r := range f.waiting {
		if r.at.at.SameRun(d.at) && d.at.Compare(r.at.at) <= 0 {
			kept = append(kept, r)
			continue
		}
		f.joinLocked(r)
	}
	clear(f.waiting[len(kept):])
	f.waiting = kept
}

// joinLocked enters a subscription that has everything up to here into the index.
func (f *follow) joinLocked(r *replay) {
	c := f.channel
	f.dropLocked(r)
	r.sub.told = r.at
	c.addLocked(r.group, &r.sub.Subscription)
}

// dropLocked ends a replay; the place in its group is still kept.
func (f *follow) dropLocked(r *replay) {
	delete(f.replays, &r.sub.Subscription)
	r.over = true
	r.forgetKnownLocked()
	if len(f.replays) == 0 {
		f.recorder.free(f.channel.hub)
		f.recorder = nil
	}
}

// endLocked ends the replay of a subscription that was completed. One that is at work ends by itself.
func (f *follow) endLocked(s *Subscription) {
	r := f.replays[s]
	if r == nil {
		return
	}
	for i, w := range f.waiting {
		if w == r {
			f.waiting = append(f.waiting[:i:i], f.waiting[i+1:]...)
			f.abandonLocked(r)
			return
		}
	}
	f.channel.hub.replays.kick(r)
}

// abandonLocked ends a replay whose subscription is not wanted any more.
func (f *follow) abandonLocked(r *replay) {
	c := f.channel
	r.forgetLocked()
	r.group.lane().forgetLocked(r.sub)
	if g := r.change.group; g != nil {
		r.change = adoption{}
		c.unreserveLocked(g)
	}
	f.dropLocked(r)
	c.unreserveLocked(r.group)
}

// Gap implements bus.GapHandler: followers are told, in the order of their messages.
func (h *Hub) Gap(name string, _ event.Position) {
	_, c := h.lookup(name)
	if c == nil {
		return
	}
	c.turn.Lock()
	defer c.turn.Unlock()
	c.mu.Lock()
	told := 0
	if c.follow != nil {
		c.follow.warned = true
		told = c.follow.warnLocked(event.Position{})
	}
	members := int(c.members)
	c.mu.Unlock()
	h.reportGap(members, told)
}

func (h *Hub) reportGap(members, told int) {
	h.cfg.Observer.Counted(observe.Gaps, "told", told)
	h.cfg.Observer.Counted(observe.Gaps, "untold", members-told)
	if h.cfg.Bus.Gap != nil {
		h.cfg.Bus.Gap(members, told)
	}
}

// warnLocked tells every follower of a gap before the next event, and returns how many there are. A replay looks
// for itself once more. The cursor is what the follower has, so that whoever resumes from it is told again rather
// than spared what follows the gap. Those that stand in the run of a position, the one that begins, are not concerned.
func (f *follow) warnLocked(run event.Position) (told int) {
	warn := func(s *Subscription, at standing) {
		if run.IsZero() || !at.at.SameRun(run) {
			s.Enqueue(f.channel.hub.note(f.channel.name, at, queue.Lost))
		}
	}
	for g := range f.groups {
		g.eachMember(func(s *Subscription) {
			warn(s, s.follower().told)
			told++
		})
	}
	for _, r := range f.waiting {
		warn(&r.sub.Subscription, r.at)
	}
	for _, r := range f.replays {
		r.gap = true
		told++
	}
	return told
}

// tellLocked tells followers that only the position has moved. The channel's turn is held.
func (f *follow) tellLocked() {
	f.expireLocked()
	h, now := f.channel.hub, f.last
	if now.at.IsZero() {
		return
	}
	var note *queue.Message
	for g := range f.groups {
		l := g.lane()
		if l != nil && l.len() > 0 { // results of older events are due
			continue
		}
		g.eachMember(func(s *Subscription) {
			fo := s.follower()
			if l != nil && l.own[fo] != nil {
				return
			}
			if fo.told.at.SameRun(now.at) && now.at.Compare(fo.told.at) <= 0 {
				return
			}
			if note == nil {
				note = h.note(f.channel.name, now, queue.Untold)
			}
			if s.expires != 0 && s.expires <= unixNow() {
				return
			}
			if s.NoteIdle(note) == queue.Enqueued {
				fo.told = now
			}
		})
	}
}
