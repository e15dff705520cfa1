package server

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// limitCase shows one limit at work: with config, act makes somebody exceed it and returns what they are told, in which
// there is code; metric then counts.
type limitCase struct {
	config string
	code   string
	metric string
	act    func(s *limitRun) string
}

// limitRun is a server for one case.
type limitRun struct {
	*assembled
	router *testkit.Router
	limits string
}

func limitedBy(name string) string { return `fraiseql_limited_total{limit="` + name + `"}` }

const someOrders = "subscription { orders { id } }"

// limitCases are all keys of `limits`, and those of others that bound something.
var limitCases = map[string]limitCase{
	"connections":                  {"limits.connections: 1", "RATE_LIMITED", limitedBy("connections"), streams(2)},
	"connections_per_ip":           {"limits.connections_per_ip: 1\nproxy.trusted: [127.0.0.0/8]", "RATE_LIMITED", limitedBy("connections_per_ip"), streams(2)},
	"connections_per_user":         {"limits.connections_per_user: 1", "RATE_LIMITED", limitedBy("connections_per_user"), streams(2)},
	"connections_per_tenant":       {"limits.connections_per_tenant: 1\nlimits.connections_per_user: 1", "RATE_LIMITED", limitedBy("connections_per_tenant"), streams(2)},
	"connect_rate":                 {"limits.connect_rate: 1", "RATE_LIMITED", limitedBy("connect_rate"), streams(12)},
	"subscriptions_per_connection": {"limits.subscriptions_per_connection: 1", "TOO_MANY_SUBSCRIPTIONS", limitedBy("subscriptions_per_connection"), subscribes(someOrders, someOrders)},
	"subscriptions_per_user":       {"limits.subscriptions_per_user: 1", "TOO_MANY_SUBSCRIPTIONS", limitedBy("subscriptions_per_user"), streams(2)},
	"subscriptions_per_tenant":     {"limits.subscriptions_per_tenant: 1\nlimits.subscriptions_per_user: 1", "TOO_MANY_SUBSCRIPTIONS", limitedBy("subscriptions_per_tenant"), streams(2)},
	"fields_per_user":              {"limits.fields_per_user: 2", "TOO_MANY_SUBSCRIPTIONS", limitedBy("fields_per_user"), streams(2)},
	"subscribe_rate":               {"limits.subscribe_rate: 1", "RATE_LIMITED", limitedBy("subscribe_rate"), streams(12)},
	"subscribe_burst":              {"limits.subscribe_rate: 1\nlimits.subscribe_burst: 1", "RATE_LIMITED", limitedBy("subscribe_rate"), streams(2)},
	"publish_rate":                 {"limits.publish_rate: 1", "RATE_LIMITED", limitedBy("publish_rate"), events(12, mine)},
	"publish_burst":                {"limits.publish_rate: 1\nlimits.publish_burst: 1", "RATE_LIMITED", limitedBy("publish_rate"), events(2, mine)},
	"memory":                       {"limits.memory: 32MiB", "RATE_LIMITED", limitedBy("memory"), full},
	"groups_per_channel":           {"limits.groups_per_channel: 1\nlimits.groups_per_tenant: 1", "LIMIT_EXCEEDED", limitedBy("groups_per_channel"), subscribes(someOrders, "subscription { orders { note } }")},
	"groups_per_tenant":            {"limits.groups_per_tenant: 1", "LIMIT_EXCEEDED", limitedBy("groups_per_tenant"), subscribes(someOrders, "subscription { orders { note } }")},
	"document_bytes":               {"limits.document_bytes: 20", "LIMIT_EXCEEDED", limitedBy("document_bytes"), subscribes(someOrders)},
	"document_tokens":              {"limits.document_tokens: 3", "LIMIT_EXCEEDED", limitedBy("document_tokens"), subscribes(someOrders)},
	"document_depth":               {"limits.document_depth: 1", "LIMIT_EXCEEDED", limitedBy("document_depth"), subscribes(someOrders)},
	"document_aliases":             {"limits.document_aliases: 2", "LIMIT_EXCEEDED", limitedBy("document_aliases"), subscribes("subscription { orders { a: id b: id c: id } }")},
	"document_fields":              {"limits.document_fields: 2\nlimits.document_aliases: 2", "LIMIT_EXCEEDED", limitedBy("document_fields"), subscribes("subscription { orders { a: id b: id c: id } }")},
	"message_bytes":                {"limits: {message_bytes: 1000, document_bytes: 500}", "MessageTooBig", limitedBy("message_bytes"), subscribes(someOrders + strings.Repeat(" ", 2000))},
	"event_bytes":                  {"limits.event_bytes: 5", "LIMIT_EXCEEDED", limitedBy("event_bytes"), events(1, mine)},
	"event_depth":                  {"limits.event_depth: 2", "LIMIT_EXCEEDED", limitedBy("event_depth"), events(1, `{"channel":"orders","type":"t","tenant_id":"t1","data":{"a":{"b":{"c":{}}}}}`)},
	"publish_bytes":                {"limits.publish_bytes: 50\nlimits.event_bytes: 40", "LIMIT_EXCEEDED", limitedBy("publish_bytes"), events(1, mine)},
	"publish_events":               {"limits.publish_events: 1", "LIMIT_EXCEEDED", limitedBy("publish_events"), events(1, "["+mine+","+mine+"]")},
	"publish_memory":               {"limits: {event_bytes: 900, publish_bytes: 1000, publish_memory: 1000}", "RATE_LIMITED", limitedBy("publish_memory"), twoBodies},
	"http_connections":             {"limits.http_connections: 1", "closed", limitedBy("http_connections"), twoConnections},
	"queue_messages":               {"limits.queue_messages: 10", "SLOW_CONSUMER", `fraiseql_connections_closed_total{code="4290"}`, slowRouter},
	"queue_bytes":                  {"limits.queue_bytes: 200", "SLOW_CONSUMER", `fraiseql_connections_closed_total{code="4290"}`, slowRouter},
	"connection_queue_bytes":       {"limits: {queue_bytes: 200, connection_queue_bytes: 200}", "SLOW_CONSUMER", `fraiseql_connections_closed_total{code="4290"}`, slowRouter},
	"plan_cache_bytes":             {"limits.plan_cache_bytes: 1MiB", "", `fraiseql_plan_cache_bytes`, subscribes(someOrders)},
	"resume_events":                {"limits.resume_events: 1", `"recovered":false`, `fraiseql_resumes_total{result="lost"}`, resumeLate},
	"init_timeout":                 {"limits.init_timeout: 1s", "4408", `fraiseql_connections_closed_total{code="4408"}`, silent},
	"ping_interval":                {"limits: {ping_interval: 1s, pong_timeout: 1s}", "", `fraiseql_connections_closed_total{code="1001"}`, deaf},
	"pong_timeout":                 {"limits: {ping_interval: 1s, pong_timeout: 1s}", "", `fraiseql_connections_closed_total{code="1001"}`, deaf},
	// Of programs that have resolvers; their tests make these act.
	"resolver_timeout": {"", "", `fraiseql_resolver_calls_total{result="timeout"}`, nil},
	"resolver_workers": {"", "", `fraiseql_resolver_calls_total{result="ok"}`, nil},
	"resolver_lane":    {"", "", `fraiseql_resolver_calls_total{result="overflow"}`, nil},
	// Of other parts of the configuration.
	"publish.rate":               {"publish.rate: 1\nlimits.publish_events: 1", "RATE_LIMITED", limitedBy("publish_token_rate"), events(3, mine)},
	"callback.max_subscriptions": {"callback.max_subscriptions: 1", "TOO_MANY_SUBSCRIPTIONS", limitedBy("callback_subscriptions"), twoCallbacks},
}

// shownElsewhere are the tests of limits that this server does not act on.
var shownElsewhere = map[string]struct{ file, test string }{
	"resolver_timeout": {"internal/hub/lane_test.go", "TestResolverFailuresAreMasked"},
	"resolver_workers": {"internal/hub/lane_test.go", "TestResolverWorkersAreBounded"},
	"resolver_lane":    {"internal/hub/overflow_test.go", "TestFullLanes"},
}

// Every key of `limits` has a code that clients see, a metric, a line in the guide, and a case here that shows it.
func TestEveryLimit(t *testing.T) {
	guide, err := os.ReadFile("../../docs/guides/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	known := 0
	for _, key := range config.Keys() {
		name, ok := strings.CutPrefix(key.Path, "limits.")
		if _, other := limitCases[name]; !ok && !other {
			continue
		}
		known++
		tt, ok := limitCases[name]
		if !ok {
			t.Errorf("limits.%s: nothing here shows it: say its code, its metric and how it acts", name)
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(string(guide), "`"+name+"`") {
				t.Error("docs/guides/limits.md does not name it")
			}
			if of := shownElsewhere[name]; tt.act == nil {
				if text, err := os.ReadFile("../../" + of.file); err != nil || !strings.Contains(string(text), "func "+of.test+"(") {
					t.Errorf("there is no %s in %s: %v", of.test, of.file, err)
				}
			}
			tt.show(t, name)
		})
	}
	if known != len(limitCases) {
		t.Errorf("%d keys, %d cases", known, len(limitCases))
	}
}

// show makes the limit act. Whoever has sent too much is told which limit it is.
func (c *limitCase) show(t *testing.T, name string) {
	router := testkit.NewRouter(t)
	s := &limitRun{router: router, limits: c.config}
	s.assembled = assemble(t, config.Source{}, withJWT+"admin.listen: 127.0.0.1:0\ncallback.allowed_urls: ["+router.URL+"*]\ncallback.allowed_networks: [127.0.0.0/8]\n"+c.config+"\n")
	if c.act != nil {
		got := c.act(s)
		if !strings.Contains(got, c.code) {
			t.Errorf("told %q, want %s", got, c.code)
		}
		if c.code == "LIMIT_EXCEEDED" && !strings.Contains(got, "(limits."+name+")") {
			t.Errorf("told %q, which does not name limits.%s", got, name)
		}
	}
	for deadline := time.After(20 * time.Second); ; {
		if c.act == nil && strings.Contains(send(t, "GET", "http://"+s.AdminAddr()+"/metrics", "").body, c.metric+" ") || s.counts(c.metric) {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s does not count", c.metric)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// streams opens n event streams and returns what those that are refused are told.
func streams(n int) func(*limitRun) string {
	return func(s *limitRun) (told string) {
		s.t.Helper()
		for range n {
			r, err := http.NewRequestWithContext(s.t.Context(), "POST", "http://"+s.addr+"/graphql", strings.NewReader(`{"query":"`+someOrders+`"}`))
			if err != nil {
				s.t.Fatal(err)
			}
			r.Header = http.Header{"Content-Type": {js}, "Accept": {"text/event-stream"}, "X-Forwarded-For": {"192.0.2.7"}, "Authorization": {"Bearer " + sign(s.t, nil)}}
			if strings.Contains(s.limits, "per_tenant") { // other users of it
				r.Header.Set("Authorization", "Bearer "+sign(s.t, func(c jwt.MapClaims) { c["sub"] = fmt.Sprint(time.Now().UnixNano()) }))
			}
			res, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				s.t.Fatal(err)
			}
			s.t.Cleanup(func() { _ = res.Body.Close() })
			if res.StatusCode != 200 {
				text, err := io.ReadAll(res.Body)
				if err != nil {
					s.t.Error(err)
				}
				told += string(text)
			}
		}
		return told
	}
}

// full takes more memory than the process may have.
func full(s *limitRun) (told string) {
	ballast := make([]byte, 64<<20)
	for told == "" {
		told = streams(1)(s)
	}
	runtime.KeepAlive(ballast)
	return told
}

// subscribes sends documents over one WebSocket, and returns the first error or close, or that there was none.
func subscribes(documents ...string) func(*limitRun) string {
	return func(s *limitRun) string {
		s.t.Helper()
		c := testkit.DialTalk(s.t, "ws://"+s.addr+"/graphql").Init(sign(s.t, nil))
		for i, d := range documents {
			text, err := json.Marshal(map[string]any{"id": fmt.Sprint(i), "type": "subscribe", "payload": map[string]any{"query": d}})
			if err != nil {
				s.t.Fatal(err)
			}
			c.Send(string(text))
		}
		c.Send(`{"type":"ping"}`)
		for {
			text, err := c.TryRead()
			switch {
			case err != nil:
				return err.Error()
			case strings.Contains(text, `"error"`):
				return text
			case strings.Contains(text, `"pong"`) && s.Engine.Stats().Subscriptions == len(documents):
				return "no error"
			}
		}
	}
}

func events(n int, body string) func(*limitRun) string {
	return func(s *limitRun) (told string) {
		for range n {
			told += send(s.t, "POST", "http://"+s.addr+"/events", body, "Content-Type", js, "Authorization", "Bearer "+anyToken).body
		}
		return told
	}
}

// dial opens a connection and writes to it.
func (s *assembled) dial(text string) net.Conn {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	_, _ = conn.Write([]byte(text)) // the server may have closed
	return conn
}

// twoCallbacks subscribes twice.
func twoCallbacks(s *limitRun) string {
	s.subscribeBy(s.router.Expect("a", "v", 0), sign(s.t, nil))
	return s.subscribeBy(s.router.Expect("b", "v", 0), sign(s.t, nil)).body
}

// twoBodies begins one request with a body, and sends others until one is refused.
func twoBodies(s *limitRun) string {
	s.dial(rawPost + "Content-Length: 1000\r\n\r\n{")
	for {
		if got := send(s.t, "POST", "http://"+s.addr+"/events", mine, "Content-Type", js, "Authorization", "Bearer "+anyToken); got.status == 429 {
			return got.body
		}
	}
}

// twoConnections opens one connection, and others until one is closed.
func twoConnections(s *limitRun) string {
	s.dial("GET")
	for {
		second := s.dial("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, err := second.Read(make([]byte, 1)); err != nil {
			return "closed"
		}
		_ = second.Close()
	}
}

// slowRouter lets results wait for a router that does not take them.
func slowRouter(s *limitRun) string {
	if got := s.subscribeBy(s.router.Expect("slow", "v", 0), sign(s.t, nil)); got.status != 200 {
		s.t.Fatalf("%d %s", got.status, got.body)
	}
	failing := make([]int, 100)
	for i := range failing {
		failing[i] = 503
	}
	s.router.Answer(failing...)
	for range 30 {
		s.publish(mine)
	}
	s.router.Answer(0)
	for {
		if m := s.router.Next(); m.Action == "complete" {
			return string(m.Errors)
		}
	}
}

// resumeLate misses more events than may be missed.
func resumeLate(s *limitRun) string {
	c := testkit.DialTalk(s.t, "ws://"+s.addr+"/graphql").Init(sign(s.t, nil))
	ask := func(id, resume string) string {
		c.Send(`{"id":"` + id + `","type":"subscribe","payload":{"query":"` + someOrders + `","extensions":{"resume":` + resume + `}}}`)
		return c.Read()
	}
	var first struct {
		Payload struct{ Extensions struct{ Cursor string } }
	}
	if err := json.Unmarshal([]byte(ask("1", "true")), &first); err != nil {
		s.t.Fatal(err)
	}
	for range 5 {
		s.publish(mine)
		c.Read()
	}
	return ask("2", `"`+first.Payload.Extensions.Cursor+`"`)
}

// silent connects and says nothing.
func silent(s *limitRun) string {
	code, reason := testkit.DialTalk(s.t, "ws://"+s.addr+"/graphql").Closed()
	return fmt.Sprint(code, " ", reason)
}

// deaf connects, and then neither reads nor answers.
func deaf(s *limitRun) string {
	testkit.DialTalk(s.t, "ws://"+s.addr+"/graphql").Init(sign(s.t, nil))
	return ""
}
