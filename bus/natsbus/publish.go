package natsbus

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// window is how many events of one Publish may be without an acknowledgement. It keeps the pipe full over a millisecond
// of round trip, and bounds what a failure in the middle leaves in doubt.
const window = 512

// lastResend is the longest pause before events are sent again.
const lastResend = 400 * time.Millisecond

// Publish sends the events one after another without waiting in between, and returns when each is acknowledged: stored,
// on a majority of the replicas. When the connection ends or JetStream has no leader meanwhile, what is not acknowledged
// is sent again, in order and with its id, as long as the publish timeout lasts since the last progress; JetStream drops
// what it has already. Nothing is sent of a batch with an event that is larger than the server takes. An event that
// fails while a later one is stored ends the batch: Accepted counts the events before it.
func (b *Bus) Publish(ctx context.Context, batch []bus.Message) (bus.Receipt, error) {
	r := bus.Receipt{Delivered: -1}
	deadline := time.Now().Add(b.timeout)
	for judged, pause := false, firstPause; r.Accepted < len(batch); {
		s, err := b.bounded(ctx)
		if err != nil {
			return r, fmt.Errorf("publish to nats: %w", err)
		}
		if !judged && len(batch) > 1 {
			if err := s.judge(batch); err != nil {
				return r, err
			}
		}
		judged = true
		n, err := s.publish(ctx, batch[r.Accepted:])
		if n > 0 {
			deadline = time.Now().Add(b.timeout)
		}
		if r.Accepted += n; err == nil {
			continue
		}
		if errors.Is(err, errUnordered) {
			b.unordered.Add(1)
		}
		var bad *event.Error
		switch {
		case errors.As(err, &bad):
			refused := *bad
			refused.Index = r.Accepted
			return r, &refused
		case ctx.Err() != nil:
			return r, fmt.Errorf("publish to nats: %w", ctx.Err())
		case !errors.Is(err, errAgain) || time.Now().Add(pause).After(deadline):
			return r, bus.Because(cmp.Or(causeOf(err), bus.Lost), fmt.Errorf("publish to nats: %w: %w", bus.ErrUnavailable, err))
		}
		// A pause that ends early says why at the next turn. Leaders are elected faster than servers come back.
		b.rest(ctx, &pause)
		pause = min(pause, lastResend)
	}
	return r, nil
}

var (
	// errAgain marks failures after which the same events can be sent again without changing their order.
	errAgain     = errors.New("can be sent again")
	errGone      = fmt.Errorf("the connection was lost: %w", errAgain)
	errNoAck     = bus.Because(bus.Silent, errors.New("no acknowledgement in time"))
	errUnordered = errors.New("an event was not stored, but a later one was")
)

// call is one batch on its way. Its acknowledgements are counted by the goroutine of the session's subscription.
type call struct {
	mu     sync.Mutex
	acked  []bool
	prefix int // acknowledged before the first that is not
	count  int // acknowledged, or answered
	failed int // index of the first that failed, -1
	err    error
	wake   chan struct{} // holds one when something changed
}

// publish sends leading events of a batch over this connection, all of them unless there is an error or they are sent as
// wholes. It returns how many are acknowledged.
func (s *session) publish(ctx context.Context, batch []bus.Message) (int, error) {
	switch {
	case s.bus.core != nil:
		return s.publishCore(ctx, batch)
	case s.asWhole(batch):
		return s.publishWhole(ctx, batch)
	}
	return s.publishEach(ctx, batch)
}

// publishEach sends events one by one.
func (s *session) publishEach(ctx context.Context, batch []bus.Message) (int, error) {
	c := &call{acked: make([]bool, len(batch)), failed: -1, wake: make(chan struct{}, 1)}
	id, reply := s.begin(c)
	defer s.finish(id)
	timer := time.NewTimer(s.bus.timeout)
	defer timer.Stop()
	now := time.Now()
	var enc encoder // the driver copies what it is given
	for i := range batch {
		if i >= window {
			if err := s.wait(ctx, c, i-window+1, timer); err != nil {
				return c.result(err)
			}
		}
		m, err := s.message(&enc, &batch[i].Event, now)
		if err != nil {
			// Those before it are on their way: they count if they arrive.
			if waited := s.wait(ctx, c, i, timer); waited != nil {
				err = waited
			}
			return c.result(err)
		}
		m.Reply = reply + strconv.Itoa(i)
		if err := s.nc.PublishMsg(m); err != nil {
			return c.result(fmt.Errorf("%w: %w", errAgain, err))
		}
	}
	if len(batch) == 1 && s.replicated.Load() { // no order is at stake: it need not be waited for where a leader is gone
		return c.result(s.soon(ctx, c, 1))
	}
	return c.result(s.wait(ctx, c, len(batch), timer))
}

// mostHeaders is more than the headers of an event take besides its texts, of which each byte takes three at most.
const mostHeaders = 1024

// judge refuses a batch, before anything of it is sent, that has an event which the server would not take.
func (s *session) judge(batch []bus.Message) error {
	most, now := s.nc.MaxPayload(), time.Now()
	for i := range batch {
		e := &batch[i].Event
		texts := len(e.Type) + len(e.ID) + len(e.TenantID) + len(e.UserID) + len(e.FederationID) + len(e.ServiceName)
		if int64(len(e.Data)+3*texts+mostHeaders) <= most {
			continue
		}
		if _, err := s.message(new(encoder), e, now); err != nil {
			refused := *err.(*event.Error)
			refused.Index = i
			return &refused
		}
	}
	return nil
}

// message is the message of an event, or an error that says why the server would not take it.
func (s *session) message(enc *encoder, e *event.Event, now time.Time) (*nats.Msg, error) {
	sp := &s.streams[kindOf(e.Channel)]
	m := enc.encode(e, sp.subject(token(e.Channel)), now)
	return m, fits(m, s.nc.MaxPayload())
}

// headerSlack is more than the server adds up for the lines of headers, and than those of a whole are.
const headerSlack = 128

func fits(m *nats.Msg, most int64) error {
	size := len(m.Data) + headerSlack
	for name, values := range m.Header {
		size += len(name) + len(values[0]) + 4
	}
	if int64(size) <= most {
		return nil
	}
	return &event.Error{
		Code: event.CodeInvalidValue, Member: "data",
		Message: fmt.Sprintf("with its headers is %d bytes, but the NATS server takes messages of %d (its setting max_payload)", size, most),
	}
}

// begin registers a call and returns the subject, without the index, that its acknowledgements go to.
func (s *session) begin(c *call) (id uint64, reply string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next++
	s.calls[s.next] = c
	return s.next, s.acks + strconv.FormatUint(s.next, 10) + "-"
}

func (s *session) finish(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.calls, id)
}

// notify wakes whoever waits for the call.
func (c *call) notify() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// wait returns when n of the call's events are acknowledged, or an error.
func (s *session) wait(ctx context.Context, c *call, n int, timer *time.Timer) error {
	for before := -1; ; {
		c.mu.Lock()
		count, err := c.count, c.err
		c.mu.Unlock()
		switch {
		case err != nil:
			return err
		case count >= n:
			return nil
		case count > before:
			before = count
			timer.Reset(s.bus.timeout)
		}
		select {
		case <-c.wake:
		case <-s.gone:
			return errGone
		case <-timer.C:
			return errNoAck
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// result ends a call with its leading acknowledged events.
func (c *call) result(err error) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil && errors.Is(err, errAgain) && c.count > c.prefix {
		return c.prefix, errUnordered // sending the missing one again would put it behind those that are stored
	}
	return c.prefix, err
}

// acknowledged takes what JetStream says of one event.
func (s *session) acknowledged(m *nats.Msg) {
	id, index, ok := strings.Cut(lastToken(m.Subject), "-")
	n, bad := strconv.ParseUint(id, 10, 64)
	i, worse := strconv.Atoi(index)
	if !ok || bad != nil || worse != nil {
		return
	}
	s.mu.Lock()
	c := s.calls[n]
	s.mu.Unlock()
	if c == nil || i < 0 || i >= len(c.acked) {
		return
	}
	err := ackError(m)
	c.mu.Lock()
	switch {
	case errors.Is(err, errAbsent):
		c.count++
	case err != nil:
		if c.failed < 0 || i < c.failed {
			c.failed, c.err = i, err
		}
	case !c.acked[i]:
		c.acked[i] = true
		c.count++
		for c.prefix < len(c.acked) && c.acked[c.prefix] {
			c.prefix++
		}
	}
	c.mu.Unlock()
	c.notify()
}

// ackError reads an acknowledgement; nil: the event is stored, now or before.
func ackError(m *nats.Msg) error {
	if len(m.Data) == 0 {
		return bus.Because(bus.NotReady, fmt.Errorf("no stream takes it: %w", errAgain)) // no responders: no leader, or the stream was deleted
	}
	if !bytes.Contains(m.Data, []byte(`"error"`)) {
		return nil
	}
	var answer struct {
		Error struct {
			Code        int    `json:"code"`
			ErrCode     int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return errors.New("an acknowledgement that cannot be read")
	}
	err := fmt.Errorf("JetStream refused: %.200s", answer.Error.Description)
	switch {
	case answer.Error.Code >= 500, answer.Error.ErrCode == incompleteWhole, answer.Error.ErrCode == inProcess: // no leader, no quorum, not ready, or another leader
		return fmt.Errorf("%w: %w", err, errAgain)
	case answer.Error.ErrCode == tooManyWholes, answer.Error.ErrCode == noWholes:
		return fmt.Errorf("%w: %w", err, errParts)
	case answer.Error.ErrCode == repeatedInWhole:
		return fmt.Errorf("%w: %w", err, errHeld)
	case answer.Error.ErrCode == wrongLast:
		return fmt.Errorf("%w: %w", err, errAbsent)
	}
	return err
}
