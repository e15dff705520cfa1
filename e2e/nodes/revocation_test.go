package nodes

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

const revoker = "operators-token-0001"

// guarded is a node that wants tokens and takes revocations.
type guarded struct {
	node  *testkit.Server
	admin string
}

func guard(t *testing.T, bus string) *guarded {
	t.Helper()
	g := &guarded{admin: testkit.FreeAddr(t)}
	file := filepath.Join(t.TempDir(), "fraiseql.yaml")
	text := fmt.Sprintf(`
schemaless: {enabled: true, channels: ["*"]}
auth.jwt: {secret: %q, issuer: "*", audience: "*"}
admin: {listen: %q, token: %q}
bus: %q
`, testkit.Secret, g.admin, revoker, bus)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g.node = testkit.Serve(t, "--config", file)
	return g
}

// revoke asks one node to revoke a user.
func (g *guarded) revoke(t *testing.T, user string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+g.admin+"/revocations", strings.NewReader(`{"user_id":"`+user+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + revoker}}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusAccepted {
		t.Fatalf("revocation: %s", res.Status)
	}
}

// A revocation at one of three nodes closes the connections of whom it names on all of them, with 4403, and nobody
// else's. How long that took, from the request to the last close, is logged:
//
//	go test ./e2e/nodes -run TestRevocationOnEveryNode -v
func TestRevocationOnEveryNode(t *testing.T) {
	const users, rounds = 5, 5
	for _, c := range carriers {
		t.Run(c.name, func(t *testing.T) {
			server := c.start(t)
			nodes := make([]*guarded, 3)
			for i := range nodes {
				nodes[i] = guard(t, server.url(server.addr()))
			}
			dial := func(user string) (all []*testkit.Talk) {
				token := testkit.Token(t, map[string]any{"sub": user, "iat": time.Now().Add(-time.Minute).Unix()})
				for range users {
					for _, g := range nodes {
						all = append(all, testkit.DialTalk(t, "ws://"+g.node.Addr+"/graphql").Init(token))
					}
				}
				return all
			}
			stay := dial("stays")
			for round := range rounds {
				user := fmt.Sprint("goes", round)
				gone := dial(user)
				begin := time.Now()
				var closing sync.WaitGroup
				for _, w := range gone {
					closing.Go(func() {
						if code, reason := w.Closed(); code != 4403 || reason != "Forbidden: the credentials were revoked" {
							t.Errorf("closed with %d %s", code, reason)
						}
					})
				}
				nodes[round%len(nodes)].revoke(t, user)
				closing.Wait()
				t.Logf("%d connections on %d nodes closed %.1f ms after the request", len(gone), len(nodes), time.Since(begin).Seconds()*1000)
			}
			for _, w := range stay {
				w.Send(`{"type":"ping"}`)
				w.Expect(`{"type":"pong"}`)
			}
		})
	}
}
