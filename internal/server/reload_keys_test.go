package server

import (
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// otherValues are those of keys that take no other value of their type.
func otherValues(dir string) map[string]any {
	schema, secret := filepath.Join(dir, "other.graphql"), filepath.Join(dir, "secret")
	return map[string]any{
		"preset": "high-throughput", "schema": []string{schema}, "auth.jwt.secret": strings.Repeat("z", 32), "auth.jwt.secret_file": secret,
		"auth.jwt.algorithms": []string{"HS384"}, "publish.tokens": []config.Token{{Token: strings.Repeat("t", 20)}}, "admin.token": strings.Repeat("a", 20),
		"admin.token_file": secret, "origins": []string{"https://other.example"}, "proxy.trusted": []string{"10.0.0.0/8"}, "proxy.headers": "forwarded",
		"log.level": "warn", "hooks.on_connect.url": "https://other.example/hook", "hooks.on_subscribe.url": "https://other.example/hook",
		"hooks.on_disconnect.url": "https://other.example/hook", "hooks.recheck.url": "https://other.example/hook", "hooks.networks": []string{"10.0.0.0/8"}, "hooks.secret": strings.Repeat("h", 20),
		"hooks.secret_file": secret,
	}
}

// otherSource are keys that name another source of the tokens' keys, which the server of this test does not have: they go with
// auth.jwt.secret, and jwtauth refuses both.
var otherSource = map[string]bool{"auth.jwt.public_key_file": true, "auth.jwt.jwks_url": true}

// Every key of the configuration is taken over at a reload, or named in the log as one that needs a restart and kept. None is
// forgotten, and none is both.
func TestReloadEveryKey(t *testing.T) {
	dir, log := t.TempDir(), &logBuffer{}
	for name, text := range map[string]string{"other.graphql": sdl + " type More { a: Int }", "secret": strings.Repeat("s", 40)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	logger, level := NewLeveled(log, config.Log{Format: "text"})
	s := assembleWith(t, config.Source{}, withJWT+"hooks: {on_connect.url: \"https://hooks.example/connect\", secret: 0123456789abcdef}\n", Parts{Version: "test", Logger: logger, LogLevel: level})
	others := otherValues(dir)
	for _, key := range config.Keys() {
		if otherSource[key.Path] {
			continue
		}
		level.Set(slog.LevelInfo)
		before, next := *s.inForce(), *s.inForce()
		change(t, key.Value(&next), others[key.Path])
		log.reset()
		if err := s.Reload(&next); err != nil {
			t.Errorf("%s: %v", key.Path, err)
			continue
		}
		named := strings.Contains(log.String(), "needs a restart\" key="+key.Path+"\n")
		taken := !reflect.DeepEqual(key.Value(s.inForce()), key.Value(&before))
		if named == taken || strings.Count(log.String(), "needs a restart") != map[bool]int{true: 1}[named] {
			t.Errorf("%s: taken over %v, named %v\n%s", key.Path, taken, named, log)
		}
		if key.Live() == named {
			t.Errorf("%s: the reference says that it is taken over: %v", key.Path, key.Live())
		}
		if err := s.Reload(&before); err != nil {
			t.Fatalf("%s: back again: %v", key.Path, err)
		}
	}
}

// Every key that needs a restart has its reason in the guide, and no other has.
func TestRestartKeysHaveTheirReason(t *testing.T) {
	text, err := os.ReadFile("../../docs/guides/reload.md")
	if err != nil {
		t.Fatal(err)
	}
	_, reasons, _ := strings.Cut(string(text), "## What needs a restart")
	for _, key := range config.Keys() {
		group, _, _ := strings.Cut(key.Path, ".")
		if there := strings.Contains(reasons, "`"+key.Path+"`") || strings.Contains(reasons, "`"+group+".*`"); there == key.Live() {
			t.Errorf("%s: live %v, has its place among the reasons %v", key.Path, key.Live(), there)
		}
	}
}

// change gives what a pointer leads to another value.
func change(t *testing.T, at, other any) {
	t.Helper()
	v := reflect.ValueOf(at).Elem()
	if other != nil {
		v.Set(reflect.ValueOf(other))
		return
	}
	switch x := at.(type) {
	case *string:
		*x += "x"
	case *bool:
		*x = !*x
	case *int:
		*x++
	case *time.Duration:
		*x += time.Second
	case *[]string:
		*x = append([]string{"x"}, *x...)
	default:
		t.Fatalf("no other value of %T", at)
	}
}

func (l *logBuffer) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Reset()
}

// What a reload says it takes over holds for connections and requests from then on, and open connections stay.
func TestReloadTakesEffect(t *testing.T) {
	endpoint, second, log := newHookEndpoint(t), newHookEndpoint(t), &logBuffer{}
	logger, level := NewLeveled(log, config.Log{Format: "text"})
	s := assembleWith(t, config.Source{}, withJWT+"admin.listen: 127.0.0.1:0\nlimits: {ping_interval: 1h, init_timeout: 1h, connections_per_ip: 1000}\n"+
		"hooks: {on_connect.url: \""+endpoint.URL+"\", secret: "+hookSecret+", networks: [127.0.0.0/8]}\n", Parts{Version: "test", Logger: logger, LogLevel: level})
	open := testkit.DialTalk(t, "ws://"+s.addr+"/graphql").Init(sign(t, nil))
	open.Send(`{"id":"1","type":"subscribe","payload":{"query":"` + someOrders + `"}}`)
	s.live(1)
	from := func(origin string) int {
		return send(t, "POST", "http://"+s.addr+"/graphql", `{"query":"{__typename}"}`, "Content-Type", js, "Origin", origin, "Authorization", "Bearer "+sign(t, nil)).status
	}
	if a, b := from("https://app.example"), from("https://new.example"); a != 200 || b != 403 {
		t.Fatalf("before: %d and %d", a, b)
	}
	next := *s.inForce()
	next.Origins = []string{"https://new.example"}
	next.Log.Level = "debug"
	next.Hooks.Connect = second.URL
	next.Limits.InitTimeout = time.Second
	next.Limits.ConnectionsPerIP = 1
	next.Proxy.Trusted = []string{"127.0.0.0/8"}
	if err := s.Reload(&next); err != nil {
		t.Fatal(err)
	}
	if a, b := from("https://app.example"), from("https://new.example"); a != 403 || b != 200 {
		t.Errorf("origins: %d and %d", a, b)
	}
	if status := handshakeStatus(t, s.addr, []string{"Upgrade", "websocket", "Connection", "Upgrade", "Sec-WebSocket-Version", "13",
		"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol", "graphql-transport-ws", "Origin", "https://app.example"}); status != 403 {
		t.Errorf("a WebSocket of an origin that is not named any more: %d", status)
	}
	if level.Level() != slog.LevelDebug {
		t.Error("the log's level stays")
	}
	if told := streams(2)(&limitRun{assembled: s}); !strings.Contains(told, "too many connections from this address") {
		t.Errorf("the proxy's header is not read: %s", told)
	}
	if a, b := endpoint.times("connect", "u1"), second.times("connect", "u1"); a != 1 || b == 0 {
		t.Errorf("hooks: the old URL was called %d times, the new one %d times", a, b)
	}
	if code, reason := testkit.DialTalk(t, "ws://"+s.addr+"/graphql").Closed(); code != 4408 {
		t.Errorf("a client that says nothing: %d %s", code, reason)
	}
	s.publish(mine)
	open.Expect(`{"id":"1","type":"next","payload":{"data":{"orders":{"id":"mine"}}}}`)
	// One that is wrong changes nothing.
	wrong := next
	wrong.Hooks.Connect, wrong.Origins = "ftp://x", nil
	if err := s.Reload(&wrong); err == nil {
		t.Error("a URL of another scheme was accepted")
	}
	if status := from("https://new.example"); status != 200 {
		t.Errorf("after a reload that was refused: %d", status)
	}
}
