package server

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

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

// TestTooLargeBodyIsAnswered writes bodies completely before it reads, as many HTTP clients do: more than what
// lies between both ends in buffers.
func TestTooLargeBodyIsAnswered(t *testing.T) {
	f := start(t, withTokens)
	size := f.inForce().Limits.PublishBytes + 1
	piece := strings.Repeat(" ", 64<<10)
	for name, framing := range map[string]string{"length": fmt.Sprintf("Content-Length: %d", size), "chunks": "Transfer-Encoding: chunked"} {
		conn, err := net.Dial("tcp", f.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		w := bufio.NewWriter(conn)
		_, err = fmt.Fprintf(w, "POST /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\n%s\r\n\r\n", anyToken, js, framing)
		for sent := 0; sent < size && err == nil; {
			part := piece[:min(len(piece), size-sent)]
			sent += len(part)
			if name == "chunks" {
				part = fmt.Sprintf("%x\r\n%s\r\n", len(part), part)
			}
			_, err = io.WriteString(w, part)
		}
		if name == "chunks" && err == nil {
			_, err = io.WriteString(w, "0\r\n\r\n")
		}
		if err = cmp.Or(err, w.Flush()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%s: %v %v", name, res, err)
		}
	}
}

// TestTooLargeBodyThatWaits is answered at once: the client asks before it sends.
func TestTooLargeBodyThatWaits(t *testing.T) {
	f := start(t, withTokens)
	conn, err := net.Dial("tcp", f.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "POST /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n",
		anyToken, js, f.inForce().Limits.PublishBytes+1)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%v %v", res, err)
	}
}

// TestTooLargeBodyTakesNothing: one that is announced and never sent keeps no memory from others.
func TestTooLargeBodyTakesNothing(t *testing.T) {
	f := start(t, withTokens)
	conn, err := net.Dial("tcp", f.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n",
		anyToken, js, f.inForce().Limits.PublishMemory)
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(20 * time.Second); f.spilling.Load() != 1; {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("nobody waits for its body")
		}
	}
	if n := f.bodies.Load(); n != 0 {
		t.Errorf("%d bytes are taken", n)
	}
	got := send(t, "POST", f.url+"/events", `{"type":"t","channel":"c","data":{}}`, "Authorization", "Bearer "+anyToken, "Content-Type", js)
	if got.status != http.StatusAccepted {
		t.Errorf("another publisher is answered %d %s", got.status, got.body)
	}
}
