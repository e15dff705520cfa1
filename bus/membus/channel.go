package membus

import (
	"context"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// channel is one channel's turn and its newest events. Lock order: turn, then mu, then the shard's mu.
type channel struct {
	name  string
	hash  uint64
	shard *shard
	limit int32 // most events that ring may hold

	turn sync.Mutex // held over Handler.Deliver

	mu    sync.Mutex // guards what follows; never held over anything but copying
	dead  bool       // freed; written under both locks, read under either
	stamp uint32     // Bus.tick at the newest event
	last  uint64     // sequence of the newest event; the ring holds last-count+1 … last
	ring
}

// channelBytes is what a channel costs without its events: itself and two slots of the table.
const channelBytes = int64(unsafe.Sizeof(channel{})) + 32

func newChannel(b *Bus, sh *shard, hash uint64, name string) *channel {
	c := &channel{name: strings.Clone(name), hash: hash, shard: sh, limit: int32(min(b.events, 1<<30)), last: sh.floor.Load()}
	switch {
	case name == bus.ControlChannel:
		c.limit, c.times = controlEvents, []int64{}
	case bus.IsControl(name) && b.nodes.Add(1) <= nodeChannels:
		c.limit, c.times = nodeEvents, []int64{}
	}
	return c
}

// control reports whether the channel is outside the byte budget.
func (c *channel) control() bool { return c.times != nil }

// append gives an event its sequence and keeps it. The caller has the turn.
func (b *Bus) append(c *channel, e *event.Event) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	c.stamp = b.tick.Load()
	if c.limit == 0 {
		return c.last
	}
	before := c.bytes()
	switch {
	case c.count == c.limit, c.count == c.size() && b.overShareLocked(c):
		c.drop()
	case c.count == c.size():
		c.resize(min(grown(c.size()), c.limit))
	}
	i := c.push(e)
	if c.control() {
		now := time.Now()
		c.times[i] = now.UnixNano()
		c.expireLocked(now, b.retentionOf(c))
		for c.count > 1 && c.text > controlBytes {
			c.drop()
		}
		return c.last
	}
	b.shareLocked(c)
	b.hold(c.shard, c.bytes()-before)
	return c.last
}

// expireLocked forgets events that are older than the retention.
func (c *channel) expireLocked(now time.Time, retention time.Duration) {
	limit := now.Add(-retention).UnixNano()
	for c.count > 0 && c.times[c.head] < limit {
		c.drop()
	}
}

func (b *Bus) retentionOf(c *channel) time.Duration {
	if c.name == bus.ControlChannel {
		return time.Duration(b.retain.Load())
	}
	return nodeRetention
}

// History copies events out of the channel's ring. A limit of 0 or less reads only Head and Complete. A
// position of another bus, or one that is ahead of the channel, gives no events and Complete false.
func (b *Bus) History(ctx context.Context, name string, after event.Position, limit int) (bus.Page, error) {
	if err := ctx.Err(); err != nil {
		return bus.Page{}, err
	}
	if b.closed.Load() {
		return bus.Page{}, bus.ErrClosed
	}
	known := after.IsZero() || after == b.position(after.Minor)
	if b.shards.Load() == nil { // nothing was ever published
		return bus.Page{Complete: known && after.Minor == 0, Head: b.position(0)}, nil
	}
	for {
		sh, hash := b.shardOf(name)
		c := sh.slots.Load().find(hash, name)
		if c == nil {
			floor := sh.floor.Load()
			return bus.Page{Complete: known && after.Minor == floor, Head: b.position(floor)}, nil
		}
		if page, ok := b.read(c, known, after.Minor, limit); ok {
			return page, nil
		}
	}
}

// read is History of one channel; not ok when it was freed meanwhile.
func (b *Bus) read(c *channel, known bool, after uint64, limit int) (page bus.Page, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return page, false
	}
	if c.control() {
		c.expireLocked(time.Now(), b.retentionOf(c))
	}
	page.Head = b.position(c.last)
	if !known || after > c.last {
		return page, true
	}
	first := c.last - uint64(c.count) + 1
	page.Complete = first <= after+1
	from := max(first, after+1)
	n := min(int64(c.last+1-from), int64(max(limit, 0)))
	if n == 0 {
		return page, true
	}
	page.Messages = make([]bus.Message, n)
	for i := range page.Messages {
		seq := from + uint64(i)
		page.Messages[i].Event = c.event(int32(seq-first), c.name)
		page.Messages[i].Position = b.position(seq)
	}
	return page, true
}
