package hub

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// recalled are the ids that a channel had before this node delivered it, or longer ago than this node remembers: whoever
// comes back with a cursor may have had those events from another node. The channel's follow has one for all that
// come back within seenSeconds: with it and with what is delivered here from then on, everything that lately was
// before any of their cursors is known. Nothing of it changes but users.
type recalled struct {
	from, upTo event.Position
	made       uint32        // second
	keys       []recalledKey // by key, then by position; repetitions are left out
	users      int           // the follow and replays; guarded by the channel's mu
}

type recalledKey struct {
	key, major, minor uint64
	second            uint32 // in which it was stored
}

// recalledTotal bounds the ids that all recalled of a hub have together; seenLeast of each are kept, whatever the
// others have.
const recalledTotal = 500_000

// before reports whether an event of that key was at a position before at, and lately as of now. Whether one of those
// that were recalled repeats another one is known from when both were stored, whatever now is.
func (k *recalled) before(key uint64, at event.Position, now uint32) bool {
	if k == nil || !k.upTo.SameRun(at) {
		return false
	}
	i, first := k.find(key, at)
	if first || i == 0 || k.keys[i-1].key != key {
		return false
	}
	return at.Compare(k.upTo) <= 0 || k.keys[i-1].second+seenSeconds >= now
}

// find returns the place of an event in keys, and whether it is there.
func (k *recalled) find(key uint64, at event.Position) (i int, ok bool) {
	return slices.BinarySearchFunc(k.keys, recalledKey{key: key, major: at.Major, minor: at.Minor}, recalledKey.compare)
}

func (k recalledKey) compare(other recalledKey) int {
	return cmp.Or(cmp.Compare(k.key, other.key), k.comparePlace(other))
}

func (k recalledKey) comparePlace(other recalledKey) int {
	return cmp.Or(cmp.Compare(k.major, other.major), cmp.Compare(k.minor, other.minor))
}

// stored returns the second in which the event at work was stored, as far as that is known: its timestamp may be of its
// publisher's choice, but what came after the bus was asked is not older than that.
func (k *recalled) stored(key uint64, d *dispatch) uint32 {
	second := secondOf(d.event.Timestamp, d.clock())
	if k == nil || !k.upTo.SameRun(d.at) {
		return second
	}
	if i, ok := k.find(key, d.at); ok {
		return k.keys[i].second
	}
	if d.at.Compare(k.upTo) > 0 {
		return max(second, k.made)
	}
	return second
}

// secondOf is the second of a time that is not after now.
func secondOf(at time.Time, now uint32) uint32 { return uint32(max(min(at.Unix(), int64(now)), 0)) }

// useLocked is for whoever keeps it from now on, until forgetLocked.
func (k *recalled) useLocked() *recalled {
	k.users++
	return k
}

// forgetLocked gives back what is held with its last user.
func (k *recalled) forgetLocked(h *Hub) {
	if k == nil {
		return
	}
	if k.users--; k.users == 0 {
		h.recalledIDs.Add(-int64(len(k.keys)))
	}
}

// forgetKnownLocked forgets which events were there, before the cursor and since: only a replay that goes on needs that.
func (r *replay) forgetKnownLocked() {
	r.seen.forget(&r.hub.replayedIDs)
	r.known.forgetLocked(r.hub)
	r.known = nil
}

// servesLocked reports whether all that was lately before a cursor is known from k and from what was delivered since.
func (c *channel) servesLocked(k *recalled, cursor event.Position) bool {
	switch {
	case k == nil || !k.from.SameRun(cursor) || cursor.Compare(k.from) < 0 || k.expired(unixNow()):
		return false
	case c.seen != nil && c.seen.dropped >= k.made:
		return false
	case cursor.Compare(k.upTo) <= 0:
		return true
	}
	return c.last.SameRun(cursor) && cursor.Compare(c.last) <= 0
}

func (k *recalled) expired(now uint32) bool { return k.made+seenSeconds < now }

// recall finds out which events were before the cursor of a subscription, unless that is known. One subscription of a
// channel asks the bus at a time; others that come meanwhile wait for its answer.
func (r *replay) recall(ctx context.Context, head event.Position) error {
	h, c, cursor := r.hub, r.channel, r.at.at
	if h.cfg.Bus.Recall == nil || cursor.IsZero() {
		return nil
	}
	for {
		c.mu.Lock()
		f := c.follow
		if c.servesLocked(f.recalled, cursor) {
			r.known = f.recalled.useLocked()
			c.mu.Unlock()
			return nil
		}
		asked := f.recalling
		if asked == nil {
			f.recalling = make(chan struct{})
			c.mu.Unlock()
			return r.recallNow(ctx, f, head)
		}
		c.mu.Unlock()
		select {
		case <-asked:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// recallNow asks the bus. The follow stays: the subscription is in it.
func (r *replay) recallNow(ctx context.Context, f *follow, head event.Position) error {
	h, c, cursor := r.hub, r.channel, r.at.at
	made := unixNow()
	list, whole, err := h.cfg.Bus.Recall(ctx, c.name, cursor, head)
	var shared, own *recalled
	if err == nil {
		shared = h.newRecalled(list, cursor, head, made)
	}
	if err == nil && !whole { // it was away for long: what was before its cursor is nobody else's concern
		shared.from = head
		if list, _, err = h.cfg.Bus.Recall(ctx, c.name, cursor, cursor); err == nil {
			own = h.newRecalled(list, cursor, cursor, made)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	close(f.recalling)
	f.recalling = nil
	if shared == nil {
		return err
	}
	f.recalled.forgetLocked(h)
	f.recalled = shared.useLocked()
	r.known = cmp.Or(own, shared).useLocked()
	return err
}

// newRecalled takes what the bus has told, as far as there is room for it: the newest events.
func (h *Hub) newRecalled(list []bus.Recalled, from, upTo event.Position, made uint32) *recalled {
	keys := make([]recalledKey, 0, len(list))
	for i := range list {
		if m := &list[i]; m.Position.SameRun(upTo) {
			keys = append(keys, recalledKey{h.identityOf(m.TenantID, m.ID), m.Position.Major, m.Position.Minor, secondOf(m.At, made)})
		}
	}
	if room := max(seenLeast, recalledTotal-h.recalledIDs.Load()); int64(len(keys)) > room {
		slices.SortFunc(keys, recalledKey.comparePlace)
		keys = slices.Clone(keys[int64(len(keys))-room:])
	}
	slices.SortFunc(keys, recalledKey.compare)
	k := &recalled{from: from, upTo: upTo, made: made, keys: keys[:0]}
	for _, e := range keys {
		if n := len(k.keys); n == 0 || k.keys[n-1].key != e.key || k.keys[n-1].second+seenSeconds < e.second {
			k.keys = append(k.keys, e)
		}
	}
	h.recalledIDs.Add(int64(len(k.keys)))
	return k
}

// expireLocked forgets what was recalled when whoever comes back needs to ask anew anyway, and what is published again
// now is not the same any more.
func (f *follow) expireLocked() {
	if k := f.recalled; k != nil && k.expired(unixNow()) {
		k.forgetLocked(f.channel.hub)
		f.recalled = nil
	}
}
