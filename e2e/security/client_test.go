package security

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/auth/jwtauth"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
	"github.com/fraiseql/fraiseql-go/observe"
	"github.com/fraiseql/fraiseql-go/policy"
)

// patience bounds each wait for something that must happen.
const patience = 30 * time.Second

// counts is an Observer that remembers.
type counts struct {
	observe.Discard
	mu              sync.Mutex
	allowed, denied [policy.Checks]int
	auth            map[string]int
}

func newCounts() *counts { return &counts{auth: map[string]int{}} }

// Dispatched implements observe.Observer.
func (c *counts) Dispatched(d *observe.Dispatch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range policy.Checks {
		c.allowed[i] += d.Allowed[i]
		c.denied[i] += d.Denied[i]
	}
}

// Checked implements observe.Observer.
func (c *counts) Checked(check policy.Check, allowed, denied int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.allowed[check] += allowed
	c.denied[check] += denied
}

// Counted implements observe.Observer.
func (c *counts) Counted(counter observe.Counter, label string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if counter == observe.AuthFailures {
		c.auth[label] += n
	}
}

// reset forgets what was counted of checks.
func (c *counts) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.allowed, c.denied = [policy.Checks]int{}, [policy.Checks]int{}
}

func (c *counts) of(check policy.Check) (allowed, denied int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.allowed[check], c.denied[check]
}

func (c *counts) failures(reason string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.auth[reason]
}

// server is an engine behind a real endpoint.
type server struct {
	*httptest.Server
	engine *fraiseql.Engine
	counts *counts
}

func serve(t *testing.T, cfg fraiseql.Config, handler fraiseql.HandlerConfig) *server {
	t.Helper()
	s := &server{counts: newCounts()}
	cfg.Observer = s.counts
	var err error
	if s.engine, err = fraiseql.New(cfg); err != nil {
		t.Fatal(err)
	}
	h, err := s.engine.Handler(handler)
	if err != nil {
		t.Fatal(err)
	}
	s.Server = httptest.NewServer(h)
	t.Cleanup(func() {
		s.Close()
		if err := s.engine.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// tokens verifies what testkit.Token signs.
func tokens(t *testing.T) *jwtauth.Authenticator {
	t.Helper()
	a, err := jwtauth.New(jwtauth.Config{
		Secret: []byte(testkit.Secret), Issuer: "*", Audience: "*", KeepClaims: nil,
		Claims: jwtauth.Claims{User: "sub", Tenant: "tenant_id", Roles: "roles", Scopes: "scope", Federation: "fed", Service: "svc"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

// publish fails the test unless the bus has the event.
func (s *server) publish(t *testing.T, events ...fraiseql.Event) {
	t.Helper()
	for _, ev := range events {
		if _, err := s.engine.Publish(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
	}
}

// client is a WebSocket of the tests: it writes and reads frames itself, so that nothing of the server is
// used to check the server.
type client struct {
	t      *testing.T
	server *server
	conn   net.Conn
	in     *bufio.Reader
}

// message is one message of graphql-transport-ws.
type message struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// dial opens a socket; head lines are added to the request.
func (s *server) dial(t *testing.T, head ...string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	lines := append([]string{
		"GET /graphql HTTP/1.1", "Host: " + conn.RemoteAddr().String(), "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: graphql-transport-ws",
	}, head...)
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, server: s, conn: conn, in: bufio.NewReader(conn)}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("upgrade: %v, %v", resp, err)
	}
	return c
}

// connect opens a socket and is acknowledged with a token of these claims.
func (s *server) connect(t *testing.T, claims map[string]any) *client {
	t.Helper()
	c := s.dial(t)
	payload, err := json.Marshal(map[string]string{"authorization": "Bearer " + testkit.Token(t, claims)})
	if err != nil {
		t.Fatal(err)
	}
	c.send(message{Type: "connection_init", Payload: payload})
	if m := c.receive(); m.Type != "connection_ack" {
		t.Fatalf("got %+v", m)
	}
	return c
}

func (c *client) send(m message) {
	c.t.Helper()
	text, err := json.Marshal(m)
	if err != nil {
		c.t.Fatal(err)
	}
	frame := []byte{0x81, 0x80 | byte(min(len(text), 126))}
	if len(text) >= 126 {
		frame = binary.BigEndian.AppendUint16(frame, uint16(len(text)))
	}
	frame = append(frame, 0, 0, 0, 0) // a mask of zeros
	if _, err := c.conn.Write(append(frame, text...)); err != nil {
		c.t.Fatal(err)
	}
}

// frame reads one frame of the server.
func (c *client) frame() (opcode byte, payload []byte) {
	c.t.Helper()
	head := c.bytes(2)
	n := uint64(head[1])
	switch n {
	case 126:
		n = uint64(binary.BigEndian.Uint16(c.bytes(2)))
	case 127:
		n = binary.BigEndian.Uint64(c.bytes(8))
	}
	return head[0] & 15, c.bytes(int(n))
}

func (c *client) bytes(n int) []byte {
	c.t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(c.in, b); err != nil {
		c.t.Fatalf("the server sent nothing more: %v", err)
	}
	return b
}

// receive returns the next message.
func (c *client) receive() message {
	c.t.Helper()
	opcode, payload := c.frame()
	var m message
	if opcode != 1 || json.Unmarshal(payload, &m) != nil {
		c.t.Fatalf("opcode %d: %q", opcode, payload)
	}
	return m
}

// closed returns the code with which the server closes, which is what it does next.
func (c *client) closed() int {
	c.t.Helper()
	opcode, payload := c.frame()
	if opcode != 8 || len(payload) < 2 {
		c.t.Fatalf("not closed but opcode %d: %q", opcode, payload)
	}
	return int(binary.BigEndian.Uint16(payload))
}

// subscribe starts an operation and returns when it is live: nothing in the protocol says so.
func (c *client) subscribe(id, query string, variables any) {
	c.t.Helper()
	before := c.server.engine.Stats().Subscriptions
	c.start(id, query, variables)
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for end := time.After(patience); c.server.engine.Stats().Subscriptions == before; {
		select {
		case <-again.C:
		case <-end:
			c.t.Fatalf("operation %s did not begin", id)
		}
	}
}

func (c *client) start(id, query string, variables any) {
	c.t.Helper()
	payload, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		c.t.Fatal(err)
	}
	c.send(message{ID: id, Type: "subscribe", Payload: payload})
}

// refused fails unless the operation is refused with that code.
func (c *client) refused(id, query string, variables any, code string) {
	c.t.Helper()
	c.start(id, query, variables)
	m := c.receive()
	if m.Type != "error" || m.ID != id || !strings.Contains(string(m.Payload), `"code":"`+code+`"`) {
		c.t.Fatalf("got %s %s %s, want an error %s", m.ID, m.Type, m.Payload, code)
	}
}

// next returns the data of the next event, which must be that operation's.
func (c *client) next(id string) string {
	c.t.Helper()
	m := c.receive()
	var result struct {
		Data   json.RawMessage `json:"data"`
		Errors json.RawMessage `json:"errors"`
	}
	if m.Type != "next" || m.ID != id || json.Unmarshal(m.Payload, &result) != nil || result.Errors != nil {
		c.t.Fatalf("got %s %s %s, want an event of %s", m.ID, m.Type, m.Payload, id)
	}
	return string(result.Data)
}
