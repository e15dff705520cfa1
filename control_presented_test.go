package fraiseql_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/bus"
)

// lookedUp authenticates who says his name, with credentials that do not say when they were issued.
var lookedUp = authenticate(func(c fraiseql.Credentials) (*fraiseql.Identity, error) {
	who := "alice"
	if !c.Refresh {
		who, _ = c.Bearer()
	}
	return shared[who], nil
})

// shared are the same for all: the engine must not write to them.
var shared = map[string]*fraiseql.Identity{"alice": {UserID: "alice", TenantID: "t"}, "bob": {UserID: "bob", TenantID: "t"}}

// registerAs registers a subscription of a user, whose credentials do not say when they were issued.
func registerAs(t *testing.T, e *fraiseql.Engine, user, id string) *fraiseql.Subscription {
	t.Helper()
	s, err := e.Register(t.Context(), fraiseql.Registration{
		ConnectionID: "c", SubscriptionID: id, Query: "subscription { x { n } }", Identity: fraiseql.Identity{UserID: user, TenantID: "t"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// outcome publishes, and returns the last that a pulled subscription got of it: "event", "revoked" or the text.
func outcome(t *testing.T, e *fraiseql.Engine, s *fraiseql.Subscription) (last string) {
	t.Helper()
	synctest.Wait()
	publish(t, e, "x", `{"n":1}`)
	for {
		text, ok, _ := s.Next(nil)
		switch {
		case !ok:
			return last
		case strings.Contains(string(text), "UNAUTHENTICATED"):
			last = "revoked"
		case strings.Contains(string(text), `{"x":{"n":1}}`):
			last = "event"
		default:
			last = string(text)
		}
	}
}

// A revocation by time ends what was presented before, and nothing that was presented since, however it came here.
func TestRevocationByTheTimeOfPresentation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, fraiseql.Config{})
		sessions, err := e.Sessions(fraiseql.HandlerConfig{Authenticator: lookedUp, PingInterval: -1})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		old, renewed, pulled, resumed := join(t, sessions, "alice"), join(t, sessions, "alice"), registerAs(t, e, "alice", "old"), registerAs(t, e, "alice", "resumed")
		<-time.After(10 * time.Minute)
		young, later := join(t, sessions, "alice"), registerAs(t, e, "alice", "young")
		renewed.state()
		renewed.Receive([]byte(`{"type":"ping","payload":{"authorization":"Bearer x"}}`))
		if got := renewed.state(); !strings.Contains(got, `"refreshed":true`) {
			t.Fatalf("refresh: %s", got)
		}
		if err := resumed.Resume(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		for _, m := range []member{old, young} {
			m.state()
		}
		for i, step := range []struct {
			before                       time.Time
			old, young                   string // of WebSockets
			pulled, resumed, pulledLater string
		}{
			{start.Add(-time.Hour), `"type":"next"`, `"type":"next"`, "event", "event", "event"},
			{start.Add(5 * time.Minute), closeRevoked, `"type":"next"`, "revoked", "revoked", "event"},
			{time.Time{}, "", closeRevoked, "", "", "revoked"},
		} {
			if err := e.Revoke(t.Context(), fraiseql.Revocation{UserID: "alice", IssuedBefore: step.before}); err != nil {
				t.Fatal(err)
			}
			got := []string{outcome(t, e, pulled), outcome(t, e, resumed), outcome(t, e, later)}
			if diff := cmp.Diff([]string{step.pulled, step.resumed, step.pulledLater}, got); diff != "" {
				t.Errorf("%d, pulled: %s", i, diff)
			}
			for _, tt := range []struct {
				m    member
				want string
			}{{old, step.old}, {renewed, step.young}, {young, step.young}} {
				if got := tt.m.state(); !strings.Contains(got, tt.want) {
					t.Errorf("%d: %s, want %s", i, got, tt.want)
				}
			}
			if !step.before.IsZero() {
				registerAs(t, e, "alice", "now").Complete()
			}
		}
		<-time.After(time.Millisecond)
		if got := outcome(t, e, registerAs(t, e, "alice", "again")); got != "event" {
			t.Errorf("who came again: %s", got)
		}
		if who := shared["alice"]; !who.IssuedAt.IsZero() || !who.PresentedAt.IsZero() {
			t.Errorf("the Authenticator's identity was written to: %+v", who)
		}
	})
}

// distant is a node whose bus is out of its process, and hears nothing until it is told to.
type distant struct {
	*node
	inbox bus.Handler
}

func (d *distant) Attach(_ context.Context, h bus.Handler) error {
	d.inbox = h
	return nil
}

func (d *distant) Status() bus.Status { return bus.Status{Connected: !d.away.Load()} }

// hear lets the node read history, and hear what is published from now on.
func (d *distant) hear() {
	d.handler.Store(&d.inbox)
	d.away.Store(false)
	<-time.After(3 * time.Second)
}

// A node that reads the revocations only after somebody has registered ends those that were presented before a revocation, not
// those that were presented after it.
func TestRevocationsThatAreReadLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNetwork(t)
		other := newEngine(t, fraiseql.Config{Bus: net.node()})
		revoke := func(user string) {
			t.Helper()
			if err := other.Revoke(t.Context(), fraiseql.Revocation{UserID: user}); err != nil {
				t.Fatal(err)
			}
		}
		revoke("alice")
		<-time.After(time.Hour)
		late := &distant{node: net.node()}
		late.away.Store(true)
		e := newEngine(t, fraiseql.Config{Bus: late})
		alice, bob := registerAs(t, e, "alice", "a"), registerAs(t, e, "bob", "b")
		<-time.After(500 * time.Millisecond)
		revoke("bob")
		<-time.After(500 * time.Millisecond)
		late.hear()
		if got := outcome(t, e, alice); got != "event" {
			t.Errorf("revoked an hour before: %s", got)
		}
		if got := outcome(t, e, bob); got != "revoked" {
			t.Errorf("revoked after the registration: %s", got)
		}
		revoke("alice")
		if got := outcome(t, e, alice); got != "revoked" {
			t.Errorf("revoked at last: %s", got)
		}
	})
}

// Clocks differ: a node on which it is earlier revokes what is here all the same, unless it names an earlier time.
func TestRevocationByAnotherClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNetwork(t)
		e := newEngine(t, fraiseql.Config{Bus: net.node()})
		hear := func(data string, at time.Time) {
			t.Helper()
			m := bus.Message{Event: fraiseql.Event{Channel: bus.ControlChannel, Type: "revocation", Data: []byte(data), Timestamp: at}}
			if _, err := net.Publish(t.Context(), []bus.Message{m}); err != nil {
				t.Fatal(err)
			}
		}
		alice, bob := registerAs(t, e, "alice", "a"), registerAs(t, e, "bob", "b")
		<-time.After(time.Minute)
		behind := time.Now().Add(-2 * time.Minute)
		text := behind.UTC().Format(time.RFC3339Nano)
		hear(`{"user_id":"alice","issued_before":"`+text+`"}`, behind)
		hear(`{"user_id":"bob","issued_before":"`+text+`"}`, time.Now())
		if got := outcome(t, e, alice); got != "revoked" {
			t.Errorf("everything until then: %s", got)
		}
		if got := outcome(t, e, bob); got != "event" {
			t.Errorf("by a time: %s", got)
		}
		<-time.After(time.Millisecond)
		if got := outcome(t, e, registerAs(t, e, "alice", "again")); got != "event" {
			t.Errorf("who came again: %s", got)
		}
	})
}

// Where credentials are accepted for ever, revocations are kept so long.
func TestRevocationsForEver(t *testing.T) {
	for _, life := range []time.Duration{math.MaxInt64, math.MaxInt64 - time.Minute, 200 * 365 * 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			net := newNetwork(t)
			e := newEngine(t, fraiseql.Config{MaxTokenLife: life, Bus: net.node()})
			sessions, err := e.Sessions(fraiseql.HandlerConfig{Authenticator: byToken, PingInterval: -1})
			if err != nil {
				t.Fatal(err)
			}
			m := join(t, sessions, "u/t/j/1m")
			if err := e.Revoke(t.Context(), fraiseql.Revocation{UserID: "u"}); err != nil {
				t.Fatal(err)
			}
			if got := m.state(); got != closeRevoked {
				t.Errorf("%v: %s", life, got)
			}
			<-time.After(1000 * time.Hour)
			late := newEngine(t, fraiseql.Config{MaxTokenLife: life, Bus: net.node()})
			for _, of := range []*fraiseql.Engine{e, late} {
				if _, err := of.Register(t.Context(), registration("u/t/j/1001h")); codeOf(err) != "UNAUTHENTICATED" {
					t.Errorf("%v: %v", life, err)
				}
			}
		})
	}
}
