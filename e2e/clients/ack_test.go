package clients

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// TestClientsWaitForTheirAck has a hook decide late about each connection. A client that subscribes on a connection before its ack is
// closed with 4401, as the protocol has it; each client must get its subscription back through a dropped connection all the same.
func TestClientsWaitForTheirAck(t *testing.T) {
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(300 * time.Millisecond):
		case <-r.Context().Done():
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"allow":true}`)) // the server may have given up
	}))
	defer hook.Close()
	for _, c := range clients() {
		t.Run(c.name, func(t *testing.T) {
			config := configFile(t)
			text := fmt.Sprintf("hooks: {on_connect: {url: %q}, secret: the-secret-of-the-hooks-of-the-tests, networks: [\"127.0.0.0/8\"]}\n", hook.URL)
			f, err := os.OpenFile(config, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString(text); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			server := testkit.Serve(t, "--config", config)
			proxy := testkit.NewProxy(t, server.Addr)
			s := &subscriber{t: t, server: server, Script: run(t, c, proxy.Addr, document, map[string]any{"status": "paid"})}
			s.awaitLive()
			proxy.Drop()
			s.awaitLive()
			s.expectBatch()
			s.Stop()
		})
	}
}
