package redisbus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/redis/rueidis"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// pubsub is the bus in its plain form: events are published to Redis' channels and forgotten there.
//
// Each lane delivers the events of the channels that fall into it, in the order in which Redis sent them. Redis' own
// channels are prefix:channel; in a cluster they are {prefix:lane}:channel and sharded, and each lane has a connection.
type pubsub struct {
	bus         *Bus
	epoch       uint64
	lanes       []*lane
	subscribers []*subscriber

	mu     sync.Mutex
	topics map[string]*topic
}

// topic is a channel of interest.
type topic struct {
	wanted    bool
	confirmed chan struct{} // closed once Redis has confirmed the subscription
	open      bool          // it has
	asked     bool          // it was asked to, on the present connection
}

// lane is a line of channels.
type lane struct {
	number uint32
	queue  chan arrival
	bytes  atomic.Int64  // in the queue
	lost   atomic.Bool   // something did not fit since
	last   atomic.Uint64 // delivered so far
}

// arrival is a message, or the news that messages of the channel, or without a name of the whole lane, may be missing.
type arrival struct {
	name, payload string
	missing       bool
}

const (
	lanes     = defaultPartitions
	laneQueue = 4096
	laneBytes = 32 << 20
)

func newPubsub(b *Bus) *pubsub {
	s := &pubsub{bus: b, epoch: rand.Uint64() | 1, topics: map[string]*topic{}}
	for i := range lanes {
		s.lanes = append(s.lanes, &lane{number: uint32(i), queue: make(chan arrival, laneQueue)})
	}
	n := 1
	if b.cfg.topology == cluster {
		n = lanes
	}
	for range n {
		s.subscribers = append(s.subscribers, &subscriber{ear: newEar(), pubsub: s, kick: make(chan struct{}, 1), dirty: map[string]struct{}{}})
	}
	return s
}

// start begins to deliver.
func (s *pubsub) start(h bus.Handler) {
	for _, l := range s.lanes {
		s.bus.running.Go(func() { s.run(l, h) })
	}
	for _, r := range s.subscribers {
		s.bus.link.listen(r.ear)
		s.bus.running.Go(r.run)
	}
}

func (s *pubsub) lane(channel string) *lane {
	return s.lanes[checksum(channel)%lanes]
}

// subscriber returns who subscribes to a channel.
func (s *pubsub) subscriber(channel string) *subscriber {
	return s.subscribers[int(s.lane(channel).number)%len(s.subscribers)]
}

// name is what a channel is called at Redis.
func (s *pubsub) name(channel string) string {
	if s.bus.cfg.topology == cluster {
		return "{" + s.bus.cfg.prefix + ":" + strconv.Itoa(int(s.lane(channel).number)) + "}:" + channel
	}
	return s.bus.cfg.prefix + ":" + channel
}

// want notes an interest.
func (s *pubsub) want(channel string, wanted bool) {
	r := s.subscriber(channel)
	s.mu.Lock()
	t := s.topics[channel]
	if t == nil && wanted {
		t = &topic{confirmed: make(chan struct{})}
		s.topics[channel] = t
	}
	if t != nil && t.wanted != wanted {
		t.wanted = wanted
		r.dirty[channel] = struct{}{}
	}
	s.mu.Unlock()
	r.wake()
}

// confirmed returns what is closed once a channel that is wanted is subscribed to; nil: it is, or is not wanted.
func (s *pubsub) confirmed(channel string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.topics[channel]; t != nil && t.wanted && !t.open {
		return t.confirmed
	}
	return nil
}

// settle waits until a channel's subscription, if it is wanted, is confirmed.
func (s *pubsub) settle(ctx context.Context, channel string) error {
	s.bus.start()
	for {
		wait := s.confirmed(channel)
		if wait == nil {
			return nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.bus.ctx.Done():
			return bus.ErrClosed
		}
	}
}

// publish sends each event once: one that is in doubt is not sent again.
func (s *pubsub) publish(ctx context.Context, batch []bus.Message) (accepted int, err error) {
	if err := s.bus.awaitUp(ctx); err != nil {
		return 0, err
	}
	c := *s.bus.client.Load()
	commands := make([]rueidis.Completed, len(batch))
	now := time.Now()
	for i := range batch {
		e := &batch[i].Event
		if err := s.settle(ctx, e.Channel); err != nil {
			return 0, err
		}
		payload, err := encode(e, now)
		if err != nil {
			return 0, err
		}
		verb := "PUBLISH"
		if s.bus.cfg.topology == cluster {
			verb = "SPUBLISH"
		}
		commands[i] = c.B().Arbitrary(verb).Keys(s.name(e.Channel)).Args(payload).Build()
	}
	for i, r := range c.DoMulti(ctx, commands...) {
		if failed := r.Error(); failed != nil && err == nil {
			s.bus.lost(nil, failed)
			err = failed
		}
		if err == nil {
			accepted = i + 1
		}
	}
	return accepted, err
}

// envelope is the JSON of an event, without its data.
type envelope struct {
	Version   int        `json:"v"`
	Channel   string     `json:"channel"`
	Type      string     `json:"type"`
	ID        string     `json:"id,omitempty"`
	Tenant    string     `json:"tenant_id,omitempty"`
	User      string     `json:"user_id,omitempty"`
	Fed       string     `json:"federation_id,omitempty"`
	Service   string     `json:"service_name,omitempty"`
	Broadcast bool       `json:"broadcast,omitempty"`
	Timestamp *time.Time `json:"timestamp,omitempty"`
}

// received is an event as others may write it.
type received struct {
	envelope
	Version *int            `json:"v"`
	Tenant  addressValue    `json:"tenant_id"`
	User    addressValue    `json:"user_id"`
	Fed     addressText     `json:"federation_id"`
	Service addressText     `json:"service_name"`
	Data    json.RawMessage `json:"data"`
}

// addressText is a federation or service as others may write it: a string, once. Null and the empty string are refused:
// an absent one means that the event is for more, which a writer that has left it empty did not mean.
type addressText string

// UnmarshalJSON is called for each member of the name.
func (a *addressText) UnmarshalJSON(text []byte) error {
	if *a != "" {
		return errAddress
	}
	if text[0] == '"' && bytes.IndexByte(text, '\\') < 0 && utf8.Valid(text) {
		*a = addressText(text[1 : len(text)-1])
	} else if json.Unmarshal(text, (*string)(a)) != nil {
		return errAddress
	}
	if *a == "" {
		return errAddress
	}
	return nil
}

// addressValue is a tenant or user likewise: a string, or an integer, which is its digits.
type addressValue string

// UnmarshalJSON is called for each member of the name.
func (a *addressValue) UnmarshalJSON(text []byte) error {
	if text[0] != '-' && (text[0] < '0' || text[0] > '9') {
		return (*addressText)(a).UnmarshalJSON(text)
	}
	if *a != "" || bytes.ContainsAny(text, ".eE") {
		return errAddress
	}
	if string(text) == "-0" {
		text = text[1:]
	}
	*a = addressValue(text)
	return nil
}

// encode writes the envelope with the event's data as it is.
func encode(e *event.Event, now time.Time) (string, error) {
	at := e.Timestamp.UTC()
	if e.Timestamp.IsZero() {
		at = now.UTC()
	}
	name := string(e.AppendID(nil))
	text, err := json.Marshal(envelope{
		Version: 1, Channel: e.Channel, Type: e.Type, ID: name, Tenant: e.TenantID, User: e.UserID, Fed: e.FederationID,
		Service: e.ServiceName, Broadcast: e.Broadcast, Timestamp: &at,
	})
	if err != nil {
		return "", problem("the event cannot be written as JSON")
	}
	text = append(append(append(text[:len(text)-1], `,"data":`...), e.Data...), '}')
	return rueidis.BinaryString(text), nil
}

var errEnvelope = errEntry("it is not the JSON of an event")

// read reads what encode or another program has written.
func read(channel, payload string) (event.Event, error) {
	var r received
	if err := json.Unmarshal([]byte(payload), &r); err != nil {
		var why errEntry
		if errors.As(err, &why) {
			return event.Event{}, why
		}
		return event.Event{}, errEnvelope
	}
	e := event.Event{
		Channel: r.Channel, Type: r.Type, ID: r.ID, TenantID: string(r.Tenant), UserID: string(r.User), FederationID: string(r.Fed), ServiceName: string(r.Service),
		Broadcast: r.Broadcast, Data: r.Data, Timestamp: time.Now(),
	}
	if r.Timestamp != nil {
		e.Timestamp = *r.Timestamp
	}
	switch {
	case r.Version != nil && *r.Version != 1:
		return e, errVersion
	case e.Channel == "":
		e.Channel = channel
	case e.Channel != channel:
		return e, errHome
	}
	if e.ID == "" {
		e.ID = event.NewID().String()
	}
	return e, validate(&e)
}

// history knows nothing but where the channel is.
func (s *pubsub) history(channel string, after event.Position) (bus.Page, error) {
	if problem := s.bus.link.problemNow(); problem != "" {
		return bus.Page{}, errors.New(problem)
	}
	l := s.lane(channel)
	head := event.Position{Epoch: s.epoch, Partition: l.number, Minor: l.last.Load()}
	return bus.Page{Head: head, Complete: after == head}, nil
}
