package fraiseql

import (
	"context"
	"errors"
	"fmt"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// ErrNoWork says that the event bus cannot give an event to one node alone.
var ErrNoWork = errors.New("this event bus gives no event to one node alone: memory:// and redis:// do")

// Work calls fn for events of a channel, for work that must be done once however many nodes there are: each event goes
// to one node of the group, in order, one at a time per node. It goes to this or another node again when fn returned
// an error or panicked, and when the node died before fn had returned: what fn does should bear being done twice. A
// group begins with events that are published after it was first named. Events that no subscription may see, such as
// those without a tenant under strict isolation, are worked on all the same.
//
// Work returns ctx's error when ctx ends, bus.ErrClosed when the engine or its bus is closed, and ErrNoWork or what is
// wrong with the names at once. Close ends fn's context, too, and waits for it.
func (e *Engine) Work(ctx context.Context, group, channel string, fn func(ctx context.Context, ev *Event) error) error {
	if err := e.CheckWork(group, channel); err != nil {
		return err
	}
	if !e.beginWork() {
		return bus.ErrClosed
	}
	defer e.works.Done()
	working, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(e.control.ctx, stop)() // Close ends it
	err := e.bus.(bus.Worker).Work(working, group, channel, func(ctx context.Context, m *bus.Message) (err error) {
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("panic: %v", v)
			}
			if err != nil && ctx.Err() == nil {
				e.log.Error("work on an event failed", "group", group, "channel", channel, "error", err)
			}
		}()
		return fn(ctx, &m.Event)
	})
	switch {
	case ctx.Err() == nil && e.closed.Load():
		return bus.ErrClosed
	case errors.Is(err, errors.ErrUnsupported):
		return ErrNoWork
	}
	return err
}

// beginWork counts a Work in, for Close to wait for; false: the engine is closed.
func (e *Engine) beginWork() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed.Load() { // Close sets it before it takes the lock and waits
		return false
	}
	e.works.Add(1)
	return true
}

// CheckWork returns what Work would return at once for these names.
func (e *Engine) CheckWork(group, channel string) error {
	if err := event.ValidateChannel(channel); err != nil {
		return fmt.Errorf("work: the name of the channel %s", err.Message)
	}
	if err := event.ValidateChannel(group); err != nil { // the same rules hold for names of groups
		return fmt.Errorf("work: the name of the group %s", err.Message)
	}
	if _, ok := e.bus.(bus.Worker); !ok {
		return ErrNoWork
	}
	return nil
}
