package natsbus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// On a replicated stream a leader may be elected between two events that are on their way: the first is lost, the second
// stored. From NATS 2.12 on what is published together can be stored as a whole or not at all, which rules that out. An
// unreplicated stream elects nobody, and would write everything to its disk twice.
const (
	wholeEvents = 256
	wholeBytes  = 4 << 20 // the leader keeps it in memory meanwhile
	// wholeAnswer is how long to wait for the acknowledgement of a whole before it is sent again, which changes nothing
	// if it was stored.
	wholeAnswer = time.Second
)

// The headers of a whole.
const (
	headerBatch    = "Nats-Batch-Id"
	headerSequence = "Nats-Batch-Sequence"
	headerCommit   = "Nats-Batch-Commit"
)

// A message that expects a last sequence that no stream has is never stored: what the leader says of it is whether it
// knows its id, which it looks at first.
const (
	headerExpect = "Nats-Expected-Last-Sequence"
	neverLast    = "4611686018427387904"
)

// The codes of answers to a whole.
const (
	noWholes        = 10174 // the stream does not take them any more
	incompleteWhole = 10176 // the leader has not seen all of it
	repeatedInWhole = 10201 // an event of it is stored already
	inProcess       = 10158 // an event is on its way already, and may be stored or not
	wrongLast       = 10071 // the stream's last sequence is another than was expected
	tooManyWholes   = 10210 // on their way
)

var (
	// errParts is an answer after which the same events can be published one by one: the server has too many wholes on
	// their way, or takes none any more.
	errParts = errors.New("not as a whole")
	// errHeld is the answer to a whole of which some events are stored already, or all.
	errHeld = errors.New("stored already")
	// errAbsent is the answer to a question after an event that is not stored.
	errAbsent = errors.New("not stored")
)

// wholes reports whether the server knows them.
func (s *session) wholes() bool { return !older(s.nc.ConnectedServerVersion(), 2, 12) }

// asWhole reports whether the leading events are to be stored as a whole.
func (s *session) asWhole(batch []bus.Message) bool {
	return len(batch) > 1 && s.bus.core == nil && s.replicated.Load() && kindOf(batch[0].Event.Channel) == events
}

// publishWhole publishes leading events of a batch as a whole and returns how many it were.
func (s *session) publishWhole(ctx context.Context, batch []bus.Message) (int, error) {
	messages := s.piece(batch)
	if len(messages) < 2 {
		return s.publishEach(ctx, batch[:max(len(messages), 1)]) // which says why the first is refused, if it is
	}
	err := s.sendWhole(ctx, messages)
	switch {
	case errors.Is(err, errParts):
		return s.publishEach(ctx, batch[:len(messages)])
	case errors.Is(err, errHeld):
		return s.publishRest(ctx, messages)
	case err != nil:
		return 0, err
	}
	return len(messages), nil
}

// publishRest publishes those of messages that are not stored, in wholes of those that follow one another, and returns
// how many leading ones are stored then. A whole comes here that was stored while the acknowledgement was lost with its
// leader, and what a program publishes again together with more.
func (s *session) publishRest(ctx context.Context, messages []*nats.Msg) (int, error) {
	held, err := s.ask(ctx, messages)
	if err != nil {
		return 0, err
	}
	for n := 0; n < len(messages); {
		end := n + 1
		for end < len(messages) && held[end] == held[n] {
			end++
		}
		if !held[n] {
			if err := s.sendWhole(ctx, messages[n:end]); errors.Is(err, errHeld) || errors.Is(err, errParts) { // somebody was faster, or is
				return n, fmt.Errorf("%w: %w", err, errAgain)
			} else if err != nil {
				return n, err
			}
		}
		n = end
	}
	return len(messages), nil
}

// ask asks the leader which messages are stored. It changes nothing: it can be asked again whatever becomes of the answers.
func (s *session) ask(ctx context.Context, messages []*nats.Msg) ([]bool, error) {
	c := &call{acked: make([]bool, len(messages)), failed: -1, wake: make(chan struct{}, 1)}
	id, reply := s.begin(c)
	defer s.finish(id)
	for i, m := range messages {
		delete(m.Header, headerBatch)
		delete(m.Header, headerSequence)
		delete(m.Header, headerCommit)
		m.Header[headerExpect], m.Reply = []string{neverLast}, reply+strconv.Itoa(i)
		err := s.nc.PublishMsg(m)
		delete(m.Header, headerExpect)
		if m.Reply = ""; err != nil {
			return nil, fmt.Errorf("%w: %w", errAgain, err)
		}
	}
	if err := s.soon(ctx, c, len(messages)); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acked, nil
}

// piece makes the messages of leading events, up to the bounds of a whole, the first of another stream, or one that the server would
// not take.
func (s *session) piece(batch []bus.Message) (list []*nats.Msg) {
	now, bytes := time.Now(), 0
	for i := range batch {
		e := &batch[i].Event
		if len(list) == wholeEvents || kindOf(e.Channel) != events || len(list) > 0 && bytes+len(e.Data) > wholeBytes {
			break
		}
		m, err := s.message(new(encoder), e, now)
		if err != nil {
			break // the next turn begins with it
		}
		bytes += len(e.Data)
		list = append(list, m)
	}
	return list
}

// sendWhole sends messages as a whole and waits for its acknowledgement, which is that of the last. After an error that
// is errAgain they can be sent again: the whole is stored, which the leader knows then, or never will be.
func (s *session) sendWhole(ctx context.Context, messages []*nats.Msg) error {
	c := &call{acked: make([]bool, 1), failed: -1, wake: make(chan struct{}, 1)}
	id, reply := s.begin(c)
	defer s.finish(id)
	name := event.NewID().String()
	for i, m := range messages {
		m.Header[headerBatch], m.Header[headerSequence], m.Reply = []string{name}, []string{strconv.Itoa(i + 1)}, ""
		if delete(m.Header, headerCommit); i == len(messages)-1 {
			m.Header[headerCommit], m.Reply = []string{"1"}, reply+"0"
		}
		if err := s.nc.PublishMsg(m); err != nil {
			return fmt.Errorf("%w: %w", errAgain, err)
		}
	}
	return s.soon(ctx, c, 1)
}

// soon is wait for an answer that a leader gives at once; one that stepped down meanwhile says nothing.
func (s *session) soon(ctx context.Context, c *call, n int) error {
	timer := time.NewTimer(s.bus.timeout)
	defer timer.Stop()
	limited, cancel := context.WithTimeout(ctx, wholeAnswer)
	defer cancel()
	err := s.wait(limited, c, n, timer)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", errNoAck, errAgain)
	}
	return err
}
