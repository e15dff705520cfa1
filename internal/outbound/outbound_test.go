package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func client(t *testing.T, cfg Config) *Client {
	t.Helper()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func TestPost(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Seen", r.Method+" "+r.URL.Path+" "+r.Header.Get("X-Asked")+" "+string(body))
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, "short and stout")
	})
	c := client(t, Config{URLs: []string{s.URL + "/hook/*"}, Networks: loopback})
	got, err := c.Post(t.Context(), s.URL+"/hook/7", http.Header{"X-Asked": {"yes"}}, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != http.StatusTeapot || string(got.Body) != "short and stout" || got.Header.Get("X-Seen") != "POST /hook/7 yes {}" {
		t.Errorf("answer %d %q %v", got.Status, got.Body, got.Header)
	}
}

func TestAllowed(t *testing.T) {
	c := client(t, Config{URLs: []string{"https://Router.example.com/callback/*", "http://hooks.example.com:8080/connect", "https://q.example.com/a?b=c", "https://root.example.com/*"}})
	for raw, want := range map[string]bool{
		"https://router.example.com/callback/1":             true,
		"https://ROUTER.example.com:443/callback/1":         true,
		"https://router.example.com/callback/a/b":           true,
		"https://router.example.com/callback/":              false,
		"https://router.example.com/callback":               false,
		"https://router.example.com/callbacks/1":            false,
		"http://router.example.com/callback/1":              false,
		"https://router.example.com:8443/callback/1":        false,
		"https://router.example.com.evil.com/callback/1":    false,
		"https://router.example.com./callback/1":            false,
		"https://router.example.com/callback/../admin":      false,
		"https://router.example.com/callback/%2e%2e/admin":  false,
		"https://router.example.com/callback/%2E%2E%2Fa":    false,
		"https://router.example.com/callback/a%2fb":         false,
		"https://router.example.com/callback/a%5cb":         false,
		`https://router.example.com/callback/a\b`:           false,
		"https://router.example.com/callback//a":            false,
		"https://router.example.com/callback/./a":           false,
		"https://router.example.com/callback/1?x=1":         false,
		"https://router.example.com/callback/1?":            false,
		"https://router.example.com/callback/1#f":           false,
		"https://u:p@router.example.com/callback/1":         false,
		"https://router.example.com@evil.com/callback/1":    false,
		"https://evil.com/https://router.example.com/":      false,
		"//router.example.com/callback/1":                   false,
		"file:///callback/1":                                false,
		"gopher://router.example.com/callback/1":            false,
		"https:router.example.com/callback/1":               false,
		"":                                                  false,
		"http://hooks.example.com:8080/connect":             true,
		"http://hooks.example.com:8080/connect/":            false,
		"http://hooks.example.com:8080/connect?x":           false,
		"http://hooks.example.com/connect":                  false,
		"https://q.example.com/a?b=c":                       true,
		"https://q.example.com/a?b=d":                       false,
		"https://root.example.com/anything":                 true,
		"https://root.example.com":                          false,
		"https://router.example.com/callback/1\r\nHost: a":  false,
		"https://router.example.com\t.evil.com/callback/1":  false,
		"https://[::ffff:127.0.0.1]:443/callback/1":         false,
		"https://router.example.com/callback/\u202e1":       true,
		"https://router.example.com/callback/1/../../admin": false,
	} {
		if err := c.Check(raw); (err == nil) != want {
			t.Errorf("%q: %v, want allowed %v", raw, err, want)
		} else if err != nil && (!errors.Is(err, ErrNotAllowed) || raw != "" && strings.Contains(err.Error(), raw)) {
			t.Errorf("%q: error %v", raw, err)
		}
	}
	if err := client(t, Config{}).Check("https://example.com/"); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("without a list: %v", err)
	}
}

func TestEntriesThatAreNone(t *testing.T) {
	for _, text := range []string{"", "example.com", "ftp://example.com/", "https://", "https://u@example.com/", "https://*.example.com/", "https://example.com/a*", "https://example.com/*/b", "https://example.com/#a", "https://example.com/?a=b/*"} {
		if err := ParseURL(text); err == nil {
			t.Errorf("%q passes", text)
		}
		if _, err := New(Config{URLs: []string{"https://example.com/", text}}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", text)) {
			t.Errorf("%q: New says %v", text, err)
		}
	}
}

func TestPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"1.1.1.1": true, "93.184.216.34": true, "2606:4700::1111": true, "::ffff:1.1.1.1": true, "172.32.0.1": true, "100.128.0.1": true,
		"0.0.0.0": false, "0.1.2.3": false, "127.0.0.1": false, "127.9.9.9": false, "10.0.0.1": false, "172.16.0.1": false, "172.31.255.255": false,
		"192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false, "192.0.0.192": false, "198.18.0.1": false, "192.0.2.1": false,
		"203.0.113.9": false, "198.51.100.7": false, "224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false, "192.88.99.1": false,
		"::": false, "::1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::127.0.0.1": false, "fe80::1": false, "fc00::1": false,
		"fd00:ec2::254": false, "ff02::1": false, "64:ff9b::7f00:1": false, "64:ff9b:1::1": false, "2002:7f00:1::": false, "2001::1": false,
		"2001:db8::1": false, "fec0::1": false, "100::1": false, "3fff::1": false,
	} {
		if got := Public(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: public %v", text, got)
		}
	}
	if Public(netip.Addr{}) {
		t.Error("no address is a public one")
	}
}

// What lies on this machine is not called unless its network is named, by whatever text its address is given.
func TestAddressesOfThisMachine(t *testing.T) {
	var called atomic.Int32
	s := serve(t, func(http.ResponseWriter, *http.Request) { called.Add(1) })
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "2130706433", "0x7f.1", "127.1"} {
		url := "http://" + host + ":" + port + "/"
		c := client(t, Config{URLs: []string{url}, Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
		if _, err := c.Post(t.Context(), url, nil, nil); err == nil {
			t.Errorf("%s was called", host)
		}
	}
	if n := called.Load(); n > 0 {
		t.Errorf("%d calls arrived", n)
	}
	c := client(t, Config{URLs: []string{s.URL + "/"}})
	if _, err := c.Post(t.Context(), s.URL+"/", nil, nil); !errors.Is(err, ErrAddress) {
		t.Errorf("error %v", err)
	}
	c = client(t, Config{URLs: []string{s.URL + "/"}, Networks: loopback})
	if _, err := c.Post(t.Context(), s.URL+"/", nil, nil); err != nil || called.Load() != 1 {
		t.Errorf("with its network allowed: %v, %d calls", err, called.Load())
	}
}

// A redirect is an answer: nothing follows it.
func TestRedirect(t *testing.T) {
	var followed atomic.Int32
	inner := serve(t, func(http.ResponseWriter, *http.Request) { followed.Add(1) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", inner.URL)
			w.WriteHeader(status)
		})
		c := client(t, Config{URLs: []string{s.URL + "/*"}, Networks: loopback})
		got, err := c.Post(t.Context(), s.URL+"/x", nil, []byte("secret"))
		if err != nil || got.Status != status {
			t.Errorf("%d: answer %v, error %v", status, got, err)
		}
	}
	if followed.Load() > 0 {
		t.Error("a redirect was followed")
	}
}

func TestBounds(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/exact":
			fmt.Fprint(w, strings.Repeat("x", 100))
		case "/long":
			fmt.Fprint(w, strings.Repeat("x", 101))
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			fmt.Fprint(w, "not gzip: nobody looks")
		case "/headers":
			w.Header().Set("X-Long", strings.Repeat("x", 64<<10))
		case "/stalled":
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
	})
	c := client(t, Config{URLs: []string{s.URL + "/*"}, Networks: loopback, AnswerBytes: 100, Timeout: 500 * time.Millisecond})
	if got, err := c.Post(t.Context(), s.URL+"/exact", nil, nil); err != nil || len(got.Body) != 100 {
		t.Errorf("100 bytes: %v", err)
	}
	if _, err := c.Post(t.Context(), s.URL+"/long", nil, nil); !errors.Is(err, ErrTooLong) {
		t.Errorf("101 bytes: %v", err)
	}
	if got, err := c.Post(t.Context(), s.URL+"/bomb", nil, nil); err != nil || string(got.Body) != "not gzip: nobody looks" {
		t.Errorf("encoded: %v", err)
	}
	if _, err := c.Post(t.Context(), s.URL+"/headers", nil, nil); err == nil {
		t.Error("64 KiB of headers passed")
	}
	if _, err := c.Post(t.Context(), s.URL+"/stalled", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stalled: %v", err)
	}
	if _, err := c.Post(t.Context(), s.URL+"/stalled?secret=1", nil, nil); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
}

// The environment's proxy is not used: it would be dialled in place of the address that was judged.
func TestNoProxy(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	if client(t, Config{}).transport.Proxy != nil {
		t.Error("a proxy is asked for")
	}
	c := client(t, Config{URLs: []string{s.URL + "/"}, Networks: loopback})
	if _, err := c.Post(t.Context(), s.URL+"/", nil, nil); err != nil {
		t.Error(err)
	}
}
