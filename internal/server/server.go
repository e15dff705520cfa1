// Package server is the HTTP side of `fraiseql serve`: the publish API, health, metrics, the checks of Host and
// Origin, and the life cycle of the listeners. GraphQL itself is the engine's handler; this package mounts it.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/auth/publishtoken"
	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/internal/forwarded"
	"github.com/fraiseql/fraiseql-go/internal/metrics"
)

// Publisher is what POST /events hands events to: the engine. Errors about events are *fraiseql.PublishError or
// *event.Error, alone or joined, each with its index; one with bus.ErrUnavailable or bus.ErrClosed in its chain asks
// for a retry; the text of every other error is not shown to clients.
type Publisher interface {
	Publish(ctx context.Context, events ...event.Event) (bus.Receipt, error)
}

// Options are the parts that a server is made of.
type Options struct {
	Config *config.Config
	// GraphQL serves /graphql.
	GraphQL   http.Handler
	Publisher Publisher
	// Revoke puts a revocation in force, on every node; nil: this server takes none.
	Revoke func(ctx context.Context, r fraiseql.Revocation) error
	// Ready says whether the engine can do its work, nil: always.
	Ready func() bool
	// Drain closes the engine's connections, spread over a window, and returns when they are closed.
	Drain   func(ctx context.Context, window time.Duration) error
	Metrics *metrics.Metrics
	// Page is what browsers see at / under --dev; GraphQLPage what they see at /graphql.
	Page, GraphQLPage http.Handler
	Logger            *slog.Logger
}

// Timeouts of HTTP. A connection that became a WebSocket or a stream has those of its protocol.
const (
	headerTimeout = 10 * time.Second
	// requestTimeout bounds head and body together, except where a handler reads the body (bodyTimeout) or
	// takes the connection over.
	requestTimeout = 20 * time.Second
	bodyTimeout    = 60 * time.Second
	idleTimeout    = 2 * time.Minute
	writeTimeout   = 30 * time.Second
	// Of HTTP/2: streams of one connection, silence until a ping, and until its answer.
	maxStreams   = 250
	pingAfter    = 30 * time.Second
	pingPatience = 15 * time.Second
	headerBytes  = 64 << 10
	// drainGrace is how long connections may take beyond the window until they are cut.
	drainGrace = 5 * time.Second
)

// Server is one server. New, Listen, Serve and Force are called in this order, Force from any goroutine.
type Server struct {
	opts     Options
	cfg      *config.Config // as it was at the start; see inForce
	now      atomic.Pointer[config.Config]
	log      *slog.Logger
	guard    *guard
	proxies  atomic.Pointer[forwarded.Rules]
	publish  atomic.Pointer[publishers]
	admin    atomic.Pointer[publishtoken.Set] // of one token; nil: none
	spilling atomic.Int64                     // requests whose body is read only to be thrown away
	bodies   atomic.Int64                     // bytes of bodies that are being worked on
	waiting  waiting
	lookout  *lookout
	ready    atomic.Bool
	draining atomic.Bool
	servers  []*listening
	// certificate of the main listener, nil: no TLS
	certificate *certificate
	forced      chan struct{}
	force       sync.Once
}

// listening is one listener with its HTTP server.
type listening struct {
	name     string
	listener net.Listener
	http     *http.Server
}

// New makes a server. It does not listen yet. The error lists what is wrong with publish tokens.
func New(opts Options) (*Server, error) {
	publish, err := newPublishers(opts.Config, nil)
	if err != nil {
		return nil, err
	}
	s := &Server{opts: opts, cfg: opts.Config, log: opts.Logger, forced: make(chan struct{})}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.publish.Store(publish)
	admin, err := newAdmin(s.cfg)
	if err != nil {
		return nil, err
	}
	s.admin.Store(admin)
	s.guard = newGuard(s.cfg)
	s.proxies.Store(proxies(&s.cfg.Proxy))
	s.putInForce(s.cfg)
	if s.cfg.TLS.CertFile != "" {
		if s.certificate, err = newCertificate(&s.cfg.TLS, s.log); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func proxies(c *config.Proxy) *forwarded.Rules {
	r := &forwarded.Rules{}
	r.Trusted, _ = forwarded.ParseNetworks(c.Trusted) // config has refused what is none
	if c.Headers == "forwarded" {
		r.Family = forwarded.Forwarded
	}
	return r
}

// Listen opens the listeners. Clients that connect now wait until Serve.
func (s *Server) Listen() error {
	if err := s.listen("main", s.cfg.Listen, s.Handler()); err != nil {
		return err
	}
	if s.cfg.Admin.Listen == "" {
		return nil
	}
	if err := s.listen("admin", s.cfg.Admin.Listen, s.AdminHandler()); err != nil {
		// The error of the second listener is the one to report.
		_ = s.servers[0].listener.Close()
		return err
	}
	return nil
}

func (s *Server) listen(name, address string, h http.Handler) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("%s listener: %w", name, err)
	}
	if name == "main" {
		s.lookout = newLookout()
		l = admit(l, s.lookout)
	}
	s.servers = append(s.servers, &listening{name, l, s.http(name, h)})
	return nil
}

// serve accepts connections until the server is shut down.
func (l *listening) serve() error {
	if l.http.TLSConfig != nil {
		return l.http.ServeTLS(l.listener, "", "")
	}
	return l.http.Serve(l.listener)
}

// shutDown accepts no more connections and returns when those that are open have ended, or ctx: they are cut then.
func (l *listening) shutDown(ctx context.Context) {
	if err := l.http.Shutdown(ctx); err != nil {
		_ = l.http.Close() // there is nothing left to save
	}
}

// http makes the HTTP server of a listener.
func (s *Server) http(name string, h http.Handler) *http.Server {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ReadTimeout:       requestTimeout, // net/http waits for a body that no handler has read before it answers
	}
	if name == "main" {
		server.ConnState = s.connState
		server.ConnContext = withNewcomer
		if s.certificate != nil {
			server.TLSConfig = s.certificate.config(s.cfg.TLS.MinVersion)
			server.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: maxStreams, SendPingTimeout: pingAfter, PingTimeout: pingPatience}
		}
	}
	return server
}

// Addr is the address of the main listener, AdminAddr that of the operators', "" when there is none.
func (s *Server) Addr() string { return s.servers[0].listener.Addr().String() }

// AdminAddr is the address of the operators' listener, "" when there is none.
func (s *Server) AdminAddr() string {
	if len(s.servers) < 2 {
		return ""
	}
	return s.servers[1].listener.Addr().String()
}

// Serve serves until ctx ends or a listener fails, then drains: not ready, no new connections, closes spread
// over the window. It returns nil after a complete drain and ErrForced after Force.
func (s *Server) Serve(ctx context.Context) error {
	defer s.lookout.begin()()
	failed := make(chan error, len(s.servers))
	var running sync.WaitGroup
	for _, l := range s.servers {
		running.Go(func() {
			if err := l.serve(); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve %s: %w", l.name, err)
			}
		})
	}
	s.setReady(true)
	s.announce(ctx)
	var cause error
	select {
	case <-ctx.Done():
	case cause = <-failed:
		s.log.Error("listener failed", "error", cause)
	}
	err := s.drain()
	running.Wait()
	return errors.Join(cause, err)
}

// announceAfter is how long a bus may take to connect before the log says that it has not.
const announceAfter = time.Second

// announce logs that connections are taken, and whether clients are wanted already: /readyz says no while the bus is away.
func (s *Server) announce(ctx context.Context) {
	place := []any{"listen", s.Addr(), "admin", s.AdminAddr(), "tls", s.certificate != nil, "dev", s.cfg.Dev, "isolation", s.cfg.Security.Isolation}
	if s.awaitBus(ctx) {
		s.log.Info("ready", place...)
		return
	}
	s.log.Warn("listening, but not ready: the bus is not connected", append(place, "readyz", http.StatusServiceUnavailable)...)
}

// awaitBus reports whether the bus is connected within announceAfter.
func (s *Server) awaitBus(ctx context.Context) bool {
	if s.opts.Ready == nil || s.opts.Ready() {
		return true
	}
	limited, cancel := context.WithTimeout(ctx, announceAfter)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !s.opts.Ready() {
		select {
		case <-tick.C:
		case <-limited.Done():
			return false
		}
	}
	return true
}

// ErrForced is returned by Serve when the drain was cut short.
var ErrForced = errors.New("drain cut short by a second signal")

// Force ends the drain at once: connections are cut.
func (s *Server) Force() { s.force.Do(func() { close(s.forced) }) }

func (s *Server) setReady(ready bool) {
	s.ready.Store(ready)
	if s.opts.Metrics != nil {
		s.opts.Metrics.SetReady(ready)
	}
}

// drain ends everything in order.
func (s *Server) drain() error {
	s.draining.Store(true)
	s.setReady(false)
	window := s.inForce().Drain.Window
	s.log.Info("draining", "window", window.String())
	ctx, cancel := context.WithTimeout(context.Background(), window+drainGrace)
	defer cancel()
	go func() {
		select {
		case <-s.forced:
			cancel()
		case <-ctx.Done():
		}
	}()
	var parts sync.WaitGroup
	parts.Go(func() {
		if err := s.opts.Drain(ctx, window); err != nil {
			s.log.Warn("drain of connections was not complete", "error", err)
		}
	})
	parts.Go(func() { s.servers[0].shutDown(ctx) })
	parts.Wait()
	// Operators see the drain until its end.
	for _, l := range s.servers[1:] {
		l.shutDown(ctx)
	}
	select {
	case <-s.forced:
		s.log.Warn("stopped by force")
		return ErrForced
	default:
		s.log.Info("stopped")
		return nil
	}
}
