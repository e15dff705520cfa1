package clients

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// TestPublishExample runs examples/publish/publish.sh and looks at what the server accepted.
func TestPublishExample(t *testing.T) {
	server := testkit.Serve(t, "--config", configFile(t))
	command := exec.Command("bash", filepath.Join(testkit.Root(), "examples", "publish", "publish.sh"))
	command.Env = append(os.Environ(), "FRAISEQL_URL="+server.URL(""), "FRAISEQL_TOKEN="+publishToken)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("publish.sh: %v\n%s", err, out)
	}
	want := []string{`{"accepted":1}`, `{"accepted":2}`, `{"accepted":3}`}
	if diff := cmp.Diff(want, strings.Fields(string(out))); diff != "" {
		t.Error(diff)
	}
}

// TestBrowserExample opens examples/browser from another origin than the server's.
func TestBrowserExample(t *testing.T) {
	pages := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(testkit.Root(), "examples", "browser"))))
	t.Cleanup(pages.Close)
	server := testkit.Serve(t, "--dev", "--schemaless", "--origins", pages.URL)
	b := startBrowser(t)
	p := b.open(pages.URL + "/?server=ws://" + server.Addr + "/graphql")
	p.await(`document.getElementById("status").textContent === "connected"`)
	for number := 1; ; number++ {
		server.Publish("", map[string]any{
			"channel": "orders", "type": "order.created", "data": map[string]any{"id": fmt.Sprint(number), "status": "PAID", "total": 12.5},
		})
		if found := p.evaluate(`document.getElementById("orders").innerText`); found != "" {
			if !strings.HasSuffix(found.(string), ": PAID, 12.5") {
				t.Errorf("the page shows %q", found)
			}
			break
		}
	}
	if problems := p.problems(); len(problems) > 0 {
		t.Errorf("the browser complained: %q", problems)
	}
}
