package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/config"
)

// openRequest sends the head of a request to publish and a part of its body.
func openRequest(t *testing.T, f *fixture, length int) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", f.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "POST /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", anyToken, js, length, good[:5])
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestMemoryOfBodiesIsBounded(t *testing.T) {
	f := start(t, func(c *config.Config, o *Options) {
		withTokens(c, o)
		c.Limits.PublishBytes, c.Limits.PublishMemory = 1000, 1500
	})
	conn := openRequest(t, f, 1000)
	for f.bodies.Load() != 1000 {
		if got := send(t, "GET", f.url+"/healthz", ""); got.status != 200 {
			t.Fatal(got)
		}
	}
	got := send(t, "POST", f.url+"/events", good+strings.Repeat(" ", 600), "Content-Type", js, "Authorization", "Bearer "+anyToken)
	if got.status != 429 || got.header.Get("Retry-After") != "1" || !strings.Contains(got.body, "limits.publish_memory") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := post(t, f, good, "Content-Type", js); got.status != 202 {
		t.Errorf("a small one: %d %s", got.status, got.body)
	}
	if _, err := io.WriteString(conn, good[5:]+strings.Repeat(" ", 1000-len(good))); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != 202 {
		t.Errorf("the first: %v %v", res, err)
	}
	if got := post(t, f, good+strings.Repeat(" ", 600), "Content-Type", js); got.status != 202 {
		t.Errorf("afterwards: %d %s", got.status, got.body)
	}
	if n := f.bodies.Load(); n != 0 {
		t.Errorf("%d bytes are still taken", n)
	}
}

func TestConnectionsOfHTTPAreBounded(t *testing.T) {
	f := start(t, func(c *config.Config, o *Options) {
		withTokens(c, o)
		c.Limits.HTTPConnections = 2
	})
	one, two := openRequest(t, f, 1000), openRequest(t, f, 1000)
	for f.bodies.Load() != 2000 {
		// Both have been accepted once their bodies are read.
		three, err := net.Dial("tcp", f.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_ = three.Close()
	}
	three, err := net.Dial("tcp", f.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = three.Close() }()
	_, _ = io.WriteString(three, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
	if res, err := http.ReadResponse(bufio.NewReader(three), nil); err == nil {
		t.Errorf("a third connection is served: %v", res.Status)
	}
	_, _ = one.Close(), two.Close()
	for f.waiting.open.Load() != 0 {
		four, err := net.Dial("tcp", f.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_ = four.Close()
	}
	if got := send(t, "GET", f.url+"/healthz", ""); got.status != 200 {
		t.Errorf("afterwards: %d", got.status)
	}
}
