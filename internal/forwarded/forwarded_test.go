package forwarded

import (
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func request(peer string, headers ...string) *http.Request {
	r := &http.Request{RemoteAddr: peer, Host: "own.example.com", URL: &url.URL{Path: "/graphql"}, Header: http.Header{"X-Other": {"kept"}}}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func trusted(t testing.TB, family Family, networks ...string) *Rules {
	t.Helper()
	list, err := ParseNetworks(networks)
	if err != nil {
		t.Fatal(err)
	}
	return &Rules{Trusted: list, Family: family}
}

const (
	proxy  = "10.0.0.1:5000"
	xff    = "X-Forwarded-For"
	xhost  = "X-Forwarded-Host"
	xproto = "X-Forwarded-Proto"
)

func TestApply(t *testing.T) {
	for _, c := range []struct {
		name               string
		family             Family
		peer               string
		headers            []string
		addr, host, scheme string
	}{
		{"none", 0, proxy, nil, proxy, "", ""},
		{"a client", 0, proxy, []string{xff, "203.0.113.7"}, "203.0.113.7:0", "", ""},
		{"with a port", 0, proxy, []string{xff, "203.0.113.7:8080"}, "203.0.113.7:8080", "", ""},
		{"IPv6", 0, proxy, []string{xff, "2001:db8::7"}, "[2001:db8::7]:0", "", ""},
		{"IPv6 in brackets", 0, proxy, []string{xff, "[2001:db8::7]"}, "[2001:db8::7]:0", "", ""},
		{"IPv6 with a port", 0, proxy, []string{xff, "[2001:db8::7]:99"}, "[2001:db8::7]:99", "", ""},
		{"mapped", 0, proxy, []string{xff, "::ffff:203.0.113.7"}, "203.0.113.7:0", "", ""},
		{"the client invents hops", 0, proxy, []string{xff, "1.2.3.4, 10.9.9.9, 203.0.113.7"}, "203.0.113.7:0", "", ""},
		{"in lines of their own", 0, proxy, []string{xff, "1.2.3.4", xff, "203.0.113.7"}, "203.0.113.7:0", "", ""},
		{"two proxies", 0, proxy, []string{xff, "1.2.3.4, 203.0.113.7, 10.0.0.2"}, "203.0.113.7:0", "", ""},
		{"only proxies", 0, proxy, []string{xff, "10.0.0.3, 10.0.0.2"}, "10.0.0.3:0", "", ""},
		{"the client invents garbage", 0, proxy, []string{xff, "<script>, 203.0.113.7"}, "203.0.113.7:0", "", ""},
		{"garbage from the nearest", 0, proxy, []string{xff, "203.0.113.7, unknown"}, proxy, "", ""},
		{"garbage behind a proxy", 0, proxy, []string{xff, "203.0.113.7, _hidden, 10.0.0.2"}, "10.0.0.2:0", "", ""},
		{"empty elements", 0, proxy, []string{xff, "203.0.113.7,,"}, proxy, "", ""},
		{"a zone", 0, proxy, []string{xff, "fe80::1%eth0"}, proxy, "", ""},
		{"an octal look-alike", 0, proxy, []string{xff, "010.0.0.1"}, proxy, "", ""},
		{"a hundred proxies", 0, proxy, []string{xff, "203.0.113.7" + strings.Repeat(", 10.0.0.2", 100)}, "10.0.0.2:0", "", ""},
		{"scheme and host", 0, proxy, []string{xff, "203.0.113.7", xproto, "HTTPS", xhost, "app.example.com:8443"}, "203.0.113.7:0", "app.example.com:8443", "https"},
		{"lists: the nearest", 0, proxy, []string{xproto, "http, https", xhost, "evil.example.com, app.example.com"}, proxy, "app.example.com", "https"},
		{"a scheme that is none", 0, proxy, []string{xproto, "javascript"}, proxy, "", ""},
		{"hosts that are none", 0, proxy, []string{xhost, "app.example.com/path"}, proxy, "", ""},
		{"a host with a user", 0, proxy, []string{xhost, "a@b"}, proxy, "", ""},
		{"a host with a line break", 0, proxy, []string{xhost, "a\r\nb"}, proxy, "", ""},
		{"a peer that is not trusted", 0, "203.0.113.9:1", []string{xff, "127.0.0.1", xhost, "admin", xproto, "https", "Forwarded", "for=127.0.0.1"}, "203.0.113.9:1", "", ""},
		{"a mapped peer", 0, "[::ffff:10.0.0.1]:5", []string{xff, "203.0.113.7"}, "203.0.113.7:0", "", ""},
		{"a peer without an address", 0, "@", []string{xff, "203.0.113.7"}, "@", "", ""},
		{"the other family", 0, proxy, []string{"Forwarded", "for=203.0.113.7;host=evil.example.com"}, proxy, "", ""},
		{"X-Real-IP", 0, proxy, []string{"X-Real-IP", "203.0.113.7"}, proxy, "", ""},
		{"underscores", 0, proxy, []string{"X_Forwarded_For", "203.0.113.7"}, proxy, "", ""},

		{"RFC 7239", Forwarded, proxy, []string{"Forwarded", `for=203.0.113.7;proto=https;by=10.0.0.1;host="app.example.com"`}, "203.0.113.7:0", "app.example.com", "https"},
		{"RFC 7239: IPv6", Forwarded, proxy, []string{"Forwarded", `For="[2001:db8:cafe::17]:4711"`}, "[2001:db8:cafe::17]:4711", "", ""},
		{"RFC 7239: invented hops", Forwarded, proxy, []string{"Forwarded", `for=1.2.3.4`, "Forwarded", `for=203.0.113.7, for=10.0.0.2;proto=http`}, "203.0.113.7:0", "", "http"},
		{"RFC 7239: a comma in quotes", Forwarded, proxy, []string{"Forwarded", `for="1.2.3.4, for=5.6.7.8", for=203.0.113.7`}, "203.0.113.7:0", "", ""},
		{"RFC 7239: an open quote of the client", Forwarded, proxy, []string{"Forwarded", `for="1.2.3.4`, "Forwarded", `for=203.0.113.7`}, proxy, "", ""},
		{"RFC 7239: hidden", Forwarded, proxy, []string{"Forwarded", `for=203.0.113.7, for=_secret`}, proxy, "", ""},
		{"RFC 7239: no address", Forwarded, proxy, []string{"Forwarded", `proto=https`}, proxy, "", "https"},
		{"RFC 7239: twice", Forwarded, proxy, []string{"Forwarded", `for=203.0.113.7;for=1.2.3.4`}, proxy, "", ""},
		{"RFC 7239: escapes", Forwarded, proxy, []string{"Forwarded", `for="203.0.113\.7"`}, proxy, "", ""},
		{"RFC 7239: semicolons", Forwarded, proxy, []string{"Forwarded", `;for=203.0.113.7;`}, "203.0.113.7:0", "", ""},
		{"RFC 7239: the other family", Forwarded, proxy, []string{xff, "203.0.113.7", xhost, "evil.example.com"}, proxy, "", ""},
	} {
		r := request(c.peer, c.headers...)
		trusted(t, c.family, "10.0.0.0/8").Apply(r)
		if c.host == "" {
			c.host = "own.example.com"
		}
		if r.RemoteAddr != c.addr || r.Host != c.host || r.URL.Scheme != c.scheme {
			t.Errorf("%s: %s %s %q, want %s %s %q", c.name, r.RemoteAddr, r.Host, r.URL.Scheme, c.addr, c.host, c.scheme)
		}
		for _, name := range headers {
			if len(r.Header[name]) > 0 {
				t.Errorf("%s: the request keeps %s", c.name, name)
			}
		}
		if r.Header.Get("X-Other") != "kept" {
			t.Errorf("%s: another header is gone", c.name)
		}
	}
}

func TestNobodyIsTrustedByDefault(t *testing.T) {
	for _, peer := range []string{"127.0.0.1:1", "10.0.0.1:1", "[::1]:1"} {
		r := request(peer, xff, "203.0.113.7", xhost, "evil.example.com", "Forwarded", "for=203.0.113.7")
		(&Rules{}).Apply(r)
		if r.RemoteAddr != peer || r.Host != "own.example.com" || len(r.Header) != 1 {
			t.Errorf("%s: %s %s %v", peer, r.RemoteAddr, r.Host, r.Header)
		}
	}
}

func TestNetworks(t *testing.T) {
	for text, want := range map[string]string{"10.0.0.0/8": "10.0.0.0/8", "127.0.0.1": "127.0.0.1/32", "::1": "::1/128", "fd00::/8": "fd00::/8", "::ffff:1.2.3.4": "1.2.3.4/32"} {
		if got, err := ParseNetwork(text); err != nil || got.String() != want {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "10.0.0.1/8", "10.0.0.0/33", "::ffff:10.0.0.0/104", "fe80::1%eth0", "localhost"} {
		if got, err := ParseNetwork(text); err == nil {
			t.Errorf("%s passes as %v", text, got)
		}
	}
}

// FuzzApply checks that no header of a client gives it an address that it chose: what it wrote stands left of what the
// proxy added.
func FuzzApply(f *testing.F) {
	for _, seed := range []string{"", "1.2.3.4", `for="1.2.3.4`, "10.0.0.2, 10.0.0.3", ",", `\"`, "for=1.2.3.4;host=x", "[::1", "unknown"} {
		f.Add(seed, seed)
	}
	both := []*Rules{trusted(f, XForwarded, "10.0.0.0/8"), trusted(f, Forwarded, "10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, first, second string) {
		for _, rules := range both {
			r := request(proxy, xff, first, xff, second, "Forwarded", first, "Forwarded", second)
			r.Header[xff] = append(r.Header[xff], "203.0.113.7")
			r.Header["Forwarded"] = append(r.Header["Forwarded"], "for=203.0.113.7")
			rules.Apply(r)
			// An open quote of the client swallows the proxy's element: then nobody is believed.
			if r.RemoteAddr != "203.0.113.7:0" && (rules.Family == XForwarded || r.RemoteAddr != proxy) {
				t.Fatalf("%q %q: %s", first, second, r.RemoteAddr)
			}
			r = request(proxy, xff, first, xhost, second, "Forwarded", first)
			rules.Apply(r)
			if at, err := netip.ParseAddrPort(r.RemoteAddr); err != nil || !at.IsValid() {
				t.Fatalf("%q: %s", first, r.RemoteAddr)
			}
			if slices.ContainsFunc([]byte(r.Host), func(c byte) bool { return c <= ' ' || c == '/' || c == '@' }) {
				t.Fatalf("%q: host %q", second, r.Host)
			}
		}
	})
}
