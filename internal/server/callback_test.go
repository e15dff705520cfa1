package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

const callbackAccept = "application/json;callbackSpec=1.0, application/json"

// subgraph runs a server that may call a router on this machine.
func subgraph(t *testing.T, more string) (*assembled, *testkit.Router) {
	t.Helper()
	router := testkit.NewRouter(t)
	return assemble(t, config.Source{}, withJWT+"callback: {allowed_urls: ["+router.URL+"*], allowed_networks: [127.0.0.0/8]}\n"+more), router
}

// subscribeBy sends a router's request for a subscription.
func (s *assembled) subscribeBy(extensions any, token string) answered {
	s.t.Helper()
	body, err := json.Marshal(map[string]any{"query": "subscription { orders { id } }", "extensions": extensions})
	if err != nil {
		s.t.Fatal(err)
	}
	return send(s.t, "POST", "http://"+s.addr+"/graphql", string(body), "Content-Type", js, "Accept", callbackAccept, "Authorization", "Bearer "+token, "X-Forwarded-For", "192.0.2.7")
}

// counts reports whether a metric is not 0.
func (s *assembled) counts(metric string) bool {
	s.t.Helper()
	for line := range strings.Lines(send(s.t, "GET", "http://"+s.AdminAddr()+"/metrics", "").body) {
		if n, ok := strings.CutPrefix(line, metric+" "); ok && strings.TrimSpace(n) != "0" {
			return true
		}
	}
	return false
}

func (s *assembled) awaitSubscriptions(n int) {
	s.t.Helper()
	deadline, tick := time.After(20*time.Second), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for s.Engine.Stats().Subscriptions != n {
		select {
		case <-deadline:
			s.t.Fatalf("%d subscriptions, want %d", s.Engine.Stats().Subscriptions, n)
		case <-tick.C:
		}
	}
}

func TestCallback(t *testing.T) {
	s, router := subgraph(t, "")
	got := s.subscribeBy(router.Expect("one", "secret", time.Second), sign(t, nil))
	if got.status != 200 || got.body != `{"data":null}` || got.header.Get("Subscription-Protocol") != "callback/1.0" || router.Checks("one") != 1 {
		t.Fatalf("%d %s %v, %d checks", got.status, got.body, got.header, router.Checks("one"))
	}
	s.publish(foreign)
	for i := range 50 {
		s.publish(fmt.Sprintf(`{"channel":"orders","type":"t","tenant_id":"t1","data":{"id":"%d"}}`, i))
	}
	for i := range 50 {
		m := router.Next()
		if m.Action != "next" || m.ID != "one" || m.Verifier != "secret" || string(m.Payload) != fmt.Sprintf(`{"data":{"orders":{"id":"%d"}}}`, i) {
			t.Fatalf("message %d: %+v", i, m)
		}
		if m.Header.Get("Subscription-Protocol") != "callback/1.0" || m.Header.Get("Content-Type") != "application/json" || m.Header.Get("Authorization") != "" {
			t.Fatalf("header %v", m.Header)
		}
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for router.Checks("one") < 3 { // one a second
		<-tick.C
	}
	// A failure that passes loses nothing and repeats nothing that was accepted.
	router.Answer(503, 429)
	s.publish(mine)
	if m := router.Next(); string(m.Payload) != `{"data":{"orders":{"id":"mine"}}}` {
		t.Errorf("after failures: %s", m.Payload)
	}
	router.Forget("one")
	s.publish(mine)
	s.awaitSubscriptions(0)
	if n := s.Engine.Stats().Connections; n != 0 {
		t.Errorf("%d connections", n)
	}
}

// A router may take its time with the opening check: there is no answer and no result before, and nothing is lost of what
// is published meanwhile. A request that goes away before leaves nothing.
func TestCallbackOfASlowCheck(t *testing.T) {
	s, router := subgraph(t, "")
	waits, release := router.Hold()
	defer release()
	token, answer := sign(t, nil), make(chan answered, 1)
	go func() { answer <- s.subscribeBy(router.Expect("one", "v", time.Hour), token) }()
	<-waits
	for i := range 3 {
		s.publish(fmt.Sprintf(`{"channel":"orders","type":"t","tenant_id":"t1","data":{"id":"%d"}}`, i))
	}
	select {
	case got := <-answer:
		t.Fatalf("answered before the check was: %d %s", got.status, got.body)
	case m := <-router.Messages:
		t.Fatalf("sent before the check was answered: %+v", m)
	default:
	}
	release()
	if got := <-answer; got.status != 200 || got.body != `{"data":null}` {
		t.Fatalf("%d %s", got.status, got.body)
	}
	for i := range 3 {
		if m := router.Next(); string(m.Payload) != fmt.Sprintf(`{"data":{"orders":{"id":"%d"}}}`, i) {
			t.Fatalf("message %d: %+v", i, m)
		}
	}

	waits, release = router.Hold()
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	body := `{"query":"subscription { orders { id } }","extensions":{"subscription":{"callbackUrl":"` + router.URL + `two","subscriptionId":"two","verifier":"v"}}}`
	router.Expect("two", "v", 0)
	req, err := http.NewRequestWithContext(ctx, "POST", "http://"+s.addr+"/graphql", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Content-Type": {js}, "Accept": {callbackAccept}, "Authorization": {"Bearer " + token}}
	left := make(chan struct{})
	go func() {
		defer close(left)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}()
	<-waits
	cancel()
	<-left
	s.awaitSubscriptions(1)
	release()
}

// A router that has forgotten a subscription ends it by its answer to the next check, events or not.
func TestCallbackIsForgotten(t *testing.T) {
	s, router := subgraph(t, "")
	if got := s.subscribeBy(router.Expect("one", "v", time.Second), sign(t, nil)); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	router.Forget("one")
	s.awaitSubscriptions(0)
	s.connections(0)
	if n := router.Checks("one"); n != 1 || len(router.Messages) != 0 {
		t.Errorf("%d checks were answered, %d messages came", n, len(router.Messages))
	}
}

// Whatever the router answers to the opening check but 204, the request fails, and leaves nothing.
func TestOpeningCheckFails(t *testing.T) {
	s, router := subgraph(t, "limits.connections_per_user: 1\n") // one that is not counted out refuses the next
	for _, status := range []int{200, 202, 307, 404, 500, 503} {
		router.Answer(status)
		got := s.subscribeBy(router.Expect("one", "v", 0), sign(t, nil))
		if got.status != 400 || !strings.Contains(got.body, "did not answer the check with 204") || got.header.Get("Subscription-Protocol") != "" {
			t.Errorf("%d: %d %s", status, got.status, got.body)
		}
	}
	s.awaitSubscriptions(0)
	s.connections(0)
}

func TestCallbackRefusals(t *testing.T) {
	s, router := subgraph(t, "")
	token := sign(t, nil)
	with := func(change func(map[string]any)) map[string]any {
		e := router.Expect("r", "v", time.Second)
		change(e["subscription"].(map[string]any))
		return e
	}
	for _, c := range []struct {
		name   string
		ask    any
		token  string
		status int
		text   string
	}{
		{"no extensions", nil, token, 400, "needs extensions.subscription"},
		{"no URL", with(func(e map[string]any) { delete(e, "callbackUrl") }), token, 400, "callbackUrl"},
		{"id of a number", with(func(e map[string]any) { e["subscriptionId"] = 1 }), token, 400, "subscriptionId"},
		{"no verifier", with(func(e map[string]any) { e["verifier"] = "" }), token, 400, "verifier"},
		{"interval of text", with(func(e map[string]any) { e["heartbeatIntervalMs"] = "1" }), token, 400, "heartbeatIntervalMs"},
		{"negative interval", with(func(e map[string]any) { e["heartbeatIntervalMs"] = -1 }), token, 400, "heartbeatIntervalMs"},
		{"another URL", with(func(e map[string]any) { e["callbackUrl"] = "http://127.0.0.1:1/callback/r" }), token, 403, "not allowed"},
		{"the metadata of a cloud", with(func(e map[string]any) { e["callbackUrl"] = "http://169.254.169.254/latest" }), token, 403, "not allowed"},
		{"above the allowed path", with(func(e map[string]any) { e["callbackUrl"] = router.URL + "../admin" }), token, 403, "not allowed"},
		{"an id that the router does not know", with(func(e map[string]any) { e["subscriptionId"] = "unknown" }), token, 400, "check"},
		{"a verifier that the router does not know", with(func(e map[string]any) { e["verifier"] = "wrong" }), token, 400, "check"},
		{"no token", with(func(map[string]any) {}), "", 401, "UNAUTHENTICATED"},
	} {
		got := s.subscribeBy(c.ask, c.token)
		if got.status != c.status || !strings.Contains(got.body, c.text) || strings.Contains(got.body, router.URL) {
			t.Errorf("%s: %d %s", c.name, got.status, got.body)
		}
	}
	body := `{"query":"subscription { nothing }","extensions":{"subscription":{"callbackUrl":"` + router.URL + `r","subscriptionId":"r","verifier":"v"}}}`
	if got := send(t, "POST", "http://"+s.addr+"/graphql", body, "Content-Type", js, "Accept", callbackAccept, "Authorization", "Bearer "+token); !strings.Contains(got.body, "GRAPHQL_VALIDATION_FAILED") {
		t.Errorf("a document that is not valid: %d %s", got.status, got.body)
	}
	if n := router.Checks("r"); n != 0 {
		t.Errorf("%d checks were sent", n)
	}
	s.awaitSubscriptions(0)
	if got := s.subscribeBy(router.Expect("r", "v", 0), token); got.status != 200 {
		t.Errorf("afterwards: %d %s", got.status, got.body)
	}
	if got := s.subscribeBy(router.Expect("r", "v", 0), token); got.status != 400 || !strings.Contains(got.body, "is active") {
		t.Errorf("an id that is active: %d %s", got.status, got.body)
	}
}

// Without callback.allowed_urls there are no callbacks; loopback is refused unless its network is allowed.
func TestCallbackIsOff(t *testing.T) {
	router := testkit.NewRouter(t)
	s := assemble(t, config.Source{}, withJWT)
	if got := s.subscribeBy(router.Expect("x", "v", 0), sign(t, nil)); got.status == 200 && !strings.Contains(got.body, "errors") {
		t.Errorf("%d %s", got.status, got.body)
	}
	file := filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(file, []byte(withJWT+"schema: s.graphql\ncallback.allowed_urls: ["+router.URL+"*]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(config.Source{File: file}); err == nil || !strings.Contains(err.Error(), "not a public address") {
		t.Errorf("on a private address: %v", err)
	}
	if n := router.Checks("x"); n != 0 {
		t.Errorf("%d checks arrived", n)
	}
}

// What this side ends is told with its reason.
func TestCallbackEnds(t *testing.T) {
	s, router := subgraph(t, "callback.max_subscriptions: 2\n")
	short := sign(t, func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-28 * time.Second).Unix() }) // within the leeway
	if got := s.subscribeBy(router.Expect("short", "v", 0), short); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if m := router.Next(); m.Action != "complete" || m.ID != "short" || !strings.Contains(string(m.Errors), `"UNAUTHENTICATED"`) {
		t.Errorf("after the token's end: %+v", m)
	}
	s.awaitSubscriptions(0)
	for _, id := range []string{"a", "b"} {
		if got := s.subscribeBy(router.Expect(id, "v", 0), sign(t, nil)); got.status != 200 {
			t.Fatalf("%s: %d %s", id, got.status, got.body)
		}
	}
	if got := s.subscribeBy(router.Expect("c", "v", 0), sign(t, nil)); got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("a third: %d %s", got.status, got.body)
	}
	s.publish(mine)
	s.cancel()
	nexts, completes := 0, 0
	for range 4 {
		switch m := router.Next(); {
		case m.Action == "next":
			nexts++
		case strings.Contains(string(m.Errors), `"RATE_LIMITED"`):
			completes++
		}
	}
	if nexts != 2 || completes != 2 {
		t.Errorf("drain: %d results and %d ends, want 2 and 2", nexts, completes)
	}
}

// A subscription by callback is one connection of its user, as long as it lasts.
func TestCallbacksCountAsConnections(t *testing.T) {
	s, router := subgraph(t, "limits.connections_per_user: 1\n")
	if got := s.subscribeBy(router.Expect("a", "v", 0), sign(t, nil)); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if got := s.subscribeBy(router.Expect("b", "v", 0), sign(t, nil)); got.status != 429 {
		t.Errorf("a second: %d %s", got.status, got.body)
	}
	router.Forget("a")
	s.publish(mine)
	s.connections(0)
	for range 2 { // a refusal counts nothing
		if got := s.subscribeBy(nil, sign(t, nil)); got.status != 400 {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	for deadline := time.After(20 * time.Second); ; {
		if got := s.subscribeBy(router.Expect("c", "v", 0), sign(t, nil)); got.status == 200 {
			return
		}
		select {
		case <-deadline:
			t.Fatal("it is counted after its end")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// A subscription by callback is one of the process's connections, WebSockets and streams among them, and takes from
// connect_rate; addresses do not count, since all of a router's come from one.
func TestCallbacksCountForTheProcess(t *testing.T) {
	s, router := subgraph(t, "admin.listen: 127.0.0.1:0\nlimits: {connections: 2, connections_per_ip: 1}\nproxy.trusted: [127.0.0.1]\n")
	u1 := sign(t, nil)
	for _, id := range []string{"a", "b"} {
		if got := s.subscribeBy(router.Expect(id, "v", 0), u1); got.status != 200 {
			t.Fatalf("%s: %d %s", id, got.status, got.body)
		}
	}
	if got := s.subscribeBy(router.Expect("c", "v", 0), u1); got.status != 503 || got.header.Get("Retry-After") == "" || !strings.Contains(got.body, `"RATE_LIMITED"`) {
		t.Errorf("a third: %d %s", got.status, got.body)
	}
	if status, _ := s.stream(u1); status != 503 {
		t.Errorf("a stream beside two callbacks: %d", status)
	}
	if _, err := testkit.TryTalk(t, "ws://"+s.addr+"/graphql"); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("a WebSocket beside two callbacks: %v", err)
	}
	router.Forget("a")
	s.publish(mine)
	s.connections(1)
	status, end := s.stream(u1)
	if status != 200 {
		t.Fatalf("after one has ended: %d", status)
	}
	if got := s.subscribeBy(router.Expect("d", "v", 0), u1); got.status != 503 {
		t.Errorf("beside a stream: %d %s", got.status, got.body)
	}
	end()
	if !s.counts(limitedBy("connections")) || !s.counts(`fraiseql_connections_refused_total{reason="limit"}`) || s.counts(limitedBy("connections_per_ip")) {
		t.Error("refusals are counted otherwise")
	}
}

// connect_rate bounds callbacks, too: a router that comes back after a restart does not come all at once.
func TestCallbacksTakeFromConnectRate(t *testing.T) {
	s, router := subgraph(t, "admin.listen: 127.0.0.1:0\nlimits.connect_rate: 1\n")
	accepted := 0
	for i := range 30 { // ten at once, and one for each second that this takes
		id := fmt.Sprintf("c%d", i)
		switch got := s.subscribeBy(router.Expect(id, "v", 0), sign(t, nil)); {
		case got.status == 200:
			accepted++
		case got.status != 503 || !strings.Contains(got.body, "too many connections at once"):
			t.Fatalf("%d %s", got.status, got.body)
		default:
			if accepted < 10 {
				t.Errorf("refused after %d", accepted)
			}
			if !s.counts(limitedBy("connect_rate")) {
				t.Error("it is not counted")
			}
			return
		}
	}
	t.Error("30 were accepted")
}

// A router that does not answer costs a bounded queue, and its own subscription only.
func TestCallbackOfASlowRouter(t *testing.T) {
	s, router := subgraph(t, "limits.queue_messages: 10\n")
	if got := s.subscribeBy(router.Expect("slow", "v", 0), sign(t, nil)); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	failing := make([]int, 100)
	for i := range failing {
		failing[i] = 503
	}
	router.Answer(failing...)
	for range 30 {
		s.publish(mine)
	}
	router.Answer(0)
	for {
		m := router.Next()
		if m.Action == "complete" {
			if !strings.Contains(string(m.Errors), `"SLOW_CONSUMER"`) {
				t.Errorf("ended with %s", m.Errors)
			}
			break
		}
	}
	s.awaitSubscriptions(0)
}
