//go:build linux

package embed

import (
	"context"
	"encoding/binary"
	"errors"
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
	used   bool                     // a subscription was accepted; guarded by mu
	closed bool                     // nobody stores into word any more; guarded by mu
}

// subscription is one that the host pulls.
type subscription struct {
	conn   *connection
	handle int64
	id     string
	pull   atomic.Pointer[fraiseql.Subscription] // nil until the engine has accepted it
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
	sub, err := e.reserve(string(s.ConnectionID), string(s.SubscriptionID))
	if err != nil {
		return Subscribed{}, err
	}
	c := sub.conn
	pull, err := e.facade.Register(context.Background(), fraiseql.Registration{
		ConnectionID: c.name, SubscriptionID: sub.id, Query: string(s.Query), OperationName: string(s.OperationName),
		Variables: clone(s.Variables), Extensions: clone(s.Extensions), Identity: who,
	})
	if err != nil {
		e.forget(sub)
		return Subscribed{}, err
	}
	sub.pull.Store(pull)
	if !c.settle(sub) { // the connection was completed meanwhile, maybe before the engine knew of it
		e.facade.CompleteConnection(c.name)
	}
	return Subscribed{Handle: sub.handle, Connection: c.handle, Ready: c.word}, nil
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
func (e *Engine) reserve(connectionID, subscriptionID string) (*subscription, error) {
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
		atomic.StoreUint32(c.word, 1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subs[subscriptionID] != nil {
		return nil, &Fault{Code: code.BadUserInput, Member: "subscription_id", Message: "is live on the connection already"}
	}
	s := &subscription{conn: c, id: subscriptionID}
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
	e.lib.subscriptions.remove(s.handle)
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

// Next appends the oldest message of a subscription. n is 1, 0 when none waits, Ended, Slow or Unknown.
func (e *Engine) Next(dst []byte, handle int64) (message []byte, n int64) {
	s, ok := e.lib.subscriptions.get(handle)
	if !ok || s.conn.engine != e {
		return dst, e.lib.gone(handle)
	}
	pull := s.pull.Load()
	if pull == nil {
		return dst, 0
	}
	message, ok, err := pull.Next(dst)
	switch {
	case ok:
		return message, 1
	case err != nil:
		return dst, endOf(err)
	}
	s.conn.rest()
	return dst, 0
}

func (l *Library) gone(handle int64) int64 {
	if l.subscriptions.gone(handle) {
		return Ended
	}
	return Unknown
}

func endOf(err error) int64 {
	if errors.Is(err, fraiseql.ErrSlowConsumer) {
		return Slow
	}
	return Ended
}

// Take appends up to limit messages, each uint32 length + bytes. n is their number; Ended and Slow when there is none.
func (e *Engine) Take(dst []byte, handle int64, limit int64) (messages []byte, n int64) {
	for n < limit {
		head := len(dst)
		out, one := e.Next(append(dst, 0, 0, 0, 0), handle)
		if one != 1 {
			if n == 0 {
				n = one
			}
			break
		}
		binary.NativeEndian.PutUint32(out[head:], uint32(len(out)-head-4))
		dst = out
		n++
	}
	return dst, n
}

// Complete ends a subscription: 1, 0 when it was completed before, or Unknown.
func (e *Engine) Complete(handle int64) int64 {
	s, ok := e.lib.subscriptions.get(handle)
	if !ok || s.conn.engine != e {
		if e.lib.subscriptions.gone(handle) {
			return 0
		}
		return Unknown
	}
	if _, ok = e.lib.subscriptions.remove(handle); !ok {
		return 0
	}
	c := s.conn
	c.mu.Lock()
	if c.subs[s.id] == s {
		delete(c.subs, s.id)
	}
	c.mu.Unlock()
	s.end()
	return 1
}

// end completes the engine's side.
func (s *subscription) end() {
	if pull := s.pull.Load(); pull != nil {
		pull.Complete()
	}
}

// CompleteConnection ends every subscription of a connection: 1, 0 when it was completed before, or Unknown.
func (e *Engine) CompleteConnection(handle int64) int64 {
	c, ok := e.lib.connections.get(handle)
	if !ok || c.engine != e {
		if e.lib.connections.gone(handle) {
			return 0
		}
		return Unknown
	}
	e.mu.Lock()
	if e.connections[c.id] == c {
		delete(e.connections, c.id)
	}
	e.mu.Unlock()
	return e.closeConnection(c)
}

// closeConnection ends a connection that is out of its engine's list.
func (e *Engine) closeConnection(c *connection) int64 {
	if _, ok := e.lib.connections.remove(c.handle); !ok {
		return 0
	}
	c.mu.Lock()
	subs := c.subs
	c.subs = nil
	c.closeLocked()
	c.mu.Unlock()
	for _, s := range subs {
		e.lib.subscriptions.remove(s.handle)
	}
	e.facade.CompleteConnection(c.name)
	return 1
}

// rest clears the word of a connection in which nothing was found, unless something came meanwhile.
func (c *connection) rest() {}
