package fraiseql_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/membus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
)

// network is one memory bus that several engines are attached to, as nodes are to a bus outside of their process.
type network struct {
	*membus.Bus
	mu    sync.Mutex
	nodes []*node
}

// node is the network as one engine sees it.
type node struct {
	*network
	handler atomic.Pointer[bus.Handler]
	away    atomic.Bool // history cannot be read
	lost    atomic.Bool // some of it, though it was to outlive the process
	deaf    atomic.Bool // nothing is delivered
	forgets bool        // there is no history
	most    int         // events of a page, 0: as many as are asked for
}

func newNetwork(t *testing.T) *network {
	n := &network{Bus: membus.New(membus.Options{})}
	if err := n.Bus.Attach(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *network) node() *node {
	n.mu.Lock()
	defer n.mu.Unlock()
	one := &node{network: n}
	n.nodes = append(n.nodes, one)
	return one
}

// Deliver gives a message to every node, as bytes from outside.
func (n *network) Deliver(m *bus.Message) (sum int) {
	n.mu.Lock()
	nodes := n.nodes
	n.mu.Unlock()
	for _, one := range nodes {
		if h := one.handler.Load(); h != nil && !one.deaf.Load() {
			sum += (*h).Deliver(&bus.Message{Event: m.Event, Position: m.Position})
		}
	}
	return sum
}

func (n *node) Attach(_ context.Context, h bus.Handler) error {
	n.handler.Store(&h)
	return nil
}

func (n *node) History(ctx context.Context, channel string, after event.Position, limit int) (bus.Page, error) {
	if n.away.Load() {
		return bus.Page{}, bus.ErrUnavailable
	}
	if n.most > 0 {
		limit = min(limit, n.most)
	}
	if n.forgets {
		return bus.Page{}, nil
	}
	page, err := n.Bus.History(ctx, channel, after, limit)
	page.Complete = page.Complete && !n.lost.Load()
	return page, err
}

func (n *node) Describe() bus.Description {
	d := n.Bus.Describe()
	d.Durable, d.Shared = n.lost.Load(), n.forgets
	return d
}

func (n *node) Close(context.Context) error { return nil }

// byToken authenticates by the text of the token: user, tenant, id of the token and age in minutes, with / between.
var byToken = authenticate(func(c fraiseql.Credentials) (*fraiseql.Identity, error) {
	token, err := c.Bearer()
	if err != nil {
		return nil, err
	}
	part := strings.Split(token, "/")
	age, err := time.ParseDuration(part[3])
	if err != nil {
		return nil, &identity.Error{Reason: identity.Malformed}
	}
	return &fraiseql.Identity{UserID: part[0], TenantID: part[1], TokenID: part[2], IssuedAt: time.Now().Add(-age)}, nil
})

// member is a client of a session, with a subscription.
type member struct{ *fraiseql.Session }

func join(t *testing.T, sessions *fraiseql.Sessions, token string) member {
	t.Helper()
	return joinAfter(t, sessions, token, 10*time.Millisecond) // of the bubble: some authenticators take as long
}

// joinAfter is join, with the time between connection_init and subscribe.
func joinAfter(t *testing.T, sessions *fraiseql.Sessions, token string, wait time.Duration) member {
	t.Helper()
	s, err := sessions.Open(fraiseql.SessionRequest{Authorization: "Bearer " + token}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.Receive([]byte(`{"type":"connection_init"}`))
	<-time.After(wait)
	synctest.Wait()
	s.Receive([]byte(`{"id":"1","type":"subscribe","payload":{"query":"subscription { x { n } }"}}`))
	return member{s}
}

// state takes what waits and returns the last: a text, or a close.
func (m member) state() string {
	synctest.Wait()
	last := ""
	for {
		out, more := m.Take(nil, 0)
		for _, o := range out {
			if last = string(o.Data); o.Kind == fraiseql.OutgoingClose {
				return "close " + last
			}
		}
		if !more {
			return last
		}
	}
}

const (
	ack          = `{"type":"connection_ack"}`
	closeRevoked = "close Forbidden: the credentials were revoked"
)

// Who came again after a revocation, with credentials that do not say when they were issued, stays when others are revoked, and goes with the
// next one that names it.
func TestRevocationsOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, fraiseql.Config{})
		sessions, err := e.Sessions(fraiseql.HandlerConfig{Authenticator: authenticate(func(c fraiseql.Credentials) (*fraiseql.Identity, error) {
			who, _ := c.Bearer()
			return &fraiseql.Identity{UserID: who, TenantID: "t"}, nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		want := func(step string, m member, want string) {
			t.Helper()
			if got := m.state(); got != want {
				t.Errorf("%s: %s, want %s", step, got, want)
			}
		}
		revoke := func(user string) {
			t.Helper()
			if err := e.Revoke(t.Context(), fraiseql.Revocation{UserID: user}); err != nil {
				t.Fatal(err)
			}
			<-time.After(time.Second)
		}
		first := join(t, sessions, "alice")
		revoke("alice")
		want("revoked", first, closeRevoked)
		second := join(t, sessions, "alice")
		pulled, err := e.Register(t.Context(), fraiseql.Registration{ConnectionID: "c", SubscriptionID: "s", Query: "subscription { x { n } }", Identity: fraiseql.Identity{UserID: "alice", TenantID: "t"}})
		if err != nil {
			t.Fatal(err)
		}
		revoke("bob")
		want("another is revoked", second, ack)
		publish(t, e, "x", `{"n":1}`)
		if text, err := pulled.Receive(t.Context()); err != nil || strings.Contains(string(text), "UNAUTHENTICATED") {
			t.Errorf("pulled: %s, %v", text, err)
		}
		revoke("alice")
		if got := second.state(); got != closeRevoked {
			t.Errorf("revoked again: %s", got)
		}
	})
}

// A revocation on one node closes connections on all, and only those; whoever comes later with the same credentials is
// refused on all, those that were begun later too; with fresh ones it is admitted.
func TestRevocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNetwork(t)
		var engines []*fraiseql.Engine
		var doors []*fraiseql.Sessions
		for range 2 {
			e := newEngine(t, fraiseql.Config{Bus: net.node()})
			sessions, err := e.Sessions(fraiseql.HandlerConfig{Authenticator: byToken})
			if err != nil {
				t.Fatal(err)
			}
			engines, doors = append(engines, e), append(doors, sessions)
		}
		for _, tt := range []struct {
			name      string
			rule      fraiseql.Revocation
			gone, not string
		}{
			{"token", fraiseql.Revocation{TokenID: "j1"}, "u1/t1/j1/1m", "u1/t1/j2/1m"},
			{"user", fraiseql.Revocation{UserID: "u3"}, "u3/t1/j3/1m", "u4/t1/j3/1m"},
			{"user of a tenant", fraiseql.Revocation{UserID: "u5", TenantID: "t5"}, "u5/t5/j/1m", "u5/t6/j/1m"},
			{"tenant", fraiseql.Revocation{TenantID: "t7"}, "u7/t7/j/1m", "u7/t8/j/1m"},
			{"age", fraiseql.Revocation{IssuedBefore: time.Now().Add(-time.Hour)}, "u9/t9/j/2h", "u9/t9/j/59m"},
		} {
			var gone, stay []member
			for _, d := range doors {
				gone, stay = append(gone, join(t, d, tt.gone)), append(stay, join(t, d, tt.not))
			}
			pulled, err := engines[1].Register(t.Context(), registration(tt.gone))
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if err := engines[0].Revoke(t.Context(), tt.rule); err != nil {
				t.Fatal(err)
			}
			for i := range doors {
				if got := gone[i].state(); got != closeRevoked {
					t.Errorf("%s, node %d: %s", tt.name, i, got)
				}
				if got := stay[i].state(); got != ack {
					t.Errorf("%s, node %d: the other one: %s", tt.name, i, got)
				}
				if got := join(t, doors[i], tt.gone).state(); got != "close Forbidden" {
					t.Errorf("%s, node %d, later: %s", tt.name, i, got)
				}
				if got := join(t, doors[i], tt.not).state(); got != ack {
					t.Errorf("%s, node %d, another one later: %s", tt.name, i, got)
				}
			}
			if text, err := pulled.Receive(t.Context()); err != nil || !strings.Contains(string(text), "UNAUTHENTICATED") {
				t.Errorf("%s, pulled: %s, %v", tt.name, text, err)
			}
			refused, errs := engines[1].Register(t.Context(), registration(tt.gone))
			if refused != nil || errs == nil || !strings.Contains(errs.Error(), "UNAUTHENTICATED") {
				t.Errorf("%s, pulled later: %v", tt.name, errs)
			}
		}
		<-time.After(time.Second)
		if got := join(t, doors[1], "u3/t1/j3/0s").state(); got != ack {
			t.Errorf("fresh credentials: %s", got)
		}
	})
}

// A node that starts later knows what was revoked before, and forgets it when no such credentials can be valid any more.
func TestRevocationIsKeptAsLongAsTokensLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNetwork(t)
		first := newEngine(t, fraiseql.Config{Bus: net.node()})
		if err := first.Revoke(t.Context(), fraiseql.Revocation{UserID: "u3"}); err != nil {
			t.Fatal(err)
		}
		late := newEngine(t, fraiseql.Config{Bus: net.node()})
		sessions, err := late.Sessions(fraiseql.HandlerConfig{Authenticator: byToken})
		if err != nil {
			t.Fatal(err)
		}
		if got := join(t, sessions, "u3/t1/j3/1m").state(); got != "close Forbidden" || !late.Ready() {
			t.Errorf("a node that starts later: %s, ready %v", got, late.Ready())
		}
		<-time.After(25 * time.Hour)
		if err := late.Revoke(t.Context(), fraiseql.Revocation{TokenID: "new"}); err != nil {
			t.Fatal(err)
		}
		if got := join(t, sessions, "u3/t1/j3/26h").state(); got != ack {
			t.Errorf("when no such credentials can be valid any more: %s", got)
		}
	})
}

// Pages that are shorter than what was asked for are not the end, and what the bus has lost is told.
func TestRevocationsInShortPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNetwork(t)
		first := newEngine(t, fraiseql.Config{Bus: net.node()})
		for i := range 5 {
			if err := first.Revoke(t.Context(), fraiseql.Revocation{UserID: fmt.Sprint("u", i)}); err != nil {
				t.Fatal(err)
			}
		}
		for _, lost := range []bool{false, true} {
			var log bytes.Buffer
			short := net.node()
			short.most = 2
			short.lost.Store(lost)
			late := newEngine(t, fraiseql.Config{Bus: short, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))})
			for i := range 5 {
				if _, err := late.Register(t.Context(), registration(fmt.Sprintf("u%d/t/j/1m", i))); codeOf(err) != "UNAUTHENTICATED" {
					t.Errorf("u%d: %v", i, err)
				}
			}
			if told := strings.Contains(log.String(), "revoke again"); told != lost || !late.Ready() {
				t.Errorf("lost %v, log %q, ready %v", lost, log.String(), late.Ready())
			}
		}
	})
}

func registration(token string) fraiseql.Registration {
	who, _ := byToken(fraiseql.Credentials{Authorization: "Bearer " + token})
	return fraiseql.Registration{ConnectionID: "c", SubscriptionID: token, Query: "subscription { x { n } }", Identity: *who}
}

// A node that cannot read the revocations admits nobody, and is not ready, until it can.
func TestRevocationsThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNetwork(t)
		first := newEngine(t, fraiseql.Config{Bus: net.node()})
		if err := first.Revoke(t.Context(), fraiseql.Revocation{UserID: "u1"}); err != nil {
			t.Fatal(err)
		}
		away := net.node()
		away.away.Store(true)
		e := newEngine(t, fraiseql.Config{Bus: away})
		sessions, err := e.Sessions(fraiseql.HandlerConfig{Authenticator: byToken})
		if err != nil {
			t.Fatal(err)
		}
		if got := joinAfter(t, sessions, "u2/t/j/1m", 3*time.Second).state(); !strings.HasPrefix(got, "close The event bus cannot be read") || e.Ready() {
			t.Errorf("got %s, ready %v", got, e.Ready())
		}
		away.away.Store(false)
		<-time.After(2 * time.Second)
		if got := join(t, sessions, "u2/t/j/1m").state(); got != ack || !e.Ready() {
			t.Errorf("got %s, ready %v", got, e.Ready())
		}
		if got := join(t, sessions, "u1/t/j/1m").state(); got != "close Forbidden" {
			t.Errorf("got %s", got)
		}
	})
}

// Credentials that are revoked while they are judged, and those in a refresh, are found.
func TestRevocationWhileAuthenticating(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, fraiseql.Config{})
		sessions, err := e.Sessions(fraiseql.HandlerConfig{Authenticator: authenticate(func(c fraiseql.Credentials) (*fraiseql.Identity, error) {
			if c.Refresh || c.Authorization == "Bearer slow/t/j/1m" {
				tick()
				if err := e.Revoke(t.Context(), fraiseql.Revocation{TenantID: "t"}); err != nil {
					t.Error(err)
				}
			}
			return &fraiseql.Identity{TenantID: "t"}, nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		if got := join(t, sessions, "slow/t/j/1m").state(); got != "close Forbidden" {
			t.Errorf("got %s", got)
		}
		m := join(t, sessions, "quick/t/j/1m")
		if got := m.state(); got != ack {
			t.Fatalf("got %s", got)
		}
		m.Receive([]byte(`{"type":"ping","payload":{"authorization":"Bearer x"}}`))
		<-time.After(10 * time.Millisecond)
		if got := m.state(); got != closeRevoked {
			t.Errorf("got %s", got)
		}
	})
}

// tick lets the clock of a bubble go on a little: what is presented now is older than what is revoked then.
func tick() { <-time.After(time.Millisecond) }

func TestRefusedRevocations(t *testing.T) {
	e := newEngine(t, fraiseql.Config{})
	var refused *fraiseql.Error
	if err := e.Revoke(t.Context(), fraiseql.Revocation{UserID: strings.Repeat("x", 5000)}); !errors.As(err, &refused) || refused.Code != "INVALID_VALUE" {
		t.Errorf("got %v", err)
	}
	for ahead, want := range map[time.Duration]string{72 * time.Hour: "INVALID_VALUE", 6 * time.Minute: "INVALID_VALUE", 4 * time.Minute: ""} {
		if err := e.Revoke(t.Context(), fraiseql.Revocation{UserID: "u", IssuedBefore: time.Now().Add(ahead)}); codeOf(err) != want {
			t.Errorf("%v ahead: %v", ahead, err)
		}
	}
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.Revoke(t.Context(), fraiseql.Revocation{UserID: "x"}); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
