//go:build !fqmemory

package fraiseql

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/origin"
	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
	"github.com/fraiseql/fraiseql-go/internal/transport/gqlhttp"
	"github.com/fraiseql/fraiseql-go/observe"
)

var (
	// ErrTooManyConnections refuses a session beyond HandlerConfig.MaxConnections, a bound or rate of connections in
	// Limits, or short of memory: HTTP 503, or close 1013.
	ErrTooManyConnections = &Error{Code: code.RateLimited, Message: "There are too many connections, try again later."}
	// ErrDraining refuses a session while the engine drains, or after it was closed: HTTP 503, or close 1013.
	ErrDraining = &Error{Code: code.RateLimited, Message: "The server is shutting down."}
	// ErrSubprotocol refuses a session of the legacy protocol where that is off: close 4406.
	ErrSubprotocol = &Error{Code: code.BadUserInput, Message: "Subprotocol not acceptable."}
	// ErrForeignOrigin refuses a session that a page of another origin asks for: HTTP 403.
	ErrForeignOrigin = &Error{Code: code.Forbidden, Message: "Pages of that origin may not connect."}

	errNoWake = errors.New("open a session: wake is nil, nobody would know that there is something to take")
)

// Sessions serves graphql-transport-ws, and graphql-ws if wanted, for a host that owns the WebSockets: whole text messages go in, messages and
// at last a close come out. It belongs to the engine: Drain and Close end its sessions. All methods are safe for
// concurrent use.
type Sessions struct {
	engine  *Engine
	cfg     HandlerConfig
	allowed atomic.Pointer[pages]
	host    *session.Host
	gate    *gate
	most    atomic.Int64 // open connections

	drain turn          // one Drain at a time
	left  chan struct{} // 1 slot: open may have become empty

	poller    *poll.Poller
	streams   *gqlhttp.Handler
	answering sync.WaitGroup // of exchanges

	mu        sync.Mutex
	open      map[*Session]struct{}
	exchanges map[*Exchange]struct{}
	draining  bool // for good
	closed    bool
}

// SessionRequest is what the HTTP request of a WebSocket said: headers as they came, several of one name joined by
// ", ". The host agrees to the subprotocol graphql-transport-ws, or to what Subprotocol chooses, and closes with 4406
// clients that have none.
type SessionRequest struct {
	Authorization string
	Cookie        string // the whole header; HandlerConfig.Cookie picks from it, beside an Origin that passes
	// Origin and Host decide whether the page may connect. Without Origin no page made the request.
	Origin, Host string
	RemoteAddr   string
	// Legacy says that host and client have agreed on the subprotocol graphql-ws, as Subprotocol has chosen.
	Legacy bool
	// Value reaches the Authenticator as Credentials.Request.
	Value any
}

const (
	defaultInitTimeout  = 3 * time.Second
	defaultPingInterval = 30 * time.Second
	defaultPongTimeout  = 10 * time.Second
)

// Sessions serves clients whose WebSockets the host owns. Of cfg it uses Authenticator, Anonymous, Cookie, Origins,
// Workers, Hooks, LegacyGraphQLWS, MessageBytes, InitTimeout, MaxConnections (ErrTooManyConnections beyond it), and
// PingInterval and PongTimeout for pings of the protocol: frames are the host's.
func (e *Engine) Sessions(cfg HandlerConfig) (*Sessions, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if cfg.InitTimeout <= 0 {
		cfg.InitTimeout = defaultInitTimeout
	}
	if cfg.PingInterval == 0 {
		cfg.PingInterval = defaultPingInterval
	}
	if cfg.PongTimeout <= 0 {
		cfg.PongTimeout = defaultPongTimeout
	}
	s := &Sessions{engine: e, cfg: cfg, open: make(map[*Session]struct{}), exchanges: make(map[*Exchange]struct{}), drain: newTurn(), left: make(chan struct{}, 1)}
	s.allowed.Store(newPages(cfg.Origins, cfg.Cookie))
	s.most.Store(int64(cfg.MaxConnections))
	g := e.sessionHost(&s.cfg)
	s.host, s.gate = g.host, g
	if err := s.listen(); err != nil {
		s.host.Close()
		return nil, err
	}
	g.setHooks(&s.cfg.Hooks, s)
	if err := e.addServer(s); err != nil {
		return nil, err
	}
	return s, nil
}

// Open starts a session. wake is called when the session has something to take: once, until a Take has returned
// everything. It is called by whoever publishes or closes, under locks of the engine: it must be quick, must not
// block and must not call the session or the engine. The errors are ErrForeignOrigin, ErrSubprotocol, ErrTooManyConnections
// and ErrDraining. The session must be closed.
func (s *Sessions) Open(r SessionRequest, wake func()) (*Session, error) {
	if wake == nil {
		return nil, errNoWake
	}
	request := r.http()
	allowed := s.allowed.Load()
	if allowed.Judge(request) == origin.Foreign {
		s.engine.observer.Counted(observe.ConnectionsRefused, "origin", 1)
		return nil, ErrForeignOrigin
	}
	if r.Legacy && !s.cfg.LegacyGraphQLWS {
		return nil, ErrSubprotocol
	}
	credentials := s.cfg.handshake(request, allowed)
	credentials.Value = r.Value
	address, reason, _ := (*gates)(s.engine).Enter(r.RemoteAddr)
	if reason != "" {
		s.engine.observer.Counted(observe.ConnectionsRefused, reason, 1)
		return nil, ErrTooManyConnections
	}
	c := &Session{owner: s, wake: wake, opened: time.Now(), address: address}
	c.out.Init((*peer)(c), &s.engine.connLimits)
	c.driver.Init(s.host, (*peer)(c), credentials)
	if r.Legacy {
		c.driver.SpeakLegacy()
	}
	if label, err := s.enter(c); err != nil {
		(*gates)(s.engine).Leave(address)
		s.engine.observer.Counted(observe.ConnectionsRefused, label, 1)
		return nil, err
	}
	c.start()
	s.engine.observer.Counted(observe.ConnectionsOpened, "websocket", 1)
	return c, nil
}

// http is the request as far as it matters.
func (r *SessionRequest) http() *http.Request {
	h := http.Header{}
	for name, value := range map[string]string{"Authorization": r.Authorization, "Cookie": r.Cookie, "Origin": r.Origin} {
		if value != "" {
			h[name] = []string{value}
		}
	}
	return &http.Request{Host: r.Host, Header: h, RemoteAddr: r.RemoteAddr}
}

// enter counts a session in, unless there are too many.
func (s *Sessions) enter(c *Session) (label string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return "draining", ErrDraining
	case s.full(len(s.open) + s.streams.Connections()):
		s.engine.limited("connections")
		return "limit", ErrTooManyConnections
	}
	s.open[c] = struct{}{}
	return "", nil
}

// full reports whether there are as many connections as there may be.
func (s *Sessions) full(n int) bool {
	most := int(s.most.Load())
	return most > 0 && n >= most
}

// setServing implements server. Times stay as they are.
func (s *Sessions) setServing(now *Serving) {
	s.most.Store(int64(now.MaxConnections))
	s.allowed.Store(newPages(now.Origins, now.Cookie))
	s.gate.setServing(now, s)
}

// leave counts a session out; it reports whether it was in.
func (s *Sessions) leave(c *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, in := s.open[c]; !in {
		return false
	}
	delete(s.open, c)
	if len(s.open) == 0 {
		select {
		case s.left <- struct{}{}:
		default:
		}
	}
	return true
}

func (s *Sessions) list() []*Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*Session, 0, len(s.open))
	for c := range s.open {
		list = append(list, c)
	}
	return list
}

func (s *Sessions) refuseFurther() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
}

// Connections is the number of sessions and streams that are open.
func (s *Sessions) Connections() int { return s.webSockets() + s.streams.Connections() }

func (s *Sessions) webSockets() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// eachConn implements server.
func (s *Sessions) eachConn(f func(c *queue.Conn, owed int)) {
	for _, c := range s.list() {
		f(&c.out, c.out.Bytes())
	}
	s.streams.EachConn(f)
}

// Drain refuses further sessions, closes the open ones with a code and a reason after what waits for them, in random
// order spread over window, and returns when the host has closed all of them or ctx ends.
func (s *Sessions) Drain(ctx context.Context, window time.Duration, closeCode uint16, reason string) error {
	s.refuseFurther()
	if err := s.drain.enter(ctx); err != nil {
		return err
	}
	defer s.drain.leave()
	streams := make(chan error, 1)
	go func() { streams <- s.streams.Drain(ctx, window) }()
	err := s.drainSessions(ctx, window, closeCode, reason)
	return errors.Join(err, <-streams)
}

func (s *Sessions) drainSessions(ctx context.Context, window time.Duration, closeCode uint16, reason string) error {
	list := s.list()
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	if err := poll.Spread(ctx, window, len(list), func(i int) { list[i].out.CloseAfter(closeCode, reason) }); err != nil {
		return err
	}
	for s.webSockets() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.left:
		}
	}
	return nil
}

func (s *Sessions) dismiss(gone func(*identity.Identity) bool, code uint16, reason string) (n int) {
	for _, c := range s.list() {
		if who := c.driver.Identity(); who != nil && gone(who) {
			c.Shut(code, reason)
			n++
		}
	}
	return n + s.streams.Dismiss(gone, code)
}

// layer implements server.
func (s *Sessions) layer() *poll.Poller { return nil }

// part implements server: sessions belong to hosts, who may wait for Close themselves.
func (s *Sessions) part(context.Context) { s.shut() }

// shut implements server: every session ends with 1001, which its host may still take.
func (s *Sessions) shut() {
	s.refuseFurther()
	s.gate.rechecks.halt()
	for _, c := range s.list() {
		c.Shut(CloseGoingAway, stopText)
		c.end()
		s.count(c)
	}
	for _, x := range s.stopAnswering() {
		x.cancel()
		_ = x.SetWriteDeadline(time.Now()) // an answer that nobody takes ends
	}
	s.streams.Shut()
}

// wait implements server.
func (s *Sessions) wait() error {
	s.streams.Close()
	s.answering.Wait()
	err := s.poller.Close()
	s.host.Close()
	s.gate.rechecks.running.Wait()
	return err
}

// stopAnswering refuses further exchanges and returns those that run.
func (s *Sessions) stopAnswering() []*Exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return slices.Collect(maps.Keys(s.exchanges))
}

// count counts a session out, once.
func (s *Sessions) count(c *Session) {
	if s.leave(c) {
		(*gates)(s.engine).Leave(c.address)
		s.engine.observer.Counted(observe.ConnectionsClosed, c.closeLabel(), 1)
		if c.closed.Load() == queue.CodeSlowConsumer {
			s.engine.tooSlow(s.host, "websocket")()
		}
	}
}
