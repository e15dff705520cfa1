package wsclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// script is what a server does with one connection after another; the last one is repeated.
type script []func(*peer)

// peer is the server's side of a connection.
type peer struct {
	t    *testing.T
	ctx  context.Context
	conn *websocket.Conn
	http *http.Request
}

// server plays a script and counts connections.
type server struct {
	*httptest.Server
	t      *testing.T
	script script

	mu          sync.Mutex
	connections int
	wg          sync.WaitGroup
}

func newServer(t *testing.T, s script) *server {
	srv := &server{t: t, script: s}
	srv.Server = httptest.NewServer(http.HandlerFunc(srv.serve))
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		srv.wg.Wait()
	})
	return srv
}

func (s *server) serve(w http.ResponseWriter, r *http.Request) {
	s.wg.Add(1)
	defer s.wg.Done()
	s.mu.Lock()
	step := s.script[min(s.connections, len(s.script)-1)]
	s.connections++
	s.mu.Unlock()
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}, InsecureSkipVerify: true})
	if err != nil {
		s.t.Error(err)
		return
	}
	defer conn.CloseNow()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	step(&peer{t: s.t, ctx: ctx, conn: conn, http: r})
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connections
}

func (p *peer) send(format string, values ...any) {
	if err := p.conn.Write(p.ctx, websocket.MessageText, fmt.Appendf(nil, format, values...)); err != nil {
		p.t.Logf("server: send: %v", err)
	}
}

// read returns the next message; the zero message when the connection has ended.
func (p *peer) read() (m message) {
	_, text, err := p.conn.Read(p.ctx)
	if err != nil {
		return message{}
	}
	if err := json.Unmarshal(text, &m); err != nil {
		p.t.Errorf("server: %s: %v", text, err)
	}
	return m
}

func (p *peer) expect(kind string) message {
	m := p.read()
	if m.Type != kind {
		p.t.Errorf("server: got %q, want %q", m.Type, kind)
	}
	return m
}

// open answers connection_init and returns the payload of subscribe.
func (p *peer) open() (payload struct {
	Query, OperationName  string
	Variables, Extensions map[string]any
}) {
	p.expect("connection_init")
	p.send(`{"type":"connection_ack"}`)
	m := p.expect("subscribe")
	if err := json.Unmarshal(m.Payload, &payload); err != nil {
		p.t.Errorf("server: %s: %v", m.Payload, err)
	}
	return payload
}

func (p *peer) next(n int) { p.send(`{"id":"1","type":"next","payload":{"data":{"n":%d}}}`, n) }
func (p *peer) complete()  { p.send(`{"id":"1","type":"complete"}`) }

// wait reads until the client closes and returns the code.
func (p *peer) wait() websocket.StatusCode {
	for {
		if _, _, err := p.conn.Read(p.ctx); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

func (p *peer) close(code int, reason string) { _ = p.conn.Close(websocket.StatusCode(code), reason) }

// config is a client's with short waits.
func (s *server) config() Config {
	return Config{URL: s.URL, Query: "subscription { n }", BackoffBase: time.Millisecond, BackoffMax: 2 * time.Millisecond, KeepAlive: -1}
}

// collect runs a client and returns what was delivered.
func collect(t *testing.T, cfg Config) (results []string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err = Run(ctx, cfg, func(result json.RawMessage) error {
		results = append(results, string(result))
		return nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		t.Fatal("the client did not end")
	}
	return results, err
}
