package server

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

const (
	rawAuth = "Authorization: Bearer " + anyToken + "\r\nContent-Type: application/json\r\n"
	rawPost = "POST /events HTTP/1.1\r\nHost: x\r\n" + rawAuth
)

var rawRequests = []struct {
	name, raw string
	status    int
}{
	{"noise", "\x00\x01\x02\x03\r\n\r\n", 400},
	{"TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400},
	{"no version", "POST /events\r\n\r\n", 400},
	{"version 9", "POST /events HTTP/9.9\r\nHost: x\r\n\r\n", 505},
	{"no host", "POST /events HTTP/1.1\r\n\r\n", 400},
	{"two hosts", "POST /events HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
	{"bad host", "POST /events HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
	{"space in a header name", "POST /events HTTP/1.1\r\nHost: x\r\nContent Type: a\r\n\r\n", 400},
	{"control character in a header", "POST /events HTTP/1.1\r\nHost: x\r\nX: a\x01b\r\n\r\n", 400},
	{"header too large", "POST /events HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 128<<10) + "\r\n\r\n", 431},
	{"length is no number", rawPost + "Content-Length: x\r\n\r\n", 400},
	{"negative length", rawPost + "Content-Length: -1\r\n\r\n", 400},
	{"two lengths", rawPost + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}", 400},
	{"length and chunks", rawPost + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"unknown transfer coding", rawPost + "Transfer-Encoding: gzip\r\n\r\n", 501},
	{"bad chunk size", rawPost + "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", 400},
	{"huge chunk size", rawPost + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 400},
	{"chunk without an end", rawPost + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}xx", 400},
	{"huge length", rawPost + "Content-Length: 99999999999\r\n\r\n", 413},
	{"body shorter than its length", rawPost + fmt.Sprintf("Content-Length: %d\r\nConnection: close\r\n\r\n%s", len(good)+10, good), 400},
	{"method of our own", "SUBSCRIBE /events HTTP/1.1\r\nHost: x\r\n\r\n", 405},
	{"CONNECT", "CONNECT events:80 HTTP/1.1\r\nHost: x\r\n\r\n", 404},
	{"asterisk", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 200},
	{"path with dots", "POST /a/../events HTTP/1.1\r\nHost: x\r\n" + rawAuth + "Content-Length: 0\r\n\r\n", 307},
	{"upgrade of /events", "GET /events HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 405},
	{"half a request", "POST /eve", 400},
}

// TestRawRequests sends what no client library would send. Each gets an answer, and the server keeps serving.
func TestRawRequests(t *testing.T) {
	f := start(t, withTokens)
	for _, c := range rawRequests {
		t.Run(c.name, func(t *testing.T) {
			conn, err := net.DialTimeout("tcp", f.Addr(), 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			// The server may close while this is written; what is missing never comes.
			_, _ = conn.Write([]byte(c.raw))
			_ = conn.(*net.TCPConn).CloseWrite()
			if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || res.StatusCode != c.status {
				t.Errorf("%v %v, want %d", res, err, c.status)
			}
			if res != nil {
				_ = res.Body.Close()
			}
		})
	}
	if n := len(f.bus.taken()); n != 0 {
		t.Errorf("%d events were published", n)
	}
	if got := send(t, "POST", f.url+"/events", good, "Content-Type", js, "Authorization", "Bearer "+anyToken); got.status != 202 {
		t.Errorf("afterwards: %d %s", got.status, got.body)
	}
}
