package server

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// doors are all endpoints by the pattern of their route: those of the operators' listener, and those that only read. A route that is
// not here fails the test.
var doors = map[string]struct{ admin, reads bool }{
	"/graphql":             {},
	"/graphql/refresh":     {},
	"/events":              {},
	"/revocations":         {admin: true},
	"/healthz":             {reads: true},
	"/readyz":              {reads: true},
	"/metrics":             {admin: true, reads: true},
	"/{$}":                 {reads: true}, // under --dev
	"/":                    {reads: true}, // not found
	"/debug/pprof/":        {admin: true, reads: true},
	"/debug/pprof/cmdline": {admin: true, reads: true},
	"/debug/pprof/profile": {admin: true, reads: true},
	"/debug/pprof/symbol":  {admin: true, reads: true},
	"/debug/pprof/trace":   {admin: true, reads: true},
}

// routes reads the patterns of every mux in the package's source.
func routes(t *testing.T) (patterns []string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		patterns = append(patterns, routesOf(t, file)...)
	}
	return patterns
}

func routesOf(t *testing.T, file *ast.File) (patterns []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) != 2 {
			return true
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || method.Sel.Name != "Handle" && method.Sel.Name != "HandleFunc" {
			return true
		}
		literal, ok := call.Args[0].(*ast.BasicLit)
		if !ok {
			t.Error("the pattern of a route is no literal: this test cannot see it")
			return true
		}
		pattern, err := strconv.Unquote(literal.Value)
		if err != nil {
			t.Error(err)
		}
		patterns = append(patterns, pattern)
		return true
	})
	return patterns
}

// TestEveryRouteHasItsPlace: a new endpoint says whether it changes something, and then stands in TestForgedRequests.
func TestEveryRouteHasItsPlace(t *testing.T) {
	found := map[string]bool{}
	for _, pattern := range routes(t) {
		found[pattern] = true
		if _, known := doors[pattern]; !known {
			t.Errorf("%s: give it its place in doors, and if it changes something a body in changes", pattern)
		}
	}
	for pattern, door := range doors {
		if !found[pattern] {
			t.Errorf("%s is no route any more", pattern)
		}
		if _, changes := changes[pattern]; changes == door.reads {
			t.Errorf("%s: reads %v, but has a body in changes %v", pattern, door.reads, changes)
		}
	}
}

// changes are requests that would change something if they came with credentials.
var changes = map[string]string{
	"/graphql":         `{"query":"subscription { orders { id } }"}`,
	"/graphql/refresh": ``,
	"/events":          `{"channel":"orders","type":"t","tenant_id":"t1","data":{"id":"forged"}}`,
	"/revocations":     `{"user_id":"u1","tenant_id":"t1"}`,
}

// forgery is a request that the page of another site can make the browser of a user send, with the user's cookies.
type forgery struct {
	name, method string
	headers      []string
	query        string
}

func forgeries(cookie string) (list []forgery) {
	bodies := []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"}
	for _, origin := range []string{"https://evil.example", "null", "https://app.example.evil.example", "http://app.example", ""} {
		own := []string{"Cookie", "session=" + cookie}
		if origin != "" { // an old browser, or a navigation, says nothing
			own = append(own, "Origin", origin)
		}
		for _, contentType := range bodies {
			list = append(list, forgery{"form of " + contentType + " from " + origin, "POST", append([]string{"Content-Type", contentType}, own...), ""})
		}
		list = append(list,
			forgery{"form without a type from " + origin, "POST", own, ""},
			forgery{"navigation from " + origin, "GET", append([]string{"Accept", "text/html,*/*"}, own...), "?query=subscription%7Borders%7Bid%7D%7D"},
			forgery{"EventSource from " + origin, "GET", append([]string{"Accept", "text/event-stream"}, own...), "?query=subscription%7Borders%7Bid%7D%7D"},
		)
		if origin != "" { // a page that sends these asks first, and is refused then; it does not get through without, either
			for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
				list = append(list, forgery{method + " of JSON from " + origin, method, append([]string{"Content-Type", js}, own...), ""})
			}
			list = append(list, forgery{"preflight from " + origin, "OPTIONS", append([]string{"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type,authorization"}, own...), ""})
		}
	}
	return list
}

// TestForgedRequests sends, to every endpoint that changes something, what the page of another site can send in the name of a user whose
// cookie is right. Nothing is published, subscribed to or revoked, and no answer may be read by that page.
func TestForgedRequests(t *testing.T) {
	s := assemble(t, config.Source{}, withJWT+"admin.listen: 127.0.0.1:0\nadmin.token: operators-token-0001\n")
	victim := testkit.DialTalk(t, "ws://"+s.addr+"/graphql").Init(sign(t, nil))
	victim.Send(`{"id":"1","type":"subscribe","payload":{"query":"subscription { orders { id } }"}}`)
	s.live(1)
	for pattern, body := range changes {
		address := s.addr
		if doors[pattern].admin {
			address = s.AdminAddr()
		}
		for _, f := range forgeries(sign(t, nil)) {
			got := send(t, f.method, "http://"+address+pattern+f.query, body, f.headers...)
			if got.status < 400 {
				t.Errorf("%s %s: %d %.200s", pattern, f.name, got.status, got.body)
			}
			if allowed := got.header.Get("Access-Control-Allow-Origin"); allowed != "" {
				t.Errorf("%s %s: %s may read the answer", pattern, f.name, allowed)
			}
			if got.header.Get("Set-Cookie") != "" {
				t.Errorf("%s %s: sets a cookie", pattern, f.name)
			}
		}
	}
	if n := s.Engine.Stats().Subscriptions; n != 1 {
		t.Errorf("%d subscriptions, want that of the victim", n)
	}
	// The victim is neither revoked nor has it received what was forged.
	s.publish(`{"channel":"orders","type":"t","tenant_id":"t1","data":{"id":"genuine"}}`)
	victim.Expect(`{"id":"1","type":"next","payload":{"data":{"orders":{"id":"genuine"}}}}`)
}

// TestOtherSitesOpenNoSocket is cross-site WebSocket hijacking: the browser sends the user's cookie and says where the page is from. The same
// request from our own pages gets through, so it is the Origin that refuses.
func TestOtherSitesOpenNoSocket(t *testing.T) {
	s := assemble(t, config.Source{}, withJWT+"protocols.legacy_graphql_ws: true\n")
	handshake := func(protocol, origin string) int {
		headers := []string{"Upgrade", "websocket", "Connection", "Upgrade", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==",
			"Sec-WebSocket-Protocol", protocol, "Cookie", "session=" + sign(t, nil)}
		return handshakeStatus(t, s.addr, append(headers, "Origin", origin))
	}
	for _, protocol := range []string{"graphql-transport-ws", "graphql-ws"} {
		for _, origin := range []string{"https://evil.example", "null", "https://app.example.evil.example", "http://app.example", "https://" + s.addr + ".evil.example", "file://", "https://app.example:444"} {
			if status := handshake(protocol, origin); status != 403 {
				t.Errorf("%s from %s: %d", protocol, origin, status)
			}
		}
		for _, origin := range []string{"https://app.example", "http://" + s.addr} {
			if status := handshake(protocol, origin); status != 101 {
				t.Errorf("%s from %s: %d", protocol, origin, status)
			}
		}
	}
}

// handshakeStatus asks for a WebSocket and returns the status of the answer.
func handshakeStatus(t *testing.T, addr string, headers []string) int {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request := "GET /graphql HTTP/1.1\r\nHost: " + addr + "\r\n"
	for i := 0; i < len(headers); i += 2 {
		request += fmt.Sprintf("%s: %s\r\n", headers[i], headers[i+1])
	}
	if _, err := conn.Write([]byte(request + "\r\n")); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}
