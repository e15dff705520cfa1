package clients

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// TestPagesOfOtherOrigins lets a browser judge: a page that `origins` names publishes and subscribes, another one
// reads nothing, publishes nothing and gets no WebSocket.
func TestPagesOfOtherOrigins(t *testing.T) {
	blank := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>page</title>")
	})
	listed, foreign := httptest.NewServer(blank), httptest.NewServer(blank)
	defer listed.Close()
	defer foreign.Close()
	file := configFile(t)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, fmt.Appendf(text, "origins: [%q]\n", listed.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	server := testkit.Serve(t, "--config", file)
	b := startBrowser(t)
	publish := fmt.Sprintf(`fetch(%q, {method: "POST", headers: {"Content-Type": "application/json", Authorization: "Bearer %s"},
		body: '{"channel":"orders","type":"t","tenant_id":"acme","data":{"id":"1"}}'}).then((r) => r.status, () => "refused")`, server.URL("/events"), publishToken)
	simple := fmt.Sprintf(`fetch(%q, {method: "POST", headers: {"Content-Type": "text/plain"}, body: "{}"}).then((r) => r.status, () => "refused")`, server.URL("/events"))
	socket := fmt.Sprintf(`new Promise((resolve) => { const s = new WebSocket("ws://%s/graphql", "graphql-transport-ws"); s.onopen = () => resolve("open"); s.onerror = () => resolve("refused"); })`, server.Addr)
	for _, c := range []struct {
		page, expression string
		want             any
	}{
		{listed.URL, publish, float64(202)}, {listed.URL, simple, float64(401)}, {listed.URL, socket, "open"},
		{foreign.URL, publish, "refused"}, {foreign.URL, simple, "refused"}, {foreign.URL, socket, "refused"},
	} {
		if got := b.open(c.page).evaluate(c.expression); got != c.want {
			t.Errorf("a page of %s: %v, want %v: %s", c.page, got, c.want, c.expression)
		}
	}
}
