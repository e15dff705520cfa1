package loadgen

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Protocol is what clients speak.
type Protocol string

const (
	// TransportWS is graphql-transport-ws, the default.
	TransportWS Protocol = "graphql-transport-ws"
	// Centrifuge is the JSON protocol of centrifuge: a room is the channel <Channel>:<room>.
	Centrifuge Protocol = "centrifuge"
	// SSE is GraphQL over server-sent events, a request per subscription: distinct connections.
	SSE Protocol = "sse"
)

func (p Protocol) validate(subscriptions int) error {
	switch p {
	case "", TransportWS, Centrifuge:
		return nil
	case SSE:
		if subscriptions > 1 {
			return errors.New("server-sent events have one subscription per connection")
		}
		return nil
	}
	return fmt.Errorf("protocol %q: want %s, %s or %s", p, TransportWS, Centrifuge, SSE)
}

// subscribeCentrifuge connects and subscribes in one frame; the replies are read with what follows.
func (r *run) subscribeCentrifuge(conn net.Conn, n int) error {
	commands := []string{`{"id":1,"connect":{}}`}
	for i := range r.cfg.Subscriptions {
		commands = append(commands, fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"%s:%d"}}`, i+2, r.cfg.Channel, r.roomOf(n, i)))
	}
	_, err := conn.Write(appendFrame(nil, opText, []byte(strings.Join(commands, "\n"))))
	return err
}

var (
	pushPrefix = []byte(`{"push":`)
	emptyReply = []byte(`{}`)
	errorReply = []byte(`"error":`)
)

// centrifugeMessage handles a message: replies and pushes, one a line. An empty reply is a ping.
func (p *parser) centrifugeMessage(c *client, m []byte, now time.Duration) error {
	for line := range bytes.Lines(m) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		switch {
		case bytes.HasPrefix(line, pushPrefix):
			p.deliveryOf(c, -1, line, now)
		case bytes.Equal(line, emptyReply):
			if err := c.write(appendFrame(nil, opText, emptyReply)); err != nil {
				return err
			}
		case bytes.Contains(line, errorReply):
			return fmt.Errorf("unexpected reply: %.300s", line)
		}
	}
	return nil
}

// stream asks for a stream of events.
func (r *run) stream(conn net.Conn, n int) (rest []byte, err error) {
	if _, err := conn.Write(r.sseRequest(n)); err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(conn, 4096)
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	if response.StatusCode != http.StatusOK || len(response.TransferEncoding) != 1 {
		return nil, fmt.Errorf("stream: HTTP status %s, want 200 in chunks", response.Status)
	}
	return buffered(in), nil // its body is not read through response
}

// sseRequest is the whole request of a subscription.
func (r *run) sseRequest(n int) []byte {
	body := map[string]any{"query": r.cfg.Query(r.roomOf(n, 0))}
	if variables := r.variables(n); variables != "" {
		body["variables"] = json.RawMessage(variables)
	}
	text, _ := json.Marshal(body) // strings and JSON
	return []byte("POST " + r.server.RequestURI() + " HTTP/1.1\r\nHost: " + r.server.Host + "\r\nAccept: text/event-stream\r\n" +
		"Content-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(text)) + "\r\n\r\n" + string(text))
}

var dataField = []byte("data: ")

// chunks handles every complete chunk of an HTTP body and returns what is left; events are handled line by line.
func (p *parser) chunks(c *client, b []byte, now time.Duration) ([]byte, error) {
	for {
		head, rest, found := bytes.Cut(b, []byte("\r\n"))
		if !found {
			return b, nil
		}
		size, err := strconv.ParseUint(string(bytes.TrimSpace(head)), 16, 32)
		switch {
		case err != nil || size > maxMessage:
			return nil, fmt.Errorf("%w: chunk %.20q", errProtocol, head)
		case size == 0:
			return nil, errors.New("stream ended by the server")
		case uint64(len(rest)) < size+2:
			return b, nil
		}
		c.text = append(c.text, rest[:size]...)
		b = rest[size+2:]
		p.lines(c, now)
	}
}

// lines handles the complete lines of c.text.
func (p *parser) lines(c *client, now time.Duration) {
	text := c.text
	for {
		line, rest, found := bytes.Cut(text, []byte("\n"))
		if !found {
			break
		}
		if m, ok := bytes.CutPrefix(line, dataField); ok && len(m) > 2 {
			p.deliveryOf(c, 0, m, now)
		}
		text = rest
	}
	c.text = c.text[:copy(c.text, text)]
}
