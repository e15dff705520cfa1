package ws

import (
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/internal/wsframe"
)

// legacy opens a connection that speaks the legacy protocol.
func (f *fixture) legacy(t *testing.T) *client {
	t.Helper()
	c, err := f.tryDial("Sec-WebSocket-Protocol: graphql-ws")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.head.Get("Sec-WebSocket-Protocol"); got != LegacySubprotocol {
		t.Fatalf("agreed on %q", got)
	}
	return c
}

func TestLegacyConversation(t *testing.T) {
	backends(t, poll.Options{}, func(c *Config) { c.Legacy = true }, func(t *testing.T, f *fixture) {
		c := f.legacy(t)
		c.send(`{"type":"connection_init"}`, `{"id":"a","type":"start","payload":{"query":"known"}}`)
		c.want(`{"type":"connection_ack"}`)
		await(t, "subscribed", func() bool { return f.engine.live("known") == 1 })
		f.engine.publish("known", `{"x":1}`)
		c.want(`{"id":"a","type":"data","payload":{"data":{"x":1}}}`)
		c.send(`{"id":"a","type":"stop"}`)
		c.want(`{"id":"a","type":"complete"}`)
		c.send(`{"id":"q","type":"start","payload":{"query":"{ __typename }"}}`, `{"id":"e","type":"start","payload":{"query":"bad"}}`)
		seen := map[string]bool{c.describe(): true, c.describe(): true, c.describe(): true}
		for _, want := range []string{`{"id":"q","type":"data","payload":{"data":{"__typename":"Query"}}}`, `{"id":"q","type":"complete"}`, `{"id":"e","type":"error","payload":{"message":"bad"}}`} {
			if !seen[want] {
				t.Errorf("no %s in %v", want, seen)
			}
		}
		c.send(`{"id":"a","type":"start","payload":{"query":"other"}}`)
		await(t, "again", func() bool { return f.engine.live("other") == 1 })
		f.engine.end("other", `[{"message":"source failed"}]`)
		c.want(`{"id":"a","type":"error","payload":{"message":"the subscription was ended","errors":[{"message":"source failed"}]}}`)
		c.send(`nonsense`, `{"type":"connection_terminate"}`)
		if got := c.describe(); len(got) < 30 || got[:28] != `{"type":"connection_error","` {
			t.Errorf("got %s", got)
		}
		c.want("close 1000", "end")
		c.nc.Close()
		await(t, "gone", func() bool { return f.handler.Connections() == 0 && f.engine.live("known") == 0 })
	})
}

// Both are offered: the modern one is spoken. The legacy one alone is refused unless it is on.
func TestLegacyIsChosenLast(t *testing.T) {
	for _, on := range []bool{false, true} {
		f := serve(t, poll.Options{}, func(c *Config) { c.Legacy = on })
		c, err := f.tryDial("Sec-WebSocket-Protocol: graphql-ws, graphql-transport-ws")
		if err != nil {
			t.Fatal(err)
		}
		if got := c.head.Get("Sec-WebSocket-Protocol"); got != Subprotocol {
			t.Errorf("agreed on %q", got)
		}
		c.nc.Close()
	}
	f := serve(t, poll.Options{}, nil)
	c, err := f.tryDial("Sec-WebSocket-Protocol: graphql-ws")
	if err != nil {
		t.Fatal(err)
	}
	c.want("close 4406 Subprotocol not acceptable", "end")
	c.nc.Close()
}

// No start is executed before connection_init, whatever comes with it.
func TestLegacyStartNeedsInit(t *testing.T) {
	backends(t, poll.Options{Tick: time.Millisecond}, func(c *Config) { c.Legacy = true }, func(t *testing.T, f *fixture) {
		c := f.legacy(t)
		c.send(`{"id":"a","type":"start","payload":{"query":"known"}}`, `{"type":"connection_init"}`)
		c.want(`{"type":"connection_error","payload":{"message":"Unauthorized"}}`, "close 4401 Unauthorized", "end")
		c.nc.Close()
		c = f.legacy(t)
		c.send(`{"type":"connection_init","payload":{"authorization":"wrong"}}`, `{"id":"a","type":"start","payload":{"query":"known"}}`)
		c.want(`{"type":"connection_error","payload":{"message":"Forbidden"}}`, "close 4403 Forbidden", "end")
		c.nc.Close()
		if f.engine.live("known") != 0 {
			t.Error("a subscription was started")
		}
	})
}

// The first keep-alive comes with the acknowledgement, before anything else.
func TestLegacyKeepAliveFollowsTheAcknowledgement(t *testing.T) {
	backends(t, poll.Options{}, func(c *Config) { c.Legacy, c.InitTimeout, c.PingInterval = true, far, far }, func(t *testing.T, f *fixture) {
		c := f.legacy(t)
		c.send(`{"type":"connection_init"}`)
		c.want(`{"type":"connection_ack"}`, `{"type":"ka"}`)
		c.nc.Close()
	})
}

// The client is told that the server is there, from the acknowledgement on.
func TestLegacyKeepAlive(t *testing.T) {
	adjust := func(c *Config) {
		c.Legacy, c.InitTimeout, c.PingInterval, c.PongTimeout = true, time.Millisecond, 10*time.Millisecond, far
	}
	backends(t, poll.Options{Tick: time.Millisecond}, adjust, func(t *testing.T, f *fixture) {
		c, err := f.tryDial("Sec-WebSocket-Protocol: graphql-ws", text(`{"type":"connection_init"}`))
		if err != nil {
			t.Fatal(err)
		}
		c.want(`{"type":"connection_ack"}`)
		for told := 0; told < 5; {
			switch got := c.describe(); got {
			case `{"type":"ka"}`:
				told++
			case "ping":
				c.write(wsframe.AppendMasked(nil, true, wsframe.Pong, 1, nil))
			default:
				t.Fatalf("got %s", got)
			}
		}
		c.nc.Close()
	})
}
