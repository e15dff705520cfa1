package testkit

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// talkPatience bounds each wait for a server.
const talkPatience = 30 * time.Second

// Talk is a WebSocket client of graphql-transport-ws that says what it is told.
type Talk struct {
	tb   testing.TB
	conn *websocket.Conn
}

// DialTalk connects. It ends with the test.
func DialTalk(tb testing.TB, url string) *Talk {
	tb.Helper()
	t, err := TryTalk(tb, url)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// TryTalk connects if it may.
func TryTalk(tb testing.TB, url string) (*Talk, error) {
	ctx, cancel := context.WithTimeout(tb.Context(), talkPatience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}})
	if err != nil {
		return nil, err
	}
	tb.Cleanup(func() { _ = conn.CloseNow() }) // closed by the server before, maybe
	return &Talk{tb, conn}, nil
}

// Init sends connection_init with a token and reads the acknowledgement.
func (t *Talk) Init(token string) *Talk {
	t.tb.Helper()
	t.Send(`{"type":"connection_init","payload":{"authorization":"Bearer ` + token + `"}}`)
	if got := t.Read(); got != `{"type":"connection_ack"}` {
		t.tb.Fatalf("got %s", got)
	}
	return t
}

// Send sends a message.
func (t *Talk) Send(message string) {
	t.tb.Helper()
	if err := t.conn.Write(t.tb.Context(), websocket.MessageText, []byte(message)); err != nil {
		t.tb.Fatal(err)
	}
}

// Read returns the next message.
func (t *Talk) Read() string {
	t.tb.Helper()
	text, err := t.TryRead()
	if err != nil {
		t.tb.Fatal(err)
	}
	return text
}

// TryRead returns the next message, or why there is none.
func (t *Talk) TryRead() (string, error) {
	ctx, cancel := context.WithTimeout(t.tb.Context(), talkPatience)
	defer cancel()
	_, text, err := t.conn.Read(ctx)
	return string(text), err
}

// Expect reads messages and fails the test where they are others.
func (t *Talk) Expect(want ...string) {
	t.tb.Helper()
	for _, w := range want {
		if got := t.Read(); got != w {
			t.tb.Fatalf("got  %s\nwant %s", got, w)
		}
	}
}

// Closed reads on until the server closes, and returns code and reason.
func (t *Talk) Closed() (code int, reason string) {
	t.tb.Helper()
	for {
		_, err := t.TryRead()
		if bye := (websocket.CloseError{}); errors.As(err, &bye) {
			return int(bye.Code), bye.Reason
		}
		if err != nil {
			t.tb.Fatal(err)
		}
	}
}

// Close ends the connection.
func (t *Talk) Close() { _ = t.conn.CloseNow() }
