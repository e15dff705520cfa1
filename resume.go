package fraiseql

import (
	"context"
	"fmt"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/session"
	"github.com/fraiseql/fraiseql-go/policy"
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
	access := hub.BusAccess{
		Name: event.HashName(about.Name), Redelivers: about.Guarantee == bus.AtLeastOnce,
		History:     e.bus.History,
		Established: e.established,
		Positions:   positionsEvery,
		Gap: func(subscriptions, told int) {
			e.log.Warn("events of a channel were lost on the bus before they came here", "subscriptions", subscriptions, "told", told)
		},
	}
	if r, ok := e.bus.(bus.Recaller); ok && access.Redelivers {
		access.Recall = r.Recall
	}
	return access
}

// Gap implements bus.GapHandler. Revocations that were lost are still in the control channel, or with other nodes: it is read
// again, and they are asked.
func (b *inbox) Gap(channel string, head event.Position) {
	if bus.IsControl(channel) {
		b.engine.control.share.missed()
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

// interrupted returns the error of a ctx that has ended, if errs say that the bus is out of reach: it was not waited for.
func interrupted(ctx context.Context, errs []*gql.Error) error {
	if errs[0].Code != code.BusUnavailable {
		return nil
	}
	return ctx.Err()
}

// Resume begins the subscription again as one that resumes: after the event of a cursor, or, if that is "", now. What
// waits is dropped; the next message says where the subscription stands, and each has a cursor from then on (see
// docs/delivery.md). The document, the variables, the resolver and the identity stay, and are judged anew. After an
// error the subscription is as it was. Calls for one subscription must come one at a time; others may be at work with
// it. It waits for the bus as Register does.
func (s *Subscription) Resume(ctx context.Context, cursor string) error {
	e, old := s.engine, s.sub.Load()
	var vars jsontape.Tape
	j, ok := e.hub.Again(old, &vars)
	if !ok {
		return ErrEnded
	}
	mask, r := policy.AdmitRole(j.Plan.Requirements(&vars), j.Identity)
	if r != nil {
		e.observer.Checked(policy.Role, 0, 1)
		e.refusedRole.Add(1)
		return public(refusal(r))
	}
	e.observer.Checked(policy.Role, 1, 0)
	j.Mask, j.Cursors = mask, true
	a, u := accountOf(j.Identity, j.Conn), use{useSubscriptions: 1, useFields: j.Policy.Weight}
	e.accounts.again(a, j.Identity.TenantID, u)
	sub, errs := e.begin(ctx, &j, &session.Resume{Cursor: cursor}, func(sub *hub.Subscription) bool { return s.replace(old, sub) })
	if sub == nil {
		e.accounts.give(a, j.Identity.TenantID, u)
		if errs == nil {
			return ErrEnded
		}
		if err := interrupted(ctx, errs); err != nil {
			return fmt.Errorf("resume subscription: %w", err)
		}
		return public(errs)
	}
	if e.revoked(j.Identity) {
		sub.End(appendErrors(nil, refused(code.Unauthenticated, revokedText)))
	}
	if end := j.Identity.ExpiresAt; !end.IsZero() && !time.Now().Before(end) { // the timer may have found the old one
		s.expire()
	}
	return nil
}

// replace puts a subscription that is about to begin in the place of one that ends now. It reports whether it is still
// wanted.
func (s *Subscription) replace(old, sub *hub.Subscription) bool {
	c := s.conn
	c.mu.Lock()
	if s.over || s.sub.Load() != old {
		c.mu.Unlock()
		return false
	}
	delete(c.live, &old.Queue)
	c.live[&sub.Queue] = s
	s.sub.Store(sub)
	c.mu.Unlock()
	old.Complete()
	old.TellEnd()
	return true
}
