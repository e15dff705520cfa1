package membus

// hand is where the search for something to evict goes on.
type hand struct {
	shard int
	slot  int
}

const (
	sampleChannels = 8   // channels looked at to find one to evict from
	sampleSlots    = 128 // table slots looked at for them
	evictRounds    = 8   // samples per publish that finds the bus over its budget
	evictBytes     = 64 << 10
)

// hold adds to the bytes held.
func (b *Bus) hold(sh *shard, delta int64) {
	if delta == 0 {
		return
	}
	if p := sh.pending.Add(delta); p > b.slack || p < -b.slack {
		b.held.Add(sh.pending.Swap(0))
		b.tick.Add(1)
	}
}

// share is what each channel may hold when the budget is divided equally.
func (b *Bus) share() int64 { return b.budget / max(b.channels.Load(), 1) }

// overShareLocked reports whether a channel that could forget something must: the bus is near its budget,
// and the channel over its share. Near, not over: as long as those that publish much pay for it themselves,
// nobody has to search for something to evict.
func (b *Bus) overShareLocked(c *channel) bool {
	return c.count > 1 && !c.control() && b.held.Load() > b.budget-b.budget/16 && c.bytes() > b.share()
}

// shareLocked lets a channel above its share pay for its newest event itself. The newest always stays,
// unless it alone is more than the whole budget.
func (b *Bus) shareLocked(c *channel) {
	for range 2 { // the second makes progress towards the share
		if b.overShareLocked(c) {
			c.drop()
		}
	}
	if c.count == 1 && c.text > b.budget {
		c.drop()
	}
	c.shrink()
}

// evict frees bytes until the bus is within its budget or enough was tried for one publish. One goroutine
// at a time does it; the others go on.
func (b *Bus) evict() {
	if !b.evicting.TryLock() {
		return
	}
	defer b.evicting.Unlock()
	for range evictRounds {
		if b.held.Load() <= b.budget {
			return
		}
		share := b.share()
		if c := b.candidate(share); c != nil {
			b.evictFrom(c, share)
		}
	}
}

// candidate looks at the next few channels and returns the biggest of those above their share, else the one
// that was silent longest, else nil. Channels in use at this moment are passed over.
func (b *Bus) candidate(share int64) *channel {
	var biggest, oldest *channel
	var most int64
	var age uint32
	tick := b.tick.Load()
	seen := 0
	for range sampleSlots {
		c := b.advance()
		if c == nil || c.control() || !c.mu.TryLock() {
			continue
		}
		if bytes := c.bytes(); c.count > 1 && bytes > share && bytes > most {
			biggest, most = c, bytes
		}
		if a := tick - c.stamp; oldest == nil || a > age {
			oldest, age = c, a
		}
		c.mu.Unlock()
		if seen++; seen == sampleChannels {
			break
		}
	}
	if biggest != nil {
		return biggest
	}
	return oldest
}

// advance moves the hand by one slot and returns the channel there, or nil.
func (b *Bus) advance() *channel {
	h, all := &b.hand, b.table()
	t := all[h.shard].slots.Load()
	if h.slot++; h.slot >= len(t.at) {
		h.slot = 0
		h.shard = (h.shard + 1) % len(all)
		t = all[h.shard].slots.Load()
	}
	if c := t.at[h.slot].Load(); c != tomb {
		return c
	}
	return nil
}

// evictFrom takes a channel's oldest events down to its share, or, when it is not above it, all of them and
// the channel itself.
func (b *Bus) evictFrom(c *channel, share int64) {
	if !c.mu.TryLock() {
		return
	}
	defer c.mu.Unlock()
	if c.dead {
		return
	}
	before := c.bytes()
	if c.count > 1 && before > share {
		for c.count > 1 && c.bytes() > share && before-c.bytes() < evictBytes {
			c.drop()
		}
		c.shrink()
		b.hold(c.shard, c.bytes()-before)
		return
	}
	for c.count > 0 {
		c.drop()
	}
	c.shrink()
	b.hold(c.shard, c.bytes()-before)
	if c.turn.TryLock() {
		c.dead = true
		b.remove(c)
		c.turn.Unlock()
	}
}
