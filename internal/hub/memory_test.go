package hub

import (
	"fmt"
	"runtime"
	"testing"
	"unsafe"

	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// The shares of ENGINE, "Memory budget", that are the hub's: what one more subscription with variables of its
// own keeps alive, its connection and identity apart.
const (
	subscriptionBudget = 144
	groupBudget        = 288
)

func TestSubscriptionSize(t *testing.T) {
	if n := unsafe.Sizeof(Subscription{}); n > subscriptionBudget {
		t.Errorf("a Subscription is %d bytes, its budget %d", n, subscriptionBudget)
	}
}

func liveBytes() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestMemoryPerSubscription(t *testing.T) {
	const n = 100_000
	w := newWorld(t, Addressing{})
	p := w.plan(`subscription($i: ID) { order(id: $i) { id } }`)
	conn, who, pol := newConn(), user("u"), &queue.Policy{Messages: 1000, Bytes: 4 << 20}
	subs := make([]*Subscription, n)
	before := liveBytes()
	for i := range subs {
		j := w.request(conn, p, fmt.Sprintf(`{"i":"%d"}`, 1_000_000+i), who)
		j.Policy = pol
		subs[i], _ = w.hub.Join(j, nil)
	}
	per := (liveBytes() - before) / n
	t.Logf("%d bytes for each", per)
	if per > subscriptionBudget+groupBudget {
		t.Errorf("%d live bytes for each subscription with its group, budget %d", per, subscriptionBudget+groupBudget)
	}
	runtime.KeepAlive(subs)
}
