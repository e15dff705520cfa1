package server

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// reload changes the configuration in force.
func (s *assembled) reload(change func(*config.Config)) {
	s.t.Helper()
	next := *s.inForce()
	change(&next)
	if err := s.Reload(&next); err != nil {
		s.t.Fatal(err)
	}
}

func (s *assembled) talk(user string) *testkit.Talk {
	return testkit.DialTalk(s.t, "ws://"+s.addr+"/graphql").Init(sign(s.t, func(c jwt.MapClaims) { c["sub"] = user }))
}

// orders subscribes and waits until that is in force.
func orders(c *testkit.Talk, id string) {
	c.Send(`{"id":"` + id + `","type":"subscribe","payload":{"query":"` + someOrders + `"}}`)
	c.Send(`{"type":"ping"}`)
	c.Expect(`{"type":"pong"}`)
}

// Hooks that come are asked about connections that are there, too, as far as something happens to them; hooks that go are not.
func TestReloadHooksComeAndGo(t *testing.T) {
	endpoint := newHookEndpoint(t)
	s := assemble(t, config.Source{}, withJWT)
	before, doomed, refusing := s.talk("before"), s.talk("recheck-refused"), s.talk("subscribe-refused")
	orders(before, "1")
	s.reload(func(c *config.Config) {
		c.Hooks = config.Hooks{Connect: endpoint.URL, Subscribe: endpoint.URL, Disconnect: endpoint.URL, Recheck: endpoint.URL,
			RecheckEvery: 10 * time.Millisecond, Timeout: 5 * time.Second, Secret: hookSecret, Networks: []string{"127.0.0.0/8"}}
	})
	if code, _ := doomed.Closed(); code != 4403 {
		t.Errorf("the recheck hook that came refused an open connection: %d", code)
	}
	refusing.Send(`{"id":"1","type":"subscribe","payload":{"query":"` + someOrders + `"}}`)
	if got := refusing.Read(); !strings.Contains(got, refusedSubscription) {
		t.Errorf("the subscribe hook that came refused: %s", got)
	}
	s.publish(mine)
	before.Expect(`{"id":"1","type":"next","payload":{"data":{"orders":{"id":"mine"}}}}`)
	if refusal, end := hookedSocket(s, nil, sign(t, func(c jwt.MapClaims) { c["sub"] = "connect-refused" })); !strings.HasPrefix(refusal, "4403") {
		end()
		t.Errorf("the connect hook that came refused: %q", refusal)
	}
	endpoint.await(t, "recheck", "before", 3)
	s.reload(func(c *config.Config) { c.Hooks = config.Hooks{RecheckEvery: time.Minute} })
	if refusal, end := hookedSocket(s, nil, sign(t, func(c jwt.MapClaims) { c["sub"] = "connect-refused" })); refusal != "" {
		t.Errorf("the hook is gone, and refused: %s", refusal)
	} else {
		end()
	}
	if n := endpoint.times("connect", "connect-refused"); n != 1 {
		t.Errorf("asked %d times, want once: before it was gone", n)
	}
	if endpoint.forged > 0 {
		t.Errorf("%d calls that were not signed", endpoint.forged)
	}
}

// A reload that leaves hooks as they are does not begin the rounds of the recheck anew.
func TestReloadLeavesHooksThatStay(t *testing.T) {
	endpoint := newHookEndpoint(t)
	s := assemble(t, config.Source{}, withJWT+"hooks: {recheck: {url: \""+endpoint.URL+"\", every: 1h}, secret: "+hookSecret+", networks: [127.0.0.0/8]}\n")
	was := s.hooks
	s.reload(func(c *config.Config) { c.Limits.PingInterval = time.Minute })
	if s.hooks != was {
		t.Error("the hooks were made anew")
	}
	s.reload(func(c *config.Config) { c.Hooks.RecheckEvery = time.Minute })
	if s.hooks == was {
		t.Error("the hooks were not made anew")
	}
}

// The cookie that carries a token may get another name, come and go.
func TestReloadCookie(t *testing.T) {
	s := assemble(t, config.Source{}, withJWT)
	ask := func(cookie string) answered {
		return send(t, "POST", "http://"+s.addr+"/graphql", `{"query":"{__typename}"}`, "Content-Type", js, "Origin", "https://app.example", "Cookie", cookie+"="+sign(t, nil))
	}
	is := func(cookie string, status int, credentials string) {
		t.Helper()
		if got := ask(cookie); got.status != status || got.header.Get("Access-Control-Allow-Credentials") != credentials {
			t.Errorf("cookie %s: %d, credentials %q; want %d, %q", cookie, got.status, got.header.Get("Access-Control-Allow-Credentials"), status, credentials)
		}
	}
	is("session", 200, "true")
	s.reload(func(c *config.Config) { c.Auth.JWT.Cookie = "" })
	is("session", 401, "")
	s.reload(func(c *config.Config) { c.Auth.JWT.Cookie = "session" })
	is("session", 200, "true")
	s.reload(func(c *config.Config) { c.Auth.JWT.Cookie = "other" })
	is("session", 401, "true")
	is("other", 200, "true")
}

// The bound of a message holds for WebSockets that are open, and for requests.
func TestReloadMessageBytes(t *testing.T) {
	s := assemble(t, config.Source{}, withJWT)
	long := `{"type":"ping","payload":{"x":"` + strings.Repeat("x", 3000) + `"}}`
	first, second := s.talk("a"), s.talk("b")
	post := func() int {
		return send(t, "POST", "http://"+s.addr+"/graphql", `{"query":"{__typename}","x":"`+strings.Repeat("x", 3000)+`"}`, "Content-Type", js, "Authorization", "Bearer "+sign(t, nil)).status
	}
	first.Send(long)
	if got := first.Read(); got != strings.Replace(long, "ping", "pong", 1) || post() != http.StatusOK {
		t.Fatalf("before: %s", got)
	}
	s.reload(func(c *config.Config) { c.Limits.MessageBytes = 2000 })
	first.Send(long)
	if code, _ := first.Closed(); code != 1009 {
		t.Errorf("a message that is too long now: %d", code)
	}
	if status := post(); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a body that is too long now: %d", status)
	}
	s.reload(func(c *config.Config) { c.Limits.MessageBytes = 4000 })
	second.Send(long)
	if got := second.Read(); got != strings.Replace(long, "ping", "pong", 1) || post() != http.StatusOK {
		t.Errorf("after: %s", got)
	}
}

var namedSchema = []fraiseql.SchemaSource{{Name: "moves.graphql", Text: "type Subscription { moves: Move } type Move { orderId: ID }"}}

// A live subscription reads other members from the next event on, and introspection is on and off at once.
func TestReloadNamingAndIntrospection(t *testing.T) {
	s := assembleWith(t, config.Source{}, withJWT, Parts{Version: "test", Schema: namedSchema})
	c := s.talk("u1")
	c.Send(`{"id":"1","type":"subscribe","payload":{"query":"subscription { moves { orderId } }"}}`)
	c.Send(`{"type":"ping"}`)
	c.Expect(`{"type":"pong"}`)
	const event = `{"channel":"moves","type":"t","tenant_id":"t1","data":{"orderId":"exact","order_id":"snake"}}`
	introspects := func() bool {
		return !strings.Contains(send(t, "POST", "http://"+s.addr+"/graphql", `{"query":"{__schema{queryType{name}}}"}`, "Content-Type", js, "Authorization", "Bearer "+sign(t, nil)).body, "not allowed")
	}
	s.publish(event)
	c.Expect(`{"id":"1","type":"next","payload":{"data":{"moves":{"orderId":"exact"}}}}`)
	if introspects() {
		t.Error("introspection before")
	}
	s.reload(func(c *config.Config) { c.Schema.Naming, c.Introspection = "snake_case", true })
	s.publish(event)
	c.Expect(`{"id":"1","type":"next","payload":{"data":{"moves":{"orderId":"snake"}}}}`)
	if !introspects() {
		t.Error("no introspection after")
	}
	s.reload(func(c *config.Config) { c.Introspection = false })
	if introspects() {
		t.Error("introspection is off, and answers")
	}
}

// The bound of callbacks is that in force.
func TestReloadCallbackSubscriptions(t *testing.T) {
	router := testkit.NewRouter(t)
	s := assemble(t, config.Source{}, withJWT+"callback: {allowed_urls: ["+router.URL+"*], allowed_networks: [127.0.0.0/8], max_subscriptions: 1}\n")
	begin := func(id string) int { return s.subscribeBy(router.Expect(id, "v", 0), sign(t, nil)).status }
	if a, b := begin("1"), begin("2"); a != 200 || b != 429 {
		t.Fatalf("before: %d and %d", a, b)
	}
	s.reload(func(c *config.Config) { c.Callback.MaxSubscriptions = 2 })
	if a, b := begin("3"), begin("4"); a != 200 || b != 429 {
		t.Errorf("after: %d and %d", a, b)
	}
}
