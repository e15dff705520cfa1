package ws

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/observe"
)

// ask sends a request as it is and returns the answer.
func (f *fixture) ask(raw string) (*http.Response, string) {
	f.t.Helper()
	nc, err := net.Dial("tcp", f.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	defer nc.Close()
	if _, err := io.WriteString(nc, raw); err != nil {
		f.t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	var body []byte
	if res.StatusCode != http.StatusSwitchingProtocols {
		if body, err = io.ReadAll(res.Body); err != nil {
			f.t.Fatal(err)
		}
	}
	return res, string(body)
}

// The opening handshake is refused with a status, headers that say what to do, and our JSON.
func TestRefusals(t *testing.T) {
	f := serve(t, poll.Options{}, func(c *Config) {
		c.CheckOrigin = func(r *http.Request) bool { return r.Header.Get("Origin") == "https://good.example" }
	})
	good := request(f.addr, protocolLine)
	without := func(line string) string { return strings.Replace(good, line+"\r\n", "", 1) }
	with := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	cases := []struct {
		name, raw string
		status    int
		header    string // name: value
	}{
		{"good", good, 101, "Upgrade: websocket"},
		{"other case", with("Upgrade: websocket", "upgrade: WebSocket"), 101, ""},
		{"good origin", with("\r\n\r\n", "\r\nOrigin: https://good.example\r\n\r\n"), 101, ""},
		{"bad origin", with("\r\n\r\n", "\r\nOrigin: https://bad.example\r\n\r\n"), 403, ""},
		{"null origin", with("\r\n\r\n", "\r\nOrigin: null\r\n\r\n"), 403, ""},
		{"POST", with("GET", "POST"), 405, "Allow: GET"},
		{"HTTP/1.0", with("HTTP/1.1", "HTTP/1.0"), 505, ""},
		{"no Upgrade", without("Upgrade: websocket"), 426, "Upgrade: websocket"},
		{"no Connection", without("Connection: keep-alive, Upgrade"), 426, ""},
		{"old version", with("Version: 13", "Version: 8"), 426, "Sec-WebSocket-Version: 13"},
		{"no version", without("Sec-WebSocket-Version: 13"), 426, "Sec-WebSocket-Version: 13"},
		{"no key", without("Sec-WebSocket-Key: " + testKey), 400, ""},
		{"short key", with(testKey, "c2hvcnQ="), 400, ""},
		{"key not base64", with(testKey, "!!!!!!!!!!!!!!!!!!!!!!=="), 400, ""},
		{"two keys", with("\r\n\r\n", "\r\nSec-WebSocket-Key: "+testKey+"\r\n\r\n"), 400, ""},
		{"body", with("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\n{}"), 400, ""},
		{"chunked", with("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400, ""},
	}
	for _, c := range cases {
		res, body := f.ask(c.raw)
		if res.StatusCode != c.status {
			t.Errorf("%s: status %d, want %d: %s", c.name, res.StatusCode, c.status, body)
			continue
		}
		if name, value, ok := strings.Cut(c.header, ": "); ok && res.Header.Get(name) != value {
			t.Errorf("%s: %s is %q", c.name, name, res.Header.Get(name))
		}
		if c.status == 101 {
			continue
		}
		var doc struct {
			Errors []struct{ Code, Message string }
		}
		if err := json.Unmarshal([]byte(body), &doc); err != nil || len(doc.Errors) != 1 || doc.Errors[0].Code == "" || doc.Errors[0].Message == "" {
			t.Errorf("%s: body %q", c.name, body)
		}
	}
	if n := f.tally.count(observe.ConnectionsRefused, "origin"); n != 2 {
		t.Errorf("%d refusals for their origin", n)
	}
}

func TestSameOrigin(t *testing.T) {
	f := serve(t, poll.Options{}, nil)
	for origin, status := range map[string]int{
		"http://" + f.addr: 101, "https://" + f.addr: 101, "http://" + f.addr + ".evil.example": 403, "null": 403, "ftp://" + f.addr: 403, "http://127.0.0.1:1": 403,
	} {
		if res, body := f.ask(request(f.addr, "Origin: "+origin)); res.StatusCode != status {
			t.Errorf("%s: %d, want %d %s", origin, res.StatusCode, status, body)
		}
	}
	two := request(f.addr, "Origin: http://"+f.addr, "Origin: http://"+f.addr)
	if res, _ := f.ask(two); res.StatusCode != 403 {
		t.Errorf("two origins: %d", res.StatusCode)
	}
}

// Beyond MaxConnections: 503, and again 101 when one has left.
func TestMaxConnections(t *testing.T) {
	f := serve(t, poll.Options{}, func(c *Config) { c.MaxConnections = 2 })
	a := f.dial()
	f.dial()
	res, _ := f.ask(request(f.addr, protocolLine))
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("status %d, Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
	}
	if f.handler.Connections() != 2 || f.tally.count(observe.ConnectionsRefused, "limit") != 1 {
		t.Errorf("%d connections, counted %v", f.handler.Connections(), f.tally.n)
	}
	a.nc.Close()
	await(t, "one left", func() bool { return f.handler.Connections() == 1 })
	f.dial()
}

// A ResponseWriter that cannot be hijacked gets an answer, and the connection is not counted.
func TestNoHijack(t *testing.T) {
	f := serve(t, poll.Options{}, nil)
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(request(f.addr, protocolLine))))
	if err != nil {
		t.Fatal(err)
	}
	w := &plainWriter{header: http.Header{}}
	f.handler.ServeHTTP(w, r)
	if w.status != 500 || f.handler.Connections() != 0 {
		t.Errorf("status %d, %d connections", w.status, f.handler.Connections())
	}
}

type plainWriter struct {
	header http.Header
	status int
}

func (w *plainWriter) Header() http.Header         { return w.header }
func (w *plainWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *plainWriter) WriteHeader(status int)      { w.status = status }

func TestNewNeedsPollerAndHost(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("no error")
	}
}
