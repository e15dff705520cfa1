package load

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// client is a WebSocket of the tests: it writes and reads frames itself, so that it can stop anywhere.
type client struct {
	net.Conn
	in *bufio.Reader
}

const upgrade = "GET /graphql HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"

// dial opens a socket and upgrades it.
func dial(addr string) (*client, error) {
	return dialBy(&net.Dialer{Timeout: patience}, addr)
}

// dialBy is dial with other options of its socket.
func dialBy(d *net.Dialer, addr string) (*client, error) {
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return greet(conn, addr)
}

// dial opens a socket to the server and upgrades it.
func (s *server) dial() (*client, error) {
	if s.tls == nil {
		return dial(s.Addr)
	}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", s.Addr, s.tls)
	if err != nil {
		return nil, err
	}
	return greet(conn, s.Addr)
}

// greet upgrades an open socket.
func greet(conn net.Conn, addr string) (*client, error) {
	c := &client{conn, bufio.NewReaderSize(conn, 2048)}
	if err := c.handshake(addr); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *client) handshake(addr string) error {
	// The deadline is for the whole test: nothing may hang.
	if err := c.SetDeadline(time.Now().Add(3 * patience)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c, upgrade, addr); err != nil {
		return err
	}
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("upgrade: %s", res.Status)
	}
	return nil
}

// frame is a client's text frame, masked with zeros.
func frame(text string) []byte {
	f := []byte{0x81, 0x80 | byte(min(len(text), 126))}
	if len(text) >= 126 {
		f = binary.BigEndian.AppendUint16(f, uint16(len(text)))
	}
	return append(append(f, 0, 0, 0, 0), text...)
}

// subscribe initialises and subscribes.
func (c *client) subscribe(query, extensions string) error {
	if _, err := c.Write(frame(`{"type":"connection_init"}`)); err != nil {
		return err
	}
	if _, text, err := c.receive(nil); err != nil || string(text) != `{"type":"connection_ack"}` {
		return fmt.Errorf("connection_ack: %s, %w", text, err)
	}
	text, err := json.Marshal(query)
	if err != nil {
		return err
	}
	_, err = c.Write(frame(`{"id":"s","type":"subscribe","payload":{"query":` + string(text) + extensions + `}}`))
	return err
}

// receive reads one frame into buf, which may be nil.
func (c *client) receive(buf []byte) (opcode byte, payload []byte, err error) {
	var head [10]byte
	if _, err := io.ReadFull(c.in, head[:2]); err != nil {
		return 0, nil, err
	}
	n := uint64(head[1])
	switch n {
	case 126:
		_, err = io.ReadFull(c.in, head[2:4])
		n = uint64(binary.BigEndian.Uint16(head[2:]))
	case 127:
		_, err = io.ReadFull(c.in, head[2:10])
		n = binary.BigEndian.Uint64(head[2:])
	}
	if err != nil {
		return 0, nil, err
	}
	if uint64(cap(buf)) < n {
		buf = make([]byte, n)
	}
	_, err = io.ReadFull(c.in, buf[:n])
	return head[0] & 15, buf[:n], err
}

// closeCode reads a close frame's payload; 0 if it has none.
func closeCode(payload []byte) int {
	if len(payload) < 2 {
		return 0
	}
	return int(binary.BigEndian.Uint16(payload))
}

// abort closes with a reset instead of an orderly end.
func (c *client) abort() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails only on a connection that is closed already
	}
	_ = c.Close()
}

// inParallel calls do for 0 … n-1 by a few goroutines and returns the first error.
func inParallel(n int, do func(i int) error) error {
	var wg sync.WaitGroup
	var once sync.Once
	var first error
	numbers := make(chan int)
	for range 32 {
		wg.Go(func() {
			for i := range numbers {
				if err := do(i); err != nil {
					once.Do(func() { first = fmt.Errorf("connection %d: %w", i, err) })
				}
			}
		})
	}
	for i := range n {
		numbers <- i
	}
	close(numbers)
	wg.Wait()
	return first
}
