package server

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// behind runs a server that trusts loopback proxies and tells what its GraphQL handler sees.
func behind(t *testing.T, trusted []string, headers string) *fixture {
	t.Helper()
	return start(t, func(c *config.Config, o *Options) {
		c.Proxy.Trusted, c.Proxy.Headers = trusted, headers
		o.GraphQL = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("X-Addr", r.RemoteAddr)
			h.Set("X-Host", r.Host)
			h.Set("X-Left", r.Header.Get("X-Forwarded-For")+r.Header.Get("Forwarded")+r.Header.Get("X-Forwarded-Host"))
		})
	})
}

func TestProxyHeaders(t *testing.T) {
	loopback := []string{"127.0.0.0/8"}
	said := []string{"X-Forwarded-For", "198.51.100.1, 203.0.113.7", "X-Forwarded-Host", "api.example.com", "X-Forwarded-Proto", "https"}
	f := behind(t, loopback, "x-forwarded")
	got := send(t, "GET", f.url+"/graphql", "", said...)
	if got.header.Get("X-Addr") != "203.0.113.7:0" || got.header.Get("X-Host") != "api.example.com" || got.header.Get("X-Left") != "" {
		t.Errorf("trusted: %v", got.header)
	}
	// The page's own origin is the name that the proxy was reached by, with its scheme.
	for page, status := range map[string]int{"https://api.example.com": 200, "http://api.example.com": 403, "https://evil.example": 403, f.url: 403} {
		if got := send(t, "GET", f.url+"/graphql", "", append([]string{"Origin", page}, said...)...); got.status != status {
			t.Errorf("a page of %s: %d, want %d", page, got.status, status)
		}
	}
	// The other family is a client's.
	got = send(t, "GET", f.url+"/graphql", "", "Forwarded", "for=198.51.100.1;host=evil.example")
	if !strings.HasPrefix(got.header.Get("X-Addr"), "127.0.0.1:") || got.header.Get("X-Host") != f.Addr() || got.header.Get("X-Left") != "" {
		t.Errorf("the other family: %v", got.header)
	}
	f = behind(t, loopback, "forwarded")
	got = send(t, "GET", f.url+"/graphql", "", "Forwarded", `for="[2001:db8::7]:1";host=api.example.com`, "X-Forwarded-For", "198.51.100.1")
	if got.header.Get("X-Addr") != "[2001:db8::7]:1" || got.header.Get("X-Host") != "api.example.com" || got.header.Get("X-Left") != "" {
		t.Errorf("RFC 7239: %v", got.header)
	}
	for _, trusted := range [][]string{nil, {"10.0.0.0/8"}} {
		f := behind(t, trusted, "x-forwarded")
		got := send(t, "GET", f.url+"/graphql", "", said...)
		if !strings.HasPrefix(got.header.Get("X-Addr"), "127.0.0.1:") || got.header.Get("X-Host") != f.Addr() || got.header.Get("X-Left") != "" {
			t.Errorf("not trusted: %v", got.header)
		}
		if got := send(t, "GET", f.url+"/graphql", "", append([]string{"Origin", "https://api.example.com"}, said...)...); got.status != 403 {
			t.Errorf("a page of the host that a client made up: %d", got.status)
		}
	}
}

// A Host that a client makes up through the headers of a proxy does not open --dev.
func TestProxyHeadersUnderDev(t *testing.T) {
	f := start(t, dev)
	if got := send(t, "GET", f.url+"/healthz", "", "Host", "evil.example", "X-Forwarded-Host", "localhost", "X-Forwarded-For", "127.0.0.1"); got.status != 403 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestSchemeOfTheRequestLineSaysNothing(t *testing.T) {
	f := start(t, nil)
	conn, err := net.Dial("tcp", f.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET https://" + f.Addr() + "/graphql HTTP/1.1\r\nHost: x\r\nOrigin: http://" + f.Addr() + "\r\nConnection: close\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 ") {
		t.Errorf("answered %q", answer)
	}
}

// A page of the server's own host gets through whichever node its request comes to, also where TLS ends before both.
func TestForwardedBehindTLS(t *testing.T) {
	front := testkit.NewBalancer(t) // has an address before the node behind it
	text := withJWT + "proxy.trusted: [127.0.0.0/8]\nnode.secret: " + secret + "\nnode.address: http://" + front.Addr + "\n"
	home, other := assemble(t, config.Source{}, text+"node.name: home\n"), assemble(t, config.Source{}, text+"node.name: other\n")
	front.SetTargets(home.addr)
	with := []string{"Authorization", "Bearer " + sign(t, nil), "Content-Type", js, "X-Forwarded-For", "203.0.113.7", "X-Forwarded-Host", "api.example", "Origin", "https://api.example"}
	name := send(t, "PUT", "http://"+home.addr+"/graphql", "", append(with, "X-Forwarded-Proto", "https")...)
	if name.status != 201 {
		t.Fatalf("a reservation: %d %s", name.status, name.body)
	}
	with = append(with, "X-GraphQL-Event-Stream-Token", name.body)
	for i, c := range []struct {
		proto  []string
		status int
	}{{[]string{"X-Forwarded-Proto", "https"}, 202}, {nil, 202}, {[]string{"X-Forwarded-Proto", "http"}, 403}} {
		body := fmt.Sprintf(`{"query":"subscription { orders { id } }","extensions":{"operationId":"%d"}}`, i)
		if got := send(t, "POST", "http://"+other.addr+"/graphql", body, append(with, c.proto...)...); got.status != c.status {
			t.Errorf("%v: %d %s, want %d", c.proto, got.status, got.body, c.status)
		}
	}
}

func TestCORS(t *testing.T) {
	listed := start(t, func(c *config.Config, _ *Options) {
		c.Origins, c.Auth.JWT.Cookie = []string{"https://app.example"}, "session"
	})
	anybody := start(t, func(c *config.Config, _ *Options) { c.Origins = []string{"*", "https://app.example"} })
	for _, c := range []struct {
		f                   *fixture
		origin              string
		allowed, credential bool
	}{
		{listed, "https://app.example", true, true}, {listed, "https://evil.example", false, false}, {listed, "null", false, false},
		{anybody, "https://app.example", true, false}, {anybody, "https://evil.example", true, false}, {anybody, "null", true, false},
	} {
		for _, path := range []string{"/graphql", "/events"} {
			for _, preflight := range []bool{false, true} {
				headers := []string{"Origin", c.origin}
				method := "GET"
				if preflight {
					method, headers = "OPTIONS", append(headers, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type")
				}
				got := send(t, method, c.f.url+path, "", headers...)
				if allow := got.header.Get("Access-Control-Allow-Origin"); (allow == c.origin) != c.allowed || allow != "" && allow != c.origin {
					t.Errorf("%s %s %s: allows %q", method, path, c.origin, allow)
				}
				if got.header.Get("Access-Control-Allow-Credentials") == "true" != c.credential {
					t.Errorf("%s %s %s: credentials %q", method, path, c.origin, got.header.Get("Access-Control-Allow-Credentials"))
				}
				if !strings.Contains(strings.Join(got.header.Values("Vary"), ","), "Origin") {
					t.Errorf("%s %s %s: Vary %q", method, path, c.origin, got.header.Values("Vary"))
				}
				if names := got.header.Get("Access-Control-Allow-Headers"); preflight && c.allowed && (got.status != 204 || !strings.Contains(names, "Authorization") || !strings.Contains(names, "Content-Type")) {
					t.Errorf("preflight %s %s: %d %q", path, c.origin, got.status, names)
				}
			}
		}
	}
}
