package clients

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

const (
	publishToken = "publish-token-of-the-client-tests"
	// patience bounds every wait for a client; clients start and reconnect within a second or two.
	patience = 30 * time.Second
	batch    = 50
)

// client is a library under test.
type client struct {
	name    string
	command func(task string) []string
}

// node returns the command line of a Node script in this folder.
func node(script string, more ...string) func(task string) []string {
	return func(task string) []string { return append([]string{"node", script, task}, more...) }
}

// python returns the command line of gql_client.py with one of its transports.
func python(transport string) func(task string) []string {
	interpreter := filepath.Join(testkit.Root(), ".venv", "bin", "python")
	return func(task string) []string { return []string{interpreter, "gql_client.py", transport, task} }
}

func clients() []client {
	return []client{
		{"graphql-ws", node("graphql-ws.mjs")},
		{"apollo", node("apollo.mjs")},
		{"urql", node("urql.mjs")},
		{"graphql-sse", node("graphql-sse.mjs")},
		{"graphql-sse-single", node("graphql-sse.mjs", "single")},
		{"apollo-multipart", node("apollo-multipart.mjs")},
		{"urql-sse", node("urql-http.mjs")},
		{"urql-multipart", node("urql-http.mjs", "multipart")},
		{"relay", node("relay.mjs")},
		{"relay-sse", node("relay.mjs", "sse")},
		{"subscriptions-transport-ws", node("subscriptions-transport-ws.mjs")},
		{"gql-websockets", python("websockets")},
		{"gql-aiohttp", python("aiohttp")},
	}
}

// configFile writes the configuration of the tests' server.
func configFile(t *testing.T) string {
	t.Helper()
	schema, err := filepath.Abs("schema.graphql")
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`
schema: %q
auth:
  jwt:
    secret: %q
    issuer: "*"
    audience: "*"
    leeway: 0s
publish:
  tokens:
    - token: %q
      channels: [orders]
drain:
  window: 100ms
protocols:
  legacy_graphql_ws: true
`, schema, testkit.Secret, publishToken)
	file := filepath.Join(t.TempDir(), "fraiseql.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// subscriber is a client script and the orders that it has received.
type subscriber struct {
	*testkit.Script
	t      *testing.T
	server *testkit.Server
	number int // of the order published last
}

const document = `subscription ($status: String) {
  orders(status: $status) { number total lines { product quantity } }
}`

// acme returns a token of tenant acme.
func acme(t *testing.T, claims map[string]any) string {
	t.Helper()
	all := map[string]any{"sub": "u1", "tenant_id": "acme"}
	maps.Copy(all, claims)
	return testkit.Token(t, all)
}

// run starts a client against addr, by default with a token of tenant acme.
func run(t *testing.T, c client, addr, query string, variables map[string]any, tokens ...string) *testkit.Script {
	t.Helper()
	if len(tokens) == 0 {
		tokens = []string{acme(t, nil)}
	}
	task, err := json.Marshal(map[string]any{
		"url": "ws://" + addr + "/graphql", "query": query, "variables": variables, "tokens": tokens,
	})
	if err != nil {
		t.Fatal(err)
	}
	command := c.command(string(task))
	return testkit.RunScript(t, command[0], command[1:]...)
}

// order is an event of the tests; the subscriber selects number, total and lines.
func order(number int, tenant, status string) map[string]any {
	return map[string]any{
		"channel": "orders", "type": "order.changed", "tenant_id": tenant,
		"data": map[string]any{
			"id": fmt.Sprint(number), "number": number, "status": status, "tenant": tenant, "total": float64(number) + 0.5,
			"lines": []any{map[string]any{"product": "Käse 🧀", "quantity": 2}},
		},
	}
}

// want is the result for an order, as the client library hands it over.
func want(number int) string {
	return fmt.Sprintf(`{"orders":{"number":%d,"total":%d.5,"lines":[{"product":"Käse 🧀","quantity":2}]}}`, number, number)
}

// next returns the next order's number; 0 after wait without one.
func (s *subscriber) next(wait time.Duration) int {
	s.t.Helper()
	select {
	case line, ok := <-s.Lines:
		if !ok || line.Next == nil {
			s.t.Fatalf("the client ended or was refused: %+v\n%s", line, s.Stderr())
		}
		var got struct{ Orders struct{ Number int } }
		if err := json.Unmarshal(line.Next.Data, &got); err != nil {
			s.t.Fatal(err)
		}
		if !sameJSON(s.t, string(line.Next.Data), want(got.Orders.Number)) {
			s.t.Fatalf("received %s, want %s", line.Next.Data, want(got.Orders.Number))
		}
		if got.Orders.Number < 0 {
			s.t.Fatalf("received order %d, which is another tenant's or has another status", got.Orders.Number)
		}
		return got.Orders.Number
	case <-time.After(wait):
		return 0
	}
}

// sameJSON compares two texts; __typename, which Apollo Client selects everywhere, does not count.
func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var values [2]any
	for i, text := range []string{a, b} {
		if err := json.Unmarshal([]byte(text), &values[i]); err != nil {
			t.Fatal(err)
		}
	}
	ignored := cmp.FilterPath(func(p cmp.Path) bool {
		index, ok := p.Last().(cmp.MapIndex)
		return ok && index.Key().String() == "__typename"
	}, cmp.Ignore())
	return cmp.Equal(values[0], values[1], ignored)
}

// publish publishes the next order, in between others that the subscriber must not see.
func (s *subscriber) publish() {
	s.t.Helper()
	s.number++
	s.server.Publish(publishToken, order(-s.number, "other", "paid"))
	s.server.Publish(publishToken, order(-s.number, "acme", "placed"))
	s.server.Publish(publishToken, order(s.number, "acme", "paid"))
}

// awaitLive publishes until something arrives: the subscription is live (again).
func (s *subscriber) awaitLive() {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		s.publish()
		if s.next(100*time.Millisecond) > 0 {
			s.drainTo(s.number)
			return
		}
	}
	s.t.Fatalf("nothing arrived within %v\n%s", patience, s.Stderr())
}

// drainTo reads up to an order that was published.
func (s *subscriber) drainTo(number int) {
	s.t.Helper()
	// A marker ends the probes that are still on their way.
	s.publish()
	for got := 0; got != s.number; {
		if got = s.next(patience); got == 0 {
			s.t.Fatalf("order %d did not arrive after order %d", s.number, number)
		}
	}
}

// expectBatch publishes a batch and expects exactly it, in order.
func (s *subscriber) expectBatch() {
	s.t.Helper()
	first := s.number + 1
	for range batch {
		s.publish()
	}
	for number := first; number < first+batch; number++ {
		if got := s.next(patience); got != number {
			s.t.Fatalf("received order %d, want %d\n%s", got, number, s.Stderr())
		}
	}
}

// TestClientsReceiveThroughLosses runs every client through a dropped connection, a crash and a restart.
func TestClientsReceiveThroughLosses(t *testing.T) {
	for _, c := range clients() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := testkit.Serve(t, "--config", configFile(t))
			proxy := testkit.NewProxy(t, server.Addr)
			s := &subscriber{t: t, server: server, Script: run(t, c, proxy.Addr, document, map[string]any{"status": "paid"})}
			s.awaitLive()
			s.expectBatch()

			served := proxy.Served()
			proxy.Drop()
			s.awaitLive()
			s.expectBatch()
			if proxy.Served() == served {
				t.Error("the client did not connect again after the drop")
			}

			server.Kill()
			server.Start()
			s.awaitLive()
			s.expectBatch()

			if code := server.Terminate(); code != 0 {
				t.Errorf("the server ended with code %d after SIGTERM\n%s", code, server.Output())
			}
			server.Start()
			s.awaitLive()
			s.expectBatch()
			s.Stop()
		})
	}
}

// TestClientsComeBackWithAFreshToken lets a token expire while its subscription is live: the close makes the client
// ask for another one and subscribe again.
func TestClientsComeBackWithAFreshToken(t *testing.T) {
	server := testkit.Serve(t, "--config", configFile(t))
	proxy := testkit.NewProxy(t, server.Addr)
	short := acme(t, map[string]any{"exp": time.Now().Add(3 * time.Second).Unix()})
	s := &subscriber{t: t, server: server, Script: run(t, clients()[0], proxy.Addr, document, map[string]any{"status": "paid"}, short, acme(t, nil))}
	s.awaitLive()
	for end := time.Now().Add(patience); proxy.Served() < 2; {
		if time.Now().After(end) {
			t.Fatal("the client did not connect again after its token had expired")
		}
		s.next(100 * time.Millisecond)
	}
	s.awaitLive()
	s.expectBatch()
	s.Stop()
}

// TestClientsReportRefusals checks that a refused operation reaches the application with its code, and that the
// client's connection can be closed in order afterwards.
func TestClientsReportRefusals(t *testing.T) {
	server := testkit.Serve(t, "--config", configFile(t))
	cases := []struct {
		name, query, code string
		variables         map[string]any
	}{
		{"unknown field", `subscription { orders { nothing } }`, "GRAPHQL_VALIDATION_FAILED", nil},
		{"wrong variable", `subscription ($s: String) { orders(status: $s) { id } }`, "BAD_USER_INPUT", map[string]any{"s": []int{1, 2}}},
	}
	for _, c := range clients() {
		for _, tc := range cases {
			t.Run(c.name+"/"+strings.ReplaceAll(tc.name, " ", "-"), func(t *testing.T) {
				t.Parallel()
				script := run(t, c, server.Addr, tc.query, tc.variables)
				select {
				case line := <-script.Lines:
					if len(line.Error) == 0 || line.Error[0].Extensions["code"] != tc.code {
						t.Errorf("received %+v, want an error with code %s\n%s", line, tc.code, script.Stderr())
					}
				case <-time.After(patience):
					t.Errorf("no answer within %v\n%s", patience, script.Stderr())
				}
				script.Stop()
			})
		}
	}
}
