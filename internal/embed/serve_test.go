//go:build linux

package embed

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// serve starts a server on a free port and returns its address.
func serve(t testing.TB, e *Engine, config string) (handle int64, address string) {
	t.Helper()
	text, handle, err := e.Serve(nil, []byte(config))
	if err != nil {
		t.Fatalf("serve: %s", AppendError(nil, err))
	}
	var at struct {
		Host string
		Port int
	}
	if err := json.Unmarshal(text, &at); err != nil || at.Port == 0 {
		t.Fatalf("%s: %v", text, err)
	}
	return handle, net.JoinHostPort(at.Host, fmt.Sprint(at.Port))
}

// dial connects a WebSocket client that has sent connection_init.
func dial(t testing.TB, address, path string) *websocket.Conn {
	t.Helper()
	conn, response, err := websocket.Dial(t.Context(), "ws://"+address+path, &websocket.DialOptions{
		Subprotocols: []string{"graphql-transport-ws"}, HTTPHeader: http.Header{"Authorization": {"Bearer t"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if response.Body != nil {
		_ = response.Body.Close() // empty
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	write(t, conn, initMessage)
	return conn
}

func write(t testing.TB, conn *websocket.Conn, message string) {
	t.Helper()
	if err := conn.Write(t.Context(), websocket.MessageText, []byte(message)); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, conn *websocket.Conn) string {
	t.Helper()
	_, text, err := conn.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestServe(t *testing.T) {
	e := open(t, `{}`)
	server, address := serve(t, e, `{"authenticate":true,"port":0,"path":"/live"}`)
	for path, want := range map[string]int{"/healthz": 200, "/": 404, "/graphql": 404} {
		response, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		if response.StatusCode != want {
			t.Errorf("%s: %s", path, response.Status)
		}
		_ = response.Body.Close() // read to the end
	}
	box, fd, _ := e.Mailbox()
	conn := dial(t, address, "/live")
	call := authenticating(t, e, box, fd)
	if call.token != 0 || call.texts[0] != `{"x":1}` || !strings.Contains(call.texts[1], `["authorization","Bearer t"]`) || !strings.Contains(call.texts[1], `"remote_addr":"127.0.0.1:`) {
		t.Errorf("call %+v", call)
	}
	answer(t, e, call.id, AnswerValue, `{"user_id":"u"}`)
	if got := read(t, conn); got != `{"type":"connection_ack"}` {
		t.Errorf("got %s", got)
	}
	write(t, conn, `{"id":"1","type":"subscribe","payload":{"query":"subscription { users { id } }"}}`)
	for publish(t, e, `{"id":7}`) == 0 { // until the subscription is there
	}
	if got := read(t, conn); !strings.Contains(got, `{"users":{"id":7}}`) {
		t.Errorf("got %s", got)
	}
	stopped := make(chan int64)
	go func() {
		n, err := e.StopServing(server, 10*time.Millisecond)
		if err != nil {
			t.Error(err)
		}
		stopped <- n
	}()
	for {
		_, _, err := conn.Read(t.Context())
		if err == nil {
			continue
		}
		if code := websocket.CloseStatus(err); code != 1012 {
			t.Errorf("closed with %v", err)
		}
		break
	}
	if n := <-stopped; n != 1 {
		t.Errorf("stop: %d", n)
	}
	if n, _ := e.StopServing(server, 0); n != 0 {
		t.Errorf("stop again: %d", n)
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		_ = conn.Close() // it should not have come
		t.Error("it listens on")
	}
}

func TestServeRefusals(t *testing.T) {
	e := open(t, `{}`)
	_, taken := serve(t, e, `{"anonymous":true}`)
	_, port, _ := net.SplitHostPort(taken)
	for config, want := range map[string]string{
		`{"anonymous":true,"port":70000}`:        "port: must be between 0 and 65535",
		`{"anonymous":true,"path":"graphql"}`:    "path: must begin with /",
		`{"anonymous":true,"path":"/healthz"}`:   "path: must begin with / and not be /healthz",
		`{"anonymous":true,"host":1}`:            "host: must be a string",
		`{"anonymous":true,"hosts":"h"}`:         "hosts: is not known",
		`{"host":"127.0.0.1"}`:                   "anonymous: nobody could connect",
		`{"anonymous":true,"port":-1}`:           "port: must be between 0 and 65535",
		`{"anonymous":true,"origins":["x"]}`:     `origins: "x" is not scheme://host[:port]`,
		`{"anonymous":true,"port":` + port + `}`: "port: cannot listen on 127.0.0.1:" + port + ": address already in use; choose another, or 0 for a free one",
	} {
		_, _, err := e.Serve(nil, []byte(config))
		if err == nil {
			t.Errorf("%s: served", config)
			continue
		}
		if _, texts := codes(t, err); !strings.HasPrefix(texts[0], want) {
			t.Errorf("%s: %q", config, texts)
		}
	}
	server, _ := serve(t, e, `{"anonymous":true}`)
	for _, window := range []time.Duration{-1, time.Hour} {
		if _, err := e.StopServing(server, window); err == nil {
			t.Errorf("window %v is accepted", window)
		}
	}
}

// TestCloseWhileServing ends an engine with clients and a call that nobody answers.
func TestCloseWhileServing(t *testing.T) {
	l := New(nil)
	h, _, err := l.Open([]byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	e := l.Engine(h)
	_, address := serve(t, e, `{"authenticate":true,"init_timeout":60}`)
	conn := dial(t, address, "/graphql")
	box, fd, _ := e.Mailbox()
	authenticating(t, e, box, fd)
	if err := l.Close(h); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience*time.Millisecond)
	defer cancel()
	if _, _, err := conn.Read(ctx); err == nil || ctx.Err() != nil {
		t.Errorf("the client is still connected: %v", err)
	}
}
