package nodes

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// TestReload replaces the schema of the running server: by a signal, and by a file that is watched, as an editor writes it.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "schema.graphql")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(name+".new", name); err != nil {
			t.Fatal(err)
		}
	}
	const before, after = `type Subscription { orders: Order } type Order { id: ID! note: String }`, `type Subscription { orders: Order } type Order { id: Int! remark: String }`
	for _, how := range []string{"signal", "watch"} {
		put(before)
		args := []string{"--dev", "--schema", name}
		if how == "watch" {
			args = append(args, "--watch")
		}
		server := testkit.Serve(t, args...)
		c := testkit.DialTalk(t, "ws://"+server.Addr+"/graphql")
		c.Send(`{"type":"connection_init"}`)
		c.Expect(`{"type":"connection_ack"}`)
		c.Send(`{"id":"stays","type":"subscribe","payload":{"query":"subscription { orders { id } }"}}`)
		c.Send(`{"type":"ping"}`)
		c.Expect(`{"type":"pong"}`)
		change := func(text, output string) {
			t.Helper()
			put(text)
			if how == "signal" {
				server.Signal(syscall.SIGHUP)
			}
			server.AwaitOutput(output)
		}
		server.Publish("", map[string]any{"channel": "orders", "type": "t", "data": map[string]any{"id": 1}})
		c.Expect(`{"id":"stays","type":"next","payload":{"data":{"orders":{"id":"1"}}}}`)
		change(`type Subscription { orders: `, "schema.graphql:1:")
		change(after, "reloaded")
		server.Publish("", map[string]any{"channel": "orders", "type": "t", "data": map[string]any{"id": 2}})
		c.Expect(`{"id":"stays","type":"next","payload":{"data":{"orders":{"id":2}}}}`)
		c.Send(`{"id":"new","type":"subscribe","payload":{"query":"subscription { orders { remark } }"}}`)
		c.Send(`{"type":"ping"}`)
		c.Expect(`{"type":"pong"}`)
		if n := strings.Count(server.Output(), "reloaded"); n != 1 {
			t.Errorf("%s: reloaded %d times", how, n)
		}
		server.Kill()
	}
}

// TestWatchOfWhatWasRefused mends a reload where it was wrong: in a file that only the refused configuration names.
func TestWatchOfWhatWasRefused(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(name+".new", name); err != nil {
			t.Fatal(err)
		}
	}
	put("a.graphql", `type Subscription { orders: Order }`)
	put("order.graphql", `type Order { id: ID! }`)
	put("fraiseql.yaml", "schema: [a.graphql, order.graphql]\nreload.watch: true\n")
	server := testkit.Serve(t, "--dev", "--config", filepath.Join(dir, "fraiseql.yaml"))
	put("fraiseql.yaml", "schema: [a.graphql, other.graphql]\nreload.watch: true\n")
	server.AwaitOutput("other.graphql")
	put("other.graphql", `type Order { id: ID! note: String }`)
	server.AwaitOutput("reloaded")
}
