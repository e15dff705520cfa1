package wsclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/coder/websocket"
)

// subprotocol is what the client offers; a server that chooses none is accepted, as it may not echo it.
const subprotocol = "graphql-transport-ws"

// operationID is the id of the only operation of each connection.
const operationID = "1"

// run is one call of Run over its connections.
type run struct {
	cfg          *Config
	url          string
	handle       func(json.RawMessage) error
	cursor       string // of the last result, when resuming
	acknowledged bool   // in the present connection
}

// message is a message of either direction.
type message struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// endpointURL checks the address and turns http into ws.
func endpointURL(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", fmt.Errorf("url %q: %w", address, err)
	}
	switch u.Scheme {
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	case "ws", "wss":
	default:
		return "", fmt.Errorf("url %q: want ws, wss, http or https", address)
	}
	if u.Host == "" {
		return "", fmt.Errorf("url %q: the host is missing", address)
	}
	return u.String(), nil
}

// connection is one connection from handshake to end; nil means that the subscription is complete.
func (r *run) connection(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	connect := time.AfterFunc(r.cfg.ConnectTimeout, cancel)
	defer connect.Stop()
	conn, err := r.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	conn.SetReadLimit(r.cfg.MessageBytes)
	if err := r.open(ctx, conn); err != nil {
		return err
	}
	if !connect.Stop() {
		return &connectError{errors.New("the server did not acknowledge the connection in time")}
	}
	r.acknowledged = true
	if r.cfg.Connected != nil {
		r.cfg.Connected()
	}
	alive := r.keepAlive(ctx, conn, cancel)
	defer alive.stop()
	return r.receive(ctx, conn, alive)
}

func (r *run) dial(ctx context.Context) (*websocket.Conn, error) {
	conn, response, err := websocket.Dial(ctx, r.url, &websocket.DialOptions{
		Subprotocols: []string{subprotocol}, HTTPHeader: r.cfg.Header, Host: r.cfg.Header.Get("Host"),
	})
	switch {
	case err == nil:
		return conn, nil
	case response != nil && response.StatusCode != 101:
		return nil, &HandshakeError{Status: response.StatusCode, Reason: reason(response)}
	case response != nil:
		return nil, &ProtocolError{"the WebSocket handshake is not valid"}
	default:
		if request, ok := errors.AsType[*url.Error](err); ok { // without what was on its way: who called knows that
			err = fmt.Errorf("no connection: %w", request.Err)
		}
		return nil, &connectError{err}
	}
}

// reason is why a handshake was refused: the messages of a list of errors, or a text. The library keeps the first kilobyte.
func reason(response *http.Response) string {
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return ""
	}
	var answer struct {
		Errors []struct {
			Message string `json:"message"`
		} `json:"errors"`
	}
	text := ""
	if err := json.Unmarshal(body, &answer); err == nil {
		messages := make([]string, len(answer.Errors))
		for i, e := range answer.Errors {
			messages[i] = e.Message
		}
		text = strings.Join(messages, "; ")
	}
	kind, _, _ := strings.Cut(response.Header.Get("Content-Type"), ";")
	if text == "" && (kind == "text/plain" || kind == "application/json") {
		text = string(body)
	}
	printable := func(c rune) rune {
		if !unicode.IsPrint(c) || c == utf8.RuneError {
			return ' '
		}
		return c
	}
	return strings.Join(strings.Fields(strings.Map(printable, text)), " ")
}

// open sends connection_init and subscribe, with the acknowledgement between them.
func (r *run) open(ctx context.Context, conn *websocket.Conn) error {
	payload, err := r.initPayload()
	if err != nil {
		return err
	}
	if err := send(ctx, conn, message{Type: "connection_init", Payload: payload}); err != nil {
		return err
	}
	for {
		m, err := read(ctx, conn)
		if err != nil {
			return err
		}
		switch m.Type {
		case "connection_ack":
			return r.subscribe(ctx, conn)
		case "ping":
			if err := send(ctx, conn, message{Type: "pong", Payload: m.Payload}); err != nil {
				return err
			}
		case "pong":
		default:
			return refuse(conn, fmt.Sprintf("message of type %q before connection_ack", m.Type))
		}
	}
}

func (r *run) initPayload() (json.RawMessage, error) {
	members := make(map[string]any, len(r.cfg.InitPayload)+1)
	for name, value := range r.cfg.InitPayload {
		members[name] = value
	}
	if token := r.cfg.Token; token != "" {
		if !strings.Contains(token, " ") {
			token = "Bearer " + token
		}
		members["authorization"] = token
	}
	if len(members) == 0 {
		return nil, nil
	}
	return json.Marshal(members)
}

func (r *run) subscribe(ctx context.Context, conn *websocket.Conn) error {
	extensions := make(map[string]any, len(r.cfg.Extensions)+1)
	for name, value := range r.cfg.Extensions {
		extensions[name] = value
	}
	if r.cfg.Resume {
		extensions["resume"] = true
		if r.cursor != "" {
			extensions["resume"] = r.cursor
		}
	}
	payload, err := json.Marshal(struct {
		Query         string          `json:"query"`
		OperationName string          `json:"operationName,omitempty"`
		Variables     json.RawMessage `json:"variables,omitempty"`
		Extensions    map[string]any  `json:"extensions,omitempty"`
	}{r.cfg.Query, r.cfg.OperationName, r.cfg.Variables, extensions})
	if err != nil {
		return fmt.Errorf("variables: %w", err)
	}
	return send(ctx, conn, message{ID: operationID, Type: "subscribe", Payload: payload})
}

// receive delivers results until the subscription or the connection ends.
func (r *run) receive(ctx context.Context, conn *websocket.Conn, alive *keepAlive) error {
	for {
		m, err := read(ctx, conn)
		if err != nil {
			return alive.explain(err)
		}
		alive.touch()
		switch {
		case m.Type == "ping":
			if err := send(ctx, conn, message{Type: "pong", Payload: m.Payload}); err != nil {
				return err
			}
		case m.Type == "pong":
		case m.ID != operationID:
			return refuse(conn, fmt.Sprintf("message of type %q for an unknown operation", m.Type))
		case m.Type == "next":
			r.remember(m.Payload)
			alive.pause(true)
			err := r.handle(m.Payload)
			alive.pause(false)
			if err != nil {
				_ = send(ctx, conn, message{ID: operationID, Type: "complete"})
				_ = conn.Close(websocket.StatusNormalClosure, "")
				return &handlerError{err}
			}
		case m.Type == "complete":
			_ = conn.Close(websocket.StatusNormalClosure, "")
			return nil
		case m.Type == "error":
			_ = conn.Close(websocket.StatusNormalClosure, "")
			return &OperationError{Errors: m.Payload}
		default:
			return refuse(conn, fmt.Sprintf("unknown message type %q", m.Type))
		}
	}
}

// remember keeps the cursor of a result for the next connection.
func (r *run) remember(result json.RawMessage) {
	if !r.cfg.Resume {
		return
	}
	var position struct {
		Extensions struct {
			Cursor string `json:"cursor"`
		} `json:"extensions"`
	}
	if json.Unmarshal(result, &position) == nil && position.Extensions.Cursor != "" {
		r.cursor = position.Extensions.Cursor
	}
}

// refuse closes a connection whose server does not follow the protocol.
func refuse(conn *websocket.Conn, problem string) error {
	_ = conn.Close(4004, "bad response")
	return &ProtocolError{problem}
}

func send(ctx context.Context, conn *websocket.Conn, m message) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := conn.Write(ctx, websocket.MessageText, text); err != nil {
		return closeError(err)
	}
	return nil
}

func read(ctx context.Context, conn *websocket.Conn) (m message, err error) {
	kind, text, err := conn.Read(ctx)
	if err != nil {
		return m, closeError(err)
	}
	if kind != websocket.MessageText {
		return m, refuse(conn, "a binary message")
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, refuse(conn, "a message that is not a JSON object")
	}
	return m, nil
}

// errNormal is a close with 1000: the end of the subscription, not an error.
var errNormal = errors.New("connection closed normally")

// closeError turns an error of the library into a CloseError, or one of the network.
func closeError(err error) error {
	var frame websocket.CloseError
	switch {
	case errors.Is(err, websocket.ErrMessageTooBig):
		return &ProtocolError{"a message is longer than the client accepts"}
	case errors.As(err, &frame):
		if frame.Code == websocket.StatusNormalClosure {
			return errNormal
		}
		return &CloseError{Code: int(frame.Code), Reason: frame.Reason}
	default:
		return &connectError{err}
	}
}

// keepAlive pings a silent server and gives up on one that stays silent.
type keepAlive struct {
	interval time.Duration
	cancel   context.CancelFunc
	done     chan struct{}
	wg       sync.WaitGroup

	mu      sync.Mutex
	heard   bool
	busy    bool // nobody reads: the result is with the caller
	expired bool
}

// keepAlive starts the watch over a connection; stop ends it and waits.
func (r *run) keepAlive(ctx context.Context, conn *websocket.Conn, cancel context.CancelFunc) *keepAlive {
	k := &keepAlive{interval: r.cfg.KeepAlive, cancel: cancel, done: make(chan struct{}), heard: true}
	if k.interval > 0 {
		k.wg.Go(func() { k.watch(ctx, conn) })
	}
	return k
}

func (k *keepAlive) watch(ctx context.Context, conn *websocket.Conn) {
	ticker := time.NewTicker(k.interval)
	defer ticker.Stop()
	pinged := false
	for {
		select {
		case <-k.done:
			return
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		k.mu.Lock()
		heard := k.heard || k.busy
		k.heard, k.expired = false, !heard && pinged
		expired := k.expired
		k.mu.Unlock()
		if expired {
			k.cancel()
			return
		}
		if pinged = !heard; pinged {
			_ = send(ctx, conn, message{Type: "ping"})
		}
	}
}

func (k *keepAlive) touch() {
	k.mu.Lock()
	k.heard = true
	k.mu.Unlock()
}

func (k *keepAlive) pause(busy bool) {
	k.mu.Lock()
	k.heard, k.busy = true, busy
	k.mu.Unlock()
}

func (k *keepAlive) stop() {
	close(k.done)
	k.wg.Wait()
}

// explain says why reading failed when it was the watch that ended it.
func (k *keepAlive) explain(err error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.expired {
		return &connectError{errors.New("the server is silent")}
	}
	return err
}
