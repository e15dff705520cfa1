package fraiseql

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

const (
	// askType is the type of the event by which a node asks the others for the revocations that are in force.
	askType = "ask"
	// sharedAtOnce is how many revocations are published in one batch, sharedEach what each takes of a node's time: what all nodes
	// together tell must not be more than the queues of any of them take, or the others would be asked again.
	sharedAtOnce = 64
	sharedEach   = 50 * time.Microsecond
	// asksAtOnce and askEach bound how often a node asks: a queue may overflow again and again.
	asksAtOnce = 3
	askEach    = time.Second
)

// again ends the data of a revocation that is told again.
var again = []byte(`,"again":true}`)

// share is what nodes tell one another where the bus keeps nothing: one that starts, or was cut off, asks the others for the
// revocations that are in force, and they publish theirs again, each of them what no other one has.
type share struct {
	unsure   atomic.Bool // the others are to be asked
	question []byte      // the data of this node's questions
	paced    time.Time   // when the questions so far would have ended, askEach after one another; of the goroutine that asks

	mu    sync.Mutex
	owing bool                // what is in force here is to be published
	told  map[string]struct{} // data of what was told again since the last question; nil: nothing is owed, nor being published
	count int                 // of what was told again, ever
}

func (s *share) init() {
	s.question = append(event.AppendID([]byte(`{"node":"`), event.NewID()), `"}`...)
	s.unsure.Store(true)
}

// pace waits until there may be another question.
func (s *share) pace(ctx context.Context) error {
	if now := time.Now(); s.paced.Before(now) {
		s.paced = now
	}
	s.paced = s.paced.Add(askEach)
	return rest(ctx, time.Until(s.paced.Add(-asksAtOnce*askEach)))
}

// rest waits for some time; the error is that of ctx.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// missed notes that control events may be missing. Another node's question may be one of them.
func (s *share) missed() {
	s.unsure.Store(true)
	s.owe()
}

// owe notes a question: nothing was told since.
func (s *share) owe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owing, s.told = true, map[string]struct{}{}
}

// pay reports whether anything is owed, which is not any more.
func (s *share) pay() (owing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	owing, s.owing = s.owing, false
	return owing
}

// paid ends what pay has begun; failed: it is owed still.
func (s *share) paid(failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owing = s.owing || failed; !s.owing {
		s.told = nil
	}
}

// hear notes a revocation that was told again, by this node or another one.
func (s *share) hear(data []byte) {
	if !bytes.HasSuffix(data, again) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	if s.told != nil && len(s.told) < maxRevocations+revocationSpare {
		s.told[string(data)] = struct{}{}
	}
}

// heard returns how many were told again so far.
func (s *share) heard() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// silent reports whether nobody has told a revocation since the last question.
func (s *share) silent(data []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, told := s.told[string(data)]
	return !told
}

// forgetful reports whether other nodes publish to the bus, and it keeps nothing.
func (e *Engine) forgetful() bool {
	d := bus.Describe(e.bus)
	return d.Shared && !d.Durable
}

// asked takes a question, which is answered by the goroutine of the control events.
func (e *Engine) asked(m *bus.Message) {
	s := &e.control.share
	if string(m.Event.Data) == string(s.question) || !e.forgetful() {
		return
	}
	s.owe()
	e.wakeControl(e.control.reads)
}

// shareControl asks the others, and publishes what is owed to them, if the bus keeps nothing.
func (e *Engine) shareControl(ctx context.Context) error {
	if !e.forgetful() {
		return nil
	}
	s := &e.control.share
	if s.unsure.Load() {
		if err := s.pace(ctx); err != nil {
			return err
		}
		s.unsure.Store(false)
		if err := e.ask(ctx); err != nil {
			s.unsure.Store(true)
			return err
		}
	}
	if !s.pay() {
		return nil
	}
	err := e.announce(ctx)
	s.paid(err != nil)
	return err
}

func (e *Engine) ask(ctx context.Context) error {
	now := event.Now()
	if err := e.publishControl(ctx, []bus.Message{{Event: event.Event{Channel: bus.ControlChannel, Type: askType, Data: e.control.share.question, Timestamp: now, UID: event.NewIDAt(now)}}}); err != nil {
		return err
	}
	e.log.Warn("the bus keeps no revocations: the other nodes were asked for those that are in force, and what none of them knows must be revoked again")
	return nil
}

// announce publishes the revocations that are in force here and that nobody has told, each as of the time at which it was made.
// Every node has them in another order.
func (e *Engine) announce(ctx context.Context) error {
	s := &e.control.share
	now := time.Now()
	for list := e.control.rules.List(now); len(list) > 0; {
		var batch []bus.Message
		for ; len(list) > 0 && len(batch) < sharedAtOnce; list = list[1:] {
			data := list[0].Rule.Append(nil)
			if data = append(data[:len(data)-1], again...); !s.silent(data) {
				continue
			}
			batch = append(batch, bus.Message{Event: event.Event{
				Channel: bus.ControlChannel, Type: revocationType, Data: data, Timestamp: list[0].Until.Add(-e.cfg.keptFor()), UID: event.NewIDAt(now),
			}})
		}
		if len(batch) == 0 {
			return nil
		}
		before := s.heard()
		if err := e.publishControl(ctx, batch); err != nil {
			return err
		}
		if err := rest(ctx, sharedEach*time.Duration(max(len(batch), s.heard()-before))); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) publishControl(ctx context.Context, batch []bus.Message) error {
	if _, err := e.bus.Publish(ctx, batch); err != nil {
		return errors.Join(errors.New("publish to the control channel"), err)
	}
	return nil
}
