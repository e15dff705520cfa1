package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"

	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// request sends one whose answer is a stream.
func (s *assembled) request(method, body string, headers ...string) *http.Response {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.addr+"/graphql", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", js)
	r.Header.Set("Authorization", "Bearer "+sign(s.t, nil))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = res.Body.Close() }) // read to its end before, maybe
	return res
}

// readUntil reads from a stream until a text has come, or to the end for "".
func readUntil(t *testing.T, r io.Reader, text string) string {
	t.Helper()
	var all []byte
	buf := make([]byte, 4096)
	for text == "" || !strings.Contains(string(all), text) {
		n, err := r.Read(buf)
		if all = append(all, buf[:n]...); err != nil {
			if text != "" {
				t.Errorf("the stream ended after %s", all)
			}
			break
		}
	}
	return string(all)
}

// single opens a stream of graphql-sse's single connection mode, with operations.
func (s *assembled) single(queries ...string) *http.Response {
	s.t.Helper()
	put := s.request("PUT", "")
	token, err := io.ReadAll(put.Body)
	if err != nil || put.StatusCode != 201 {
		s.t.Fatalf("PUT: %d %s %v", put.StatusCode, token, err)
	}
	stream := s.request("GET", "", "Accept", "text/event-stream", "X-GraphQL-Event-Stream-Token", string(token))
	for i, query := range queries {
		res := s.request("POST", fmt.Sprintf(`{"query":%q,"extensions":{"operationId":"%d"}}`, query, i), "X-GraphQL-Event-Stream-Token", string(token))
		if res.StatusCode != 202 {
			s.t.Fatalf("operation: %d %s", res.StatusCode, readUntil(s.t, res.Body, ""))
		}
	}
	return stream
}

// legacy opens a WebSocket of subscriptions-transport-ws and subscribes.
func (s *assembled) legacy(query string) *websocket.Conn {
	s.t.Helper()
	c, _, err := websocket.Dial(s.t.Context(), "ws://"+s.addr+"/graphql", &websocket.DialOptions{Subprotocols: []string{"graphql-ws"}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.CloseNow() })
	for _, m := range []string{`{"type":"connection_init","payload":{"authorization":"Bearer ` + sign(s.t, nil) + `"}}`, `{"id":"1","type":"start","payload":{"query":"` + query + `"}}`} {
		if err := c.Write(s.t.Context(), websocket.MessageText, []byte(m)); err != nil {
			s.t.Fatal(err)
		}
	}
	return c
}

// useSchema writes another schema into the file and reloads.
func (s *assembled) useSchema(text string) error {
	if err := os.WriteFile(s.cfg.Schema.Files[0], []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	next := *s.cfg
	return s.Reload(&next)
}

// On every transport a subscription that is valid under another schema goes on, and one that is not ends with the code;
// the connection stays where it may have others.
func TestReloadSchemaOnEveryTransport(t *testing.T) {
	s, router := subgraph(t, "protocols.legacy_graphql_ws: true\nsecurity.isolation: strict\n")
	const stays, goes = "subscription { orders { id } }", "subscription { orders { note } }"
	body := func(query string) string { return `{"query":"` + query + `"}` }

	talk := testkit.DialTalk(t, "ws://"+s.addr+"/graphql").Init(sign(t, nil))
	talk.Send(`{"id":"stays","type":"subscribe","payload":` + body(stays) + `}`)
	talk.Send(`{"id":"goes","type":"subscribe","payload":` + body(goes) + `}`)
	old := s.legacy(goes)
	streams := map[string]*http.Response{}
	for _, accept := range []string{"text/event-stream", `multipart/mixed;subscriptionSpec=1.0, application/json`} {
		streams[accept+" stays"] = s.request("POST", body(stays), "Accept", accept)
		streams[accept+" goes"] = s.request("POST", body(goes), "Accept", accept)
	}
	single := s.single(stays, goes)
	if got := s.subscribeBy(router.Expect("stays", "secret", time.Hour), sign(t, nil)); got.status != 200 {
		t.Fatalf("callback: %d %s", got.status, got.body)
	}
	s.awaitSubscriptions(10)

	if err := s.useSchema("type Subscription { orders: Missing }"); err == nil || !strings.Contains(err.Error(), "s.graphql:1:") {
		t.Errorf("a schema that is not valid: %v", err)
	}
	s.awaitSubscriptions(10)
	if err := s.useSchema(strings.Replace(sdl, "note: String", "remark: String", 1)); err != nil {
		t.Fatal(err)
	}
	s.awaitSubscriptions(5)
	s.publish(`{"channel":"orders","type":"t","tenant_id":"t1","data":{"id":"7"}}`)

	const code, result = `"extensions":{"code":"SCHEMA_CHANGED"}`, `{"data":{"orders":{"id":"7"}}}`
	got := []string{talk.Read(), talk.Read()}
	slices.Sort(got)
	if !strings.Contains(got[0], `{"id":"goes","type":"error","payload":[`) || !strings.Contains(got[0], code) || got[1] != `{"id":"stays","type":"next","payload":`+result+`}` {
		t.Errorf("graphql-transport-ws: %s", got)
	}
	if talk.Send(`{"id":"goes","type":"subscribe","payload":{"query":"subscription { orders { remark } }"}}`); true { // the id is free
		s.awaitSubscriptions(6)
	}
	s.expectLegacy(old, code)
	for name, res := range streams {
		if strings.HasSuffix(name, "stays") {
			readUntil(t, res.Body, result)
		} else if all := readUntil(t, res.Body, ""); !strings.Contains(all, code) {
			t.Errorf("%s: %s", name, all)
		}
	}
	if all := readUntil(t, single.Body, result); !strings.Contains(all, code) {
		t.Errorf("single connection: %s", all)
	}
	if m := router.Next(); m.Action != "next" {
		t.Errorf("callback: %+v", m)
	}
	if err := s.useSchema(strings.Replace(sdl, "id: ID!", "number: ID!", 1)); err != nil {
		t.Fatal(err)
	}
	if m := router.Next(); m.Action != "complete" || !strings.Contains(string(m.Errors), "SCHEMA_CHANGED") {
		t.Errorf("callback: %+v", m)
	}
}

func (s *assembled) expectLegacy(c *websocket.Conn, code string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	for all := ""; ; {
		_, m, err := c.Read(ctx)
		if all += string(m); strings.Contains(all, code) {
			return
		}
		if err != nil {
			s.t.Errorf("legacy: %s: %v", all, err)
			return
		}
	}
}

// limited is a server whose limits change under a client.
type limited struct {
	*assembled
	log  *logBuffer
	talk *testkit.Talk
}

func limitsOf(t *testing.T) *limited {
	t.Helper()
	log := &logBuffer{}
	parts := Parts{Version: "test", Logger: slog.New(slog.NewTextHandler(log, nil))}
	s := &limited{assembled: assembleWith(t, config.Source{}, withJWT+"limits: {subscribe_rate: 0, connections_per_user: 0}\n", parts), log: log}
	s.talk = testkit.DialTalk(t, s.url()).Init(sign(t, nil))
	return s
}

func (s *limited) url() string { return "ws://" + s.addr + "/graphql" }

// change reloads another configuration.
func (s *limited) change(f func(*config.Config)) {
	s.t.Helper()
	next := *s.inForce()
	f(&next)
	if err := s.Reload(&next); err != nil {
		s.t.Fatal(err)
	}
}

// subscribe expects an error with a code, or for "" none.
func (s *limited) subscribe(id, query, code string) {
	s.t.Helper()
	s.talk.Send(`{"id":"` + id + `","type":"subscribe","payload":{"query":"subscription { ` + query + ` }"}}`)
	s.talk.Send(`{"type":"ping"}`)
	got := []string{s.talk.Read()}
	if code != "" {
		got = append(got, s.talk.Read())
	}
	slices.Sort(got) // an error of a worker may come after the pong
	if code != "" && !strings.Contains(got[0], code) || got[len(got)-1] != `{"type":"pong"}` {
		s.t.Errorf("%s: %s, want %s", id, got, code)
	}
}

// events publishes and expects a status.
func (s *limited) events(body string, status int) {
	s.t.Helper()
	if got := send(s.t, "POST", "http://"+s.addr+"/events", body, "Content-Type", js, "Authorization", "Bearer "+anyToken); got.status != status {
		s.t.Errorf("%.200s: %d %s, want %d", body, got.status, got.body, status)
	}
}

// A reload changes limits of what is open.
func TestReloadLimits(t *testing.T) {
	s := limitsOf(t)
	const orders = "orders { id }"
	s.subscribe("1", orders, "")
	s.change(func(c *config.Config) { c.Limits.SubscriptionsPerConnection = 1 })
	s.subscribe("2", orders, "TOO_MANY_SUBSCRIPTIONS")
	s.change(func(c *config.Config) { c.Limits.SubscriptionsPerConnection, c.Limits.SubscriptionsPerTenant = 10, 1 })
	s.subscribe("3", orders, "TOO_MANY_SUBSCRIPTIONS")
	s.change(func(c *config.Config) {
		c.Limits.SubscriptionsPerTenant, c.Limits.SubscribeRate, c.Limits.SubscribeBurst = 10, 1, 1
	})
	s.subscribe("4", orders, "")
	s.subscribe("5", orders, "RATE_LIMITED")
	s.change(func(c *config.Config) { c.Limits.SubscribeRate, c.Limits.DocumentBytes = 0, 10 })
	s.subscribe("6", "orders { id __typename }", "LIMIT_EXCEEDED")

	const ev = `{"channel":"orders","type":"t","tenant_id":"t1","data":{"id":"7"}}`
	s.change(func(c *config.Config) { c.Limits.Memory = 1 })
	s.events(ev, 429)
	s.change(func(c *config.Config) { c.Limits.Memory, c.Limits.PublishEvents = 1<<40, 1 })
	s.events("["+ev+","+ev+"]", 413)

	s.change(func(c *config.Config) { c.Limits.Connections = 1 })
	if _, err := testkit.TryTalk(t, s.url()); err == nil {
		t.Error("a connection more")
	}
	if text := s.log.String(); strings.Contains(text, "restart") {
		t.Error(text)
	}
}

// A flood of clients is admitted at the rate that is in force; clients that are refused are told when to come again.
func TestReloadConnectRate(t *testing.T) {
	s := limitsOf(t)
	s.change(func(c *config.Config) { c.Limits.ConnectRate = 1 })
	for range 10 { // the burst
		testkit.DialTalk(t, s.url())
	}
	if _, err := testkit.TryTalk(t, s.url()); err == nil {
		t.Error("more connections than the rate")
	}
	s.change(func(c *config.Config) { c.Limits.ConnectRate = 0 })
	testkit.DialTalk(t, s.url())
}

// The bucket of a publish token begins full when the rate changes, or what it holds, and only then.
func TestReloadPublishRate(t *testing.T) {
	s := limitsOf(t)
	const n = 1000 // which take a quarter of an hour to come back
	batch := "[" + strings.Repeat(`{"channel":"orders","type":"t","tenant_id":"t1","data":{}},`, n-1) + `{"channel":"orders","type":"t","tenant_id":"t1","data":{}}]`
	s.change(func(c *config.Config) { c.Publish.Rate, c.Limits.PublishEvents = 1, n })
	s.events(batch, 202)
	s.events(batch, 429)
	s.change(func(c *config.Config) { c.Log.Level = "debug" })
	s.events(batch, 429)
	s.change(func(c *config.Config) { c.Publish.Rate = 2 })
	s.events(batch, 202)
	s.events(batch, 429)
}

// Keys that need a restart are named, and nothing else is.
func TestReloadNamesWhatNeedsARestart(t *testing.T) {
	s := limitsOf(t)
	s.change(func(c *config.Config) {
		c.Auth.MaxTokenLife, c.Listen, c.Limits.ResolverTimeout, c.Limits.ConnectionsPerUser = time.Hour, "127.0.0.1:1", time.Second, 5
	})
	text := s.log.String()
	for _, key := range []string{"auth.max_token_life", "listen", "limits.resolver_timeout"} {
		if n := strings.Count(text, "needs a restart\" key="+key+"\n"); n != 1 {
			t.Errorf("%d warnings of %s: %s", n, key, text)
		}
	}
	if n := strings.Count(text, "needs a restart"); n != 3 {
		t.Error(text)
	}
}

// A tightened directive holds for streams that are open, from the reload on, and spares those whom it allows.
func TestReloadTightens(t *testing.T) {
	s := assemble(t, config.Source{}, withJWT)
	url := "ws://" + s.addr + "/graphql"
	clerk := testkit.DialTalk(t, url).Init(sign(t, func(c jwt.MapClaims) { c["roles"] = []string{"clerk"} }))
	other := testkit.DialTalk(t, url).Init(sign(t, nil))
	for _, c := range []*testkit.Talk{clerk, other} {
		c.Send(`{"id":"1","type":"subscribe","payload":{"query":"subscription { orders { id note } }"}}`)
	}
	s.awaitSubscriptions(2)
	if err := s.useSchema(strings.Replace(sdl, "note: String", `note: String @requiresRole(roles: ["clerk"])`, 1)); err != nil {
		t.Fatal(err)
	}
	s.publish(`{"channel":"orders","type":"t","tenant_id":"t1","data":{"id":"7","note":"n"}}`)
	if got := other.Read(); !strings.Contains(got, `"type":"error"`) || !strings.Contains(got, "SCHEMA_CHANGED") {
		t.Error(got)
	}
	clerk.Expect(`{"id":"1","type":"next","payload":{"data":{"orders":{"id":"7","note":"n"}}}}`)
	other.Send(`{"type":"ping"}`)
	other.Expect(`{"type":"pong"}`)
}
