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
// Work returns ctx's error when ctx ends, and bus.ErrClosed, ErrNoWork or what is wrong with the names before.
func (e *Engine) Work(ctx context.Context, group, channel string, fn func(ctx context.Context, ev *Event) error) error {
	if err := e.CheckWork(group, channel); err != nil {
		return err
	}
	err := e.bus.(bus.Worker).Work(ctx, group, channel, func(ctx context.Context, m *bus.Message) (err error) {
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
	if errors.Is(err, errors.ErrUnsupported) {
		return ErrNoWork
	}
	return err
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
