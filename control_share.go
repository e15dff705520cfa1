package fraiseql

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

const (
	// askType is the type of the event by which a node asks the others for the revocations that are in force.
	askType = "ask"
	// sharedAtOnce is how many revocations are published in one batch.
	sharedAtOnce = 256
)

// share is what nodes tell one another where the bus keeps nothing: one that starts, or was cut off, asks the others for the
// revocations that are in force, and they publish theirs again.
type share struct {
	unsure   atomic.Bool // the others are to be asked
	owing    atomic.Bool // what is in force here is to be published
	question []byte      // the data of this node's questions
}

func (s *share) init() {
	s.question = append(event.AppendID([]byte(`{"node":"`), event.NewID()), `"}`...)
	s.unsure.Store(true)
}

// missed notes that control events may be missing. Another node's question may be one of them.
func (s *share) missed() {
	s.unsure.Store(true)
	s.owing.Store(true)
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
	s.owing.Store(true)
	e.wakeControl(e.control.reads)
}

// shareControl publishes what is owed to the others, and asks them, if the bus keeps nothing.
func (e *Engine) shareControl(ctx context.Context) error {
	if !e.forgetful() {
		return nil
	}
	s := &e.control.share
	if s.owing.Swap(false) {
		if err := e.announce(ctx); err != nil {
			s.owing.Store(true)
			return err
		}
	}
	if !s.unsure.Swap(false) {
		return nil
	}
	now := event.Now()
	if err := e.publishControl(ctx, []bus.Message{{Event: event.Event{Channel: bus.ControlChannel, Type: askType, Data: s.question, Timestamp: now, UID: event.NewIDAt(now)}}}); err != nil {
		s.unsure.Store(true)
		return err
	}
	e.log.Warn("the bus keeps no revocations: the other nodes were asked for those that are in force, and what none of them knows must be revoked again")
	return nil
}

// announce publishes the revocations that are in force here, each as of the time at which it was made.
func (e *Engine) announce(ctx context.Context) error {
	now := time.Now()
	var batch []bus.Message
	for _, kept := range e.control.rules.List(now) {
		batch = append(batch, bus.Message{Event: event.Event{
			Channel: bus.ControlChannel, Type: revocationType, Data: kept.Rule.Append(nil), Timestamp: kept.Until.Add(-e.cfg.keptFor()), UID: event.NewIDAt(now),
		}})
	}
	for len(batch) > 0 {
		n := min(len(batch), sharedAtOnce)
		if err := e.publishControl(ctx, batch[:n]); err != nil {
			return err
		}
		batch = batch[n:]
	}
	return nil
}

func (e *Engine) publishControl(ctx context.Context, batch []bus.Message) error {
	if _, err := e.bus.Publish(ctx, batch); err != nil {
		return errors.Join(errors.New("publish to the control channel"), err)
	}
	return nil
}
