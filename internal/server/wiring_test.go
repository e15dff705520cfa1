package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/internal/wsclient"
)

const (
	secret = "0123456789abcdef0123456789abcdef"
	sdl    = `type Subscription { orders(userId: ID @match(path: "user")): Order } type Order { id: ID! note: String }`
)

// assembled is a server built from a configuration as `serve` does it.
type assembled struct {
	*Assembly
	t      *testing.T
	addr   string
	cancel context.CancelFunc
	done   chan error
}

func assemble(t *testing.T, src config.Source, text string) *assembled {
	t.Helper()
	return assembleWith(t, src, text, Parts{Version: "test"})
}

func assembleWith(t *testing.T, src config.Source, text string, parts Parts) *assembled {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "s.graphql"), []byte(sdl), 0o600); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, "schemaless:") {
		text += "\nschema: s.graphql"
	}
	src.File = filepath.Join(dir, "f.yaml")
	if err := os.WriteFile(src.File, []byte(text+"\nlisten: 127.0.0.1:0\ndrain.window: 50ms\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := config.Load(src)
	if err != nil {
		t.Fatal(err)
	}
	a, err := Assemble(&r.Config, parts)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Listen(); err != nil {
		t.Fatal(err)
	}
	s := &assembled{Assembly: a, t: t, addr: a.Addr(), done: make(chan error, 1)}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	go func() { s.done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		s.cancel()
		<-s.done
		if err := a.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

const withJWT = `
auth.jwt: {secret: "` + secret + `", issuer: me, audience: us, cookie: session}
origins: ["https://app.example"]
publish.tokens: [{token: ` + anyToken + `, broadcast: true}]
`

func sign(t *testing.T, change func(jwt.MapClaims)) string {
	t.Helper()
	claims := jwt.MapClaims{"iss": "me", "aud": "us", "sub": "u1", "tenant_id": "t1", "exp": time.Now().Add(time.Hour).Unix()}
	if change != nil {
		change(claims)
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

var errEnough = errors.New("enough")

// await subscribes, publishes once the subscription lives, and returns the first result or the error.
func (s *assembled) await(cfg wsclient.Config, events ...string) (string, error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	cfg.URL, cfg.Attempts = "ws://"+s.addr+"/graphql", 1
	if cfg.Query == "" {
		cfg.Query = "subscription { orders { id } }"
	}
	cfg.Final = append(cfg.Final, 4403)
	results, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- wsclient.Run(ctx, cfg, func(r json.RawMessage) error {
			results <- string(r)
			return errEnough
		})
	}()
	if err := s.subscribed(ctx, ended); err != nil {
		return "", err
	}
	for _, e := range events {
		if got := send(s.t, "POST", "http://"+s.addr+"/events", e, "Content-Type", js, "Authorization", "Bearer "+anyToken); got.status != 202 {
			s.t.Fatalf("publish %s: %d %s", e, got.status, got.body)
		}
	}
	select {
	case r := <-results:
		<-ended
		return r, nil
	case err := <-ended:
		select {
		case r := <-results:
			return r, nil
		default:
			return "", err
		}
	}
}

// subscribed waits for the one subscription of a test.
func (s *assembled) subscribed(ctx context.Context, ended chan error) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for s.Engine.Stats().Subscriptions == 0 {
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

const (
	foreign = `{"channel":"orders","type":"t","tenant_id":"t2","data":{"id":"foreign"}}`
	mine    = `{"channel":"orders","type":"t","tenant_id":"t1","data":{"id":"mine"}}`
)

func TestCredentials(t *testing.T) {
	good := sign(t, nil)
	expired := sign(t, func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Hour).Unix() })
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Add(pairs[i], pairs[i+1])
		}
		return h
	}
	app := "https://app.example"
	for _, c := range []struct {
		name    string
		cfg     wsclient.Config
		refused bool
	}{
		{"payload", wsclient.Config{Token: good}, false},
		{"header", wsclient.Config{Header: header("Authorization", "Bearer "+good)}, false},
		{"cookie with an allowed origin", wsclient.Config{Header: header("Cookie", "session="+good, "Origin", app)}, false},
		{"cookie without an origin", wsclient.Config{Header: header("Cookie", "session="+good)}, true},
		{"two cookies of that name", wsclient.Config{Header: header("Cookie", "session="+good+"; session="+expired, "Origin", app)}, true},
		{"another cookie", wsclient.Config{Header: header("Cookie", "other="+good, "Origin", app)}, true},
		{"nothing", wsclient.Config{}, true},
		{"expired", wsclient.Config{Token: expired}, true},
		{"expired in the payload, good in the header", wsclient.Config{Token: expired, Header: header("Authorization", "Bearer "+good)}, true},
		{"expired in the header, good in the cookie", wsclient.Config{Header: header("Authorization", "Bearer "+expired, "Cookie", "session="+good, "Origin", app)}, true},
		{"good in the payload, expired in the header", wsclient.Config{Token: good, Header: header("Authorization", "Bearer "+expired)}, false},
		{"not a bearer", wsclient.Config{InitPayload: map[string]any{"authorization": "Basic YTpi"}}, true},
		{"not text", wsclient.Config{InitPayload: map[string]any{"authorization": 1}}, true},
		{"empty", wsclient.Config{InitPayload: map[string]any{"authorization": ""}, Header: header("Authorization", "Bearer "+good)}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := assemble(t, config.Source{}, withJWT)
			got, err := s.await(c.cfg, foreign, mine)
			var closed *wsclient.CloseError
			switch {
			case c.refused && (!errors.As(err, &closed) || closed.Code != 4403):
				t.Errorf("%s, %v, want close 4403", got, err)
			case !c.refused && (err != nil || got != `{"data":{"orders":{"id":"mine"}}}`):
				t.Errorf("%s, %v", got, err)
			}
		})
	}
}

func TestForeignOriginIsRefused(t *testing.T) {
	s := assemble(t, config.Source{}, withJWT)
	_, err := s.await(wsclient.Config{Token: sign(t, nil), Header: http.Header{"Origin": {"https://evil.example"}}})
	var refused *wsclient.HandshakeError
	if !errors.As(err, &refused) || refused.Status != 403 {
		t.Errorf("%v", err)
	}
}

func TestTokenInTheQueryIsNotRead(t *testing.T) {
	s := assemble(t, config.Source{}, withJWT)
	cfg := wsclient.Config{}
	s.addr += "/graphql?authorization=Bearer%20" + sign(t, nil) + "&x="
	_, err := s.await(cfg)
	s.addr = s.Addr()
	var closed *wsclient.CloseError
	if !errors.As(err, &closed) || closed.Code != 4403 {
		t.Errorf("%v", err)
	}
	for _, name := range []string{"authorization", "Authorization", "access_token", "token", "jwt", "session"} {
		for _, value := range []string{"", "Bearer%20"} {
			query := "?query={__typename}&" + name + "=" + value
			if got := send(t, "GET", "http://"+s.Addr()+"/graphql"+query+sign(t, nil), ""); got.status == 200 {
				t.Errorf("a stream by %s: %d %s", name, got.status, got.body)
			}
			if got := send(t, "POST", "http://"+s.Addr()+"/events"+query+anyToken, mine, "Content-Type", js); got.status != 401 {
				t.Errorf("an event by %s: %d %s", name, got.status, got.body)
			}
		}
	}
}

func TestAnonymous(t *testing.T) {
	s := assemble(t, config.Source{}, "auth.anonymous: true\nsecurity.isolation: addressed\npublish.tokens: [{token: "+anyToken+"}]")
	if got, err := s.await(wsclient.Config{}, foreign, `{"channel":"orders","type":"t","data":{"id":"all"}}`); err != nil || got != `{"data":{"orders":{"id":"all"}}}` {
		t.Errorf("%s, %v", got, err)
	}
}

func TestStrictIsolationRefusesAtPublish(t *testing.T) {
	s := assemble(t, config.Source{}, withJWT)
	for body, want := range map[string]struct {
		status int
		part   string
	}{
		`{"channel":"orders","type":"t","data":{"id":1}}`:                                             {422, "broadcast"},
		`{"channel":"orders","type":"t","tenant_id":"t1","data":{"id":1,"tenant_id":"t2"}}`:           {422, "tenant_id"},
		`{"channel":"orders","type":"t","broadcast":true,"data":{"id":1}}`:                            {202, "accepted"},
		`[{"channel":"orders","type":"t","broadcast":true,"data":{}},{"channel":"orders","data":{}}]`: {422, `"index":1`},
	} {
		got := send(t, "POST", "http://"+s.addr+"/events", body, "Content-Type", js, "Authorization", "Bearer "+anyToken)
		if got.status != want.status || !strings.Contains(got.body, want.part) {
			t.Errorf("%s = %d %s", body, got.status, got.body)
		}
	}
}

func TestDevVerifiesTokensThatAreSent(t *testing.T) {
	s := assemble(t, config.Source{Dev: true}, withJWT)
	_, err := s.await(wsclient.Config{Token: sign(t, func(c jwt.MapClaims) { c["aud"] = "others" })})
	var closed *wsclient.CloseError
	if !errors.As(err, &closed) || closed.Code != 4403 {
		t.Errorf("a wrong token: %v", err)
	}
	got, err := s.await(wsclient.Config{}, mine, `{"channel":"orders","type":"t","broadcast":true,"data":{"id":"all"}}`)
	if err != nil || got != `{"data":{"orders":{"id":"all"}}}` {
		t.Errorf("no token: %s, %v", got, err)
	}
	metrics := send(t, "GET", "http://"+s.addr+"/metrics", "").body
	for _, line := range []string{
		`fraiseql_auth_failures_total{reason="audience"} 1`, `fraiseql_connections_closed_total{code="4403"} 1`,
		"fraiseql_events_published_total 2", "fraiseql_bus_connected 1",
	} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("%s is missing", line)
		}
	}
}

func TestScopeIsWired(t *testing.T) {
	s := assemble(t, config.Source{}, withJWT)
	_, err := s.await(wsclient.Config{Token: sign(t, nil), Query: `subscription { orders(userId: "u2") { id } }`})
	var refused *wsclient.OperationError
	if !errors.As(err, &refused) || !strings.Contains(string(refused.Errors), "SCOPE_MISMATCH") {
		t.Errorf("%v", err)
	}
}

func TestDrainTellsClientsToComeBack(t *testing.T) {
	s := assemble(t, config.Source{Dev: true}, "")
	const clients = 20
	ended := make(chan error, clients)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for range clients {
		go func() {
			ended <- wsclient.Run(ctx, wsclient.Config{URL: "ws://" + s.addr + "/graphql", Query: "subscription { orders { id } }", Attempts: 1},
				func(json.RawMessage) error { return nil })
		}()
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for s.Engine.Stats().Subscriptions < clients {
		<-tick.C
	}
	s.cancel()
	if err := <-s.done; err != nil {
		t.Errorf("Serve = %v", err)
	}
	s.done <- nil
	for range clients {
		var closed *wsclient.CloseError
		if err := <-ended; !errors.As(err, &closed) || closed.Code != 1012 {
			t.Errorf("a client ended with %v, want close 1012", err)
		}
	}
	if n := s.Engine.Stats().Connections; n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

func TestSchemaProblemsComeTogether(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.graphql": "type Subscription { a: Nope }", "b.graphql": "type T { x: Gone }"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := &config.Config{Dev: true}
	cfg.WithDefaults()
	cfg.Schema.Files = []string{filepath.Join(dir, "*.graphql"), filepath.Join(dir, "a.graphql")}
	_, err := Assemble(cfg, Parts{})
	if err == nil || !strings.Contains(err.Error(), "a.graphql:1:") || !strings.Contains(err.Error(), "b.graphql:1:") {
		t.Errorf("Assemble = %v", err)
	}
	if err := CheckSchema(cfg); err == nil || !strings.Contains(err.Error(), "b.graphql:1:") {
		t.Errorf("CheckSchema = %v", err)
	}
}

// The bounds of users and tenants that the configuration sets are the engine's.
func TestUserAndTenantLimitsAreWired(t *testing.T) {
	s := assemble(t, config.Source{}, withJWT+`
limits: {subscriptions_per_user: 1, subscribe_rate: 1, subscribe_burst: 2, publish_rate: 1, publish_burst: 1}`)
	register := func(id string) error {
		_, err := s.Engine.Register(t.Context(), fraiseql.Registration{
			ConnectionID: "c", SubscriptionID: id, Query: "subscription { orders { id } }", Identity: fraiseql.Identity{UserID: "u"},
		})
		return err
	}
	order := fraiseql.Event{Channel: "orders", Type: "t", Broadcast: true, Data: []byte(`{"id":"1"}`)}
	_, second := s.Engine.Publish(t.Context(), order, order)
	for _, c := range []struct {
		err  error
		want string
	}{
		{register("1"), ""}, {register("2"), code.TooManySubscriptions}, {register("3"), code.RateLimited}, {second, code.RateLimited},
	} {
		if c.want == "" != (c.err == nil) || c.err != nil && !strings.Contains(c.err.Error(), c.want) && !strings.Contains(c.err.Error(), "burst") {
			t.Errorf("got %v, want %q", c.err, c.want)
		}
	}
}

// The legacy subprotocol is off unless the configuration says so.
func TestLegacyIsOff(t *testing.T) {
	for more, code := range map[string]websocket.StatusCode{"": 4406, "protocols.legacy_graphql_ws: true\n": 4401} {
		s := assemble(t, config.Source{}, withJWT+more)
		c, _, err := websocket.Dial(t.Context(), "ws://"+s.addr+"/graphql", &websocket.DialOptions{Subprotocols: []string{"graphql-ws"}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.CloseNow() }()
		if err := c.Write(t.Context(), websocket.MessageText, []byte(`{"id":"1","type":"start","payload":{"query":"{a}"}}`)); err != nil && code == 4401 {
			t.Fatal(err)
		}
		for err == nil {
			_, _, err = c.Read(t.Context())
		}
		if got := websocket.CloseStatus(err); got != code {
			t.Errorf("%q: %v, want %d", more, err, code)
		}
	}
}
