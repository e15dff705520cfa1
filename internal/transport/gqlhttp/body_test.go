package gqlhttp

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/poll"
)

// chunked is the text of a request whose body is chunks, and may not end.
func chunked(accept string, chunks string, headers ...string) string {
	return strings.Replace(post(accept, "", headers...), "Content-Length: 0", "Transfer-Encoding: chunked", 1) + chunks
}

// halves are requests that announce more of a body than they send, with the status of their answer.
func halves(token string) map[string]int {
	long := "1000\r\n" + strings.Repeat("x", 4096) + "\r\n"
	half := func(raw string) string { return raw[:len(raw)-5] }
	return map[string]int{
		half(post("", query("{x}"))):                                                       http.StatusRequestTimeout,
		half(post("text/event-stream", query("x"))):                                        http.StatusRequestTimeout,
		half(post("", op("1", "x"), tokenHeader+": "+token)):                               http.StatusRequestTimeout,
		chunked("", "5\r\n{\"q"):                                                           http.StatusRequestTimeout,
		chunked("", long):                                                                  http.StatusRequestEntityTooLarge,
		strings.Replace(post("", ""), "Length: 0", "Length: 4096", 1):                      http.StatusRequestEntityTooLarge,
		half(post("", `{"a":"bcdef"}`, streamHeader+": x")):                                http.StatusNotFound,
		half(post("", query("{x}"), "Authorization: wrong")):                               http.StatusUnauthorized,
		strings.Replace(half(post("", query("{x}"))), "application/json", "text/plain", 1): http.StatusUnsupportedMediaType,
		strings.Replace(half(post("", query("{x}"))), "POST", "GET", 1):                    http.StatusBadRequest,
		strings.Replace(half(post("", query("{x}"))), "POST", "PUT", 1):                    http.StatusCreated,
	}
}

// A connection whose request was answered before its body had come is closed within the time for the body, by plain HTTP and by TLS.
func TestHalfBodiesEnd(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){"plain": (*httptest.Server).Start, "TLS": (*httptest.Server).StartTLS} {
		f := serveOn(t, poll.Options{}, func(c *Config) { c.BodyTimeout, c.MessageBytes = 50*time.Millisecond, 1024 }, start)
		ask := func(raw string) (*client, *http.Response, string) {
			c := f.dialAs(name == "TLS")
			c.send(raw)
			res := c.answer()
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Error(err)
			}
			return c, res, string(body)
		}
		_, _, token := ask(method("PUT", "/graphql"))
		for raw, status := range halves(token) {
			c, res, _ := ask(raw)
			if res.StatusCode != status || !res.Close {
				t.Errorf("%s: %q: %s, close %v, want %d", name, raw[:40], res.Status, res.Close, status)
			}
			if rest, err := io.ReadAll(c.r); err != nil || len(rest) > 0 {
				t.Errorf("%s: %q: after the answer %q, %v", name, raw, rest, err)
			}
		}
	}
}

// The bodies that wait for room are let go, too.
func TestBusyBodiesEnd(t *testing.T) {
	f := serve(t, poll.Options{}, func(c *Config) { c.PartialBytes, c.BodyTimeout = 1, 50*time.Millisecond })
	c := f.dial()
	c.send(chunked("", "2000\r\n"+strings.Repeat(" ", 0x2000)+"\r\n"))
	res := c.answer()
	if res.StatusCode != http.StatusServiceUnavailable || !res.Close {
		t.Errorf("%s, close %v", res.Status, res.Close)
	}
	if _, err := io.ReadAll(c.r); err != nil {
		t.Error(err)
	}
}

// bodyTimes records the deadlines of reading.
type bodyTimes struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *bodyTimes) SetReadDeadline(at time.Time) error { d.set = append(d.set, at); return nil }

// late is a body that does not come in time.
type late struct{}

func (late) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

// The next request of a connection has a time of its own: that of a body ends with the body, and with that alone.
func TestTimeOfBodies(t *testing.T) {
	f := serve(t, poll.Options{}, nil)
	for name, c := range map[string]struct {
		body io.Reader
		set  []bool // whether there is a bound after each call
	}{
		"whole":        {strings.NewReader(query("{x}")), []bool{true, false}},
		"does not end": {late{}, []bool{true}},
	} {
		r := httptest.NewRequest(http.MethodPost, "/graphql", c.body)
		r.Header.Set("Content-Type", "application/json")
		r.ContentLength = 100
		w := &bodyTimes{ResponseRecorder: httptest.NewRecorder()}
		f.handler.ServeHTTP(w, r)
		if len(w.set) != len(c.set) {
			t.Errorf("%s: %v", name, w.set)
			continue
		}
		for i, at := range w.set {
			if at.IsZero() == c.set[i] {
				t.Errorf("%s: %v", name, w.set)
			}
		}
	}
}

// dialAs is dial, with TLS or without.
func (f *fixture) dialAs(secure bool) *client {
	c := f.dial()
	if secure {
		c.Conn = tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true})
		c.r = bufio.NewReader(c.Conn)
	}
	return c
}
