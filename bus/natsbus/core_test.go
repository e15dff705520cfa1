package natsbus

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// subscribed reports whether core mode has noted a subscription of a channel.
func subscribed(c *core, channel string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wanted[token(channel)].sub != nil
}

// TestASubscriptionOfTheConnectionBefore takes note of a subscription when its connection has ended already, as it may end just
// before: the channel is subscribed to over the next connection.
func TestASubscriptionOfTheConnectionBefore(t *testing.T) {
	server := testkit.StartNATS(t)
	proxy := testkit.NewProxy(t, server.Addr)
	b := open(t, "nats://"+proxy.Addr+"?mode=core", bus.Options{PublishTimeout: patience})
	k := attach(t, b, "first")
	s, err := b.bounded(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, tok := b.core, token("second")
	sub, err := s.nc.ChanSubscribe("fraiseql.second", c.lanes[c.laneOf(tok)].queue)
	if err != nil {
		t.Fatal(err)
	}
	proxy.Cut()
	await(t, "the connection is known to be lost", func() bool { return !subscribed(c, "first") })
	c.mu.Lock()
	c.wanted[tok] = &coreChannel{name: "second", ready: make(chan struct{}), open: true}
	c.mu.Unlock()
	if err := c.take(s, map[string]*nats.Subscription{tok: sub}); !errors.Is(err, errGone) {
		t.Errorf("taken: %v", err)
	}
	proxy.Restore()
	if err := b.Established(t.Context(), "second"); err != nil {
		t.Fatal(err)
	}
	publishAll(t, b, numbered("second", 0, 1))
	await(t, "the event has come", func() bool { return k.count() == 1 })
}

// TestInterestBeforeTheConnectionCounts says what is wanted when a new connection has subscribed to what was wanted before,
// but is not the bus's yet.
func TestInterestBeforeTheConnectionCounts(t *testing.T) {
	server := testkit.StartNATS(t)
	b := open(t, server.URL("mode=core"), bus.Options{})
	s, err := b.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.nc.Close(); <-s.gone }()
	b.Interest("c", true)
	b.running.Go(b.core.subscribing)
	await(t, "it is noticed", func() bool { return len(b.core.poke) == 0 })
	b.report(s, "", "")
	await(t, "it is subscribed to", func() bool { return subscribed(b.core, "c") })
}

// TestAGapIsToldWithoutAnEvent loses the connection while nothing is published: who has interest is told once it is back.
func TestAGapIsToldWithoutAnEvent(t *testing.T) {
	server := testkit.StartNATS(t)
	proxy := testkit.NewProxy(t, server.Addr)
	b := open(t, "nats://"+proxy.Addr+"?mode=core", bus.Options{PublishTimeout: patience})
	k := attach(t, b, "quiet")
	if err := b.Established(t.Context(), "quiet"); err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		proxy.Cut()
		await(t, "the connection is known to be lost", func() bool { return !subscribed(b.core, "quiet") })
		proxy.Restore()
		await(t, "a gap is told", func() bool { return k.gapCount() == round+1 })
		if !subscribed(b.core, "quiet") {
			t.Error("a gap is told before what follows it is subscribed to")
		}
	}
	publishAll(t, b, numbered("quiet", 0, 1))
	await(t, "the event has come", func() bool { return k.count() == 1 })
	if n := k.gapCount(); n != 3 {
		t.Errorf("%d gaps", n)
	}
}
