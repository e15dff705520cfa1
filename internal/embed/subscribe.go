//go:build linux

package embed

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"

	fraiseql "github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/internal/code"
)

// connection is a connection of a host: its subscriptions and the word that says whether they have something.
type connection struct {
	engine *Engine
	handle int64
	id     string // the host's name for it
	name   string // the engine's: a connection that was completed and one of the same id after it differ
	word   *uint32

	mu     sync.Mutex
	subs   map[string]*subscription // by id; guarded by mu
	ended  int                      // of subs, how many have said that they ended; guarded by mu
	used   bool                     // a subscription was accepted; guarded by mu
	closed bool                     // nobody stores into word any more; guarded by mu
}

// subscription is one that the host pulls.
type subscription struct {
	conn   *connection
	handle int64
	id     string
	own    *resolverKey                          // of its own resolver, nil: none
	ended  bool                                  // it has said that it ended; guarded by conn.mu
	watch  watch                                 // guarded by watching
	pull   atomic.Pointer[fraiseql.Subscription] // nil until the engine has accepted it

	watching sync.Mutex // one Watch at a time
}

// Subscription is what a host subscribes to. The texts are not kept.
type Subscription struct {
	ConnectionID, SubscriptionID, Query, OperationName []byte
	Variables, Extensions, Identity                    []byte // JSON objects; nil: absent
	Resolver                                           int64  // token of its own resolver, 0: none
	ResolverContext                                    bool   // that resolver takes the context
}

// Subscribed is what a host gets back.
type Subscribed struct {
	Handle, Connection int64
	// Ready is not 0 when subscriptions of the connection may have messages or have ended. The host reads it with
	// an atomic load; while it is 0, Next finds nothing.
	Ready   *uint32
	Channel string
}

// Subscribe starts a subscription.
func (e *Engine) Subscribe(s *Subscription) (Subscribed, error) {
	if len(s.ConnectionID) == 0 || len(s.SubscriptionID) == 0 || len(s.Query) == 0 {
		return Subscribed{}, missing(s)
	}
	who, err := parseIdentity(s.Identity)
	if err != nil {
		return Subscribed{}, err
	}
	own, resolver := e.resolverOf(s)
	sub, err := e.reserve(string(s.ConnectionID), string(s.SubscriptionID), own)
	if err != nil {
		e.resolverDone(own)
		return Subscribed{}, err
	}
	c := sub.conn
	pull, err := e.facade.Register(context.Background(), fraiseql.Registration{
		ConnectionID: c.name, SubscriptionID: sub.id, Query: string(s.Query), OperationName: string(s.OperationName),
		Variables: clone(s.Variables), Extensions: clone(s.Extensions), Identity: who, Arrived: c.arrived,
		Resolver: resolver, Value: sub,
	})
	if err != nil {
		e.forget(sub)
		return Subscribed{}, err
	}
	sub.pull.Store(pull)
	if !c.settle(sub) { // the connection was completed meanwhile, maybe before the engine knew of it
		e.facade.CompleteConnection(c.name)
	}
	return Subscribed{Handle: sub.handle, Connection: c.handle, Ready: c.word, Channel: pull.Channel()}, nil
}

// missing names the member that is empty.
func missing(s *Subscription) error {
	name := "query"
	switch {
	case len(s.ConnectionID) == 0:
		name = "connection_id"
	case len(s.SubscriptionID) == 0:
		name = "subscription_id"
	}
	return bad(name, "must not be empty")
}

func clone(text []byte) []byte {
	if text == nil {
		return nil
	}
	return append(make([]byte, 0, len(text)), text...)
}

// errClosed answers whoever comes after Close.
var errClosed = &Fault{Code: code.InternalServerError, Message: "the engine is closed"}

// reserve keeps a subscription's id and gives it a handle before the engine knows it: its first message may come
// before Register returns.
func (e *Engine) reserve(connectionID, subscriptionID string, own *resolverKey) (*subscription, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.connections == nil {
		return nil, errClosed
	}
	c := e.connections[connectionID]
	if c == nil {
		c = &connection{engine: e, id: connectionID, subs: make(map[string]*subscription), word: e.lib.words.get()}
		c.handle = e.lib.connections.put(c)
		c.name = strconv.FormatInt(c.handle, 36)
		e.connections[connectionID] = c
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subs[subscriptionID] != nil {
		return nil, &Fault{Code: code.BadUserInput, Kind: kindDuplicate, Member: "subscription_id", Message: "is live on the connection already"}
	}
	s := &subscription{conn: c, id: subscriptionID, own: own}
	s.handle = e.lib.subscriptions.put(s)
	c.subs[subscriptionID] = s
	return s, nil
}

// settle reports whether a subscription that was accepted is still wanted.
func (c *connection) settle(s *subscription) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used = true
	return !c.closed
}

// forget takes back what reserve did, with a connection that has nothing else.
func (e *Engine) forget(s *subscription) {
	c := s.conn
	if _, ok := e.lib.subscriptions.remove(s.handle); ok {
		e.resolverDone(s.own)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subs[s.id] == s {
		delete(c.subs, s.id)
	}
	if len(c.subs) == 0 && e.connections[c.id] == c && !c.used {
		delete(e.connections, c.id)
		e.lib.connections.remove(c.handle)
		c.closeLocked()
	}
}

// closeLocked gives the word back.
func (c *connection) closeLocked() {
	if !c.closed {
		c.closed = true
		atomic.StoreUint32(c.word, 1)
		c.engine.lib.words.put(c.word)
	}
}
