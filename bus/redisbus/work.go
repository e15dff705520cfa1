package redisbus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// leaveScript removes a consumer that holds nothing. KEYS: stream. ARGV: group, consumer.
const leaveScript = `
for _, c in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local name, pending = nil, nil
  for i = 1, #c, 2 do
    if c[i] == 'name' then name = c[i + 1] elseif c[i] == 'pending' then pending = c[i + 1] end
  end
  if name == ARGV[2] and pending == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2]) end
end
return 1`

// worker is one call of Work: a consumer in a group of the channel's stream. The group is group/channel, because each
// entry is given to one consumer of a group, and the streams carry many channels.
type worker struct {
	bus            *Bus
	part           *partition
	group, channel string
	consumer       string
	fn             func(context.Context, *bus.Message) error

	made  bool // the group was made, or found, before
	count int64
	claim time.Time // when to look for what dead consumers left
	fresh time.Time // when what is held here was given out, or its claim renewed
}

const (
	workBlock = 500 * time.Millisecond
	workCount = 64
)

// Work gives each event of the channel to one consumer of the group. An empty group is the URL's (?group=). An event
// whose fn returned an error, or whose node is gone, is given to somebody again once nobody has worked on it for
// the time of ?claim= (30 s). It needs streams: plain pub/sub has no groups.
func (b *Bus) Work(ctx context.Context, group, channel string, fn func(ctx context.Context, m *bus.Message) error) error {
	switch {
	case b.closed.Load():
		return bus.ErrClosed
	case b.pubsub != nil:
		return errors.New("work: redis bus: mode=pubsub has no consumer groups: leave mode out")
	}
	if group == "" {
		group = b.cfg.group
	}
	if !prefixes().MatchString(group) {
		return errors.New("work: redis bus: the group must be 1 to 64 letters, digits, and any of . _ : / -")
	}
	if !bus.IsControl(channel) {
		if err := event.ValidateChannel(channel); err != nil {
			return fmt.Errorf("work: redis bus: %w", err)
		}
	}
	b.start()
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.ctx, cancel)()
	w := &worker{bus: b, group: group + "/" + channel, channel: channel, consumer: event.NewID().String(), fn: fn, count: 1}
	err := w.run(own)
	if ctx.Err() == nil && b.closed.Load() {
		return bus.ErrClosed
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return b.failure(ctx, "work", err)
}

// run works until ctx ends or an error stays.
func (w *worker) run(ctx context.Context) error {
	select {
	case <-w.bus.link.laidOut:
	case <-ctx.Done():
		return ctx.Err()
	}
	w.part = w.bus.home(w.channel)
	defer w.leave()
	var wait backoff
	for ctx.Err() == nil {
		began := time.Now()
		err := w.session(ctx)
		if ctx.Err() != nil || err == nil {
			continue
		}
		if permanent(err) && !strings.HasPrefix(err.Error(), "NOGROUP") {
			return err
		}
		w.bus.poke()
		if time.Since(began) > time.Second {
			wait = backoff{}
		}
		if wait.tries == 0 && causeOf(err) == bus.Denied { // nobody else meets it who would say so
			w.bus.o.Logger.Warn("redis: no work is given out", "stream", w.part.stream, "problem", describe(err))
		}
		w.bus.pauseIn(ctx, wait.next())
	}
	return ctx.Err()
}

// leave takes the consumer out of the group if it holds nothing. That it fails costs a name in a list.
func (w *worker) leave() {
	if w.bus.closed.Load() || !w.made {
		return
	}
	ctx, cancel := context.WithTimeout(w.bus.ctx, time.Second)
	defer cancel()
	c := *w.bus.client.Load()
	_ = c.Do(ctx, c.B().Eval().Script(leaveScript).Numkeys(1).Key(w.part.stream).Arg(w.group, w.consumer).Build()).Error()
}

// session works over one connection.
func (w *worker) session(ctx context.Context) error {
	c, release := (*w.bus.client.Load()).Dedicate()
	defer release()
	stop := context.AfterFunc(w.bus.ctx, c.Close)
	defer stop()
	if err := w.join(c); err != nil {
		return err
	}
	for ctx.Err() == nil {
		if time.Now().After(w.claim) {
			if err := w.adopt(ctx, c); err != nil {
				return err
			}
			w.claim = time.Now().Add(w.bus.cfg.claim/3 + rand.N(w.bus.cfg.claim/6))
			continue
		}
		entries, err := w.next(c)
		if err != nil {
			return err
		}
		if err := w.handleAll(ctx, entries); err != nil {
			return err
		}
	}
	return nil
}

// join makes the group: behind the newest entry, or at the start where it was there before and its stream is gone. Who may not say that work
// is done is given none: it would be done again and again.
func (w *worker) join(c rueidis.DedicatedClient) error {
	at := "$"
	if w.made {
		at = "0"
	}
	err := c.Do(w.bus.patience(0), c.B().XgroupCreate().Key(w.part.stream).Group(w.group).Id(at).Build()).Error()
	if err != nil && !rueidis.IsRedisBusyGroup(err) {
		return err
	}
	w.made = true
	return c.Do(w.bus.patience(0), c.B().Xack().Key(w.part.stream).Group(w.group).Id("0-1").Build()).Error() // which no entry is
}

// next waits for new entries, a short time.
func (w *worker) next(c rueidis.DedicatedClient) ([]rueidis.RedisMessage, error) {
	block := min(workBlock, w.bus.cfg.claim/4)
	answer, err := c.Do(w.bus.patience(0), c.B().Arbitrary("XREADGROUP", "GROUP", w.group, w.consumer, "COUNT", strconv.FormatInt(w.count, 10),
		"BLOCK", strconv.FormatInt(block.Milliseconds(), 10), "STREAMS").Keys(w.part.stream).Args(">").Blocking()).ToMap()
	if rueidis.IsRedisNil(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list := answer[w.part.stream]
	return list.ToArray()
}

// handleAll works on entries that were given to this consumer, one after the other.
func (w *worker) handleAll(ctx context.Context, entries []rueidis.RedisMessage) error {
	w.fresh = time.Now()
	for i := range entries {
		if err := w.handle(ctx, entries[i:]); err != nil {
			return err
		}
	}
	return nil
}

// handle works on the first of the entries that are held here.
func (w *worker) handle(ctx context.Context, held []rueidis.RedisMessage) error {
	at, fields, err := split(&held[0])
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return w.giveBack(at)
	}
	m := bus.Message{Position: w.part.position(at)}
	e := entry{id: at, event: &m.Event}
	err = e.decode(w.part, packed(fields), time.Now)
	if err != nil && fields != nil {
		w.bus.reports.drop(w.bus.o.Logger, w.part, at, err)
	}
	if err != nil || e.marker || e.event.Channel != w.channel {
		w.count = min(w.count*2, workCount) // others' entries: take more at a time
		return w.acknowledge(at)
	}
	w.count = 1 // what is not begun here should be another's
	if err := w.call(ctx, &m, held); err != nil {
		if ctx.Err() != nil {
			return w.giveBack(at)
		}
		w.bus.o.Logger.Warn("redis: work on an event failed: it is given out again", "stream", w.part.stream, "entry", at.String(), "after", w.bus.cfg.claim.String())
		return nil
	}
	return w.acknowledge(at)
}

// call runs fn and renews the claims to all that is held while it does: what waits here must not go to another, either.
func (w *worker) call(ctx context.Context, m *bus.Message, held []rueidis.RedisMessage) error {
	done := make(chan struct{})
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		each := w.bus.cfg.claim / 3
		timer := time.NewTimer(time.Until(w.fresh.Add(each))) // many short calls are as long as a long one
		defer timer.Stop()
		for {
			select {
			case <-timer.C:
				w.fresh = time.Now()
				w.reclaim(idsOf(held), 0)
				timer.Reset(time.Until(w.fresh.Add(each)))
			case <-done:
				return
			}
		}
	}()
	defer func() { close(done); <-renewed }()
	return w.fn(ctx, m)
}

// idsOf returns the ids of entries.
func idsOf(entries []rueidis.RedisMessage) []string {
	ids := make([]string, 0, len(entries))
	for i := range entries {
		if at, _, err := split(&entries[i]); err == nil {
			ids = append(ids, at.String())
		}
	}
	return ids
}

// reclaim sets for how long nobody has worked on entries. That it fails means that another may begin them, too.
func (w *worker) reclaim(ids []string, idle time.Duration) {
	ctx, cancel := context.WithTimeout(w.bus.ctx, w.bus.cfg.claim/3)
	defer cancel()
	c := *w.bus.client.Load()
	_ = c.Do(ctx, c.B().Xclaim().Key(w.part.stream).Group(w.group).Consumer(w.consumer).MinIdleTime("0").Id(ids...).
		Idle(idle.Milliseconds()).Justid().Build()).Error()
}

// giveBack lets others have an entry at once.
func (w *worker) giveBack(at id) error {
	w.reclaim([]string{at.String()}, w.bus.cfg.claim)
	return nil
}

// acknowledge tells Redis that an entry is done, for as long as a publisher would try.
func (w *worker) acknowledge(at id) error {
	ctx, cancel := context.WithTimeout(w.bus.ctx, w.bus.o.PublishTimeout)
	defer cancel()
	c := *w.bus.client.Load()
	var wait backoff
	for {
		err := c.Do(ctx, c.B().Xack().Key(w.part.stream).Group(w.group).Id(at.String()).Build()).Error()
		if err == nil || permanent(err) || ctx.Err() != nil {
			return err
		}
		w.bus.pauseIn(ctx, wait.next())
	}
}

// adopt takes over what no consumer has worked on for the time of a claim, one at a time.
func (w *worker) adopt(ctx context.Context, c rueidis.DedicatedClient) error {
	cursor := "0-0"
	for ctx.Err() == nil {
		answer, err := c.Do(w.bus.patience(0), c.B().Xautoclaim().Key(w.part.stream).Group(w.group).Consumer(w.consumer).
			MinIdleTime(strconv.FormatInt(w.bus.cfg.claim.Milliseconds(), 10)).Start(cursor).Count(1).Build()).ToArray()
		if err != nil {
			return err
		}
		if len(answer) < 2 {
			return errors.New("redis answered XAUTOCLAIM with something else")
		}
		if len(answer) > 2 {
			if gone, err := answer[2].ToArray(); err == nil && len(gone) > 0 {
				w.bus.reports.gaps.Add(1)
				w.bus.o.Logger.Warn("redis: entries were trimmed before a consumer had worked on them", "stream", w.part.stream, "entries", len(gone))
			}
		}
		entries, err := answer[1].ToArray()
		if err != nil {
			return err
		}
		if err := w.handleAll(ctx, entries); err != nil {
			return err
		}
		if cursor, err = answer[0].ToString(); err != nil || cursor == "0-0" {
			return err
		}
	}
	return nil
}
