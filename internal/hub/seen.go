package hub

import (
	"hash/maphash"
	"sync/atomic"

	"github.com/fraiseql/fraiseql-go/event"
)

// seen are the ids of a channel's events of late: a producer that was not sure publishes again, under a new position.
// It holds at most seenEvents of at most seenSeconds, all channels of a hub together at most seenTotal; each is 64
// bits of a seeded hash of tenant and id. Only buses that redeliver have it, and only channels with subscribers. A replay has
// one of what it replays, of any age; all replays of a hub together hold at most seenTotal, too.
type seen struct {
	known map[uint64]place
	order []seenKey // oldest first
	run   uint32    // counts epochs
	// dropped is the newest second of what was forgotten.
	dropped uint32
	last    event.Position
}

// place is where and when an id was first, within a run.
type place struct {
	major, minor uint64
	run          uint32
	second       uint32
}

type seenKey struct {
	key    uint64
	second uint32
}

const (
	seenEvents  = 10_000
	seenSeconds = 120
	seenTotal   = 200_000
	seenLeast   = 16 // of a channel, whatever the others have
)

// repeatsLocked reports whether the event at work was delivered before, and remembers it.
func (c *channel) repeatsLocked(d *dispatch) bool {
	if c.dead {
		return false // nobody is left
	}
	if c.seen == nil {
		c.seen = new(seen)
	}
	s := c.seen
	s.pass(d.at)
	now := d.clock()
	key := d.identityKey()
	c.hub.seenEntries.Add(int64(s.expire(now)))
	if _, again := s.known[key]; again {
		return true
	}
	if c.follow != nil && c.follow.recalled.before(key, d.at, now) {
		return true
	}
	s.putWithin(&c.hub.seenEntries, key, now)
	return false
}

// identityKey hashes what makes two events the same.
func (d *dispatch) identityKey() uint64 {
	var text [256]byte
	b := append(text[:0], d.event.TenantID...)
	b = d.event.AppendID(append(b, 0))
	return maphash.Bytes(d.hub.seed, b)
}

// identityOf is identityKey of an event of the past.
func (h *Hub) identityOf(tenant, id string) uint64 {
	var text [256]byte
	b := append(text[:0], tenant...)
	return maphash.Bytes(h.seed, append(append(b, 0), id...))
}

// pass notes the position of the event at work.
func (s *seen) pass(at event.Position) {
	if !s.last.SameRun(at) {
		s.run++
	}
	s.last = at
}

// put remembers an id at the position that pass noted, and returns by how many the set has grown.
func (s *seen) put(key uint64, now uint32) (grown int) {
	if s.known == nil {
		s.known = make(map[uint64]place)
	}
	s.known[key] = place{s.last.Major, s.last.Minor, s.run, now}
	s.order = append(s.order, seenKey{key, now})
	grown = 1
	if len(s.order) > seenEvents {
		grown -= s.dropOldest()
	}
	return grown
}

// putWithin is put, within what all sets that count in total may hold.
func (s *seen) putWithin(total *atomic.Int64, key uint64, now uint32) {
	total.Add(int64(s.put(key, now)))
	for len(s.order) > seenLeast && total.Load() > seenTotal {
		total.Add(-int64(s.dropOldest()))
	}
}

func (s *seen) dropOldest() int {
	if key := s.order[0].key; s.known[key].second == s.order[0].second { // else it came anew meanwhile
		delete(s.known, key)
	}
	s.dropped = s.order[0].second
	s.order = s.order[1:]
	return 1
}

// expire forgets what is too old, and returns by how many the set has grown, negatively.
func (s *seen) expire(now uint32) (grown int) {
	for len(s.order) > 0 && s.order[0].second+seenSeconds < now {
		grown -= s.dropOldest()
	}
	return grown
}

// before reports whether an id was delivered at a position before at, and lately as of now.
func (s *seen) before(key uint64, at event.Position, now uint32) bool {
	if s == nil {
		return false
	}
	p, ok := s.known[key]
	switch {
	case !ok, p.second+seenSeconds < now:
		return false
	case !s.last.SameRun(at):
		return false // of another run than the newest event: not known
	case p.run != s.run:
		return true
	}
	return p.major < at.Major || p.major == at.Major && p.minor < at.Minor
}

// forget empties the set, which counts in total.
func (s *seen) forget(total *atomic.Int64) {
	if s != nil {
		total.Add(-int64(len(s.order)))
		*s = seen{}
	}
}
