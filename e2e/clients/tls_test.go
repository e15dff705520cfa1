package clients

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// TestGraphQLWSOverTLS lets graphql-ws subscribe over wss, before and after the certificate was replaced.
func TestGraphQLWSOverTLS(t *testing.T) {
	dir := t.TempDir()
	c := testkit.NewCertificate(t, dir, 1)
	t.Setenv("NODE_EXTRA_CA_CERTS", c.CertFile)
	server := testkit.ServeTLS(t, c, "--config", configFile(t))
	task, err := json.Marshal(map[string]any{
		"url": "wss://" + server.Addr + "/graphql", "query": document, "variables": map[string]any{"status": "paid"}, "tokens": []string{acme(t, nil)},
	})
	if err != nil {
		t.Fatal(err)
	}
	subscribeOverTLS := func() *subscriber {
		return &subscriber{t: t, server: server, Script: testkit.RunScript(t, "node", "graphql-ws.mjs", string(task))}
	}
	first := subscribeOverTLS()
	first.awaitLive()
	first.expectBatch()

	testkit.NewCertificate(t, dir, 2)
	server.Signal(syscall.SIGHUP)
	server.AwaitOutput("reloaded")
	second := subscribeOverTLS() // reads the new file
	second.awaitLive()
	second.expectBatch()
	first.Stop()
	second.Stop()
}

// TestBrowserOverTLS opens a page of a server with a self-signed certificate: the page comes over HTTP/2, its
// WebSocket works, and so do requests that publish.
func TestBrowserOverTLS(t *testing.T) {
	server := testkit.ServeTLS(t, testkit.NewCertificate(t, t.TempDir(), 1), "--demo")
	p := startBrowser(t, "--ignore-certificate-errors").open(server.URL("/graphql"))
	if got := p.evaluate(`performance.getEntriesByType("navigation")[0].nextHopProtocol`); got != "h2" {
		t.Errorf("the page came over %v", got)
	}
	if got, _ := p.evaluate(`location.href`).(string); !strings.HasPrefix(got, "https://") {
		t.Errorf("the page is %s", got)
	}
	p.await(`byId("fields").children.length >= 4`)
	p.evaluate(`byId("document").value = "subscription { chat(room: \"r\") { text } }", byId("operation").requestSubmit(), true`)
	p.evaluate(`byId("event").value = JSON.stringify({channel: "chat", type: "message.posted", data: {room: "r", author: "a", text: "over TLS"}}), true`)
	p.await(`(byId("publish").requestSubmit(), byId("results").innerText.includes("over TLS"))`)
	if problems := p.problems(); len(problems) > 0 {
		t.Errorf("the browser complained: %q", problems)
	}
	if log := server.Output(); strings.Contains(log, "PRIVATE KEY") || !strings.Contains(log, `tls`) {
		t.Errorf("the server printed %s", log)
	}
}
