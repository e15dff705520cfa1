package fraiseql

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
	"github.com/fraiseql/fraiseql-go/observe"
)

var (
	// ErrUnknownSubscription says that a connection has no subscription of that id.
	ErrUnknownSubscription = errors.New("no such subscription")
	// ErrDuplicateSubscription says that a connection has a live subscription of that id already.
	ErrDuplicateSubscription = errors.New("a subscription of that id is live on the connection")
	// ErrSlowConsumer ends a pulled subscription that did not keep up, after what was queued.
	ErrSlowConsumer = &Error{Code: code.SlowConsumer, Message: "The subscription did not keep up and was ended."}
	// ErrEnded says that a subscription was completed.
	ErrEnded = errors.New("the subscription has ended")
)

// Registration is a subscription to be pulled: its messages wait until they are asked for.
type Registration struct {
	// ConnectionID groups subscriptions; it is made when first used. SubscriptionID is unique on it. Both have at most
	// 1,024 bytes.
	ConnectionID, SubscriptionID string
	Query                        string
	OperationName                string
	Variables                    []byte // JSON object or nil
	Extensions                   []byte // JSON object or nil: {"drops": true} asks to be told of drops, {"resume": …} for cursors, see docs/delivery.md
	// Identity is who asks. When it expires, or is revoked, the subscription ends with an error UNAUTHENTICATED.
	Identity Identity
	// Arrived is told of every message and every end on the connection that this registration makes (none, if the
	// connection is there already), after it is there to be found by Next and Take. It is called by whoever publishes
	// or completes, under a lock of the engine: it must be quick, must not block and must not call the engine.
	Arrived func()
	// Resolver is for this subscription alone; nil: that of its field or event type. Subscriptions that are equal
	// otherwise and have the same pointer may share results. What it points to must not change.
	Resolver *Resolver
	// Value is what Subscription.Value returns: what the host knows the subscription by.
	Value any
}

// Subscription is a subscription that is pulled.
type Subscription struct {
	engine *Engine
	conn   *pullConn
	sub    atomic.Pointer[hub.Subscription] // from beginning.Begin on; Resume puts another one in its place
	id     string
	value  any

	watch   watch       // guarded by conn.mu
	expiry  *time.Timer // of credentials that end; guarded by conn.mu
	settled bool        // guarded by conn.mu; Register has returned it, or is about to
	over    bool        // guarded by conn.mu; it was completed: sub stays
}

// Register starts a subscription to be pulled. A refused operation is an Errors.
//
// On a bus outside of the process it waits, at most 5 seconds, until everything that is acknowledged from now on will
// come here, so that who registers and then publishes sees the event. A bus that is out of reach that long does not
// refuse the registration, whose events come once it is back; the end of ctx does. Registrations that resume need the
// bus, to know where they begin: they are refused with BUS_UNAVAILABLE.
func (e *Engine) Register(ctx context.Context, r Registration) (*Subscription, error) {
	if r.ConnectionID == "" || r.SubscriptionID == "" || r.Query == "" {
		return nil, errors.New("register subscription: ConnectionID, SubscriptionID and Query must not be empty")
	}
	if err := r.bounded(); err != nil {
		return nil, err
	}
	own, err := r.Resolver.own()
	if err != nil {
		return nil, fmt.Errorf("register subscription: %w", err)
	}
	s, err := e.pulls.reserve(e, &r)
	if err != nil {
		if many := (Errors)(nil); errors.As(err, &many) {
			e.limited("subscriptions_per_connection")
		}
		return nil, err
	}
	who := r.Identity
	if who.IssuedAt.IsZero() {
		who.PresentedAt = time.Now()
	}
	req := &session.Request{
		ID: r.SubscriptionID, EscapedID: session.AppendEscaped(nil, []byte(r.SubscriptionID)), Query: r.Query,
		OperationName: r.OperationName, Variables: r.Variables, Extensions: r.Extensions,
	}
	req.Through((*beginning)(s))
	sub, result, errs := e.subscribe(ctx, &s.conn.Conn, &who, req, own, nil)
	if errs == nil && sub == nil && result != nil {
		errs = refused(code.ValidationFailed, "The operation is not a subscription.")
	}
	if errs != nil {
		e.pulls.giveUp(s)
		if err := interrupted(ctx, errs); err != nil {
			return nil, fmt.Errorf("register subscription: %w", err)
		}
		e.subscribeRefused(errs)
		return nil, public(errs)
	}
	e.pulls.settle(s)
	if e.revoked(&who) { // while it was made
		sub.End(appendErrors(nil, refused(code.Unauthenticated, revokedText)))
	}
	s.expireAt(who.ExpiresAt)
	if e.establishes {
		return s.establish(ctx)
	}
	return s, nil
}

// establish waits until the events of a registration come here. If ctx ends meanwhile, nothing is left of it.
func (s *Subscription) establish(ctx context.Context) (*Subscription, error) {
	e := s.engine
	_ = e.established(ctx, s.Channel()) // who resumes has waited: that costs nothing twice
	if err := ctx.Err(); err != nil {
		s.Complete()
		e.pulls.giveUp(s)
		return nil, fmt.Errorf("register subscription: %w", err)
	}
	e.pulls.keep(s.conn)
	return s, nil
}

// maxPullID bounds the ids of a registration in bytes.
const maxPullID = 1024

// bounded refuses ids and identities that would make each subscription as large.
func (r *Registration) bounded() error {
	if len(r.ConnectionID) > maxPullID || len(r.SubscriptionID) > maxPullID {
		return Errors{{Code: code.LimitExceeded, Message: "The ids of a connection and a subscription have at most 1,024 bytes."}}
	}
	if !r.Identity.Bounded() {
		return Errors{{Code: code.LimitExceeded, Message: "A text of the identity has more than 1,024 bytes, or its roles and scopes together more than 64 KiB."}}
	}
	return nil
}

// expireAt ends the subscription when its credentials do; zero: never.
func (s *Subscription) expireAt(t time.Time) {
	if t.IsZero() {
		return
	}
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if !s.over {
		s.expiry = time.AfterFunc(time.Until(t), s.expire)
	}
}

func (s *Subscription) expire() {
	s.sub.Load().End(appendErrors(nil, refused(code.Unauthenticated, "The credentials have expired.")))
}

// ID returns the subscription's id.
func (s *Subscription) ID() string { return s.id }

// Value returns Registration.Value.
func (s *Subscription) Value() any { return s.value }

// Channel returns the name of the channel that the subscription listens to.
func (s *Subscription) Channel() string { return s.sub.Load().Channel() }

// Waiting reports whether any subscription of the same connection has a message, or has ended without that its Next
// has said so. When it is false, a message or end that comes later is told to Registration.Arrived of the connection.
func (s *Subscription) Waiting() bool { return s.conn.Waiting() }

// Next appends the oldest waiting message to dst, in the form that the WebSocket sends
// (`{"id":…,"type":"next","payload":…}`). ok is false when none waits. It never blocks. ErrSlowConsumer and
// ErrEnded are final.
func (s *Subscription) Next(dst []byte) (message []byte, ok bool, err error) {
	for {
		sub := s.sub.Load()
		if message, ok = s.pop(sub, dst); ok {
			return message, true, nil
		}
		switch sub.TellEnd() {
		case queue.Overflowed:
			err = ErrSlowConsumer
		case queue.Completed:
			err = ErrEnded
		}
		if s.sub.Load() == sub {
			return dst, false, err
		}
		err = nil // it was resumed meanwhile
	}
}

// pop appends the oldest waiting message.
func (s *Subscription) pop(sub *hub.Subscription, dst []byte) (message []byte, ok bool) {
	item, ok, _ := sub.Pop()
	if !ok {
		return dst, false
	}
	dst = session.AppendItem(dst, &item)
	if item.Message.End {
		s.Complete()
	}
	return dst, true
}

// Receive waits for the next message, as Next returns it.
func (s *Subscription) Receive(ctx context.Context) ([]byte, error) {
	if message, ok, err := s.Next(nil); ok || err != nil {
		return message, err
	}
	for {
		news := s.news()
		if message, ok, err := s.Next(nil); ok || err != nil {
			return message, err
		}
		select {
		case <-news:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Complete ends the subscription; what waits is dropped. Idempotent.
func (s *Subscription) Complete() {
	s.end()
	s.tell() // another goroutine may have ended it and not told so yet
	s.engine.pulls.forget(s)
}

// end completes what is behind the subscription, for good.
func (s *Subscription) end() {
	c := s.conn
	c.mu.Lock()
	s.over = true
	if s.expiry != nil {
		s.expiry.Stop()
	}
	sub := s.sub.Load()
	c.mu.Unlock()
	if sub != nil {
		sub.Complete()
	}
}

// Next returns the oldest waiting message of a subscription, nil if none waits. It never blocks.
func (e *Engine) Next(connectionID, subscriptionID string) ([]byte, error) {
	s := e.pulls.find(connectionID, subscriptionID)
	if s == nil {
		return nil, ErrUnknownSubscription
	}
	message, _, err := s.Next(nil)
	return message, err
}

// Complete ends a subscription; it reports whether there was one.
func (e *Engine) Complete(connectionID, subscriptionID string) bool {
	s := e.pulls.find(connectionID, subscriptionID)
	if s == nil {
		return false
	}
	s.Complete()
	return true
}

// CompleteConnection ends every subscription of a connection and forgets it; it reports whether there was one.
func (e *Engine) CompleteConnection(connectionID string) bool {
	c, subs := e.pulls.remove(connectionID)
	if c == nil {
		return false
	}
	if c.counted { // out of the table: nobody changes it
		e.observer.Counted(observe.ConnectionsClosed, "1000", 1)
	}
	c.close(subs)
	return true
}
