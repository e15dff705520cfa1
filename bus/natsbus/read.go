package natsbus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fraiseql/fraiseql-go/bus"
)

var (
	errUnwanted = errors.New("nobody wants the partition")
	errRestart  = errors.New("the consumer ended")
)

const (
	heartbeat   = 2 * time.Second // the server says at least that often that the consumer lives
	pullExpires = 30 * time.Second
	pullCount   = 1024 // messages and bytes that may be on their way to a lane
	pullBytes   = 4 << 20
	// frontInterval is how often a lane that is behind asks whether the stream lost what it has yet to read.
	frontInterval = 100 * time.Millisecond
)

// read consumes the lane's partition over one session.
func (l *lane) read(ctx context.Context, s *session) error {
	consumer, err := l.begin(ctx, s)
	if err != nil {
		return s.cause(err)
	}
	p := &puller{
		s: s, lane: l, messages: make(chan *nats.Msg, pullCount+256),
		next: "$JS.API.CONSUMER.MSG.NEXT." + s.streams[l.key.kind].name + "." + consumer,
	}
	p.inbox = s.nc.NewInbox()
	sub, err := s.nc.ChanSubscribe(p.inbox, p.messages)
	if err != nil {
		return s.cause(err)
	}
	defer func() {
		// On a connection that has ended both have happened already.
		_ = sub.Unsubscribe()
		_ = s.nc.Publish("$JS.API.CONSUMER.DELETE."+s.streams[l.key.kind].name+"."+consumer, nil)
	}()
	return s.cause(p.run(ctx))
}

// cause names the end of the connection as such.
func (s *session) cause(err error) error {
	select {
	case <-s.gone:
		return errGone
	default:
		return err
	}
}

// begin finds out where to go on, tells of gaps, and creates the consumer.
func (l *lane) begin(ctx context.Context, s *session) (consumer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	l.stale.Store(false)
	st, err := s.revive(ctx, l.key.kind)
	if err != nil {
		return "", err
	}
	config := jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, AckPolicy: jetstream.AckNonePolicy, ReplayPolicy: jetstream.ReplayInstantPolicy,
		FilterSubject: s.streams[l.key.kind].stored(l.key.partition, "*"), InactiveThreshold: 10 * time.Second, MemoryStorage: true, Replicas: 1,
		MaxDeliver: 1, Description: "one partition, one node",
	}
	after, missing, err := l.resume(ctx, s, &st, &config)
	if err != nil {
		return "", err
	}
	config.OptStartSeq = after + 1
	if config.OptStartTime != nil {
		config.OptStartSeq = 0
	}
	made, err := s.js.CreateConsumer(ctx, s.streams[l.key.kind].name, config)
	if err != nil {
		return "", err
	}
	info := made.CachedInfo()
	if config.OptStartTime != nil {
		after, l.at.stored = info.Delivered.Stream, time.Time{}
	}
	if missing {
		l.gap(st.epoch, after)
	}
	l.at.created, l.at.epoch = st.created, st.epoch
	l.view, l.proven, l.pending, l.checked, l.covered, l.trusting = st, after, info.NumPending, time.Time{}, 0, false
	if l.at.seq = after; !l.known {
		l.known, l.at.stored = true, st.newest
		close(l.ready)
	}
	l.bus.reading.Store(nil)
	return info.Name, nil
}

// resume says after which sequence the lane goes on, and whether something before that is missing. If sequences were
// used twice it asks for a start by time instead.
func (l *lane) resume(ctx context.Context, s *session, st *state, config *jetstream.ConsumerConfig) (after uint64, missing bool, err error) {
	switch {
	case !l.known:
		return st.last, false, nil
	case !l.at.created.Equal(st.created): // another stream: all of it is new
		l.at.stored = time.Time{}
		return max(st.first, 1) - 1, true, nil
	}
	holds, err := l.holds(ctx, s, st)
	if err != nil {
		return 0, false, err
	}
	if !holds {
		if st.epoch == l.at.epoch {
			if *st, err = s.lostTail(ctx, l.key.kind, l.at.epoch); err != nil {
				return 0, false, err
			}
		}
		if l.at.stored.IsZero() {
			return st.last, true, nil
		}
		config.DeliverPolicy = jetstream.DeliverByStartTimePolicy
		from := l.at.stored.Add(1)
		config.OptStartTime = &from
		return 0, true, nil
	}
	after = l.at.seq
	if st.missing(after) {
		after, missing, l.at.stored = st.first-1, true, time.Time{}
	}
	return after, missing || st.epoch != l.at.epoch || st.deleted > l.view.deleted, nil
}

// holds reports whether the stream's message at the lane's position is still the one that was read, as far as that can
// be seen. A server that lost its newest messages gives their numbers to others.
func (l *lane) holds(ctx context.Context, s *session, st *state) (bool, error) {
	switch {
	case st.last < l.at.seq:
		return false, nil
	case l.at.stored.IsZero() || l.at.seq < st.first:
		return true, nil
	}
	m, err := s.get(ctx, l.key.kind, getRequest{Seq: l.at.seq})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return true, nil // deleted; a gap by the number of those deleted
	}
	return err == nil && m.Time.Equal(l.at.stored), err
}

// puller asks a consumer for messages and hands them to the lane.
type puller struct {
	s        *session
	lane     *lane
	messages chan *nats.Msg
	inbox    string
	next     string
	expect   uint64 // the consumer's number of the next message, less one
	count    int    // messages and bytes asked for that have not come
	bytes    int
	heard    bool
	began    uint64 // where the lane stood at the last look
	awaited  uint64 // the number of a message that the leader had then and this consumer had not delivered; 0: none
}

func (p *puller) run(ctx context.Context) error {
	if err := p.ask(); err != nil {
		return err
	}
	life := time.NewTicker(2*heartbeat + heartbeat/2)
	defer life.Stop()
	idle := time.NewTimer(linger)
	defer idle.Stop()
	late := time.NewTimer(heartbeat)
	defer late.Stop()
	for {
		select {
		case m := <-p.messages:
			if err := p.take(ctx, m); err != nil {
				return err
			}
		case <-life.C:
			if !p.heard && len(p.messages) == 0 {
				return errRestart
			}
			p.heard = false
			if p.lane.trusting {
				if err := p.lane.check(ctx, p.s, false, 0); err != nil {
					return err
				}
			}
			if p.look(ctx); p.awaited != 0 {
				late.Reset(heartbeat)
			}
		case <-late.C:
			if p.awaited > p.lane.at.seq && len(p.messages) == 0 {
				return errRestart
			}
		case <-p.lane.poke:
			if p.lane.stale.Swap(false) {
				return errRestart
			}
			idle.Reset(linger)
		case <-idle.C:
			if !p.lane.wanted() {
				return errUnwanted
			}
		case <-p.s.gone:
			return errGone
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// look asks the leader of the stream, if nothing has come since the last look, for what is next. A consumer lives on one
// server, which may lag behind the leader for long, and says in its heartbeats only that there is nothing it could send:
// the next one is made on another server, or on the same, sooner or later elsewhere.
func (p *puller) look(ctx context.Context) {
	at := p.lane.at.seq
	if p.awaited = 0; at != p.began || len(p.messages) > 0 {
		p.began = at
		return
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	sp := &p.s.streams[p.lane.key.kind]
	// No answer is no news: others watch whether JetStream answers.
	if m, err := p.s.get(ctx, p.lane.key.kind, getRequest{Seq: at + 1, NextFor: sp.stored(p.lane.key.partition, "*")}); err == nil {
		p.awaited = m.Seq
	}
}

// ask asks for as many messages as may be on their way, once half of them have come.
func (p *puller) ask() error {
	if p.count > pullCount/2 && p.bytes > pullBytes/2 {
		return nil
	}
	n, size := pullCount-p.count, max(pullBytes, 2*int(p.s.nc.MaxPayload()))-p.bytes
	body, err := json.Marshal(struct {
		Expires   time.Duration `json:"expires"`
		Batch     int           `json:"batch"`
		MaxBytes  int           `json:"max_bytes"`
		Heartbeat time.Duration `json:"idle_heartbeat"`
	}{pullExpires, n, size, heartbeat})
	if err != nil {
		return err
	}
	p.count, p.bytes = p.count+n, p.bytes+size
	return p.s.nc.PublishRequest(p.next, p.inbox, body)
}

// take handles what came to the inbox.
func (p *puller) take(ctx context.Context, m *nats.Msg) error {
	p.heard = true
	d, ok := parseDelivery(m.Reply)
	if !ok { // what a publisher calls Status is none
		return p.status(m)
	}
	if d.consumerSeq != p.expect+1 {
		return errRestart // lost on its way: the new consumer begins behind what was delivered
	}
	p.expect++
	p.count--
	p.bytes -= m.Size()
	if err := p.lane.front(ctx, p.s, d, len(p.messages)); err != nil {
		return err
	}
	p.lane.deliver(m, d)
	return p.ask()
}

// status handles what the server says about a request for messages.
func (p *puller) status(m *nats.Msg) error {
	switch value(m, "Status") {
	case "100":
		return nil
	case "408", "409":
		text := value(m, "Description")
		if strings.Contains(text, "Consumer Deleted") || strings.Contains(text, "Leadership Change") || strings.Contains(text, "Server Shutdown") {
			return errRestart
		}
		// A request that expired, or that its bytes were used up by.
		p.count -= figure(m, "Nats-Pending-Messages")
		p.bytes -= figure(m, "Nats-Pending-Bytes")
		return p.ask()
	}
	return errRestart
}

func figure(m *nats.Msg, name string) int {
	n, err := strconv.Atoi(value(m, name))
	if err != nil {
		return 0
	}
	return n
}

// delivery is what a message's reply subject says about it.
type delivery struct {
	seq, consumerSeq, pending uint64
	stored                    time.Time
}

// parseDelivery reads $JS.ACK.[domain.account.]stream.consumer.delivered.seq.consumerseq.time.pending[.token].
func parseDelivery(reply string) (d delivery, ok bool) {
	const first, short = 3, 9 // tokens: where the numbers begin at the earliest, and how many the old form has
	if !strings.HasPrefix(reply, "$JS.ACK.") {
		return d, false
	}
	skip := first + 1
	if n := strings.Count(reply, ".") + 1; n > short {
		skip += 2
	}
	rest := reply
	for range skip {
		if _, rest, ok = strings.Cut(rest, "."); !ok {
			return d, false
		}
	}
	var n [5]uint64
	for i := range n {
		var text string
		text, rest, _ = strings.Cut(rest, ".")
		v, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return d, false
		}
		n[i] = v
	}
	return delivery{seq: n[1], consumerSeq: n[2], stored: time.Unix(0, int64(n[3])), pending: n[4]}, true
}

// front makes sure, before a message is delivered, that none between it and the one before was dropped by the stream;
// else it tells of a gap. Numbers that are missing are those of other partitions, mostly. A lane that had read all there
// was gets the next message at once, before a stream of a sensible size can drop it. One that is behind asks for the
// stream's first message, once for all messages that wait here; while it is in the newer half of the stream, once in
// frontInterval, since nobody writes half a stream in that time. Somebody who purges the stream at that moment is
// noticed late, by that interval or, when the lane has caught up, by one heartbeat.
func (l *lane) front(ctx context.Context, s *session, d delivery, waiting int) error {
	jump := d.seq > l.at.seq+1
	switch {
	case l.covered > 0:
		if l.covered--; jump && l.view.missing(l.at.seq) {
			l.gap(l.at.epoch, l.at.seq)
		}
		return nil
	case !jump:
		return nil
	case l.view.roomy && l.pending == 0:
		return nil
	case l.view.roomy && time.Since(l.checked) < frontInterval && l.view.last-min(l.at.seq, l.view.last) <= l.at.seq-min(l.view.first, l.at.seq):
		l.trusting = true
		return nil
	}
	return l.check(ctx, s, jump, waiting)
}

// check looks at the stream's first message.
func (l *lane) check(ctx context.Context, s *session, jump bool, waiting int) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	st, err := s.inspect(ctx, l.key.kind)
	if err != nil || st.epoch != l.at.epoch {
		return errRestart
	}
	if jump && st.missing(l.at.seq) || l.trusting && st.missing(l.proven) || st.deleted > l.view.deleted {
		l.gap(st.epoch, l.at.seq)
	}
	l.view, l.proven, l.checked, l.covered, l.trusting = st, l.at.seq, time.Now(), waiting, false
	return nil
}

// deliver hands a message to the handler, if it is an event that somebody here wants.
func (l *lane) deliver(m *nats.Msg, d delivery) {
	if d.seq <= l.at.seq {
		l.bus.repeated.Add(1)
		return
	}
	l.at.seq, l.at.stored, l.pending = d.seq, d.stored, d.pending
	name, wanted := l.channel(lastToken(m.Subject))
	if !wanted {
		return
	}
	e, err := decode(m, name, d.stored.UTC(), func() string { return madeID(l.at.epoch, d.seq) })
	if err != nil {
		l.bus.unread(err)
		return
	}
	out := &bus.Message{Event: e, Position: position(l.at.epoch, l.key.partition, d.seq)}
	l.bus.handler.Deliver(out)
	bus.Pace(l.bus.handler, out)
}

// madeID is the id of an event that its publisher gave none: the same on every node.
func madeID(epoch, seq uint64) string { return fmt.Sprintf("nats-%x-%d", epoch, seq) }

// unread counts a message that is no event, and logs the first and then every thousandth.
func (b *Bus) unread(err error) {
	if n := b.unreadable.Add(1); n%1000 == 1 {
		b.log.Warn("a message is no event and was left out", "bus", "nats", "reason", err.Error(), "so_far", n)
	}
}
