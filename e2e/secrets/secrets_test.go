package secrets

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// secrets are what the server is given and never shows to anybody.
var secrets = map[string]string{
	"auth.jwt.secret":  testkit.Secret,
	"publish token":    "canary-publish-token-5e1f",
	"admin.token":      "canary-admin-token-5e1f",
	"node.secret":      "canary-node-secret-of-enough-length-5e1f",
	"hooks.secret":     "canary-hooks-secret-5e1f",
	"password of bus":  "canary-bus-password-5e1f",
	"answer of a hook": "canary-hook-answer-5e1f",
}

// said is what clients choose. It may come back to whom it came from, and is in no log, metric or debug page.
const said = "canary-said"

const (
	sdl = `type Subscription { orders(status: String): Order @tenant(path: "tenant") }
type Order { id: ID! status: String secret: String @requiresRole(roles: ["none"]) }`
	allowedRoom = "subscription { orders { id } }"
)

// place is where something was found, with all of its text.
type place struct{ name, text string }

// world is the server with what surrounds it, and what was heard from it.
type world struct {
	*testing.T
	server *testkit.Server
	redis  *testkit.Redis
	admin  string
	config string
	heard  []place
}

func start(t *testing.T) *world {
	t.Helper()
	redis := testkit.StartRedis(t, testkit.RedisOptions{Password: secrets["password of bus"]})
	// The hook judges nothing: what it gates does not happen, which is logged.
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // a hook that reads nothing would do as well
		if strings.Contains(string(body), said+"-broken") {
			http.Error(w, secrets["answer of a hook"], http.StatusTeapot)
		}
	}))
	t.Cleanup(hook.Close)
	w := &world{T: t, redis: redis, admin: testkit.FreeAddr(t), config: filepath.Join(t.TempDir(), "fraiseql.yaml")}
	schema := filepath.Join(filepath.Dir(w.config), "schema.graphql")
	text := fmt.Sprintf(`
schema: %q
bus: "redis://:%s@%s"
log: {level: debug}
auth: {jwt: {secret: %q, issuer: "*", audience: "*", cookie: session}}
admin: {listen: %q, token: %q, pprof: true}
publish: {tokens: [{token: %q}]}
node: {secret: %q}
hooks: {on_connect: {url: %q}, on_subscribe: {url: %q}, on_disconnect: {url: %q}, secret: %q, networks: ["127.0.0.0/8"]}
callback: {allowed_urls: ["http://127.0.0.1:1/"], allowed_networks: ["127.0.0.0/8"]}
protocols: {legacy_graphql_ws: true}
websocket: {compression: "on"}
drain: {window: 50ms}
`, schema, secrets["password of bus"], redis.Addr, secrets["auth.jwt.secret"], w.admin, secrets["admin.token"], secrets["publish token"],
		secrets["node.secret"], hook.URL, hook.URL, hook.URL, secrets["hooks.secret"])
	for name, content := range map[string]string{w.config: text, schema: sdl} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.server = testkit.Serve(t, "--config", w.config)
	return w
}

// token is one of a user whose names are recognised.
func (w *world) token(user string) string {
	return testkit.Token(w.T, map[string]any{"sub": said + user, "tenant_id": said + "-tenant", "jti": said + "-jti", "roles": []string{said + "-role"}})
}

// ask sends a request and hears the answer; a stream is heard until it says something.
func (w *world) ask(method, url, body string, headers ...string) string {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), method, url, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") || strings.HasPrefix(res.Header.Get("Content-Type"), "multipart/") {
		b := make([]byte, 4096)
		n, _ := io.ReadAtLeast(res.Body, b, 1) // that it ends says nothing here
		w.heard = append(w.heard, place{"stream of " + method + " " + r.URL.Path, string(b[:n])})
		return ""
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.Fatal(err)
	}
	w.heard = append(w.heard, place{fmt.Sprint(method, " ", r.URL.Path, ": ", res.StatusCode, " ", res.Header), string(text)})
	return string(text)
}

// talk opens a WebSocket, says what it is told and hears what comes until the server is silent or closes.
func (w *world) talk(url string, messages ...string) {
	w.Helper()
	c, err := testkit.TryTalk(w.T, url)
	if err != nil {
		w.heard = append(w.heard, place{"handshake", err.Error()})
		return
	}
	defer c.Close()
	for _, m := range messages {
		c.Send(m)
	}
	c.Send(`{"type":"ping","payload":{"last":true}}`)
	for {
		text, err := c.TryRead()
		if err != nil {
			w.heard = append(w.heard, place{"close", err.Error()})
			return
		}
		if w.heard = append(w.heard, place{"message", text}); strings.Contains(text, `"last"`) {
			return
		}
	}
}

// TestSecretsShowNowhere makes the server talk in every way, and searches what it said.
func TestSecretsShowNowhere(t *testing.T) {
	w := start(t)
	w.overHTTP()
	w.overWebSockets()
	w.publishing()
	w.operating()
	w.redis.Kill() // the bus fails, and is known to be gone
	w.server.AwaitOutput("not connected")
	w.publishing()
	w.talk("ws://"+w.server.Addr+"/graphql", w.init("-user"), w.subscribe("1", allowedRoom))
	inside := w.inside()
	if code := w.server.Terminate(); code != 0 {
		t.Errorf("ended with %d", code)
	}
	inside = append(inside, place{"log", w.server.Output()})
	inside = append(inside, w.commands()...)

	for name, secret := range secrets {
		for _, p := range append(inside[:len(inside):len(inside)], w.heard...) {
			if at := strings.Index(p.text, secret); at >= 0 {
				t.Errorf("%s is in %s: …%s…", name, p.name, p.text[max(0, at-200):min(len(p.text), at+60)])
			}
		}
	}
	for _, p := range inside {
		if at := strings.Index(p.text, said); at >= 0 {
			t.Errorf("what a client said is in %s: …%s…", p.name, p.text[max(0, at-300):min(len(p.text), at+60)])
		}
		if signature := strings.Split(w.token("-user"), ".")[0] + "."; strings.Contains(p.text, signature) {
			t.Errorf("a token is in %s", p.name)
		}
	}
	if len(w.heard) < 60 || !strings.Contains(inside[len(inside)-1].text+inside[0].text, "fraiseql") {
		t.Errorf("only %d answers", len(w.heard))
	}
	w.searchable(inside)
}

// searchable fails the test where the search could not have found anything: each place that is searched says what it always says.
func (w *world) searchable(inside []place) {
	for name, text := range map[string]string{"log": `"level":"DEBUG"`, "/metrics": "fraiseql_auth_failures_total", "cmdline": "serve", "goroutine": "goroutine ", "check": "***"} {
		found := false
		for _, p := range inside {
			found = found || strings.Contains(p.name, name) && strings.Contains(p.text, text)
		}
		if !found {
			w.Errorf("%s says nothing of %q", name, text)
		}
	}
}

// inside is what operators see.
func (w *world) inside() (places []place) {
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1",
		"/debug/pprof/allocs?debug=1", "/debug/pprof/block?debug=1", "/debug/pprof/mutex?debug=1", "/debug/pprof/threadcreate?debug=1", "/healthz", "/readyz"} {
		places = append(places, place{path, w.ask("GET", "http://"+w.admin+path, "")})
		w.heard = w.heard[:len(w.heard)-1]
	}
	return places
}

// commands print the configuration, and fail to start with it.
func (w *world) commands() (places []place) {
	for name, args := range map[string][]string{
		"check":       {"check", "--config", w.config},
		"serve again": {"serve", "--config", w.config, "--listen", "256.0.0.1:1"},
		"a bad bus":   {"serve", "--config", w.config, "--bus", "redis://:" + secrets["password of bus"] + "@127.0.0.1:1/x?y=z"},
		"no bus":      {"serve", "--config", w.config, "--bus", "redis://:" + secrets["password of bus"] + "@[::bad"},
		"bad scheme":  {"serve", "--config", w.config, "--bus", "nonsense://u:" + secrets["password of bus"] + "@h"},
	} {
		command := exec.Command(testkit.Binary(w.T), args...)
		timer := time.AfterFunc(20*time.Second, func() { _ = command.Process.Kill() })
		out, _ := command.CombinedOutput() // most of them fail: that is what they are for
		timer.Stop()
		places = append(places, place{"the output of " + name, string(out)})
	}
	return places
}
