//go:build linux && !fqmemory

package embed

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	fraiseql "github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
)

// Bounds of HTTP. A connection that became a WebSocket has those of its protocol.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	writeTimeout  = 30 * time.Second
	headerBytes   = 64 << 10
	// mostWaiting bounds the connections that net/http holds: each costs a goroutine and two buffers.
	mostWaiting = 10_000
	// stopGrace is how long connections may take beyond the window until they are cut.
	stopGrace  = 5 * time.Second
	maxWindow  = 10 * time.Minute
	healthPath = "/healthz"
)

// draining is what a handler of the engine can do besides.
type draining interface {
	http.Handler
	Drain(ctx context.Context, window time.Duration, code uint16, reason string) error
}

// server is a listener of ours inside the host.
type server struct {
	engine  *Engine
	handle  int64
	http    *http.Server
	clients draining
	waiting atomic.Int64 // connections that are not, or not yet, a WebSocket
	running sync.WaitGroup
	stop    sync.Mutex // one stop at a time
}

// Serve listens and serves clients until StopServing or the end of the engine. address is {"host","port"}.
func (e *Engine) Serve(dst, config []byte) (address []byte, handle int64, err error) {
	c, err := e.parseEndpoint(config, true)
	if err != nil {
		return dst, 0, err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(c.host, strconv.Itoa(c.port)))
	if err != nil {
		return dst, 0, cannotListen(net.JoinHostPort(c.host, strconv.Itoa(c.port)), err)
	}
	if c.authenticate {
		c.Request = func(r *http.Request, cookies bool) any {
			return &hostValue{int64(c.token), appendHTTP(nil, r, cookies)}
		}
	}
	h, err := e.facade.Handler(c.HandlerConfig)
	if err != nil {
		_ = listener.Close() // nobody has connected
		return dst, 0, refusedConfig(err)
	}
	s := &server{engine: e, clients: h.(draining)}
	s.http = &http.Server{
		Handler: routes(c.path, h), ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout, IdleTimeout: idleTimeout,
		WriteTimeout: writeTimeout, MaxHeaderBytes: headerBytes, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		ConnState: s.connState,
	}
	if err := e.addServer(s); err != nil {
		e.facade.Release(h)
		_ = listener.Close() // nobody has connected
		return dst, 0, err
	}
	s.running.Go(func() {
		// It ends with ErrServerClosed, or because the listener is broken: then nobody connects any more.
		_ = s.http.Serve(listener)
	})
	return appendAddress(dst, listener.Addr().(*net.TCPAddr)), s.handle, nil
}

// cannotListen says why without naming the resolver that was asked for the host.
func cannotListen(address string, err error) error {
	if unknown := (*net.DNSError)(nil); errors.As(err, &unknown) {
		return bad("host", "cannot listen on "+address+": "+unknown.Err)
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		return bad("port", "cannot listen on "+address+": "+syscall.EADDRINUSE.Error()+"; choose another, or 0 for a free one")
	}
	if number := syscall.Errno(0); errors.As(err, &number) {
		err = number
	}
	return bad("host", "cannot listen on "+address+": "+err.Error())
}

func (e *Engine) addServer(s *server) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.connections == nil {
		return errClosed
	}
	s.handle = e.lib.servers.put(s)
	e.servers[s.handle] = s
	return nil
}

// connState closes a connection that comes when there are too many.
func (s *server) connState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if s.waiting.Add(1) > mostWaiting {
			_ = c.Close() // the peer learns of it by its next read
		}
	case http.StateHijacked, http.StateClosed:
		s.waiting.Add(-1)
	}
}

func appendAddress(dst []byte, a *net.TCPAddr) []byte {
	dst = jsontape.AppendQuoted(append(dst, `{"host":`...), a.IP.String())
	dst = strconv.AppendInt(append(dst, `,"port":`...), int64(a.Port), 10)
	return append(dst, '}')
}

// routes serves GraphQL at path and says at /healthz that there is somebody.
func routes(path string, graphql http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case path, path + "/refresh":
			graphql.ServeHTTP(w, r)
		case healthPath:
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = w.Write([]byte("ok\n")) // who asked is gone
		default:
			http.NotFound(w, r)
		}
	})
}

// StopServing accepts nobody any more, closes the connections with 1012, spread over the window, and waits: 1, 0 when
// it was stopped before, or Unknown.
func (e *Engine) StopServing(handle int64, window time.Duration) (int64, error) {
	s, ok := e.lib.servers.get(handle)
	if !ok || s.engine != e {
		if e.lib.servers.gone(handle) {
			return 0, nil
		}
		return Unknown, nil
	}
	if window < 0 || window > maxWindow {
		return 0, bad("window", "must be between 0 and "+maxWindow.String())
	}
	s.stop.Lock()
	defer s.stop.Unlock()
	if _, ok := e.lib.servers.remove(handle); !ok {
		return 0, nil
	}
	s.end(window)
	e.mu.Lock()
	delete(e.servers, handle)
	e.mu.Unlock()
	return 1, nil
}

// end drains a server and waits for what it started. Who is left after the window and a grace is cut.
func (s *server) end(window time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), window+stopGrace)
	defer cancel()
	var closing sync.WaitGroup
	closing.Go(func() {
		if err := s.http.Shutdown(ctx); err != nil {
			_ = s.http.Close() // requests that do not end are cut
		}
	})
	err := s.clients.Drain(ctx, window, fraiseql.CloseRestart, "the server restarts, connect again")
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		cancel()
	}
	closing.Wait()
	s.running.Wait()
	s.engine.facade.Release(s.clients)
}
