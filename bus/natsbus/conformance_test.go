package natsbus

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/bustest"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// number makes prefixes that were not used before.
var number atomic.Uint64

func freshPrefix() string { return fmt.Sprintf("test%d", number.Add(1)) }

// open returns the bus of a URL and closes it with the test.
func open(t *testing.T, url string, o bus.Options) *Bus {
	t.Helper()
	b, err := Open(url, o)
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
	return b
}

// prefixOf gives a bus that joins another its URL.
func prefixOf(b bus.Bus) string { return b.(*Bus).config.prefix }

func TestConformance(t *testing.T) {
	server := testkit.StartNATS(t)
	proxy := testkit.NewProxy(t, server.Addr)
	fresh := func(t *testing.T) bus.Bus {
		return open(t, "nats://"+proxy.Addr+"?prefix="+freshPrefix(), bus.Options{})
	}
	bustest.Run(t, bustest.Options{
		Recalls: true,

		New: fresh,
		Join: func(t *testing.T, first bus.Bus) bus.Bus {
			return open(t, server.URL("prefix="+prefixOf(first)), bus.Options{})
		},
		Small: func(t *testing.T, n int) bus.Bus {
			prefix := freshPrefix()
			limited(t, server, prefix, n)
			return open(t, server.URL("prefix="+prefix), bus.Options{})
		},
		Interrupt: func(*testing.T, bus.Bus) { proxy.Drop() },
	})
}

// TestOutage is apart, for it kills the server.
func TestOutage(t *testing.T) {
	server := testkit.StartNATS(t)
	o := bus.Options{PublishTimeout: time.Second}
	bustest.Run(t, bustest.Options{
		New: func(t *testing.T) bus.Bus { return open(t, server.URL("prefix="+freshPrefix()), o) },
		Outage: func(*testing.T, bus.Bus) func() {
			server.Kill()
			return server.Start
		},
	})
}

// limited makes a stream of events that holds n messages, as an operator might, for the bus of a prefix.
func limited(t *testing.T, server *testkit.NATS, prefix string, n int) {
	t.Helper()
	nc, js := plain(t, server.Addr)
	defer nc.Close()
	c := config{prefix: prefix, stream: prefix}
	sp := c.spec(events)
	wanted := sp.create(&c, time.Hour, true)
	wanted.MaxMsgs = int64(n)
	if _, err := js.CreateStream(t.Context(), wanted); err != nil {
		t.Fatal(err)
	}
}

// plain connects as any other program does.
func plain(t *testing.T, addr string) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := nats.Connect("nats://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

func TestConformanceOfCore(t *testing.T) {
	server := testkit.StartNATS(t)
	proxy := testkit.NewProxy(t, server.Addr)
	bustest.Run(t, bustest.Options{
		Forgets: true,
		New: func(t *testing.T) bus.Bus {
			return open(t, "nats://"+proxy.Addr+"?mode=core&prefix="+freshPrefix(), bus.Options{})
		},
		Interrupt: func(t *testing.T, b bus.Bus) {
			before := bus.StatusOf(b).Reconnects
			proxy.Drop()
			await(t, "the bus connects again", func() bool { return bus.StatusOf(b).Reconnects > before })
		},
	})
}

func TestOutageOfCore(t *testing.T) {
	server := testkit.StartNATS(t)
	o := bus.Options{PublishTimeout: time.Second}
	bustest.Run(t, bustest.Options{
		Forgets: true,
		New: func(t *testing.T) bus.Bus {
			return open(t, server.URL("mode=core&prefix="+freshPrefix()), o)
		},
		Outage: func(*testing.T, bus.Bus) func() {
			server.Kill()
			return server.Start
		},
	})
}

// await asks until something is so.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
