package redisbus

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/bustest"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// prefixNumber makes the prefixes of tests differ: one server carries many installations.
var prefixNumber atomic.Int64

func freshPrefix() string { return fmt.Sprintf("t%d", prefixNumber.Add(1)) }

// node is a bus with the URL that it was opened by.
type node struct {
	*Bus
	url string
}

// open opens a bus and closes it with the test.
func open(t testing.TB, rawURL string) *node {
	t.Helper()
	b, err := Open(rawURL, bus.Options{PublishTimeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return &node{b, rawURL}
}

// with adds a parameter to a URL.
func with(rawURL, name, value string) string {
	sep := "?"
	if strings.Contains(rawURL, "?") {
		sep = "&"
	}
	return rawURL + sep + name + "=" + url.QueryEscape(value)
}

func TestConformance(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{Fsync: "always"})
	var proxy *testkit.Proxy
	fresh := func(t *testing.T, more ...string) bus.Bus {
		u := with("redis://"+proxy.Addr, "prefix", freshPrefix())
		for i := 0; i < len(more); i += 2 {
			u = with(u, more[i], more[i+1])
		}
		return open(t, u)
	}
	proxy = testkit.NewProxy(t, server.Addr)
	bustest.Run(t, bustest.Options{
		Recalls: true,

		New:  func(t *testing.T) bus.Bus { return fresh(t) },
		Join: func(t *testing.T, first bus.Bus) bus.Bus { return open(t, first.(*node).url) },
		Small: func(t *testing.T, n int) bus.Bus {
			return fresh(t, "maxlen", fmt.Sprint(n))
		},
		Interrupt: func(*testing.T, bus.Bus) { proxy.Drop() },
		Outage:    outage(server),
	})
}

// outage ends the server itself, which comes back with everything that it has acknowledged if it keeps anything.
func outage(server *testkit.Redis) func(*testing.T, bus.Bus) func() {
	return func(*testing.T, bus.Bus) func() {
		server.Kill()
		return server.Start
	}
}

func TestConformanceOfPubsub(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{})
	proxy := testkit.NewProxy(t, server.Addr)
	bustest.Run(t, bustest.Options{
		New: func(t *testing.T) bus.Bus {
			return open(t, with(with("redis://"+proxy.Addr, "prefix", freshPrefix()), "mode", "pubsub"))
		},
		Join:      func(t *testing.T, first bus.Bus) bus.Bus { return open(t, first.(*node).url) },
		Interrupt: func(*testing.T, bus.Bus) { proxy.Drop() },
		Outage:    outage(server),
		Forgets:   true,
	})
}
