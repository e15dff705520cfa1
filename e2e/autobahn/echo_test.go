package autobahn

import (
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"testing"
	"unicode/utf8"

	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/wsframe"
)

// echoBytes bounds a message: the suite sends up to 16 MiB.
const echoBytes = 32 << 20

// echo is one WebSocket that sends every message back.
type echo struct {
	poll.Conn
	decoder *wsframe.Decoder
	in      wsframe.State
	deflate bool
	ended   bool
}

// AppendPrefix implements poll.Framing: a Text item holds a whole frame.
func (e *echo) AppendPrefix(dst []byte, it *queue.Item) []byte {
	if it.Control.Kind == queue.Close {
		return wsframe.AppendClose(dst, it.Control.Code, it.Control.Data)
	}
	return append(dst, it.Control.Data...)
}

// AppendSuffix implements poll.Framing.
func (e *echo) AppendSuffix(dst []byte, _ *queue.Item) []byte { return dst }

// OnBytes implements poll.Owner.
func (e *echo) OnBytes(p []byte) {
	for len(p) > 0 && !e.ended {
		m, rest, err := e.decoder.Next(&e.in, p)
		if err != nil {
			code, reason := wsframe.CodeOf(err)
			e.end(code, reason)
			return
		}
		e.receive(m)
		p = rest
	}
}

func (e *echo) receive(m wsframe.Message) {
	switch m.Op {
	case wsframe.Text, wsframe.Binary:
		e.data(m)
	case wsframe.Ping:
		e.Control(queue.Control{Kind: queue.Text, Data: wsframe.AppendFrame(nil, wsframe.Pong, m.Payload)})
	case wsframe.Close:
		code, _ := m.CloseStatus()
		e.PeerClosed()
		e.end(code, "")
	}
}

// data sends a message back, inflated and compressed again where that was agreed.
func (e *echo) data(m wsframe.Message) {
	payload := m.Payload
	if m.Deflated {
		var err error
		if payload, err = wsframe.AppendInflated(nil, payload, echoBytes); err == nil && m.Op == wsframe.Text && !utf8.Valid(payload) {
			err = wsframe.ErrUTF8
		}
		if err != nil {
			e.end(wsframe.CodeOf(err))
			return
		}
	}
	if e.deflate {
		e.Control(queue.Control{Kind: queue.Text, Data: wsframe.AppendDeflatedFrame(nil, m.Op, payload)})
		return
	}
	e.Control(queue.Control{Kind: queue.Text, Data: wsframe.AppendFrame(nil, m.Op, payload)})
}

func (e *echo) end(code uint16, reason string) {
	e.ended = true
	e.Control(queue.Control{Kind: queue.Close, Code: code, Data: []byte(reason)})
}

// OnDeadline implements poll.Owner.
func (e *echo) OnDeadline() {}

// OnClose implements poll.Owner.
func (e *echo) OnClose(error) {}

// serve starts an echo service and returns its URL.
func serve(t *testing.T, options poll.Options) string {
	t.Helper()
	poller, err := poll.New(options)
	if err != nil {
		t.Fatal(err)
	}
	decoder, deflating := &wsframe.Decoder{MaxMessage: echoBytes}, &wsframe.Decoder{MaxMessage: echoBytes, Deflate: true}
	limits := &queue.Limits{ControlMessages: 1 << 20}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		nc, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		answer := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
			base64.StdEncoding.EncodeToString(sum[:])
		e := &echo{decoder: decoder}
		if extension, whole := wsframe.AgreeDeflate(r.Header.Values("Sec-WebSocket-Extensions")); extension != "" {
			e.decoder, e.deflate = deflating, whole
			answer += "\r\nSec-WebSocket-Extensions: " + extension
		}
		if _, err := nc.Write([]byte(answer + "\r\n\r\n")); err != nil {
			nc.Close()
			return
		}
		first, _ := rw.Reader.Peek(rw.Reader.Buffered())
		_ = poller.Register(&e.Conn, e, poll.Registration{Conn: nc, Buffered: append([]byte(nil), first...), Limits: limits})
	}))
	t.Cleanup(func() {
		server.Close()
		if err := poller.Close(); err != nil {
			t.Error(err)
		}
	})
	return "ws" + server.URL[len("http"):]
}
