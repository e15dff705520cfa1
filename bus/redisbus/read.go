package redisbus

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/fraiseql/fraiseql-go/bus"
)

// reader reads partitions with one blocking XREAD on a connection of its own. There is one for all partitions, and in a
// cluster, where a command may only name keys of one slot, one for each partition. What is read goes to the
// crew; a partition whose queue is full is left out until it is not.
type reader struct {
	*ear
	bus   *Bus
	crew  *crew
	parts []*partition
	kick  chan struct{} // something is wanted, or has space again: for who waits here
	ring  chan struct{} // likewise: for who ends a wait at Redis
	count int64         // entries per stream in one answer, adapted to their size

	set   []*partition // what is read, as long as it is not stale
	stale atomic.Bool

	found []found // what the last XREAD has found
	slab  slab

	asked, seen atomic.Uint64 // changes that were asked for, changes that a running XREAD knows of
	client      atomic.Int64  // the connection's number at Redis while it reads, else 0
}

const (
	firstCount = 64
	maxCount   = 1024
	// answerBytes is what an answer should have at most.
	answerBytes = 4 << 20
)

// deliverAll starts the goroutines that read and deliver.
func (b *Bus) deliverAll() {
	if b.handler.Load() == nil {
		// Nobody is attached yet: a reader may be, later.
		return
	}
	if b.readers.Load() != nil {
		return
	}
	if b.pubsub != nil {
		b.readers.Store(&[]*reader{})
		b.pubsub.start(*b.handler.Load())
		return
	}
	var list []*reader
	crew := newCrew(b, *b.handler.Load())
	add := func(parts ...*partition) {
		r := &reader{ear: newEar(), bus: b, crew: crew, parts: parts, kick: make(chan struct{}, 1), ring: make(chan struct{}, 1), count: firstCount}
		for _, p := range parts {
			p.reader = r
		}
		b.link.listen(r.ear)
		list = append(list, r)
	}
	t := b.table.Load()
	if b.cfg.topology == cluster {
		for _, p := range t.all() {
			add(p)
		}
	} else {
		add(t.all()...)
	}
	b.readers.Store(&list)
	for _, r := range list {
		b.running.Go(r.run)
	}
}

// wake tells the reader of a partition that there is something else to read: at once if it is more, when it comes by if
// it is less.
func (b *Bus) wake(p *partition, more bool) {
	switch {
	case b.readers.Load() == nil:
	case more:
		p.reader.wake()
	default:
		p.reader.stale.Store(true)
	}
}

// wakeAll tells all that read: a connection that lives says so.
func (b *Bus) wakeAll() {
	if list := b.readers.Load(); list != nil {
		for _, r := range *list {
			r.wake()
		}
	}
	if b.pubsub != nil {
		for _, r := range b.pubsub.subscribers {
			r.wake()
		}
	}
}

func (r *reader) wake() {
	r.stale.Store(true)
	r.asked.Add(1)
	for _, c := range [...]chan struct{}{r.kick, r.ring} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// run reads until the bus is closed.
func (r *reader) run() {
	var wait backoff
	for r.bus.ctx.Err() == nil {
		began := time.Now()
		err := r.session()
		if err != nil {
			r.calm()
			r.bus.lost(r.ear, err)
			if time.Since(began) > time.Second {
				wait = backoff{}
			}
			r.bus.pause(wait.next(), r.retry)
			continue
		}
		r.bus.heard(r.ear)
		wait = backoff{}
		select { // nothing to read
		case <-r.kick:
		case <-r.bus.ctx.Done():
		}
	}
}

// session reads over one connection until it breaks (the error) or there is nothing to read (nil).
func (r *reader) session() error {
	if r.rests() {
		return nil
	}
	c, release := (*r.bus.client.Load()).Dedicate()
	defer release()
	stop := context.AfterFunc(r.bus.ctx, c.Close)
	defer stop()
	if err := r.verify(c); err != nil {
		return err
	}
	if len(r.parts) > 1 { // else what is read never changes while it is
		number, err := c.Do(r.bus.patience(0), c.B().ClientId().Build()).AsInt64()
		if err != nil {
			return err
		}
		r.client.Store(number)
		defer r.client.Store(0)
		done := make(chan struct{})
		defer close(done)
		r.bus.running.Go(func() { r.unblockLoop(done) })
	}
	return r.loop(c)
}

// loop reads until the connection breaks or there is nothing to read.
func (r *reader) loop(c rueidis.DedicatedClient) error {
	r.stale.Store(true)
	proven := true // the connection has answered since the last wait
	for r.bus.ctx.Err() == nil {
		asked := r.asked.Load()
		set, err := r.gather(c)
		if err != nil {
			return err
		}
		r.seen.Store(asked)
		if proven {
			r.bus.heard(r.ear)
		}
		if len(set) == 0 {
			if r.rests() {
				return nil
			}
			select { // every queue is full
			case <-r.kick:
				proven = false
				continue
			case <-r.bus.ctx.Done():
				return nil
			}
		}
		if err := r.read(c, set); err != nil {
			return err
		}
		proven = true
	}
	return nil
}

// rests reports whether no partition is wanted. None is read any more then: whoever wants one again wakes the reader.
func (r *reader) rests() bool {
	rests := true
	for _, p := range r.parts {
		rests = p.abandon() && rests
	}
	return rests
}

// verify proves, before anything is read over a new connection, that what was read is still there. It begins a new
// epoch where it is not; the marker of that is read next.
func (r *reader) verify(c rueidis.DedicatedClient) error {
	var list []*partition
	for _, p := range r.parts {
		if _, captured := p.place(); captured {
			list = append(list, p)
		}
	}
	return r.bus.tendParts(r.bus.patience(0), c, r.bus.since.Load(), list, func(p *partition, t tended) {
		if at, _ := p.place(); t.epoch <= at.at.epoch {
			return
		}
		select { // other entries may stand at the numbers that were read: what is read next may not follow
		case p.queue <- batch{doubt: true}:
			r.crew.push(p)
			r.crew.rouse()
		case <-r.bus.ctx.Done():
		}
	})
}

// gather returns what to read now, and finds the place to begin at for partitions that are new.
func (r *reader) gather(c rueidis.DedicatedClient) ([]*partition, error) {
	full := false
	for _, p := range r.set {
		full = full || len(p.queue) == cap(p.queue)
	}
	if !r.stale.Swap(false) && !full {
		return r.set, nil
	}
	set, err := r.gatherAnew(c)
	r.set = set
	if err != nil || full {
		r.stale.Store(true)
	}
	return set, err
}

func (r *reader) gatherAnew(c rueidis.DedicatedClient) (set []*partition, err error) {
	var fresh []*partition
	for _, p := range r.parts {
		_, captured := p.place()
		switch {
		case !p.wanted():
			if captured && !p.abandon() {
				set = append(set, p)
			}
		case len(p.queue) == cap(p.queue):
			p.starved.Store(true)
			if len(p.queue) < cap(p.queue) { // it has had space meanwhile
				r.wake()
			}
		case captured:
			set = append(set, p)
		default:
			fresh = append(fresh, p)
		}
	}
	if len(fresh) == 0 {
		return set, nil
	}
	return append(set, fresh...), r.bus.tendParts(r.bus.patience(0), c, r.bus.since.Load(), fresh, func(p *partition, t tended) {
		p.queue <- batch{start: t.last.at} // which has space: only this goroutine fills it
		r.crew.push(p)
		p.after = t.last.at.String()
		p.capture(t.last)
	})
}

// read issues one XREAD and hands out what it answers.
func (r *reader) read(c rueidis.DedicatedClient, set []*partition) error {
	block := r.bus.cfg.blockFor
	args := make([]string, 0, 5+2*len(set))
	args = append(args, "COUNT", strconv.FormatInt(r.count, 10), "BLOCK", strconv.FormatInt(block.Milliseconds(), 10), "STREAMS")
	for _, p := range set {
		args = append(args, p.stream)
	}
	for _, p := range set {
		args = append(args, p.after)
	}
	clear(r.found)
	r.found = r.found[:0]
	streams, err := c.Do(r.bus.patience(block), c.B().Arbitrary("XREAD").Args(args...).Blocking()).ToMap()
	switch {
	case rueidis.IsRedisNil(err): // then the tap has taken what there was
	case err != nil:
		return err
	default:
		if err := r.untapped(streams); err != nil {
			return err
		}
	}
	r.pass()
	return nil
}

// untapped notes what the driver made of an answer.
func (r *reader) untapped(streams map[string]rueidis.RedisMessage) error {
	r.bus.reports.driven.Add(1)
	t := r.bus.table.Load()
	for key, list := range streams {
		p := t.byStream[key]
		raw, err := list.ToArray()
		if p == nil || err != nil || len(raw) == 0 {
			return errAnswer
		}
		entries, err := recordsOf(raw)
		if err != nil {
			return err
		}
		r.found = append(r.found, found{p, entries})
	}
	return nil
}

// pass hands what was found to the crew.
func (r *reader) pass() {
	if len(r.found) == 0 {
		return
	}
	bytes, most := 0, 0
	for _, f := range r.found {
		p, last := f.part, &f.entries[len(f.entries)-1]
		p.after = last.at.String()
		p.advance(seen{last.at, tagOf(last.fields)})
		bytes += len(last.fields) * len(f.entries)
		most = max(most, len(f.entries))
		p.queue <- batch{entries: f.entries} // which has space: gather saw to it
		r.crew.push(p)
	}
	r.crew.rouse()
	r.adapt(bytes, most)
}

// adapt keeps answers near answerBytes, guessed from the last entry of each stream.
func (r *reader) adapt(bytes, most int) {
	switch {
	case bytes > answerBytes:
		r.count = max(1, r.count/4)
	case int64(most) == r.count && bytes < answerBytes/4:
		r.count = min(r.count*2, maxCount)
	}
}

// unblockEach is how often a reader is asked to stop waiting, until it has.
const unblockEach = time.Millisecond

// unblockLoop ends the wait of an XREAD at Redis when there is something else to read, until done is closed.
func (r *reader) unblockLoop(done <-chan struct{}) {
	c := *r.bus.client.Load()
	for {
		select {
		case <-done:
			return
		case <-r.ring:
		}
		for r.seen.Load() != r.asked.Load() {
			n := r.client.Load()
			if n == 0 {
				return
			}
			ctx, cancel := context.WithTimeout(r.bus.ctx, visitTime)
			err := c.Do(ctx, c.B().ClientUnblock().ClientId(n).Build()).Error()
			cancel()
			if err != nil && causeOf(err) == bus.Denied {
				r.bus.reports.unblock(r.bus.o.Logger)
			}
			select {
			case <-done:
				return
			case <-time.After(unblockEach):
			}
		}
	}
}

// until is a context that has a deadline and no channel: the driver then waits in the calling goroutine.
type until struct {
	context.Context
	at time.Time
}

// patience bounds a command on a connection of its own, which is closed when the bus is.
func (b *Bus) patience(block time.Duration) context.Context {
	return until{b.ctx, time.Now().Add(block + visitTime)}
}

func (u until) Deadline() (time.Time, bool) { return u.at, true }
func (until) Done() <-chan struct{}         { return nil }
func (until) Err() error                    { return nil }
