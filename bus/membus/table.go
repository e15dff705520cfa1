package membus

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// shardBits gives 64 shards: enough that two publishers seldom meet, few enough to walk.
const shardBits = 6

// shard is one part of the table of channels. Looking up takes no lock; adding, freeing and growing are
// under mu.
type shard struct {
	slots atomic.Pointer[slots]
	// pending is the change of held bytes that has not been added to the bus' sum yet.
	pending atomic.Int64

	mu    sync.Mutex
	count int // live channels
	used  int // slots that are not empty, tombs included
	// floor is at least the last sequence of every channel that was freed here: a channel that comes again
	// goes on above it, so that no position is ever used twice.
	floor atomic.Uint64

	_ [64]byte // shards do not share cache lines
}

// shards are the whole table. Most buses of most tests, and those of engines that never publish, need none.
type shards [1 << shardBits]shard

// slots is an open-addressed table of a power of two. A slot goes from nil to a channel to tomb; slots are
// only added to, a new table replaces it when it fills.
type slots struct {
	mask uint64
	at   []atomic.Pointer[channel]
}

// tomb stands where a channel was freed.
var tomb = &channel{dead: true}

// noSlots is the table of a shard that never had a channel: too small to take one.
var noSlots = newSlots(1)

func newSlots(n int) *slots {
	return &slots{mask: uint64(n - 1), at: make([]atomic.Pointer[channel], n)}
}

// find returns the channel of that name, or nil.
func (s *slots) find(hash uint64, name string) *channel {
	for i := hash >> shardBits; ; i++ {
		c := s.at[i&s.mask].Load()
		if c == nil {
			return nil
		}
		if c.hash == hash && c.name == name && c != tomb {
			return c
		}
	}
}

// insert puts a channel into the first free slot; there is one.
func (s *slots) insert(c *channel) (reused bool) {
	for i := c.hash >> shardBits; ; i++ {
		slot := &s.at[i&s.mask]
		if old := slot.Load(); old == nil || old == tomb {
			slot.Store(c)
			return old == tomb
		}
	}
}

// table returns the shards, made by the first who asks.
func (b *Bus) table() *shards {
	if all := b.shards.Load(); all != nil {
		return all
	}
	fresh := new(shards)
	for i := range fresh {
		fresh[i].slots.Store(noSlots)
	}
	if b.shards.CompareAndSwap(nil, fresh) {
		return fresh
	}
	return b.shards.Load()
}

func (b *Bus) shardOf(name string) (*shard, uint64) {
	hash := maphash.String(b.seed, name)
	return &b.table()[hash&(1<<shardBits-1)], hash
}

// channel returns the channel of that name, made if needed, or nil when the bus is closed.
func (b *Bus) channel(name string) *channel {
	sh, hash := b.shardOf(name)
	if c := sh.slots.Load().find(hash, name); c != nil {
		return c
	}
	return b.add(sh, hash, name)
}

// add makes a channel.
func (b *Bus) add(sh *shard, hash uint64, name string) *channel {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if c := sh.slots.Load().find(hash, name); c != nil {
		return c
	}
	if b.closed.Load() {
		return nil
	}
	c := newChannel(b, sh, hash, name)
	t := sh.slots.Load()
	if (sh.used+1)*4 > len(t.at)*3 {
		t = sh.rebuildLocked()
	}
	if !t.insert(c) {
		sh.used++
	}
	sh.count++
	b.channels.Add(1)
	b.hold(sh, channelBytes+int64(len(c.name)))
	return c
}

// rebuildLocked replaces the table by one without tombs in which the live channels fill at most half.
func (sh *shard) rebuildLocked() *slots {
	n := 8
	for n < (sh.count+1)*2 {
		n *= 2
	}
	old, t := sh.slots.Load(), newSlots(n)
	for i := range old.at {
		if c := old.at[i].Load(); c != nil && c != tomb {
			t.insert(c)
		}
	}
	sh.used = sh.count
	sh.slots.Store(t)
	return t
}

// remove takes a channel out. The caller holds both locks of the channel and has marked it dead.
func (b *Bus) remove(c *channel) {
	sh := c.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if c.last > sh.floor.Load() {
		sh.floor.Store(c.last)
	}
	t := sh.slots.Load()
	for i := c.hash >> shardBits; ; i++ {
		slot := &t.at[i&t.mask]
		old := slot.Load()
		if old == nil {
			return
		}
		if old == c {
			slot.Store(tomb)
			sh.count--
			b.channels.Add(-1)
			b.hold(sh, -channelBytes-int64(len(c.name)))
			return
		}
	}
}
