package redisbus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// Publish appends the events to their streams, in order per channel, and returns once Redis has acknowledged all of
// them. What a broken connection left in doubt is sent again, within Options.PublishTimeout: such an event may then be
// in the stream twice, with one id.
func (b *Bus) Publish(ctx context.Context, batch []bus.Message) (bus.Receipt, error) {
	r := bus.Receipt{Delivered: -1}
	if b.closed.Load() {
		return r, bus.ErrClosed
	}
	if len(batch) == 0 {
		return r, nil
	}
	b.start()
	if b.pubsub != nil {
		limit, cancel := context.WithTimeout(ctx, b.o.PublishTimeout)
		defer cancel()
		n, err := b.pubsub.publish(limit, batch)
		r.Accepted = n
		return r, b.failure(ctx, "publish", err)
	}
	s := b.sending(batch)
	err := s.run(ctx)
	for r.Accepted < len(batch) && s.acked[r.Accepted] {
		r.Accepted++
	}
	if err == nil {
		s.release()
	}
	return r, b.failure(ctx, "publish", err)
}

// sending is one call of Publish.
type sending struct {
	bus   *Bus
	batch []bus.Message
	now   time.Time
	acked []bool

	commands []rueidis.Completed
	sent     []attempt
	one      [1]rueidis.RedisResult // of one command alone
	answers  []rueidis.RedisResult  // of what another one has sent
	done     chan struct{}          // a token: the answers are there

	at   time.Time // of the last event
	text string    // of at
}

// sendings are those of small batches: the driver keeps nothing of theirs.
var sendings = sync.Pool{New: func() any { return &sending{done: make(chan struct{}, 1)} }}

// keptMost is the size of a batch up to which a sending is used again.
const keptMost = 128

func (b *Bus) sending(batch []bus.Message) *sending {
	s := sendings.Get().(*sending)
	n := len(batch)
	s.bus, s.batch, s.now = b, batch, time.Now()
	s.acked = slices.Grow(s.acked, n)[:n]
	s.commands, s.sent = slices.Grow(s.commands, n), slices.Grow(s.sent, n)
	return s
}

// release gives back what was acknowledged.
func (s *sending) release() {
	if cap(s.acked) > keptMost {
		return
	}
	clear(s.acked)
	clear(s.commands)
	clear(s.sent)
	*s = sending{done: s.done, acked: s.acked[:0], commands: s.commands[:0], sent: s.sent[:0]}
	sendings.Put(s)
}

// trimEach is how many XADDs of a node have one that trims, where the length need not be exact.
const trimEach = 16

// attempt is one XADD on its way.
type attempt struct {
	index  int // in the batch
	part   *partition
	before id     // the newest entry acknowledged to this node before
	next   string // the id to ask for
	trim   bool
	name   string // of the event
}

// run sends until everything is acknowledged, an error stays, or the time is over. As long as nothing is wrong it needs no
// timer: the driver gives up a connection that does not answer within the same time.
func (s *sending) run(caller context.Context) error {
	ctx := caller
	var wait backoff
	for try := 0; ; try++ {
		if ctx == caller && (try > 0 || !s.ready()) {
			limit, cancel := context.WithDeadline(caller, s.now.Add(s.bus.o.PublishTimeout))
			defer cancel()
			ctx = limit
		}
		if err := s.prepare(ctx); err != nil {
			return err
		}
		if len(s.commands) == 0 {
			return nil
		}
		again, err := s.send(ctx)
		switch {
		case err == nil && again == nil:
			return nil
		case err != nil && (permanent(err) || ctx.Err() != nil || errors.Is(err, rueidis.ErrClosing)):
			return err
		case err != nil:
			s.bus.poke()
			s.bus.pauseIn(ctx, wait.next())
			if ctx.Err() != nil {
				return err
			}
			s.commands = nil // the driver may still read them for a connection that broke
		}
		for p := range again { // the stream is another one than we thought
			if err := s.bus.reopen(ctx, p); err != nil && (permanent(err) || ctx.Err() != nil) {
				return err
			}
		}
	}
}

// ready reports whether every partition is open for publishing.
func (s *sending) ready() bool {
	for i := range s.batch {
		if p := s.bus.home(s.batch[i].Event.Channel); p == nil || !p.open() {
			return false
		}
	}
	return true
}

// prepare makes the commands of everything that is not acknowledged.
func (s *sending) prepare(ctx context.Context) error {
	s.commands, s.sent = s.commands[:0], s.sent[:0]
	for i := range s.batch {
		if s.acked[i] {
			continue
		}
		p := s.bus.home(s.batch[i].Event.Channel)
		if p == nil || !p.open() {
			var err error
			if p, err = s.bus.opened(ctx, s.batch[i].Event.Channel); err != nil {
				return err
			}
		}
		p.mu.Lock()
		a := attempt{index: i, part: p, before: p.acked.at, next: p.nextID, trim: s.bus.cfg.trimExactly || p.adds%trimEach == 0}
		p.adds++
		p.mu.Unlock()
		if a.name = s.batch[i].Event.ID; a.name == "" {
			a.name = s.batch[i].Event.UID.String()
		}
		s.sent = append(s.sent, a)
		s.commands = append(s.commands, s.command(&a))
	}
	return nil
}

// command is the XADD of one event.
func (s *sending) command(a *attempt) rueidis.Completed {
	b := s.bus
	c := *b.client.Load()
	var args [24]string
	list := append(args[:0], "NOMKSTREAM")
	if a.trim && a.part.number != controlNumber {
		if list = append(list, "MAXLEN"); !b.cfg.trimExactly {
			list = append(list, "~")
		}
		list = append(list, a.part.maxLenText)
	}
	list = appendFields(append(list, a.next), &s.batch[a.index].Event, a.name, s.stamp(&s.batch[a.index].Event))
	return c.B().Arbitrary("XADD").Keys(a.part.stream).Args(list...).Build()
}

// stamp is the time of an event as text. Those of a batch often have the same.
func (s *sending) stamp(e *event.Event) string {
	at := e.Timestamp
	if at.IsZero() {
		at = s.now
	}
	if s.text == "" || at != s.at {
		s.at, s.text = at, stamped(at)
	}
	return s.text
}

// send does the commands. again are the partitions that must be opened anew; err is the first failure of another kind.
func (s *sending) send(ctx context.Context) (again map[*partition]bool, err error) {
	c := *s.bus.client.Load()
	var results []rueidis.RedisResult
	if len(s.commands) <= gatherMost && s.bus.cfg.topology != cluster {
		if results, err = s.bus.gathering.do(ctx, c, s); err != nil {
			return nil, err
		}
	} else {
		results = c.DoMulti(ctx, s.commands...)
	}
	for i := range results {
		stale, failed := s.acknowledge(&s.sent[i], &results[i])
		if stale {
			if again == nil {
				again = map[*partition]bool{}
			}
			again[s.sent[i].part] = true
		}
		if failed != nil && err == nil {
			err = failed
		}
	}
	return again, err
}

// acknowledge reads the answer to one XADD. stale: the stream is not what this node took it for.
func (s *sending) acknowledge(a *attempt, r *rueidis.RedisResult) (stale bool, err error) {
	text, err := r.ToString()
	switch {
	case rueidis.IsRedisNil(err): // NOMKSTREAM: it is gone
		return true, nil
	case err != nil:
		if answer, ok := rueidis.IsRedisErr(err); ok && strings.Contains(answer.Error(), "equal or smaller") {
			return true, nil // a new epoch has begun
		}
		return false, err
	}
	at, err := parseID(text)
	if err != nil {
		return false, fmt.Errorf("redis answered XADD with something else: %w", err)
	}
	if at.epoch == a.before.epoch && !a.before.less(at) {
		return true, nil // numbers come again: the end of the stream was lost
	}
	a.part.acknowledged(seen{at, a.name})
	s.acked[a.index] = true
	return false, nil
}

// reopen tends a partition for a publisher; one that comes while another does it waits for that instead.
func (b *Bus) reopen(ctx context.Context, p *partition) error {
	before, _ := p.known()
	select {
	case p.tending <- struct{}{}:
		defer func() { <-p.tending }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if now, _ := p.known(); now != before {
		return nil
	}
	return b.tendParts(ctx, *b.client.Load(), b.since.Load(), []*partition{p}, nil)
}

// tendParts runs tendScript for some partitions over one connection.
func (b *Bus) tendParts(ctx context.Context, c rueidis.CoreClient, since uint64, list []*partition, then func(*partition, tended)) error {
	if len(list) == 0 {
		return nil
	}
	known := make([][]seen, len(list))
	commands := make([]rueidis.Completed, len(list))
	for i, p := range list {
		_, known[i] = p.known()
		commands[i] = p.tend(c, false, since, known[i])
	}
	results := c.DoMulti(ctx, commands...)
	var first error
	for i, r := range results {
		if answer, ok := rueidis.IsRedisErr(r.Error()); ok && answer.IsNoScript() { // Redis was started since
			r = c.Do(ctx, list[i].tend(c, true, since, known[i]))
		}
		t, err := readTended(r)
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		list[i].learn(t)
		if then != nil {
			then(list[i], t)
		}
	}
	return first
}

// restEach is how many visits share the partitions that this node does not use.
const restEach = 12

// tendAll tends the partitions that this node uses and a share of the others; all of them when the connection is new,
// which makes the bus ready the first time.
func (b *Bus) tendAll(ctx context.Context, c rueidis.Client, since uint64) error {
	list := b.table.Load().all()
	if b.link.problemNow() == "" {
		b.visits++
		list = slices.DeleteFunc(list, func(p *partition) bool {
			return !p.used() && uint64(p.number)%restEach != b.visits%restEach
		})
	}
	if err := b.tendParts(ctx, c, since, list, nil); err != nil {
		return err
	}
	if b.since.Swap(since) == 0 {
		close(b.link.laidOut)
	}
	return nil
}

// poke asks for a look at Redis.
func (b *Bus) poke() {
	select {
	case b.link.poke <- struct{}{}:
	default:
	}
}

// pauseIn waits for some time, or the end of ctx or of the bus.
func (b *Bus) pauseIn(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-b.ctx.Done():
	}
}
