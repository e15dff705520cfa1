package fraiseql

import (
	"context"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/session"
)

const (
	// establishTimeout bounds how long a subscription waits until the bus brings everything that is acknowledged from
	// now on.
	establishTimeout = 5 * time.Second
	// positionsEvery is how often subscribers that resume are told that only the position moved.
	positionsEvery = 30 * time.Second
)

// busAccess is what the hub asks of the bus where subscriptions resume.
func (e *Engine) busAccess() hub.BusAccess {
	about := bus.Describe(e.bus)
	return hub.BusAccess{
		Name: event.HashName(about.Name), Redelivers: about.Guarantee == bus.AtLeastOnce,
		History:     e.bus.History,
		Established: e.established,
		Events:      e.limits.ResumeEvents,
		Positions:   positionsEvery,
		Gap: func(subscriptions, told int) {
			e.log.Warn("events of a channel were lost on the bus before they came here", "subscriptions", subscriptions, "told", told)
		},
	}
}

// Gap implements bus.GapHandler. Revocations that were lost are still in the control channel: it is read again.
func (b *inbox) Gap(channel string, head event.Position) {
	if bus.IsControl(channel) {
		b.engine.wakeControl(b.engine.control.reads)
		return
	}
	b.Hub.Gap(channel, head)
}

// established waits, within bounds, until every event of a channel that is acknowledged from now on comes here.
func (e *Engine) established(ctx context.Context, channel string) error {
	ctx, cancel := context.WithTimeout(ctx, establishTimeout)
	defer cancel()
	return bus.Established(ctx, e.bus, channel)
}

// begin starts a subscription; resume is nil for one that does not.
func (e *Engine) begin(ctx context.Context, j *hub.Join, resume *session.Resume, begin func(*hub.Subscription) bool) (*hub.Subscription, []*gql.Error) {
	if resume == nil {
		return e.hub.Join(j, begin)
	}
	sub, errs, failed := e.hub.Follow(ctx, j, resume.Cursor, begin)
	if failed != nil {
		errs = refused(code.BusUnavailable, "The event bus is out of reach, so that nobody can say where the subscription begins: subscribe again later.")
	}
	return sub, errs
}
