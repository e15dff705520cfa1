package fraiseql_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/identity"
)

// byName authenticates by the member `as` of connection_init's payload.
type byName struct{}

func (byName) Authenticate(_ context.Context, c fraiseql.Credentials) (*fraiseql.Identity, error) {
	var payload struct{ As string }
	if c.Payload == nil {
		return nil, &identity.Error{Reason: identity.Missing}
	}
	if err := json.Unmarshal(c.Payload, &payload); err != nil {
		return nil, err
	}
	switch payload.As {
	case "stranger":
		return nil, &identity.Error{Reason: identity.Malformed}
	case "unknown":
		return nil, &identity.Error{Reason: identity.KeysUnavailable}
	case "guest":
		return &fraiseql.Identity{UserID: "guest", ExpiresAt: time.Now().Add(10 * time.Second)}, nil
	case "crash":
		panic("crash")
	case "slow guest":
		<-time.After(5 * time.Second)
		return &fraiseql.Identity{UserID: "guest", ExpiresAt: time.Now().Add(10 * time.Second)}, nil
	}
	return &fraiseql.Identity{UserID: payload.As}, nil
}

// host is a WebSocket of a host: it takes only when it was woken.
type host struct {
	t       testing.TB
	engine  *fraiseql.Engine
	session *fraiseql.Session
	woken   atomic.Int32
	full    bool // takes nothing
	got     []string
}

func (h *host) open(s *fraiseql.Sessions, r fraiseql.SessionRequest) {
	h.t.Helper()
	var err error
	if h.session, err = s.Open(r, func() { h.woken.Add(1) }); err != nil {
		h.t.Fatal(err)
	}
}

// take moves what is to be sent to got, as text or `close CODE REASON`.
func (h *host) take() {
	h.t.Helper()
	if h.full {
		return
	}
	n := h.woken.Swap(0)
	if n > 1 {
		h.t.Errorf("woken %d times", n)
	}
	for more := n > 0; more; {
		var out []fraiseql.Outgoing
		out, more = h.session.Take(nil, 50)
		for _, o := range out {
			line := string(o.Data)
			if o.Kind == fraiseql.OutgoingClose {
				line = strings.TrimSpace(fmt.Sprintf("close %d %s", o.Code, o.Data))
			}
			h.got = append(h.got, line)
		}
	}
}

// play runs a script in a synctest bubble. Lines: `> MESSAGE` of the client, `< TEXT` that it gets, `< close CODE
// REASON`, `publish CHANNEL DATA [times]`, `wait DURATION`, `shut CODE REASON`, `leave CODE REASON`, `gone`; `full` until `room`:
// the host takes nothing.
func (h *host) play(script string) {
	h.t.Helper()
	for line := range strings.SplitSeq(script, "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		verb, rest, _ := strings.Cut(line, " ")
		if verb == "<" {
			if len(h.got) == 0 {
				h.t.Fatalf("want %s, got nothing", rest)
			}
			if h.got[0] != rest {
				h.t.Fatalf("want %s\n got %s", rest, h.got[0])
			}
			h.got = h.got[1:]
			continue
		}
		if len(h.got) > 0 {
			h.t.Fatalf("before %q: unexpected %q", line, h.got)
		}
		h.input(verb, rest)
		synctest.Wait()
		h.take()
	}
	if len(h.got) > 0 {
		h.t.Fatalf("at the end: unexpected %q", h.got)
	}
}

func (h *host) input(verb, rest string) {
	h.t.Helper()
	switch verb {
	case ">":
		h.session.Receive([]byte(strings.ReplaceAll(rest, "LONG", strings.Repeat("x", 70_000))))
	case "publish":
		f := strings.Fields(rest)
		times := 1
		if len(f) > 2 {
			times, _ = strconv.Atoi(f[2])
		}
		for range times {
			publish(h.t, h.engine, f[0], f[1])
		}
	case "wait":
		d, err := time.ParseDuration(rest)
		if err != nil {
			h.t.Fatal(err)
		}
		<-time.After(d)
	case "shut":
		code, reason, _ := strings.Cut(rest, " ")
		n, _ := strconv.Atoi(code)
		h.session.Shut(uint16(n), reason)
	case "full":
		h.full = true
	case "room":
		h.full = false
	case "leave":
		code, reason, _ := strings.Cut(rest, " ")
		n, _ := strconv.Atoi(code)
		h.session.ShutAfter(uint16(n), reason)
	case "gone":
		h.session.Close()
	default:
		h.t.Fatalf("unknown line %q %q", verb, rest)
	}
}

const (
	acknowledged = `
		> {"type":"connection_init"}
		< {"type":"connection_ack"}`
	subscribed = acknowledged + `
		> {"id":"1","type":"subscribe","payload":{"query":"subscription { everything { text } }"}}`
)

// TestSessionScripts has the rules of graphql-transport-ws as a host that owns the WebSocket sees them. All of them,
// on the machine itself, are in internal/session.
func TestSessionScripts(t *testing.T) {
	for _, c := range []struct {
		rule, script string
		limits       fraiseql.Limits
		adjust       func(*fraiseql.HandlerConfig)
	}{
		{rule: "acknowledged, subscribed, completed", script: subscribed + `
			publish chat {"text":"a"}
			< {"id":"1","type":"next","payload":{"data":{"everything":{"text":"a"}}}}
			> {"id":"1","type":"complete"}
			publish chat {"text":"b"}`},
		{rule: "several messages come in order, across takes", script: subscribed + `
			publish chat {"text":"a"} 3
			< {"id":"1","type":"next","payload":{"data":{"everything":{"text":"a"}}}}
			< {"id":"1","type":"next","payload":{"data":{"everything":{"text":"a"}}}}
			< {"id":"1","type":"next","payload":{"data":{"everything":{"text":"a"}}}}`},
		{rule: "an id can be used again", script: subscribed + `
			> {"id":"1","type":"complete"}
			> {"id":"1","type":"subscribe","payload":{"query":"subscription { everything { id } }"}}
			publish chat {"id":7,"text":"b"}
			< {"id":"1","type":"next","payload":{"data":{"everything":{"id":"7"}}}}`},
		{rule: "a query is answered once", script: acknowledged + `
			> {"id":"q","type":"subscribe","payload":{"query":"{ __typename }"}}
			< {"id":"q","type":"next","payload":{"data":{"__typename":"Query"}}}
			< {"id":"q","type":"complete"}`},
		{rule: "a refused operation leaves the others alone", script: subscribed + `
			> {"id":"2","type":"subscribe","payload":{"query":"subscription { nope }"}}
			< {"id":"2","type":"error","payload":[{"message":"Cannot query field \"nope\" on type \"Subscription\".","locations":[{"line":1,"column":16}],"extensions":{"code":"GRAPHQL_VALIDATION_FAILED"}}]}
			publish chat {"text":"a"}
			< {"id":"1","type":"next","payload":{"data":{"everything":{"text":"a"}}}}`},
		{rule: "ping is answered at any time", script: `
			> {"type":"ping","payload":{"n":1}}
			< {"type":"pong","payload":{"n":1}}
			> {"type":"pong"}`},
		{rule: "4400: not JSON", script: `
			> {"type":
			< close 4400 invalid JSON at byte 8: a value was expected, but the text ends
			> {"type":"ping"}`},
		{rule: "4400: unknown type", script: `
			> {"type":"start"}
			< close 4400 Unknown message type "start"`},
		{rule: "4401: not acknowledged", script: `
			> {"id":"1","type":"subscribe","payload":{"query":"subscription { everything { text } }"}}
			< close 4401 Unauthorized`},
		{rule: "4403: refused", script: `
			> {"type":"connection_init","payload":{"as":"stranger"}}
			< close 4403 Forbidden`},
		{rule: "1013: nobody can say", script: `
			> {"type":"connection_init","payload":{"as":"unknown"}}
			< close 1013 Authentication is not available, try again later`},
		{rule: "1013: the authenticator panics", script: `
			> {"type":"connection_init","payload":{"as":"crash"}}
			< close 1013 Authentication is not available, try again later`},
		{rule: "4403: credentials end", script: `
			> {"type":"connection_init","payload":{"as":"guest"}}
			< {"type":"connection_ack"}
			wait 9.9s
			wait 200ms
			< close 4403 Forbidden: credentials have expired`},
		{rule: "4403: credentials end that took long to judge", adjust: func(c *fraiseql.HandlerConfig) { c.PingInterval = -1 }, script: `
			> {"type":"connection_init","payload":{"as":"slow guest"}}
			wait 4.9s
			wait 200ms
			< {"type":"connection_ack"}
			wait 9.8s
			wait 200ms
			< close 4403 Forbidden: credentials have expired`},
		{rule: "4408: no connection_init", script: `
			wait 2.9s
			wait 200ms
			< close 4408 Connection initialisation timeout
			wait 1h`},
		{rule: "4409: the id is in use", script: subscribed + `
			> {"id":"1","type":"subscribe","payload":{"query":"subscription { everything { text } }"}}
			< close 4409 Subscriber for 1 already exists`},
		{rule: "4429: connection_init twice", script: acknowledged + `
			> {"type":"connection_init"}
			< close 4429 Too many initialisation requests`},
		{rule: "1009: a long message of somebody unknown", script: `
			> {"type":"ping","payload":{"a":"LONG"}}
			< close 1009 message too big`},
		{rule: "a long message of somebody known", script: acknowledged + `
			> {"type":"ping","payload":{"a":"LONG"}}
			< {"type":"pong"}`},
		{rule: "1009: MessageBytes", adjust: func(c *fraiseql.HandlerConfig) { c.MessageBytes = 1000 }, script: acknowledged + `
			> {"type":"ping","payload":{"a":"LONG"}}
			< close 1009 message too big`},
		{rule: "4290: a slow consumer", limits: fraiseql.Limits{QueueMessages: 2}, script: subscribed + `
			publish chat {"text":"a"} 3
			< close 4290 slow consumer: queue full
			publish chat {"text":"a"}`},
		{rule: "subscriptions of a connection", limits: fraiseql.Limits{SubscriptionsPerConnection: 1}, script: subscribed + `
			> {"id":"2","type":"subscribe","payload":{"query":"subscription { everything { text } }"}}
			< {"id":"2","type":"error","payload":[{"message":"this connection has as many subscriptions as it may have","extensions":{"code":"TOO_MANY_SUBSCRIPTIONS"}}]}`},
		{rule: "subscriptions of a user", limits: fraiseql.Limits{SubscriptionsPerUser: 1}, script: subscribed + `
			> {"id":"2","type":"subscribe","payload":{"query":"subscription { everything { text } }"}}
			< {"id":"2","type":"error","payload":[{"message":"The user has 1 subscriptions, as many as a user may have.","extensions":{"code":"TOO_MANY_SUBSCRIPTIONS"}}]}
			> {"id":"1","type":"complete"}
			> {"id":"2","type":"subscribe","payload":{"query":"subscription { everything { text } }"}}`},
		{rule: "rate of subscribes", limits: fraiseql.Limits{SubscribeRate: 1, SubscribeBurst: 1}, script: subscribed + `
			> {"id":"2","type":"subscribe","payload":{"query":"subscription { everything { text } }"}}
			< {"id":"2","type":"error","payload":[{"message":"Too many subscribes in a short time, try again in 1 s.","extensions":{"code":"RATE_LIMITED"}}]}
			wait 1s
			> {"id":"2","type":"subscribe","payload":{"query":"subscription { everything { text } }"}}`},
		{rule: "silence is broken by pings", script: acknowledged + `
			wait 29.9s
			wait 200ms
			< {"type":"ping"}
			> {"type":"pong"}
			wait 29.9s
			wait 200ms
			< {"type":"ping"}
			wait 9.7s
			> {"type":"pong"}
			wait 29.9s
			wait 200ms
			< {"type":"ping"}
			wait 9.7s
			wait 500ms
			< close 1001 no answer to ping`},
		{rule: "whoever talks is not pinged", script: acknowledged + `
			wait 20s
			> {"type":"pong"}
			wait 20s
			> {"type":"pong"}
			wait 29.9s
			wait 200ms
			< {"type":"ping"}`},
		{rule: "no pings", adjust: func(c *fraiseql.HandlerConfig) { c.PingInterval = -1 }, script: acknowledged + `
			wait 10h`},
		{rule: "credentials end beside pings", adjust: func(c *fraiseql.HandlerConfig) { c.PingInterval, c.PongTimeout = 4*time.Second, time.Second }, script: `
			> {"type":"connection_init","payload":{"as":"guest"}}
			< {"type":"connection_ack"}
			wait 4.1s
			< {"type":"ping"}
			> {"type":"pong"}
			wait 4.1s
			< {"type":"ping"}
			> {"type":"pong"}
			wait 1.9s
			< close 4403 Forbidden: credentials have expired`},
		{rule: "silence counts from the acknowledgement on", adjust: func(c *fraiseql.HandlerConfig) { c.InitTimeout, c.PingInterval = 20*time.Second, 4*time.Second }, script: acknowledged + `
			wait 3.9s
			wait 200ms
			< {"type":"ping"}`},
		{rule: "the host shuts", script: subscribed + `
			shut 1003 messages are text
			< close 1003 messages are text
			> {"type":"ping"}`},
		{rule: "the host shuts and drops what waits", script: subscribed + `
			full
			publish chat {"text":"a"} 3
			shut 1003 messages are text
			room
			< close 1003 messages are text`},
		{rule: "the host leaves after what waits", script: subscribed + `
			full
			publish chat {"text":"a"} 3
			leave 1012 again
			publish chat {"text":"b"}
			leave 1001 later
			room
			< {"id":"1","type":"next","payload":{"data":{"everything":{"text":"a"}}}}
			< {"id":"1","type":"next","payload":{"data":{"everything":{"text":"a"}}}}
			< {"id":"1","type":"next","payload":{"data":{"everything":{"text":"a"}}}}
			< close 1012 again
			> {"type":"ping"}`},
		{rule: "nothing comes once the client is gone", script: subscribed + `
			gone
			publish chat {"text":"a"}
			> {"type":"ping"}
			gone
			shut 1001 x
			wait 1h`},
	} {
		t.Run(c.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newEngine(t, fraiseql.Config{Limits: c.limits, Schema: []fraiseql.SchemaSource{{Text: chatSDL}}})
				cfg := fraiseql.HandlerConfig{Authenticator: byName{}, Anonymous: true}
				if c.adjust != nil {
					c.adjust(&cfg)
				}
				sessions, err := e.Sessions(cfg)
				if err != nil {
					t.Fatal(err)
				}
				h := &host{t: t, engine: e}
				h.open(sessions, fraiseql.SessionRequest{})
				h.play(c.script)
				h.session.Close()
				if s := e.Stats(); s.Connections+s.Subscriptions+s.Groups != 0 {
					t.Errorf("left over: %+v", s)
				}
			})
		})
	}
}

// Clients of the legacy protocol get a ka every 15 s from the acknowledgement on, whenever connection_init was due: they
// give up after 30 s.
func TestLegacyKeepAlive(t *testing.T) {
	for _, initTimeout := range []time.Duration{3 * time.Second, 20 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			e := chatEngine(t)
			sessions := anonymous(t, e, fraiseql.HandlerConfig{LegacyGraphQLWS: true, InitTimeout: initTimeout})
			h := &host{t: t, engine: e}
			h.open(sessions, fraiseql.SessionRequest{Legacy: true})
			h.play(`
				wait 1s
				> {"type":"connection_init"}
				< {"type":"connection_ack"}
				< {"type":"ka"}
				wait 14.9s
				wait 200ms
				< {"type":"ka"}
				wait 14.7s
				wait 300ms
				< {"type":"ka"}
				wait 14.7s
				wait 300ms
				< {"type":"ka"}`)
			h.session.Close()
		})
	}
}
