package ws

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/wsframe"
)

// client is the far end of one WebSocket, byte by byte.
type client struct {
	t    testing.TB
	nc   net.Conn
	in   wsframe.State
	rest []byte
	buf  []byte
	head http.Header // of the 101
	// packed counts compressed messages, wire the bytes of messages as they were sent.
	packed, wire int
}

const testKey = "dGhlIHNhbXBsZSBub25jZQ=="

// request is the text of an opening handshake; extra are whole header lines.
func request(host string, extra ...string) string {
	return "GET /graphql HTTP/1.1\r\nHost: " + host + "\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + testKey + "\r\n" + strings.Join(append(extra, "\r\n"), "\r\n")
}

const protocolLine = "Sec-WebSocket-Protocol: graphql-transport-ws"

// dial opens a WebSocket; more is sent in the same write as the handshake.
func (f *fixture) dial(more ...[]byte) *client {
	f.t.Helper()
	c, err := f.tryDial(protocolLine, more...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.nc.Close() })
	return c
}

func (f *fixture) tryDial(line string, more ...[]byte) (*client, error) {
	nc, err := net.Dial("tcp", f.addr)
	if err != nil {
		return nil, err
	}
	if f.secure {
		nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
	}
	head := []byte(request(f.addr, line))
	for _, m := range more {
		head = append(head, m...)
	}
	if _, err := nc.Write(head); err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	r := bufio.NewReader(nc)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(res.Body)
		return nil, errors.Join(fmt.Errorf("status %d: %s", res.StatusCode, body), nc.Close())
	}
	rest, _ := r.Peek(r.Buffered())
	return &client{t: f.t, nc: nc, rest: append([]byte(nil), rest...), buf: make([]byte, 64<<10), head: res.Header}, nil
}

// write sends bytes as they are.
func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.nc.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func text(s string) []byte {
	return wsframe.AppendMasked(nil, true, wsframe.Text, 0x01020304, []byte(s))
}

// send sends text messages in one write.
func (c *client) send(messages ...string) {
	c.t.Helper()
	var b []byte
	for _, m := range messages {
		b = append(b, text(m)...)
	}
	c.write(b)
}

// next returns the next message or control frame; an end of the stream is an error.
func (c *client) next() (wsframe.Message, error) {
	d := wsframe.Decoder{Client: true, MaxMessage: 64 << 20, Deflate: strings.Contains(c.head.Get("Sec-WebSocket-Extensions"), "permessage-deflate")}
	for {
		m, rest, err := d.Next(&c.in, c.rest)
		if c.rest = rest; err != nil || m.Op != 0 {
			return m, err
		}
		n, err := c.nc.Read(c.buf)
		if n == 0 && err != nil {
			return wsframe.Message{}, err
		}
		c.rest = c.buf[:n]
	}
}

// want reads the next message, which must be this text, or `close <code> <reason>`, `ping`, `pong <data>`, `end`.
func (c *client) want(texts ...string) {
	c.t.Helper()
	for _, want := range texts {
		if got := c.describe(); got != want {
			c.t.Fatalf("got %.300q, want %.300q", got, want)
		}
	}
}

func (c *client) describe() string {
	m, err := c.next()
	switch {
	case err != nil:
		return "end"
	case m.Op == wsframe.Close:
		code, reason := m.CloseStatus()
		return strings.TrimSpace(fmt.Sprintf("close %d %s", code, reason))
	case m.Op == wsframe.Ping:
		return strings.TrimSpace("ping " + string(m.Payload))
	case m.Op == wsframe.Pong:
		return strings.TrimSpace("pong " + string(m.Payload))
	case m.Deflated:
		c.packed, c.wire = c.packed+1, c.wire+len(m.Payload)
		p, err := wsframe.AppendInflated(nil, m.Payload, 64<<20)
		if err != nil {
			return "cannot be inflated: " + err.Error()
		}
		return string(p)
	default:
		c.wire += len(m.Payload)
		return string(m.Payload)
	}
}

// initialised dials and gets through connection_init.
func (f *fixture) initialised() *client {
	f.t.Helper()
	c := f.dial()
	c.send(`{"type":"connection_init"}`)
	c.want(`{"type":"connection_ack"}`)
	return c
}

func subscribe(id, query string) string {
	return fmt.Sprintf(`{"id":%q,"type":"subscribe","payload":{"query":%q}}`, id, query)
}

func complete(id string) string { return fmt.Sprintf(`{"id":%q,"type":"complete"}`, id) }

// await spins until cond holds; the test's time limit is the bound.
func await(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for i := 0; !cond(); i++ {
		if i%1024 == 0 && t.Context().Err() != nil {
			t.Fatalf("gave up waiting: %s", what)
		}
		runtime.Gosched()
	}
}

// far is a deadline that tests do not reach.
const far = time.Hour
