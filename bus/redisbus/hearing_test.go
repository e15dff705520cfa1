package redisbus

import (
	"errors"
	"runtime"
	"strconv"
	"testing"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// cutOff cuts a bus off until it has given up an event, which takes it some tries to connect.
func cutOff(t *testing.T, proxy *testkit.Proxy, b bus.Bus, channel string) {
	t.Helper()
	proxy.Cut()
	if _, err := b.Publish(t.Context(), []bus.Message{numbered(channel, 1)}); !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("published while cut off: %v", err)
	}
	proxy.Restore()
}

// TestConnectedIsReading waits until a bus that was cut off is connected again: it reads then.
func TestConnectedIsReading(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{})
	proxy := testkit.NewProxy(t, server.Addr)
	b := open(t, "redis://"+proxy.Addr)
	attach(t, b, newCollector("orders"))
	for round := range 4 {
		cutOff(t, proxy, b, "orders")
		awaitConnected(t, b)
		for _, r := range *b.readers.Load() {
			if r.client.Load() == 0 {
				t.Errorf("round %d: connected, while a reader has no connection", round)
			}
		}
	}
}

// TestConnectedIsSubscribed is the same for plain publishing.
func TestConnectedIsSubscribed(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{})
	proxy := testkit.NewProxy(t, server.Addr)
	b := open(t, "redis://"+proxy.Addr+"?mode=pubsub")
	attach(t, b, newCollector("orders"))
	for round := range 4 {
		cutOff(t, proxy, b, "orders")
		awaitConnected(t, b)
		if b.pubsub.confirmed("orders") != nil {
			t.Errorf("round %d: connected, while the channel is not subscribed to", round)
		}
	}
}

// TestConnectedIsReadingWhatIsNew fails a look at Redis while the connection of the reader lives, and wants a channel of another
// partition meanwhile: the bus is connected again when that is read, too.
func TestConnectedIsReadingWhatIsNew(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{})
	b := open(t, "redis://"+server.Addr)
	attach(t, b, newCollector("orders"))
	awaitConnected(t, b)
	r, home := (*b.readers.Load())[0], b.table.Load().home
	seen := map[*partition]bool{home("orders"): true, home(bus.ControlChannel): true}
	deaf := 0
	for i := 0; len(seen) < 60 && i < 10_000; i++ {
		channel := "orders" + strconv.Itoa(i)
		p := home(channel)
		if seen[p] {
			continue
		}
		seen[p] = true
		b.link.doubt()
		b.Interest(channel, true)
		for !r.hears.Load() {
			runtime.Gosched()
		}
		if _, captured := p.place(); !captured {
			deaf++
		}
	}
	if deaf > 6 { // a reader may have looked right before
		t.Errorf("%d of 58 times connected, while what is wanted since is not read", deaf)
	}
}
