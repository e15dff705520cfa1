package redisbus

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// memory is what was read of a partition's past, of all its channels at once, as a stream cannot be read otherwise: when a
// node comes back, its subscribers of many channels ask at the same time. It is forgotten when nobody has asked for
// a minute. Who has the partition's token recalling reads, and uses it.
type memory struct {
	epoch  uint64
	lo, hi uint64 // what is held of the entries with lo < seq ≤ hi is in list
	list   []remembered
	names  map[string]string // of channels, each once in memory
	count  int               // of entries that are asked for next
	bytes  int               // of what is in list, as it was read
	room   int               // bytes to read for one question
	read   int               // bytes, for this question
	// oldest are the entries that were read last, backwards: their last seq, their newest time, and how many they are.
	oldest struct {
		seq uint64
		at  time.Time
		n   int
	}
	used time.Time
}

// remembered is an entry, without its data.
type remembered struct {
	seq                 uint64
	at                  int64 // when it says that it was published, Unix seconds
	channel, tenant, id string
}

const (
	recallKept   = time.Minute
	recallFirst  = 16       // entries of a page, for nobody knows how large they are
	recallOld    = 256      // entries that are too old, one after the other, end the past
	recallBytes  = 64 << 20 // for one question; half of that to come from what is held to newer entries
	recallMemory = 4 * bus.RecallEvents
)

// Recall implements bus.Recaller. How old entries are is what they say themselves, since Redis does not know: the past
// ends with many entries, one after the other, that are too old. No more is read for one question than 64 MiB, and a page.
func (b *Bus) Recall(ctx context.Context, channel string, from, upTo event.Position) ([]bus.Recalled, bool, error) {
	if b.closed.Load() {
		return nil, false, bus.ErrClosed
	}
	if b.pubsub != nil {
		return nil, true, nil
	}
	patience, cancel := context.WithTimeout(ctx, b.o.PublishTimeout)
	defer cancel()
	list, whole, err := b.recall(patience, channel, from, upTo)
	return list, whole, b.failure(ctx, "recall", err)
}

func (b *Bus) recall(ctx context.Context, channel string, from, upTo event.Position) ([]bus.Recalled, bool, error) {
	b.start()
	select {
	case <-b.link.laidOut:
	case <-ctx.Done():
		return nil, false, ctx.Err()
	case <-b.ctx.Done():
		return nil, false, bus.ErrClosed
	}
	p := b.home(channel)
	if !from.SameRun(upTo) || from.Partition != p.number || from.Major != 0 || upTo.Major != 0 || upTo.Minor < from.Minor {
		return nil, true, nil // positions of something else
	}
	select {
	case p.recalling <- struct{}{}:
		defer func() { <-p.recalling }()
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	m := &p.memory
	if m.used = time.Now(); m.epoch == upTo.Epoch && upTo.Minor < m.lo { // of somebody who was away for long
		m = &memory{room: m.room}
	}
	var wait backoff
	for {
		err := p.remember(ctx, m, from, upTo)
		if err == nil {
			list, whole := p.recalled(m, channel, from, upTo)
			return list, whole, nil
		}
		if permanent(err) || ctx.Err() != nil || errors.Is(err, bus.ErrClosed) {
			return nil, false, err
		}
		b.poke()
		b.pauseIn(ctx, wait.next())
	}
}

// recalled picks the entries of a channel.
func (p *partition) recalled(m *memory, channel string, from, upTo event.Position) (list []bus.Recalled, whole bool) {
	for i := range m.list {
		e := &m.list[i]
		if e.channel == channel && e.seq <= upTo.Minor {
			list = append(list, bus.Recalled{TenantID: e.tenant, ID: e.id, Position: p.position(id{m.epoch, e.seq}), At: time.Unix(e.at, 0)})
		}
	}
	return list, m.lo <= from.Minor
}

// remember reads what a memory lacks: newer entries, up to the end of the stream, then older ones. When those that are newer
// are too many or too large, it begins anew with the newest.
func (p *partition) remember(ctx context.Context, m *memory, from, upTo event.Position) error {
	if m.epoch != upTo.Epoch || len(m.list) > recallMemory || upTo.Minor > m.hi+2*bus.RecallEvents {
		m.reset(upTo)
	}
	m.read, m.count = 0, min(m.count, recallFirst)
	if upTo.Minor <= m.hi && m.enough(from, upTo) {
		return nil
	}
	b := p.bus
	select {
	case b.pages <- struct{}{}:
		defer func() { <-b.pages }()
	case <-ctx.Done():
		return ctx.Err()
	}
	c, release := (*b.client.Load()).Dedicate()
	defer release()
	stop := context.AfterFunc(b.ctx, c.Close)
	defer stop()
	for upTo.Minor > m.hi {
		if m.read > m.room/2 {
			m.reset(upTo)
			break
		}
		if err := p.readNewer(ctx, c, m, upTo.Minor); err != nil {
			return err
		}
	}
	for !m.enough(from, upTo) {
		if err := p.readOlder(ctx, c, m); err != nil {
			return err
		}
	}
	return nil
}

// reset begins anew before a position.
func (m *memory) reset(upTo event.Position) {
	*m = memory{
		used: m.used, room: m.room, read: m.read, epoch: upTo.Epoch, lo: upTo.Minor, hi: upTo.Minor,
		count: recallFirst, names: map[string]string{},
	}
}

// enough reports whether nothing older matters for a cursor.
func (m *memory) enough(from, upTo event.Position) bool {
	switch {
	case m.lo == 0, m.read > m.room, m.lo+bus.RecallEvents <= from.Minor:
		return true
	case m.lo > from.Minor:
		return upTo.Minor-m.lo > 2*bus.RecallEvents // too far away
	case m.oldest.n < recallOld || m.oldest.seq > from.Minor:
		return false
	}
	newest := remembered{}
	for _, e := range m.list {
		if e.seq <= from.Minor && e.seq > newest.seq {
			newest = e
		}
	}
	return newest.seq == 0 || m.oldest.at.Before(time.Unix(newest.at, 0).Add(-bus.RecallTime))
}

func (p *partition) readNewer(ctx context.Context, c rueidis.DedicatedClient, m *memory, upTo uint64) error {
	entries, err := p.read(ctx, c, m, m.hi+1, 1<<64-1)
	if err != nil {
		return err
	}
	last, _, err := p.keep(m, entries)
	if err != nil {
		return err
	}
	if m.hi = max(m.hi, last); len(entries) < m.count {
		m.hi = max(m.hi, upTo) // the rest is not held
	}
	m.pace(len(entries))
	return nil
}

func (p *partition) readOlder(ctx context.Context, c rueidis.DedicatedClient, m *memory) error {
	first := m.lo - min(m.lo-1, uint64(m.count)-1) // of ids without holes
	entries, err := p.read(ctx, c, m, first, m.lo)
	if err != nil {
		return err
	}
	_, newest, err := p.keep(m, entries)
	if err != nil {
		return err
	}
	asked := m.lo - first + 1
	if o := &m.oldest; o.n == 0 || o.n >= recallOld {
		o.seq, o.at, o.n = m.lo, newest, len(entries)
	} else {
		o.n += len(entries)
		if newest.After(o.at) {
			o.at = newest
		}
	}
	if m.lo = first - 1; uint64(len(entries)) < asked {
		m.lo = 0 // what is older is not held
	}
	m.pace(len(entries))
	return nil
}

// pace keeps answers within their bounds.
func (m *memory) pace(n int) {
	if n > 0 {
		m.count = min(max(answerBytes/4*len(m.list)/max(m.bytes, 1), 1), m.count*2, maxCount)
	}
}

func (p *partition) read(ctx context.Context, c rueidis.DedicatedClient, m *memory, first, last uint64) ([]rueidis.RedisMessage, error) {
	at := func(seq uint64) string {
		return strconv.FormatUint(m.epoch, 10) + "-" + strconv.FormatUint(seq, 10)
	}
	return c.Do(ctx, c.B().Xrange().Key(p.stream).Start(at(first)).End(at(last)).Count(int64(m.count)).Build()).ToArray()
}

// keep remembers entries and returns the last seq and the newest time of them.
func (p *partition) keep(m *memory, entries []rueidis.RedisMessage) (last uint64, newest time.Time, err error) {
	for i := range entries {
		at, list, err := split(&entries[i])
		if err != nil {
			return 0, newest, err
		}
		last = max(last, at.seq)
		fields := packed(list)
		m.bytes += len(fields)
		m.read += len(fields)
		e := entry{id: at, event: &event.Event{}}
		if e.decode(p, fields, time.Now) != nil || e.marker {
			continue
		}
		if e.event.Timestamp.After(newest) {
			newest = e.event.Timestamp
		}
		name, ok := m.names[e.event.Channel]
		if !ok {
			name = strings.Clone(e.event.Channel)
			m.names[name] = name
		}
		m.list = append(m.list, remembered{
			seq: at.seq, at: e.event.Timestamp.Unix(), channel: name, tenant: strings.Clone(e.event.TenantID), id: strings.Clone(e.event.ID),
		})
	}
	return last, newest, nil
}

// forgetUnused forgets what nobody has asked for lately. It waits for nobody.
func (b *Bus) forgetUnused() {
	t := b.table.Load()
	if t == nil {
		return
	}
	for _, p := range t.all() {
		select {
		case p.recalling <- struct{}{}:
			if m := &p.memory; m.epoch != 0 && time.Since(m.used) > recallKept {
				*m = memory{room: m.room}
			}
			<-p.recalling
		default:
		}
	}
}
