package natsbus

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

const (
	// maxCoreLanes is how many goroutines deliver in core mode at most: a channel belongs to one. There are as many as
	// processors, since each message wakes one: more would take over from each other.
	maxCoreLanes = 16
	// coreQueue is how many messages may wait for each of them; more are dropped, which shows as a gap.
	coreQueue = 8192
)

// core is what core mode needs instead of lanes: a subscription for each channel, which costs a NATS server little, and
// a few goroutines that deliver. Messages are lost while the connection is; positions count what came here.
type core struct {
	bus   *Bus
	epoch uint64
	lanes []coreLane
	poke  chan struct{} // holds one when there is something to subscribe to or no longer

	mu     sync.Mutex // guards what follows; nothing is taken under it, nor called
	wanted map[string]*coreChannel
	left   []*nats.Subscription // to be ended
}

// coreLane is what waits for one of the goroutines that deliver, and how many events it has delivered.
type coreLane struct {
	queue chan *nats.Msg
	holes chan struct{} // 1 slot: messages of a channel were lost, which is told though none follows
	head  atomic.Uint64
}

// coreChannel is one channel of interest.
type coreChannel struct {
	name  string
	sub   *nats.Subscription // nil: not subscribed over this connection
	ready chan struct{}      // closed when the server has the subscription
	open  bool               // ready is not closed
	cut   bool               // not subscribed to since the connection was gone
	lost  bool               // messages were dropped, or missed while the connection was gone, which is not told yet
}

func newCore(b *Bus) *core {
	c := &core{bus: b, epoch: newOrigin(), poke: make(chan struct{}, 1), wanted: map[string]*coreChannel{}}
	c.lanes = make([]coreLane, min(runtime.GOMAXPROCS(0), maxCoreLanes))
	for i := range c.lanes {
		c.lanes[i].queue, c.lanes[i].holes = make(chan *nats.Msg, coreQueue), make(chan struct{}, 1)
	}
	return c
}

// start starts the goroutines; the bus waits for them.
func (c *core) start() {
	c.bus.running.Go(c.subscribing)
	for i := range c.lanes {
		c.bus.running.Go(func() { c.delivering(uint32(i)) })
	}
}

func (c *core) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.wanted)
}

func (c *core) interest(channel, tok string, wanted bool) {
	c.mu.Lock()
	have := c.wanted[tok]
	switch {
	case wanted && have == nil:
		c.wanted[tok] = &coreChannel{name: channel, ready: make(chan struct{}), open: true}
	case !wanted && have != nil:
		delete(c.wanted, tok)
		if have.sub != nil {
			c.left = append(c.left, have.sub)
		}
	}
	c.mu.Unlock()
	select {
	case c.poke <- struct{}{}:
	default:
	}
}

func (c *core) established(ctx context.Context, tok string) error {
	c.mu.Lock()
	have := c.wanted[tok]
	var ready chan struct{}
	if have != nil {
		ready = have.ready
	}
	c.mu.Unlock()
	if have == nil {
		return errors.New("established: nobody said that there is interest in the channel")
	}
	return c.bus.await(ctx, ready)
}

// subscribing does for the connection what Interest said.
func (c *core) subscribing() {
	for {
		select {
		case <-c.poke:
		case <-c.bus.ctx.Done():
			return
		}
		s, err := c.bus.live(c.bus.ctx) // connected may have looked too early
		if err != nil {
			return
		}
		if err := c.sync(s); err != nil {
			c.bus.log.Warn("cannot subscribe", "bus", "nats", "problem", describe(err))
			s.nc.Close() // on a new connection everything is subscribed to again
		}
	}
}

// connected subscribes to everything over a new connection, before anything is published over it.
func (c *core) connected(s *session) error { return c.sync(s) }

// sync subscribes to what is wanted and not subscribed to, ends what is left, and waits until the server has it all.
func (c *core) sync(s *session) error {
	subs, err := c.subscribe(s)
	if err != nil {
		return err
	}
	return c.take(s, subs)
}

// subscribe does what sync says and returns the new subscriptions, by token.
func (c *core) subscribe(s *session) (map[string]*nats.Subscription, error) {
	c.mu.Lock()
	left := c.left
	c.left = nil
	var missing []string
	for tok, w := range c.wanted {
		if w.sub == nil {
			w.lost = w.lost || w.cut
			missing = append(missing, tok)
		}
	}
	c.mu.Unlock()
	for _, sub := range left {
		_ = sub.Unsubscribe() // fails only on a connection that has ended
	}
	subs := make(map[string]*nats.Subscription, len(missing))
	for _, tok := range missing {
		name, _ := untoken(tok)
		sp := c.bus.config.spec(kindOf(name))
		sub, err := s.nc.ChanSubscribe(sp.subject(tok), c.lanes[c.laneOf(tok)].queue)
		if err != nil {
			return nil, err
		}
		subs[tok] = sub
	}
	ctx, cancel := context.WithTimeout(c.bus.ctx, apiTimeout)
	defer cancel()
	return subs, s.nc.FlushWithContext(ctx)
}

// take notes subscriptions that the server has.
func (c *core) take(s *session, subs map[string]*nats.Subscription) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-s.gone: // lost may have been called before: nobody would subscribe to these again
		return errGone
	default:
	}
	for tok, sub := range subs {
		w := c.wanted[tok]
		if w == nil || w.sub != nil { // no longer wanted, or subscribed to meanwhile
			c.left = append(c.left, sub)
			continue
		}
		w.sub, w.cut = sub, false
		if w.lost {
			c.hole(tok)
		}
		if w.open {
			w.open = false
			close(w.ready)
		}
	}
	return nil
}

// lost is called when a connection has ended.
func (c *core) lost() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = nil
	for _, w := range c.wanted {
		w.sub, w.cut = nil, true
		if !w.open {
			w.open, w.ready = true, make(chan struct{})
		}
	}
}

// overrun notes that messages of a channel were dropped because its queue was full.
func (c *core) overrun(tok string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.wanted[tok]; w != nil {
		w.lost = true
		c.hole(tok)
	}
}

// hole wakes who delivers a channel, to tell of what was lost.
func (c *core) hole(tok string) {
	select {
	case c.lanes[c.laneOf(tok)].holes <- struct{}{}:
	default:
	}
}

// delivering is one goroutine's share of the channels.
func (c *core) delivering(lane uint32) {
	var out bus.Message // each in turn
	queue := c.lanes[lane].queue
	for {
		select {
		case m := <-queue:
			c.deliver(m, lane, &out)
		case <-c.lanes[lane].holes:
			c.tellHoles(lane)
		case <-c.bus.ctx.Done():
			return
		}
		c.deliverWaiting(queue, lane, &out)
	}
}

// deliverWaiting delivers what waits already, a while: it costs less to look at one channel than at two.
func (c *core) deliverWaiting(queue chan *nats.Msg, lane uint32, out *bus.Message) {
	for range coreQueue / 64 {
		select {
		case m := <-queue:
			c.deliver(m, lane, out)
		default:
			return
		}
	}
}

// tellHoles tells of the channels of a lane of which messages were lost.
func (c *core) tellHoles(lane uint32) {
	c.mu.Lock()
	var names []string
	for tok, w := range c.wanted {
		if w.lost && c.laneOf(tok) == lane {
			w.lost = false
			names = append(names, w.name)
		}
	}
	c.mu.Unlock()
	for _, name := range names {
		c.gap(lane, name)
	}
}

func (c *core) gap(lane uint32, channel string) {
	c.bus.gaps.Add(1)
	if h, ok := c.bus.handler.(bus.GapHandler); ok {
		h.Gap(channel, c.position(lane, c.lanes[lane].head.Load()))
	}
}

func (c *core) deliver(m *nats.Msg, lane uint32, out *bus.Message) {
	c.mu.Lock()
	w := c.wanted[lastToken(m.Subject)]
	if w == nil {
		c.mu.Unlock()
		return
	}
	lost := w.lost
	w.lost = false
	c.mu.Unlock()
	if lost {
		c.gap(lane, w.name)
	}
	e := &out.Event
	if err := decodeInto(e, m, w.name, time.Time{}, func() string { return event.NewID().String() }); err != nil {
		c.bus.unread(err)
		return
	}
	if e.Timestamp.IsZero() {
		e.Timestamp = time.Now().UTC()
	}
	out.Position, out.Parsed, out.Filled = c.position(lane, c.lanes[lane].head.Add(1)), nil, false
	c.bus.handler.Deliver(out)
	bus.Pace(c.bus.handler, out)
}

func (c *core) laneOf(tok string) uint32 { return partitionOf(tok, uint32(len(c.lanes))) }

func (c *core) position(lane uint32, seq uint64) event.Position {
	return event.Position{Epoch: c.epoch, Partition: lane, Minor: seq}
}

// history has nothing; it knows only where a channel stands.
func (c *core) history(channel string, after event.Position) bus.Page {
	lane := c.laneOf(token(channel))
	head := c.position(lane, c.lanes[lane].head.Load())
	return bus.Page{Head: head, Complete: after == head || after.IsZero() && head.Minor == 0}
}

// publishCore hands a batch to the server and waits until it has it. What was sent is not sent again.
func (s *session) publishCore(ctx context.Context, batch []bus.Message) (int, error) {
	bounded, cancel := context.WithTimeout(ctx, s.bus.timeout)
	defer cancel()
	now := time.Now()
	specs := &s.streams
	var enc encoder // the driver copies what it is given
	for i := range batch {
		e := &batch[i].Event
		sp := &specs[kindOf(e.Channel)]
		m := enc.encode(e, sp.subject(token(e.Channel)), now)
		err := fits(m, s.nc.MaxPayload())
		if err == nil {
			err = s.nc.PublishMsg(m)
		}
		switch {
		case err == nil:
		case i == 0 && errors.Is(err, nats.ErrConnectionClosed):
			return 0, fmt.Errorf("%w: %w", errAgain, err)
		default:
			// Those before it may have arrived: they count if the server says so.
			if flushed := s.nc.FlushWithContext(bounded); flushed == nil {
				return i, err
			}
			return 0, err
		}
	}
	if err := s.nc.FlushWithContext(bounded); err != nil {
		return 0, err
	}
	return len(batch), nil
}
