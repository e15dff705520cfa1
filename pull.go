package fraiseql

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

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
	// ConnectionID groups subscriptions; it is made when first used. SubscriptionID is unique on it.
	ConnectionID, SubscriptionID string
	Query                        string
	OperationName                string
	Variables                    []byte // JSON object or nil
	Extensions                   []byte // JSON object or nil: {"drops": true} asks to be told of drops
	Identity                     Identity
	// Resolver is for this subscription alone; nil: that of its field or event type. Subscriptions that are equal
	// otherwise and have the same pointer may share results. What it points to must not change.
	Resolver *Resolver
}

// pulls are the connections without a transport.
type pulls struct {
	mu    sync.Mutex
	conns map[string]*pullConn
}

func (p *pulls) init() { p.conns = make(map[string]*pullConn) }

func (p *pulls) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// pullConn is one connection without a transport.
type pullConn struct {
	queue.Conn
	id      string
	subs    map[string]*Subscription // guarded by pulls.mu; their sub is nil while being prepared
	counted bool                     // guarded by pulls.mu; it had a subscription, and the observer knows of it
	waiters atomic.Int32
	mu      sync.Mutex
	news    chan struct{} // closed and replaced when something arrived; guarded by mu
}

// Wake implements queue.Sink.
func (c *pullConn) Wake() {
	if c.waiters.Load() == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.news != nil {
		close(c.news)
		c.news = nil
	}
}

func (c *pullConn) arrival() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.news == nil {
		c.news = make(chan struct{})
	}
	return c.news
}

// Subscription is a subscription that is pulled.
type Subscription struct {
	engine *Engine
	conn   *pullConn
	sub    *hub.Subscription
	id     string
}

// Register starts a subscription to be pulled. A refused operation is an Errors.
func (e *Engine) Register(ctx context.Context, r Registration) (*Subscription, error) {
	if r.ConnectionID == "" || r.SubscriptionID == "" || r.Query == "" {
		return nil, errors.New("register subscription: ConnectionID, SubscriptionID and Query must not be empty")
	}
	own, err := r.Resolver.own()
	if err != nil {
		return nil, fmt.Errorf("register subscription: %w", err)
	}
	s, err := e.pulls.reserve(e, r.ConnectionID, r.SubscriptionID)
	if err != nil {
		return nil, err
	}
	who := r.Identity
	req := &session.Request{
		ID: r.SubscriptionID, EscapedID: session.AppendEscaped(nil, []byte(r.SubscriptionID)), Query: r.Query,
		OperationName: r.OperationName, Variables: r.Variables, Extensions: r.Extensions,
	}
	sub, result, errs := e.subscribe(&s.conn.Conn, &who, req, own)
	if errs == nil && sub == nil && result != nil {
		errs = refused(code.ValidationFailed, "The operation is not a subscription.")
	}
	if errs != nil {
		e.pulls.giveUp(s)
		e.observer.Counted(observe.SubscribesRefused, errs[0].Code, 1)
		return nil, public(errs)
	}
	e.pulls.settle(s, sub)
	return s, nil
}

// reserve keeps a subscription id while its operation is prepared.
func (p *pulls) reserve(e *Engine, connection, subscription string) (*Subscription, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.conns[connection]
	if c == nil {
		c = &pullConn{id: connection, subs: make(map[string]*Subscription)}
		c.InitPull(c, &e.connLimits)
		p.conns[connection] = c
	}
	if _, taken := c.subs[subscription]; taken {
		return nil, ErrDuplicateSubscription
	}
	if n := e.limits.SubscriptionsPerConnection; n > 0 && len(c.subs) >= n {
		return nil, Errors{{Code: code.TooManySubscriptions, Message: "The connection has too many subscriptions."}}
	}
	s := &Subscription{engine: e, conn: c, id: subscription}
	c.subs[subscription] = s
	return s, nil
}

func (p *pulls) settle(s *Subscription, sub *hub.Subscription) {
	p.mu.Lock()
	s.sub = sub
	if !s.conn.counted {
		s.conn.counted = true
		s.engine.observer.Counted(observe.ConnectionsOpened, "pull", 1)
	}
	gone := p.conns[s.conn.id] != s.conn
	p.mu.Unlock()
	if gone {
		sub.Complete()
	}
}

// forget removes a subscription from its connection, which stays until CompleteConnection.
func (p *pulls) forget(s *Subscription) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forgetLocked(s)
}

func (p *pulls) forgetLocked(s *Subscription) {
	if s.conn.subs[s.id] == s {
		delete(s.conn.subs, s.id)
	}
}

// giveUp forgets a subscription that was refused, and with it a connection that never had one.
func (p *pulls) giveUp(s *Subscription) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forgetLocked(s)
	if c := s.conn; !c.counted && len(c.subs) == 0 && p.conns[c.id] == c {
		delete(p.conns, c.id)
	}
}

func (p *pulls) find(connection, subscription string) *Subscription {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.conns[connection]; c != nil {
		if s := c.subs[subscription]; s != nil && s.sub != nil {
			return s
		}
	}
	return nil
}

// remove takes a connection out of the table, with the subscriptions that it has.
func (p *pulls) remove(connection string) (*pullConn, []*hub.Subscription) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.conns[connection]
	if c == nil {
		return nil, nil
	}
	delete(p.conns, connection)
	subs := make([]*hub.Subscription, 0, len(c.subs))
	for _, s := range c.subs {
		if s.sub != nil {
			subs = append(subs, s.sub)
		}
	}
	return c, subs
}

func (p *pulls) names() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.conns))
}

// close completes what a connection has; it is out of the table.
func (c *pullConn) close(subs []*hub.Subscription) {
	for _, s := range subs {
		s.Complete()
	}
	c.Wake()
	c.Shut()
}

// ID returns the subscription's id.
func (s *Subscription) ID() string { return s.id }

// Next appends the oldest waiting message to dst, in the form that the WebSocket sends
// (`{"id":…,"type":"next","payload":…}`). ok is false when none waits. It never blocks. ErrSlowConsumer and
// ErrEnded are final.
func (s *Subscription) Next(dst []byte) (message []byte, ok bool, err error) {
	item, ok, overflowed := s.sub.Pop()
	switch {
	case ok:
		return session.AppendItem(dst, &item), true, nil
	case overflowed:
		return dst, false, ErrSlowConsumer
	case s.sub.Ended():
		return dst, false, ErrEnded
	}
	return dst, false, nil
}

// Receive waits for the next message, as Next returns it.
func (s *Subscription) Receive(ctx context.Context) ([]byte, error) {
	if message, ok, err := s.Next(nil); ok || err != nil {
		return message, err
	}
	s.conn.waiters.Add(1)
	defer s.conn.waiters.Add(-1)
	for {
		news := s.conn.arrival()
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
	s.sub.Complete()
	s.conn.Wake()
	s.engine.pulls.forget(s)
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
