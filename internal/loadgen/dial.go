package loadgen

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// perAddress is the number of connections from one source address; ephemeral ports are fewer than 30,000.
const perAddress = 20_000

// dial opens connection number n up to its subscribe messages. rest holds bytes that were read too much.
func (r *run) dial(ctx context.Context, n int) (conn *net.TCPConn, rest []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.ConnectTimeout)
	defer cancel()
	dialer := net.Dialer{KeepAlive: -1}
	if r.loopback && n >= perAddress {
		dialer.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+n/perAddress))}
	}
	c, err := dialer.DialContext(ctx, "tcp", r.server.Host)
	if err != nil {
		return nil, nil, err
	}
	conn = c.(*net.TCPConn)
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	rest, err = r.handshake(conn, n)
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	return conn, rest, nil
}

// handshake upgrades, initialises and subscribes.
func (r *run) handshake(conn net.Conn, n int) (rest []byte, err error) {
	origin := ""
	if r.cfg.Origin != "" {
		origin = "Origin: " + r.cfg.Origin + "\r\n"
	}
	if r.cfg.Protocol == SSE {
		return r.stream(conn, n)
	}
	_, err = io.WriteString(conn, "GET "+r.server.RequestURI()+" HTTP/1.1\r\nHost: "+r.server.Host+"\r\n"+origin+
		"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Protocol: "+r.subprotocol()+"\r\n\r\n")
	if err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(conn, 4096)
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("handshake: HTTP status %s", response.Status)
	}
	if r.cfg.Protocol == Centrifuge {
		err = r.subscribeCentrifuge(conn, n)
	} else {
		err = r.subscribe(conn, in, n)
	}
	return buffered(in), err
}

// subscribe initialises and subscribes.
func (r *run) subscribe(conn net.Conn, in *bufio.Reader, n int) error {
	if _, err := conn.Write(appendFrame(nil, opText, r.initMessage(n))); err != nil {
		return err
	}
	if err := awaitAck(in); err != nil || r.cfg.Pairs > 0 {
		return err
	}
	var out []byte
	for i := range r.cfg.Subscriptions {
		out = appendFrame(out, opText, r.subscribeMessage(strconv.Itoa(i), n*r.cfg.Subscriptions+i))
	}
	_, err := conn.Write(out)
	return err
}

// buffered is what was read too much.
func buffered(in *bufio.Reader) []byte {
	rest := make([]byte, in.Buffered())
	_, _ = io.ReadFull(in, rest)
	return rest
}

func (r *run) subprotocol() string {
	if r.cfg.Protocol == Centrifuge {
		return "centrifuge-json"
	}
	return string(TransportWS)
}

// awaitAck reads one frame, which must be connection_ack.
func awaitAck(in *bufio.Reader) error {
	head, err := in.Peek(2)
	if err != nil {
		return fmt.Errorf("connection_ack: %w", err)
	}
	n := int(head[1])
	if n >= 126 {
		return errors.New("connection_ack: the message is too long")
	}
	frame := make([]byte, 2+n)
	if _, err := io.ReadFull(in, frame); err != nil {
		return fmt.Errorf("connection_ack: %w", err)
	}
	var m struct{ Type string }
	switch {
	case frame[0] == 0x80|opClose && n >= 2:
		return fmt.Errorf("connection refused by the server with code %d %s", int(frame[2])<<8|int(frame[3]), frame[4:])
	case json.Unmarshal(frame[2:], &m) != nil || m.Type != "connection_ack":
		return fmt.Errorf("connection_ack expected, not %.100q", frame[2:])
	}
	return nil
}

func (r *run) roomOf(connection, i int) int {
	return (connection*r.cfg.Subscriptions + i) % r.cfg.Rooms
}

// subscribeMessage subscribes number n, which gives the room.
func (r *run) subscribeMessage(id string, n int) []byte {
	room := n % r.cfg.Rooms
	query, _ := json.Marshal(r.cfg.Query(room))
	variables := r.variables(n)
	if variables != "" {
		variables = `,"variables":` + variables
	}
	return []byte(`{"id":"` + id + `","type":"subscribe","payload":{"query":` + string(query) + variables + `}}`)
}

// variables are those of subscription number n; none: "".
func (r *run) variables(n int) string {
	room := n % r.cfg.Rooms
	switch {
	case r.cfg.Spread > 1:
		at, k := room*r.cfg.Spread, n/r.cfg.Rooms
		return `{"from":` + strconv.Itoa(at-k) + `,"to":` + strconv.Itoa(at+k) + "}"
	case r.cfg.Variables != nil:
		return r.cfg.Variables(room)
	}
	return ""
}

func (r *run) initMessage(n int) []byte {
	token := r.cfg.Token
	if r.cfg.TokenOf != nil {
		token = r.cfg.TokenOf(n)
	}
	if r.cfg.TenantSecret != nil {
		token = signed(r.cfg.TenantSecret, n, tenantOf(r.roomOf(n, 0)))
	}
	if token == "" {
		return []byte(`{"type":"connection_init"}`)
	}
	value, _ := json.Marshal("Bearer " + token)
	return []byte(`{"type":"connection_init","payload":{"authorization":` + string(value) + `}}`)
}
