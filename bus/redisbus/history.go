package redisbus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// History reads the stream of the channel's partition and keeps what is of the channel. A page that is not full has
// everything up to Head, which is the newest position of the partition. It is complete if each entry, of whatever
// channel, follows the one before without a hole.
func (b *Bus) History(ctx context.Context, channel string, after event.Position, limit int) (bus.Page, error) {
	if b.closed.Load() {
		return bus.Page{}, bus.ErrClosed
	}
	if b.pubsub != nil {
		page, err := b.pubsub.history(channel, after)
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return page, b.failure(ctx, "history", err)
	}
	patience, cancel := context.WithTimeout(ctx, b.o.PublishTimeout)
	defer cancel()
	page, err := b.history(patience, channel, after, limit)
	return page, b.failure(ctx, "history", err)
}

func (b *Bus) history(ctx context.Context, channel string, after event.Position, limit int) (bus.Page, error) {
	b.start()
	select {
	case b.pages <- struct{}{}:
		defer func() { <-b.pages }()
	case <-ctx.Done():
		return bus.Page{}, ctx.Err()
	}
	var wait backoff
	for {
		page, err := b.historyOnce(ctx, channel, after, limit)
		if err == nil || permanent(err) || ctx.Err() != nil || errors.Is(err, bus.ErrClosed) {
			return page, err
		}
		b.poke()
		b.pauseIn(ctx, wait.next())
	}
}

// historyOnce reads over a connection of its own, so that a long answer delays nobody who publishes.
func (b *Bus) historyOnce(ctx context.Context, channel string, after event.Position, limit int) (bus.Page, error) {
	select {
	case <-b.link.laidOut:
	case <-ctx.Done():
		return bus.Page{}, ctx.Err()
	}
	c, release := (*b.client.Load()).Dedicate()
	defer release()
	stop := context.AfterFunc(b.ctx, c.Close)
	defer stop()
	h := scan{part: b.home(channel), channel: channel, limit: limit, count: min(max(1, 4*limit), firstCount), now: time.Now()}
	err := h.run(ctx, c, after)
	return h.page, err
}

// scan is one reading of history.
type scan struct {
	part    *partition
	channel string
	limit   int
	count   int
	now     time.Time
	page    bus.Page

	at   id // scanned so far
	head id

	bytes, read int
}

// run reads from after to the head, or until the page is full.
func (h *scan) run(ctx context.Context, c rueidis.DedicatedClient, after event.Position) error {
	from := id{after.Epoch, after.Minor}
	start := "("
	if after.IsZero() || from == (id{math.MaxUint64, math.MaxUint64}) { // which nothing can follow
		start = ""
	}
	first, entries, lost, err := h.open(ctx, c, start+from.String())
	if err != nil {
		return err
	}
	h.page.Head = h.part.position(h.head)
	h.page.Complete = h.reaches(after, first, lost)
	if !after.IsZero() && (after.Partition != h.part.number || after.Major != 0 || h.head.less(from)) {
		return nil // a position of something else
	}
	h.at = from
	if after.IsZero() || from.epoch != h.head.epoch {
		h.at = id{}
	}
	for h.take(entries) {
		entries, err = h.more(ctx, c)
		if err != nil {
			return err
		}
	}
	return nil
}

// open reads the stream's ends and the first entries.
func (h *scan) open(ctx context.Context, c rueidis.DedicatedClient, start string) (first []rueidis.RedisMessage, entries []rueidis.RedisMessage, lost uint64, err error) {
	p := h.part
	results := c.DoMulti(ctx,
		c.B().Arbitrary("XINFO", "STREAM").Keys(p.stream).Build(),
		c.B().Hget().Key(p.hash).Field("lost").Build(),
		c.B().Xrange().Key(p.stream).Start(start).End("+").Count(int64(h.count)).Build())
	info, err := results[0].AsMap()
	if err != nil {
		if answer, ok := rueidis.IsRedisErr(err); ok && answer.Error() == "ERR no such key" {
			err = problem("the stream is gone") // the next visit makes it again
		}
		return nil, nil, 0, err
	}
	last := info["last-generated-id"]
	text, err := last.ToString()
	if err != nil {
		return nil, nil, 0, err
	}
	if h.head, err = parseID(text); err != nil {
		return nil, nil, 0, err
	}
	oldest := info["first-entry"]
	if !oldest.IsNil() {
		if first, err = oldest.ToArray(); err != nil {
			return nil, nil, 0, err
		}
	}
	if noted, err := results[1].ToString(); err == nil {
		lost, _ = strconv.ParseUint(noted, 10, 64)
	} else if !rueidis.IsRedisNil(err) {
		return nil, nil, 0, err
	}
	entries, err = results[2].ToArray()
	return first, entries, lost, err
}

// reaches reports whether nothing between a position and the oldest entry is missing, as far as that can be told
// without looking at what follows.
func (h *scan) reaches(after event.Position, first []rueidis.RedisMessage, lost uint64) bool {
	if !after.IsZero() {
		return after.Partition == h.part.number && after.Major == 0 && after.Epoch == h.head.epoch && after.Minor <= h.head.seq
	}
	if h.part.number == controlNumber { // from the start means: all that must be kept
		return lost == 0 || time.UnixMilli(int64(lost)).Before(h.now.Add(-h.part.maxAge()))
	}
	// From the start: the oldest entry must begin the first epoch.
	if len(first) != 2 {
		return false
	}
	fields, err := first[1].ToArray()
	if err != nil {
		return false
	}
	e := entry{event: &event.Event{}}
	return e.decode(h.part, packed(fields), time.Now) == nil && e.first
}

// take keeps entries of the channel; false: the page is full or the head is reached.
func (h *scan) take(entries []rueidis.RedisMessage) bool {
	for i := range entries {
		at, list, err := split(&entries[i])
		if err != nil {
			continue
		}
		fields := packed(list)
		if h.head.less(at) {
			return false
		}
		if (h.at != id{}) && (at.epoch != h.at.epoch || at.seq != h.at.seq+1) { // reaches has judged what is before the first
			h.page.Complete = false
		}
		if len(h.page.Messages) >= h.limit {
			return false
		}
		h.at = at
		h.bytes += len(fields)
		e := entry{id: at, event: &event.Event{}}
		if e.decode(h.part, fields, time.Now) != nil || e.marker || e.event.Channel != h.channel {
			continue
		}
		h.page.Messages = append(h.page.Messages, bus.Message{Event: *e.event, Position: h.part.position(at)})
	}
	if len(entries) < h.count && h.at != h.head {
		// The newest entries were deleted by hand, or the answer was cut: what is missing up to the head is a hole.
		h.page.Complete = false
	}
	full := len(entries) == h.count
	if h.read += len(entries); h.read > 0 {
		h.count = min(max(answerBytes/4/max(h.bytes/h.read, 1), 1), h.count*2, maxCount)
	}
	return full && h.at.less(h.head)
}

// more reads on behind what was scanned.
func (h *scan) more(ctx context.Context, c rueidis.DedicatedClient) ([]rueidis.RedisMessage, error) {
	entries, err := c.Do(ctx, c.B().Xrange().Key(h.part.stream).Start("("+h.at.String()).End("+").Count(int64(h.count)).Build()).ToArray()
	if err != nil {
		return nil, fmt.Errorf("read on: %w", err)
	}
	return entries, nil
}
