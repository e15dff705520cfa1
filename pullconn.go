package fraiseql

import (
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
	"github.com/fraiseql/fraiseql-go/observe"
)

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

// queuedBytes is how many bytes of results wait to be pulled.
func (p *pulls) queuedBytes() (n int64) {
	p.mu.Lock()
	conns := slices.Collect(maps.Values(p.conns))
	p.mu.Unlock()
	for _, c := range conns {
		n += int64(c.Bytes())
	}
	return n
}

// pullConn is one connection without a transport.
type pullConn struct {
	queue.Conn
	engine  *Engine
	id      string
	arrived func()                   // Registration.Arrived of the registration that made it; may be nil
	subs    map[string]*Subscription // guarded by pulls.mu; their sub is nil while being prepared
	counted bool                     // guarded by pulls.mu; it had a subscription, and the observer knows of it
	kept    bool                     // guarded by pulls.mu; a registration on it has succeeded: the host knows of it

	watching atomic.Int32 // watches of all subscriptions that are set
	mu       sync.Mutex
	live     map[*queue.Queue]*Subscription // by their queue; guarded by mu
}

// watch is who waits for news of a subscription. Guarded by the connection's mu.
type watch struct {
	notify func()        // of Notify, called once
	serial uint32        // of the Notify that set it
	news   chan struct{} // of Receive, closed once
}

// Wake implements queue.Sink: q has a message, or has ended.
func (c *pullConn) Wake(q *queue.Queue) {
	if c.arrived != nil {
		c.engine.tellHost(c.arrived)
	}
	// Whoever waits counts itself before it looks at its queue, and q had its message before this line: one of the
	// two sees the other.
	if c.watching.Load() == 0 {
		return
	}
	c.mu.Lock()
	s := c.live[q]
	c.mu.Unlock()
	if s != nil {
		s.tell()
	}
}

// tell calls and forgets who waits for news of s.
func (s *Subscription) tell() {
	c := s.conn
	c.mu.Lock()
	notify, news := s.watch.notify, s.watch.news
	s.watch.notify, s.watch.news = nil, nil
	if notify != nil {
		c.watching.Add(-1)
	}
	if news != nil {
		c.watching.Add(-1)
		close(news)
	}
	c.mu.Unlock()
	if notify != nil {
		s.engine.tellHost(notify)
	}
}

// tellHost calls a function of the host, which may panic: whoever publishes goes on with the other subscribers.
func (e *Engine) tellHost(f func()) {
	defer func() {
		if v := recover(); v != nil {
			e.seldom.Write(slog.LevelError, "told", "panic of a function that is told of news", "panic", v, "stack", string(debug.Stack()))
		}
	}()
	f()
}

// news returns a channel that is closed when something arrives for s after this call, or arrived shortly before.
func (s *Subscription) news() <-chan struct{} {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.watch.news == nil {
		s.watch.news = make(chan struct{})
		c.watching.Add(1)
	}
	return s.watch.news
}

// Notify calls f once, when a message arrives for the subscription or it ends; f must not block and must not call
// the engine. What has arrived may have been read meanwhile, by who reads at the same time: f is called all the same. It returns false, and does not keep f, if a message waits or the subscription has ended already. A
// second call replaces f. nil takes f back: true says that it will not be called any more, false that there is none
// to take back, because it was called or is just being called.
//
// Registration.Arrived of the connection is told before f.
func (s *Subscription) Notify(f func()) bool {
	serial, had := s.setNotify(f)
	if f == nil {
		return had
	}
	if !s.sub.Load().Waits() {
		return true
	}
	return !s.unsetNotify(serial)
}

// setNotify replaces who is told once; had says that there was somebody.
func (s *Subscription) setNotify(f func()) (serial uint32, had bool) {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	had = s.watch.notify != nil
	s.watch.notify = f
	s.watch.serial++
	if now := f != nil; now && !had {
		c.watching.Add(1)
	} else if had && !now {
		c.watching.Add(-1)
	}
	return s.watch.serial, had
}

// unsetNotify takes back what setNotify has set under that serial, and reports whether it was still there: not
// called, nor replaced.
func (s *Subscription) unsetNotify(serial uint32) bool {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.watch.notify == nil || s.watch.serial != serial {
		return false
	}
	s.watch.notify = nil
	c.watching.Add(-1)
	return true
}

// reserve keeps a subscription id while its operation is prepared. arrived is for a connection that is new.
func (p *pulls) reserve(e *Engine, r *Registration) (*Subscription, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.conns[r.ConnectionID]
	if c == nil {
		c = &pullConn{
			engine: e, id: r.ConnectionID, arrived: r.Arrived,
			subs: make(map[string]*Subscription), live: make(map[*queue.Queue]*Subscription),
		}
		c.InitPull(c, &e.connLimits)
		p.conns[c.id] = c
	}
	if _, taken := c.subs[r.SubscriptionID]; taken {
		return nil, ErrDuplicateSubscription
	}
	if n := e.limits().SubscriptionsPerConnection; n > 0 && len(c.subs) >= n {
		return nil, Errors{{Code: code.TooManySubscriptions, Message: "The connection has too many subscriptions."}}
	}
	s := &Subscription{engine: e, conn: c, id: r.SubscriptionID, value: r.Value}
	c.subs[s.id] = s
	return s, nil
}

// beginning is a subscription about to receive: it implements session.Gate.
type beginning Subscription

// Begin gives the subscription its queue, before the first message may be in it.
func (b *beginning) Begin(_ *session.Request, sub *hub.Subscription) bool {
	p, c := &b.engine.pulls, b.conn
	p.mu.Lock()
	b.sub.Store(sub)
	p.mu.Unlock()
	c.mu.Lock()
	c.live[&sub.Queue] = (*Subscription)(b)
	c.mu.Unlock()
	return true
}

// settle says that Register is about to return s: Engine.Take may give its messages to others from now on.
func (p *pulls) settle(s *Subscription) {
	c := s.conn
	c.mu.Lock()
	s.settled = true
	c.mu.Unlock()
	p.mu.Lock()
	gone := p.conns[c.id] != c               // nobody would count it out
	c.kept = c.kept || !s.engine.establishes // else keep says so
	if !gone && !c.counted {
		c.counted = true
		s.engine.observer.Counted(observe.ConnectionsOpened, "pull", 1)
	}
	p.mu.Unlock()
	if gone {
		s.end()
	}
}

// keep says that a registration has succeeded: its connection stays until CompleteConnection.
func (p *pulls) keep(c *pullConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.kept = true
}

// forget removes a subscription from its connection, which stays until CompleteConnection.
func (p *pulls) forget(s *Subscription) {
	p.mu.Lock()
	p.forgetLocked(s)
	p.mu.Unlock()
	s.conn.mu.Lock()
	delete(s.conn.live, &s.sub.Load().Queue)
	s.conn.mu.Unlock()
}

func (p *pulls) forgetLocked(s *Subscription) {
	if s.conn.subs[s.id] == s {
		delete(s.conn.subs, s.id)
	}
}

// giveUp forgets a subscription that Register does not return, and with it a connection on which it never returned one.
func (p *pulls) giveUp(s *Subscription) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forgetLocked(s)
	c := s.conn
	if c.kept || len(c.subs) > 0 || p.conns[c.id] != c {
		return
	}
	delete(p.conns, c.id)
	if c.counted {
		s.engine.observer.Counted(observe.ConnectionsClosed, "1000", 1)
	}
}

func (p *pulls) find(connection, subscription string) *Subscription {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.conns[connection]; c != nil {
		if s := c.subs[subscription]; s != nil && s.sub.Load() != nil {
			return s
		}
	}
	return nil
}

func (p *pulls) connection(id string) *pullConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conns[id]
}

// remove takes a connection out of the table, with the subscriptions that it has.
func (p *pulls) remove(connection string) (*pullConn, []*Subscription) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.conns[connection]
	if c == nil {
		return nil, nil
	}
	delete(p.conns, connection)
	return c, slices.Collect(maps.Values(c.subs))
}

// live returns the subscriptions of all connections.
func (p *pulls) live() (subs []*hub.Subscription) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		for _, s := range c.subs {
			if sub := s.sub.Load(); sub != nil {
				subs = append(subs, sub)
			}
		}
	}
	return subs
}

func (p *pulls) names() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.conns))
}

// close completes what a connection has; it is out of the table.
func (c *pullConn) close(subs []*Subscription) {
	for _, s := range subs {
		s.end()
	}
	c.Shut()
}
