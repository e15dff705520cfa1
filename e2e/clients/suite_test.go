package clients

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// suiteTests says how many tests the graphql-ws project has in each of its files that are about the protocol.
var suiteTests = map[string]int{"client": 75, "server": 52, "use": 10}

// TestGraphQLWSCases runs the cases that the graphql-ws project tests its own client and server with, written anew
// against our server, and checks that each of its tests has a case here or a reason for none.
func TestGraphQLWSCases(t *testing.T) {
	schema, err := filepath.Abs("suite/schema.graphql")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "fraiseql.yaml")
	text := fmt.Sprintf(`
schema: %q
auth: {anonymous: true, jwt: {secret: %q, issuer: "*", audience: "*"}}
security: {isolation: addressed}
publish.tokens: [{token: %q}]
limits.init_timeout: 2s
websocket.compression: "on"
`, schema, testkit.Secret, publishToken)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server := testkit.Serve(t, "--config", file)
	host, port, err := net.SplitHostPort(server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	task, err := json.Marshal(map[string]string{"host": host, "port": port, "token": publishToken, "secret": acme(t, nil)})
	if err != nil {
		t.Fatal(err)
	}
	script := exec.CommandContext(t.Context(), "node", "suite/run.mjs", string(task))
	script.Stderr = os.Stderr
	out, err := script.Output()
	if err != nil {
		t.Fatalf("the cases did not end: %v\n%s", err, out)
	}
	judgeSuite(t, string(out))
}

// judgeSuite reads the report of the cases.
func judgeSuite(t *testing.T, report string) {
	t.Helper()
	accounted := map[string]bool{}
	tested, apart := 0, 0
	for line := range strings.Lines(report) {
		var r struct {
			Numbers               []string
			Name, Failure, Reason string
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("not a line of the report: %s", line)
		}
		if r.Failure != "" {
			t.Errorf("%v %s: %s", r.Numbers, r.Name, r.Failure)
		}
		if r.Reason == "" {
			tested += len(r.Numbers)
		} else {
			apart++
		}
		for _, n := range r.Numbers {
			if accounted[n] {
				t.Errorf("%s is there twice", n)
			}
			accounted[n] = true
		}
	}
	t.Logf("%d of their tests have a case here, %d have a reason for none", tested, apart)
	var missing []string
	for file, n := range suiteTests {
		for i := range n {
			if name := fmt.Sprint(file, i+1); !accounted[name] {
				missing = append(missing, name)
			}
		}
	}
	slices.Sort(missing)
	if len(missing) > 0 {
		t.Errorf("no case and no reason for %v", missing)
	}
}
