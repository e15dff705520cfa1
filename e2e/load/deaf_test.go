package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// deafness is a way to subscribe and not to take what comes.
type deafness struct {
	name string
	tls  bool
	args func(s *server) []string // of the command
	// subscribe subscribes n clients, each to events of its own. leave ends them; the test's end does, too.
	subscribe func(t *testing.T, s *server, n int, field string) (leave func())
}

var deafnesses = []deafness{
	{name: "websocket", subscribe: deafSockets},
	{name: "events", subscribe: deafStreams},
	{name: "events over HTTP2", tls: true, subscribe: deafHTTP2},
	{name: "callbacks", args: slowRouterArgs, subscribe: slowCallbacks},
}

func deafQuery(field string, i int) string {
	return fmt.Sprintf("subscription { %s(kind: %d) { n pad } }", field, i)
}

// small makes sockets that hold little, on both sides: the system gives a sender room for ten segments and more, which are of 64 KiB
// on this machine unless the receiver wants smaller ones.
var small = net.Dialer{Timeout: patience, Control: func(_, _ string, c syscall.RawConn) error {
	var errs [2]error
	controlled := c.Control(func(fd uintptr) {
		errs[0] = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
		errs[1] = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 536)
	})
	return errors.Join(controlled, errs[0], errs[1])
}}

// deafTo makes n clients by subscribe, and aborts them at the end.
func deafTo(t *testing.T, n int, subscribe func(i int) (*client, error)) (leave func()) {
	t.Helper()
	clients := make([]*client, n)
	leave = sync.OnceFunc(func() {
		for _, c := range clients {
			if c != nil {
				c.abort()
			}
		}
	})
	t.Cleanup(leave)
	if err := inParallel(n, func(i int) (err error) {
		clients[i], err = subscribe(i)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return leave
}

func deafSockets(t *testing.T, s *server, n int, field string) (leave func()) {
	return deafTo(t, n, func(i int) (*client, error) {
		c, err := dialBy(&small, s.Addr)
		if err != nil {
			return nil, err
		}
		return c, c.subscribe(deafQuery(field, i), "")
	})
}

func deafStreams(t *testing.T, s *server, n int, field string) (leave func()) {
	return deafTo(t, n, func(i int) (*client, error) {
		conn, err := small.Dial("tcp", s.Addr)
		if err != nil {
			return nil, err
		}
		c := &client{conn, bufio.NewReaderSize(conn, 2048)}
		body := `{"query":"` + deafQuery(field, i) + `"}`
		if _, err := fmt.Fprintf(c, "POST /graphql HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", s.Addr, len(body), body); err != nil {
			return c, err
		}
		return c, streams(http.ReadResponse(c.in, nil))
	})
}

// streams reports whether an answer is a stream, whose body is left alone.
func streams(res *http.Response, err error) error {
	if err != nil {
		return err
	}
	if kind := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || !strings.HasPrefix(kind, "text/event-stream") {
		return fmt.Errorf("no stream: %s, %s", res.Status, kind)
	}
	return nil
}

// deafHTTP2 has a hundred streams on each connection. They hold 64 KiB for a stream and for a connection.
func deafHTTP2(t *testing.T, s *server, n int, field string) (leave func()) {
	const perConnection = 100
	ctx, cancel := context.WithCancel(context.Background())
	protocols := &http.Protocols{}
	protocols.SetHTTP2(true)
	var transports []*http.Transport
	for range (n + perConnection - 1) / perConnection {
		transports = append(transports, &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: s.tls.RootCAs}, Protocols: protocols,
			HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 64 << 10, MaxReceiveBufferPerConnection: 64 << 10},
		})
	}
	leave = sync.OnceFunc(func() {
		cancel()
		for _, tr := range transports {
			tr.CloseIdleConnections()
		}
	})
	t.Cleanup(leave)
	if err := inParallel(n, func(i int) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL("/graphql"), strings.NewReader(`{"query":"`+deafQuery(field, i)+`"}`))
		if err != nil {
			return err
		}
		r.Header = http.Header{"Accept": {"text/event-stream"}, "Content-Type": {"application/json"}}
		return streams(transports[i/perConnection].RoundTrip(r))
	}); err != nil {
		t.Fatal(err)
	}
	return leave
}

// slowRouter is a federation router that takes its time over each result, but not too much.
type slowRouter struct {
	end chan struct{}
}

const routerTakes = 3 * time.Second // the server gives up after five

func (r *slowRouter) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var m struct{ Action string }
	if err := json.NewDecoder(req.Body).Decode(&m); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if m.Action == "next" {
		select {
		case <-time.After(routerTakes):
		case <-r.end:
		case <-req.Context().Done():
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

func slowRouterArgs(s *server) []string {
	r := &slowRouter{end: make(chan struct{})}
	listening := httptest.NewServer(r)
	s.t.Cleanup(func() {
		close(r.end)
		listening.Close()
	})
	s.router = listening.URL
	return []string{"--set", "callback.allowed_urls=" + s.router + "/*", "--set", "callback.allowed_networks=127.0.0.0/8"}
}

func slowCallbacks(t *testing.T, s *server, n int, field string) (leave func()) {
	if err := inParallel(n, func(i int) error {
		body := fmt.Sprintf(`{"query":"%s","extensions":{"subscription":{"callbackUrl":"%s/%d","subscriptionId":"%d","verifier":"v","heartbeatIntervalMs":0}}}`, deafQuery(field, i), s.router, i, i)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL("/graphql"), strings.NewReader(body))
		if err != nil {
			return err
		}
		r.Header = http.Header{"Accept": {"application/json;callbackSpec=1.0"}, "Content-Type": {"application/json"}}
		res, err := s.Client().Do(r)
		if err != nil {
			return err
		}
		defer func() { _ = res.Body.Close() }()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("no callback: %s", res.Status)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return func() {}
}
