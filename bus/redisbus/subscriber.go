package redisbus

import (
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// subscriber keeps the subscriptions of one connection as they are wanted.
type subscriber struct {
	*ear
	pubsub *pubsub
	kick   chan struct{}
	dirty  map[string]struct{} // channels whose interest has changed, under pubsub.mu
}

func (r *subscriber) wake() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// run subscribes until the bus is closed.
func (r *subscriber) run() {
	b := r.pubsub.bus
	var wait backoff
	for b.ctx.Err() == nil {
		began := time.Now()
		err := r.session()
		r.forget()
		if err != nil {
			r.calm()
			b.lost(r.ear, err)
			if time.Since(began) > time.Second {
				wait = backoff{}
			}
			b.pause(wait.next(), r.retry)
		}
	}
}

// session subscribes over one connection until it breaks. It is made when something is wanted.
func (r *subscriber) session() error {
	b := r.pubsub.bus
	for !r.pubsub.pending(r) {
		b.heard(r.ear)
		select {
		case <-r.kick:
		case <-b.ctx.Done():
			return nil
		}
	}
	r.wake()
	c, release := (*b.client.Load()).Dedicate()
	defer release()
	broken := c.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: r.message, OnSubscription: r.subscription})
	for {
		select {
		case err := <-broken:
			return err
		case <-b.ctx.Done():
			c.Close()
			return nil
		case <-r.kick:
		}
		subscribe, unsubscribe := r.pubsub.changes(r)
		for verb, names := range map[string][]string{"SUBSCRIBE": subscribe, "UNSUBSCRIBE": unsubscribe} {
			if err := r.do(c, verb, names); err != nil {
				return err
			}
		}
		r.settled()
	}
}

// settled notes it when everything that is wanted is subscribed to.
func (r *subscriber) settled() {
	if !r.hears.Load() && r.pubsub.complete(r) {
		r.pubsub.bus.heard(r.ear)
	}
}

// complete reports whether Redis has confirmed everything that is wanted of a subscriber.
func (s *pubsub) complete(r *subscriber) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for channel, t := range s.topics {
		if t.wanted && !t.open && s.subscriber(channel) == r {
			return false
		}
	}
	return true
}

// do subscribes or unsubscribes; what is wanted meanwhile comes with the next call.
func (r *subscriber) do(c rueidis.DedicatedClient, verb string, names []string) error {
	const most = 256
	b := r.pubsub.bus
	sharded := b.cfg.topology == cluster
	for len(names) > 0 {
		some := names[:min(len(names), most)]
		names = names[len(some):]
		var command rueidis.Completed
		switch {
		case verb == "SUBSCRIBE" && sharded:
			command = c.B().Ssubscribe().Channel(some...).Build()
		case verb == "SUBSCRIBE":
			command = c.B().Subscribe().Channel(some...).Build()
		case sharded:
			command = c.B().Sunsubscribe().Channel(some...).Build()
		default:
			command = c.B().Unsubscribe().Channel(some...).Build()
		}
		if err := c.Do(b.ctx, command).Error(); err != nil {
			return err
		}
	}
	return nil
}

// pending reports whether a subscriber has anything to ask Redis for; what is no longer wanted needs no connection.
func (s *pubsub) pending(r *subscriber) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for channel := range r.dirty {
		t := s.topics[channel]
		if t != nil && t.wanted {
			return true
		}
		delete(r.dirty, channel)
		if t != nil {
			s.dropLocked(channel, t)
		}
	}
	return false
}

// changes returns what a subscriber must ask Redis for now, and notes that it was asked.
func (s *pubsub) changes(r *subscriber) (subscribe, unsubscribe []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for channel := range r.dirty {
		t := s.topics[channel]
		switch {
		case t == nil:
		case t.wanted && !t.asked:
			t.asked = true
			subscribe = append(subscribe, s.name(channel))
		case !t.wanted:
			if t.asked {
				unsubscribe = append(unsubscribe, s.name(channel))
			}
			s.dropLocked(channel, t)
		}
	}
	clear(r.dirty)
	return subscribe, unsubscribe
}

// dropLocked forgets a topic; who waited for it looks again.
func (s *pubsub) dropLocked(channel string, t *topic) {
	if !t.open {
		close(t.confirmed)
	}
	delete(s.topics, channel)
}

// subscription is told of what Redis has confirmed.
func (r *subscriber) subscription(m rueidis.PubSubSubscription) {
	s := r.pubsub
	if m.Kind != "subscribe" && m.Kind != "ssubscribe" {
		return
	}
	channel := s.channel(m.Channel)
	s.mu.Lock()
	if t := s.topics[channel]; t != nil && !t.open {
		t.open = true
		close(t.confirmed)
	}
	s.mu.Unlock()
	r.settled()
}

// channel is the inverse of name.
func (s *pubsub) channel(name string) string {
	if s.bus.cfg.topology == cluster {
		_, channel, _ := strings.Cut(name, "}:")
		return channel
	}
	return strings.TrimPrefix(name, s.bus.cfg.prefix+":")
}

// forget notes that a connection is gone: nothing is confirmed, and messages may be missing.
func (r *subscriber) forget() {
	s := r.pubsub
	s.mu.Lock()
	var channels []string
	for channel, t := range s.topics {
		if s.subscriber(channel) != r {
			continue
		}
		if t.open {
			channels = append(channels, channel)
			t.open, t.confirmed = false, make(chan struct{})
		}
		t.asked = false
		r.dirty[channel] = struct{}{}
	}
	s.mu.Unlock()
	for _, channel := range channels {
		l := s.lane(channel)
		if !l.put(arrival{name: channel, missing: true}) {
			l.lost.Store(true)
		}
	}
}

// message takes what Redis sends. It must not wait: what does not fit is dropped, and told of.
func (r *subscriber) message(m rueidis.PubSubMessage) {
	s := r.pubsub
	channel := s.channel(m.Channel)
	l := s.lane(channel)
	if l.lost.Load() && !l.put(arrival{missing: true}) {
		return // the hole has not been noted yet: it grows
	}
	if l.lost.Swap(false); !l.put(arrival{name: channel, payload: m.Message}) {
		l.lost.Store(true)
	}
}

// put puts something into the queue if it fits.
func (l *lane) put(a arrival) bool {
	size := int64(len(a.payload))
	if l.bytes.Add(size) <= laneBytes || size == 0 {
		select {
		case l.queue <- a:
			return true
		default:
		}
	}
	l.bytes.Add(-size)
	return false
}

// run delivers the messages of one lane.
func (s *pubsub) run(l *lane, h bus.Handler) {
	gaps, _ := h.(bus.GapHandler)
	for {
		var a arrival
		select {
		case a = <-l.queue:
		case <-s.bus.ctx.Done():
			return
		}
		l.bytes.Add(-int64(len(a.payload)))
		if s.bus.ctx.Err() != nil {
			return
		}
		switch {
		case !a.missing:
		case a.name != "":
			s.gap(gaps, l, a.name)
			continue
		default:
			s.gap(gaps, l, s.wanted(l)...)
			continue
		}
		e, err := read(a.name, a.payload)
		if err != nil {
			s.bus.reports.dropMessage(s.bus.o.Logger, err)
			continue
		}
		if !s.wants(a.name) {
			continue
		}
		m := &bus.Message{Event: e, Position: event.Position{Epoch: s.epoch, Partition: l.number, Minor: l.last.Add(1)}}
		h.Deliver(m)
		bus.Pace(h, m)
		if len(l.queue) == 0 && l.lost.CompareAndSwap(true, false) { // nothing came since that the hole could be told before
			s.gap(gaps, l, s.wanted(l)...)
		}
	}
}

// gap tells that messages may be missing.
func (s *pubsub) gap(h bus.GapHandler, l *lane, channels ...string) {
	for _, channel := range channels {
		s.bus.reports.gaps.Add(1)
		at := event.Position{Epoch: s.epoch, Partition: l.number, Minor: l.last.Add(1)}
		if h != nil && s.wants(channel) {
			h.Gap(channel, at)
		}
	}
}

func (s *pubsub) wants(channel string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[channel]
	return t != nil && t.wanted
}

// wanted returns the channels of a lane.
func (s *pubsub) wanted(l *lane) (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for channel, t := range s.topics {
		if t.wanted && s.lane(channel) == l {
			list = append(list, channel)
		}
	}
	return list
}
