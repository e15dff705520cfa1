//go:build linux

package main

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// secret signs the tokens of all clients, publishToken publishes for all tenants.
const (
	secret       = "the-secret-of-the-tokens-of-the-crowd"
	publishToken = "the-token-that-publishes-to-the-crowd"
)

// token is a JSON web token for an hour.
func token(user, tenant string) string {
	now := time.Now().Unix()
	claims, _ := json.Marshal(map[string]any{"sub": user, "tenant_id": tenant, "iat": now, "exp": now + 3600}) // a map of text and numbers
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// socket is a connection of a client that writes what it likes.
type socket struct {
	*net.TCPConn
	in   *bufio.Reader
	host string
}

// dial connects from one of many addresses, so that ports do not run out.
func dial(addr string, n int) (*socket, error) {
	d := net.Dialer{Timeout: 30 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(n%200+1))}}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	tcp := conn.(*net.TCPConn)
	_ = tcp.SetLinger(0) // ends with a reset: no port waits
	_ = tcp.SetReadBuffer(4096)
	return &socket{tcp, bufio.NewReaderSize(tcp, 512), addr}, nil
}

// upgrade asks for a WebSocket.
func (s *socket) upgrade(more string) error {
	_, err := fmt.Fprintf(s, "GET /graphql HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n%s\r\n", s.host, more)
	if err != nil {
		return err
	}
	_ = s.SetReadDeadline(time.Now().Add(time.Minute))
	res, err := http.ReadResponse(s.in, nil)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("upgrade: %s", res.Status)
	}
	return nil
}

// initialised asks for a WebSocket and sends a right token.
func (s *socket) initialised(user string) error {
	if err := s.upgrade(""); err != nil {
		return err
	}
	if err := s.text(`{"type":"connection_init","payload":{"authorization":"Bearer ` + token(user, badTenant) + `"}}`); err != nil {
		return err
	}
	return s.frame()
}

// text sends a message.
func (s *socket) text(message string) error {
	_, err := s.Write(masked(0x81, []byte(message)))
	return err
}

// masked is a client's frame, masked with zeros.
func masked(first byte, payload []byte) []byte {
	f := []byte{first}
	switch n := len(payload); {
	case n < 126:
		f = append(f, 0x80|byte(n))
	case n < 1<<16:
		f = binary.BigEndian.AppendUint16(append(f, 0x80|126), uint16(n))
	default:
		f = binary.BigEndian.AppendUint64(append(f, 0x80|127), uint64(n))
	}
	return append(append(f, 0, 0, 0, 0), payload...)
}

// frame reads one frame and forgets it.
func (s *socket) frame() error {
	var head [2]byte
	if _, err := io.ReadFull(s.in, head[:]); err != nil {
		return err
	}
	n := int(head[1])
	if n > 125 {
		return fmt.Errorf("a frame of more than 125 bytes")
	}
	_, err := s.in.Discard(n)
	return err
}

// post sends a request with a JSON body as HTTP/1.1 has it.
func (s *socket) post(method, body string, headers ...string) error {
	text := fmt.Sprintf("%s /graphql HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", method, s.host, len(body))
	for _, h := range headers {
		text += h + "\r\n"
	}
	_, err := s.Write([]byte(text + "\r\n" + body))
	return err
}
