//go:build !fqmemory

package fraiseql

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/origin"
	"github.com/fraiseql/fraiseql-go/internal/outbound"
	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
	"github.com/fraiseql/fraiseql-go/internal/transport/callback"
	"github.com/fraiseql/fraiseql-go/internal/transport/gqlhttp"
	"github.com/fraiseql/fraiseql-go/internal/transport/ws"
)

type (
	// Authenticator turns credentials into an identity; see package identity. auth/jwtauth is one.
	Authenticator = identity.Authenticator
	// Node is this node's name and address for single connections; see HandlerConfig.
	Node = gqlhttp.Node
	// Credentials are what a client presented; see package identity.
	Credentials = identity.Credentials
)

// HandlerConfig says how Engine.Handler serves clients. Zero members mean the default in the comment.
type HandlerConfig struct {
	// Authenticator is asked once per connection, with what connection_init and the HTTP request presented; nil
	// needs Anonymous.
	Authenticator Authenticator
	// Anonymous admits clients that present no credentials, with an empty identity: those to whom the
	// Authenticator answers an *identity.Error with reason Missing.
	Anonymous bool
	// Cookie names the cookie that may carry a token; it counts only beside an Origin that is the request's own
	// host or named in Origins: "*" is not enough, since any page's request carries it.
	Cookie string
	// Request describes the HTTP request of a client to the Authenticator, as Credentials.Request; cookies says
	// whether the request's cookies may be judged: see Cookie. nil: Credentials.Request is nil. It is called before
	// the upgrade. Sessions have SessionRequest.Value instead.
	Request func(r *http.Request, cookies bool) any
	// Origins that may connect beside the request's own host, as scheme://host[:port]; "*" is every one.
	Origins []string
	// MessageBytes bounds one message of a client; 1 MiB.
	MessageBytes int
	InitTimeout  time.Duration // 3 s until connection_init; a Handler's clock ticks once a second: a second or two more
	PingInterval time.Duration // 30 s of silence until a ping; negative: never
	PongTimeout  time.Duration // 10 s of silence after it until the close
	// MaxConnections bounds open connections; 0: no bound. Beyond it: HTTP 503.
	MaxConnections int
	// Compression agrees to permessage-deflate on WebSockets: fewer bytes for more CPU; its price is in
	// docs/reference/protocol.md.
	Compression bool
	// LegacyGraphQLWS offers the subprotocol graphql-ws of npm subscriptions-transport-ws, too, to clients that know
	// no other.
	LegacyGraphQLWS bool
	// Workers bounds the calls of Authenticator that run at the same time, with those of documents that are not known
	// yet; 16 per CPU, at least 32. An Authenticator that waits for others may want more.
	Workers int
	// Callback serves subscriptions of federation routers by HTTP callbacks; zero: none.
	Callback CallbackConfig
	// Draft answers GraphQL over HTTP with the status codes of the draft of 2026 rather than those of its audit suite.
	Draft bool
	// Node names this node in the tokens of graphql-sse's single-connection mode; zero: a random name, no forwarding.
	Node Node
	// Portable serves every connection by two goroutines, as on systems without epoll.
	Portable bool
	// Hooks are asked about connections and subscriptions.
	Hooks Hooks
	// ReleaseMemory gives memory back to the system once after a burst of connects; for programs that are a
	// server and nothing else.
	ReleaseMemory bool
	// PlainSends makes a system call for each write to a client. Else those of many clients are submitted with one by
	// io_uring, on Linux where it is allowed.
	PlainSends bool
}

func (c *HandlerConfig) validate() error {
	var errs []error
	if c.Authenticator == nil && !c.Anonymous {
		errs = append(errs, errors.New("HandlerConfig: set Authenticator, or Anonymous to admit everybody"))
	}
	if c.Workers < 0 {
		errs = append(errs, errors.New("HandlerConfig.Workers must not be negative"))
	}
	serving := Serving{
		Origins: c.Origins, MaxConnections: c.MaxConnections, InitTimeout: c.InitTimeout, PongTimeout: c.PongTimeout, MessageBytes: c.MessageBytes,
		Cookie: c.Cookie, MaxCallbacks: c.Callback.MaxSubscriptions, Hooks: &c.Hooks,
	}
	errs = append(errs, serving.validate("HandlerConfig", "Callback.MaxSubscriptions"))
	for _, text := range c.Callback.AllowedURLs {
		if err := outbound.ParseURL(text); err != nil {
			errs = append(errs, fmt.Errorf("HandlerConfig.Callback.AllowedURLs: %q %w", text, err))
		} else if err := outbound.CheckHost(text, c.Callback.AllowedNetworks); err != nil {
			errs = append(errs, fmt.Errorf("HandlerConfig.Callback.AllowedURLs: %w; see AllowedNetworks", err))
		}
	}
	return errors.Join(errs...)
}

// CallbackConfig allows subscriptions whose results are posted to an address that the client names (Apollo's HTTP
// callback protocol 1.0).
type CallbackConfig struct {
	// AllowedURLs are the addresses that clients may name: scheme://host[:port]/path, where a path that ends in /*
	// stands for every path below. None: no callbacks.
	AllowedURLs []string
	// AllowedNetworks are networks that may be dialled although they are not public: routers on private addresses.
	AllowedNetworks []netip.Prefix
	// MaxSubscriptions bounds them; 10,000. Each has a goroutine.
	MaxSubscriptions int
}

// most is MaxSubscriptions with its default.
func (c *CallbackConfig) most() int {
	return cmp.Or(max(c.MaxSubscriptions, 0), callback.DefaultSubscriptions)
}

// endpoint is one handler with what it needs.
type endpoint struct {
	ws   *ws.Handler
	http *gqlhttp.Handler
	// callbacks is nil where none are allowed
	callbacks     *callback.Handler
	poller        *poll.Poller
	host          *session.Host
	gate          *gate
	most          atomic.Int64 // open connections
	callbacksMost atomic.Int64 // CallbackConfig.MaxSubscriptions in force
	pages         atomic.Pointer[pages]
}

// pages says which web pages may connect, and what counts that their browsers add. It does not change: another takes its place.
type pages struct {
	origin.List
	cookie string // HandlerConfig.Cookie
}

func newPages(origins []string, cookie string) *pages {
	list, _ := origin.Parse(origins) // checkOrigins has passed them
	return &pages{list, cookie}
}

// Handler serves GraphQL clients at one endpoint: graphql-transport-ws over WebSockets; subscriptions as server-sent
// events (graphql-sse, both modes) and as multipart (Apollo); and GraphQL over HTTP. It belongs to the engine: Drain
// and Close end its connections. Over HTTP/1 it takes connections over from net/http (http.Hijacker), elsewhere it
// flushes (http.Flusher): what a middleware wraps around the http.ResponseWriter needs a method Unwrap that returns it.
func (e *Engine) Handler(cfg HandlerConfig) (http.Handler, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	poller, err := poll.New(poll.Options{Portable: cfg.Portable, KeepMemory: !cfg.ReleaseMemory, PlainSends: cfg.PlainSends})
	if err != nil {
		return nil, fmt.Errorf("start connection layer: %w", err)
	}
	g := e.sessionHost(&cfg)
	made := &endpoint{poller: poller, host: g.host, gate: g}
	made.most.Store(int64(cfg.MaxConnections))
	made.callbacksMost.Store(int64(cfg.Callback.most()))
	made.pages.Store(newPages(cfg.Origins, cfg.Cookie))
	if err := made.mount(e, &cfg); err != nil {
		return nil, errors.Join(err, closeServer(made))
	}
	g.setHooks(&cfg.Hooks, made)
	if err := e.addServer(made); err != nil {
		return nil, err
	}
	return made, nil
}

// mount makes the handlers of the protocols.
func (p *endpoint) mount(e *Engine, cfg *HandlerConfig) (err error) {
	credentials := func(r *http.Request) *session.Handshake { return cfg.handshake(r, p.pages.Load()) }
	judge := func(r *http.Request) origin.Verdict { return p.pages.Load().Judge(r) }
	p.ws, err = ws.New(ws.Config{
		Poller: p.poller, Host: p.host,
		CheckOrigin:  func(r *http.Request) bool { return judge(r) != origin.Foreign },
		Credentials:  credentials,
		Queue:        &e.connLimits,
		MessageBytes: cfg.MessageBytes, InitTimeout: cfg.InitTimeout, PingInterval: cfg.PingInterval,
		Gates: (*gates)(e), Names: lateNames{p},
		PongTimeout: cfg.PongTimeout, MaxConnectionsNow: &p.most, Legacy: cfg.LegacyGraphQLWS, Deflate: cfg.Compression, Observer: e.observer, TooSlow: e.tooSlow(p.host, "websocket"), Bare: e.bare,
		Others: func() int { return p.http.Connections() + p.called() },
	})
	if err != nil {
		return err
	}
	if err := p.mountCallbacks(e, cfg); err != nil {
		return err
	}
	p.http, err = gqlhttp.New(gqlhttp.Config{
		Callbacks: p.callbackHooks(),
		Poller:    p.poller, Host: p.host, Origin: judge, Credentials: credentials, Queue: &e.connLimits,
		MessageBytesNow: &p.gate.message, OperationsNow: &e.perConnection, MaxConnectionsNow: &p.most,
		Gates: (*gates)(e), Others: func() int { return p.ws.Connections() + p.called() }, Draft: cfg.Draft, Node: cfg.Node, Observer: e.observer, TooSlow: e.tooSlow(p.host, "stream"), Bare: e.bare,
	})
	if err != nil {
		return fmt.Errorf("HandlerConfig.Node: %w", err)
	}
	return nil
}

func (p *endpoint) mountCallbacks(e *Engine, cfg *HandlerConfig) (err error) {
	if len(cfg.Callback.AllowedURLs) == 0 {
		return nil
	}
	p.callbacks, err = callback.New(callback.Config{
		Host: p.host, URLs: cfg.Callback.AllowedURLs, Networks: cfg.Callback.AllowedNetworks,
		MaxSubscriptionsNow: &p.callbacksMost, Queue: &e.connLimits, Names: lateNames{p}, Observer: e.observer, TooSlow: e.tooSlow(p.host, "callback"),
		Gates: (*gates)(e), MaxConnectionsNow: &p.most, Others: func() int { return p.ws.Connections() + p.http.Connections() },
	})
	return err
}

// called is the number of subscriptions by callback.
func (p *endpoint) called() int {
	if p.callbacks == nil {
		return 0
	}
	return p.callbacks.Connections()
}

func (p *endpoint) callbackHooks() gqlhttp.Callbacks {
	if p.callbacks == nil {
		return gqlhttp.Callbacks{}
	}
	return gqlhttp.Callbacks{Protocol: callback.Protocol, Open: func(extensions []byte) (gqlhttp.Callback, error) {
		return p.callbacks.Open(extensions)
	}}
}

// lateNames are the names that the handler of HTTP gives, which is made last.
type lateNames struct{ of *endpoint }

// Name implements session.Namer.
func (n lateNames) Name(r session.Renewable) string { return n.of.http.Name(r) }

// Forget implements session.Namer.
func (n lateNames) Forget(r session.Renewable) { n.of.http.Forget(r) }

// ServeHTTP picks the protocol: a WebSocket for who asks for one, else what the request accepts.
func (p *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if ws.Wanted(r) {
		p.ws.ServeHTTP(w, r)
		return
	}
	p.http.ServeHTTP(w, r)
}

// Connections implements server.
func (p *endpoint) Connections() int {
	return p.ws.Connections() + p.http.Connections() + p.called()
}

// countRings adds how many writers use io_uring.
func (p *endpoint) countRings(s *Stats) {
	s.IOUring += int(p.poller.Stats().Rings)
	if why := p.poller.Ringless(); why != nil {
		s.NoIOUring = why.Error()
	}
}

// eachConn implements server.
func (p *endpoint) eachConn(f func(c *queue.Conn, owed int)) {
	p.ws.EachConn(f)
	p.http.EachConn(f)
	if p.callbacks != nil {
		p.callbacks.EachConn(f)
	}
}

// Drain implements server: the protocols side by side, each over the whole window.
func (p *endpoint) Drain(ctx context.Context, window time.Duration, code uint16, reason string) error {
	others := make(chan error, 2)
	go func() { others <- p.http.Drain(ctx, window) }()
	go func() {
		if p.callbacks == nil {
			others <- nil
			return
		}
		others <- p.callbacks.Drain(ctx, window)
	}()
	err := p.ws.Drain(ctx, window, code, reason)
	return errors.Join(err, <-others, <-others)
}

// sessionHost makes what the protocol machines of one endpoint share.
func (e *Engine) sessionHost(cfg *HandlerConfig) *gate {
	g := &gate{engine: e, cfg: cfg}
	g.rechecks.calls = make(chan struct{}, recheckCalls)
	g.hooks.Store(&cfg.Hooks)
	g.message.Store(int64(messageBytes(cfg.MessageBytes)))
	g.host = session.NewHost(session.HostConfig{
		Engine:  g,
		Options: session.Options{SubscriptionsNow: &e.perConnection, MessageBytesNow: &g.message},
		Workers: cfg.Workers, Limited: e.limited,
		Panicked: func(value any, stack []byte) {
			e.log.Error("panic while serving a client", "panic", value, "stack", string(stack))
		},
	})
	return g
}

// Release ends what Handler made and forgets it: connections that are open are cut. It reports whether h was one of
// the engine's. Close does it for all.
func (e *Engine) Release(h http.Handler) bool {
	e.mu.Lock()
	i := slices.IndexFunc(e.servers, func(s server) bool {
		made, ok := s.(*endpoint)
		return ok && http.Handler(made) == h
	})
	if i < 0 {
		e.mu.Unlock()
		return false
	}
	made := e.servers[i]
	e.servers = slices.Delete(e.servers, i, i+1)
	e.noteHelpedLocked()
	e.mu.Unlock()
	if err := closeServer(made); err != nil {
		e.log.Error("release a handler", "error", err)
	}
	return true
}

// client is a connection of a poller that has an identity. Identity is nil until there is one.
type client interface {
	Identity() *identity.Identity
	Shut(code uint16, reason string)
}

func (p *endpoint) dismiss(gone func(*identity.Identity) bool, code uint16, reason string) int {
	var found []client
	p.poller.Each(func(o poll.Owner) {
		if c, ok := o.(client); ok {
			if who := c.Identity(); who != nil && gone(who) {
				found = append(found, c)
			}
		}
	})
	for _, c := range found {
		c.Shut(code, reason)
	}
	n := len(found) + p.http.Dismiss(gone, code)
	if p.callbacks != nil {
		n += p.callbacks.Dismiss(gone, code)
	}
	return n
}

// layer implements server.
func (p *endpoint) layer() *poll.Poller { return p.poller }

// stopText is the reason of closes with CloseGoingAway.
const stopText = "the server stops"

// part implements server.
func (p *endpoint) part(ctx context.Context) {
	_ = p.Drain(ctx, 0, CloseGoingAway, stopText) // who is left is cut
}

// shut implements server: connections are cut.
func (p *endpoint) shut() {
	p.gate.rechecks.halt()
	if p.ws != nil {
		p.ws.Refuse(CloseGoingAway, stopText)
	}
	if p.http != nil {
		p.http.Shut()
	}
	if p.callbacks != nil {
		p.callbacks.Shut()
	}
	p.poller.Shut()
}

// wait implements server.
func (p *endpoint) wait() error {
	if p.http != nil {
		p.http.Close()
	}
	if p.callbacks != nil {
		p.callbacks.Close()
	}
	err := p.poller.Close()
	p.host.Close()
	p.gate.rechecks.running.Wait()
	return err
}

// handshake takes from a request what authentication may use. A cookie counts only beside an Origin that is our
// own or named: else nothing says that a page of ours made the request, for browsers add cookies to any.
func (c *HandlerConfig) handshake(r *http.Request, allowed *pages) *session.Handshake {
	h := &session.Handshake{Authorization: strings.Join(r.Header.Values("Authorization"), ", "), RemoteAddr: r.RemoteAddr}
	v := allowed.Judge(r)
	credible := v == origin.Own || v == origin.Listed
	if allowed.cookie != "" && credible {
		for i, cookie := range r.CookiesNamed(allowed.cookie) {
			if i > 0 { // a sibling domain can add one: none is chosen, two are no token
				h.Cookie += ", "
			}
			h.Cookie += cookie.Value
		}
	}
	if c.Request != nil {
		h.Value = c.Request(r, credible)
	}
	return h
}
