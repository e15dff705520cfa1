//go:build amd64 || arm64

package fraiseql

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/transport/ws"
)

// connectionBudget is ENGINE's sum of live bytes per idle connection with one subscription that has variables
// of its own: connection, subscription, group, constants, index entry, identity, tables.
const connectionBudget = 960

type eachItsOwn struct{ n int }

// Authenticate gives every connection an identity of its own; tenants and scopes are shared as tokens of one
// issuer share them.
func (a *eachItsOwn) Authenticate(context.Context, Credentials) (*Identity, error) {
	a.n++
	return &Identity{UserID: fmt.Sprint("user", a.n), TenantID: "tenant", Scopes: sharedScopes}, nil
}

var sharedScopes = []string{"orders:read"}

const idleSchema = `
	type Subscription { order(id: ID): Order @source(channel: "orders") }
	type Order { id: ID! status: String total: Int }`

func TestMemoryPerConnection(t *testing.T) {
	e, err := New(Config{Schema: []SchemaSource{{Text: idleSchema}}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(context.Background())
	if _, err := e.Handler(HandlerConfig{Authenticator: &eachItsOwn{}}); err != nil {
		t.Fatal(err)
	}
	h := e.servers[0].(*endpoint).ws
	const warm, n = 2000, 100_000
	kept := make([]*ws.Detached, 0, warm+n)
	for i := range warm {
		kept = append(kept, openSubscribed(t, h, i))
	}
	before := liveBytes()
	for i := range n {
		kept = append(kept, openSubscribed(t, h, warm+i))
	}
	per := int(liveBytes()-before)/n - 8 // the handle of the test
	t.Logf("%d live bytes per idle connection with a subscription", per)
	if per > connectionBudget {
		t.Errorf("%d live bytes per idle connection with a subscription, budget %d", per, connectionBudget)
	}
	runtime.KeepAlive(kept)
}

// BenchmarkIdleConnections holds connections without sockets, each with a user and a subscription of its own.
func BenchmarkIdleConnections(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprintf("connections=%d", n), func(b *testing.B) {
			for b.Loop() {
				holdConnections(b, n)
			}
		})
	}
}

func holdConnections(b *testing.B, n int) {
	e, err := New(Config{Schema: []SchemaSource{{Text: idleSchema}}})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close(context.Background())
	if _, err := e.Handler(HandlerConfig{Authenticator: &eachItsOwn{}}); err != nil {
		b.Fatal(err)
	}
	h := e.servers[0].(*endpoint).ws
	before := liveBytes()
	for i := range n {
		openSubscribed(b, h, i) // the handler holds it
	}
	rss := residentBytes(b) // before a collection is forced
	b.ReportMetric(float64(liveBytes()-before)/float64(n), "live-B/conn")
	b.ReportMetric(float64(rss)/1e9, "RSS-GB")
}

// residentBytes is what the process has in memory.
func residentBytes(b *testing.B) int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	var total, resident int64
	if _, err := fmt.Sscan(string(text), &total, &resident); err != nil {
		b.Fatal(err)
	}
	return resident * int64(os.Getpagesize())
}

func openSubscribed(t testing.TB, h *ws.Handler, i int) *ws.Detached {
	t.Helper()
	d, err := h.Detached()
	if err != nil {
		t.Fatal(err)
	}
	d.Receive([]byte(`{"type":"connection_init"}`))
	for !d.Acknowledged() {
		runtime.Gosched()
	}
	d.Receive(fmt.Appendf(nil, `{"id":"1","type":"subscribe","payload":{"query":"subscription($i: ID) { order(id: $i) { id status total } }","variables":{"i":"%d"}}}`, 1_000_000+i))
	for d.Operations() == 0 {
		runtime.Gosched()
	}
	return d
}

func liveBytes() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
