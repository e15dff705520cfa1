package fraiseql_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/observe"
)

// limitCounts remembers which limits acted.
type limitCounts struct {
	observe.Discard
	n map[string]int
}

func (l *limitCounts) Counted(c observe.Counter, label string, n int) {
	if c == observe.Limited {
		l.n[label] += n
	}
}

// bounded is an engine with limits in a bubble, and sessions of it.
func bounded(t *testing.T, limits fraiseql.Limits) (*fraiseql.Sessions, *limitCounts) {
	t.Helper()
	seen := &limitCounts{n: map[string]int{}}
	e := newEngine(t, fraiseql.Config{Limits: limits, Observer: seen})
	sessions, err := e.Sessions(fraiseql.HandlerConfig{Authenticator: byToken})
	if err != nil {
		t.Fatal(err)
	}
	return sessions, seen
}

func TestConnectionsPerIP(t *testing.T) {
	sessions, seen := bounded(t, fraiseql.Limits{ConnectionsPerIP: 2})
	open := func(remote string, want error) *fraiseql.Session {
		t.Helper()
		s, err := sessions.Open(fraiseql.SessionRequest{RemoteAddr: remote}, func() {})
		if err != want {
			t.Fatalf("%s: %v", remote, err)
		}
		if s != nil {
			t.Cleanup(s.Close)
		}
		return s
	}
	first := open("192.0.2.1:1000", nil)
	open("192.0.2.1:1001", nil)
	open("192.0.2.1:1002", fraiseql.ErrTooManyConnections)
	open("[::ffff:192.0.2.1]:1002", fraiseql.ErrTooManyConnections)
	open("192.0.2.2:1000", nil)
	open("[2001:db8::1]:1", nil)
	open("[2001:db8::ffff:1]:1", nil)
	open("[2001:db8::2]:1", fraiseql.ErrTooManyConnections)
	open("[2001:db8:0:1::2]:1", nil)
	for range 5 { // a proxy of this machine, or a host that does not know
		open("127.0.0.1:1", nil)
		open("[::1]:1", nil)
		open("", nil)
	}
	first.Close()
	first.Close()
	open("192.0.2.1:1003", nil)
	open("192.0.2.1:1004", fraiseql.ErrTooManyConnections)
	if seen.n["connections_per_ip"] != 4 {
		t.Errorf("%v", seen.n)
	}
}

func TestConnectionsPerUserAndTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sessions, seen := bounded(t, fraiseql.Limits{ConnectionsPerUser: 2, ConnectionsPerTenant: 3})
		const busy = "close Too many connections of this user or tenant, try again later"
		first := join(t, sessions, "u1/t1/j/1m")
		for _, tt := range []struct{ token, want string }{
			{"u1/t1/j/1m", ack}, {"u1/t1/j/1m", busy}, {"u1/t2/j/1m", ack}, {"u2/t1/j/1m", ack}, {"u3/t1/j/1m", busy},
			{"/t1/j/1m", busy}, {"/t3/j/1m", ack}, {"//j/1m", ack}, {"//j/1m", ack}, {"//j/1m", ack}, {"//j/1m", ack},
		} {
			if got := join(t, sessions, tt.token).state(); got != tt.want {
				t.Errorf("%s: %s", tt.token, got)
			}
		}
		first.Receive([]byte(`{"type":"nonsense"}`)) // closed by the server, then by the client
		if got := join(t, sessions, "u1/t1/j/1m").state(); got != ack {
			t.Errorf("after one was closed: %s", got)
		}
		first.Close()
		if got := join(t, sessions, "u1/t1/j/1m").state(); got != busy {
			t.Errorf("it was counted twice: %s", got)
		}
		if seen.n["connections_per_user"] != 2 || seen.n["connections_per_tenant"] != 2 {
			t.Errorf("%v", seen.n)
		}
	})
}

func TestSubscriptionsPerTenantAndFieldsPerUser(t *testing.T) {
	seen := &limitCounts{n: map[string]int{}}
	e := newEngine(t, fraiseql.Config{Observer: seen, Limits: fraiseql.Limits{SubscriptionsPerTenant: 3, FieldsPerUser: 10}})
	n := 0
	try := func(user, tenant, query string) (*fraiseql.Subscription, string) {
		n++
		s, err := e.Register(t.Context(), fraiseql.Registration{ConnectionID: user + tenant, SubscriptionID: fmt.Sprint(n), Query: query,
			Identity: fraiseql.Identity{UserID: user, TenantID: tenant}})
		if err != nil {
			return nil, codeOf(err) + ": " + err.Error()
		}
		return s, ""
	}
	expect := func(user, tenant, query, want string) *fraiseql.Subscription {
		t.Helper()
		s, got := try(user, tenant, query)
		if !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s of %s, %s: %q, want %q", user, tenant, query, got, want)
		}
		return s
	}
	const five = "subscription { x { a b: a ...f } } fragment f on X { c d: c }"
	first := expect("u", "t", five, "")
	expect("u", "t", five, "")
	expect("u", "t", "subscription { y }", "would select more than 10 fields together")
	first.Complete()
	expect("u", "t", "subscription { y }", "")
	expect("v", "t", "subscription { y }", "")
	expect("w", "t", "subscription { y }", "The tenant has 3 subscriptions")
	expect("w", "t2", "subscription { y }", "")
	expect("x", "t2", "subscription { x { a b: a c: a d: a e: a f: a g: a h: a i: a j: a k: a } }", "") // more than the bound alone
	expect("x", "t2", "subscription { y }", "would select more than 10 fields")
	if seen.n["fields_per_user"] != 2 || seen.n["subscriptions_per_tenant"] != 1 {
		t.Errorf("%v", seen.n)
	}
}

// One client cannot make an event cost more than its fields, however many documents and aliases it thinks of.
func TestAliasesTimesSubscriptions(t *testing.T) {
	e := newEngine(t, fraiseql.Config{Limits: fraiseql.Limits{FieldsPerUser: 10_000}})
	accepted := 0
	for i := range 1000 {
		var query strings.Builder
		fmt.Fprintf(&query, "subscription { x { first%d: a ", i)
		for k := range 149 {
			fmt.Fprintf(&query, "a%d: a ", k)
		}
		query.WriteString("} }")
		_, err := e.Register(t.Context(), fraiseql.Registration{ConnectionID: fmt.Sprint(i % 10), SubscriptionID: fmt.Sprint(i), Query: query.String(),
			Identity: fraiseql.Identity{UserID: "u"}})
		if err == nil {
			accepted++
		} else if codeOf(err) != "TOO_MANY_SUBSCRIPTIONS" {
			t.Fatal(err)
		}
	}
	if accepted != 10_000/151 {
		t.Errorf("%d subscriptions", accepted)
	}
	if groups := e.Stats().Groups; groups != accepted {
		t.Errorf("%d groups", groups)
	}
}

// A flood of connections is admitted at a rate.
func TestConnectRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sessions, seen := bounded(t, fraiseql.Limits{ConnectRate: 10})
		flood := func() (n int) {
			for range 1000 {
				if s, err := sessions.Open(fraiseql.SessionRequest{}, func() {}); err == nil {
					n++
					s.Close()
				}
			}
			return n
		}
		for i, want := range []int{100, 10, 10} {
			if got := flood(); got != want {
				t.Errorf("second %d: %d admitted", i, got)
			}
			<-time.After(time.Second)
		}
		if seen.n["connect_rate"] != 2880 {
			t.Errorf("%v", seen.n)
		}
	})
}

// Bounds that nobody counts for cannot be set: those that were to change are named, and no others.
func TestBoundsThatNobodyCountsFor(t *testing.T) {
	e := newEngine(t, fraiseql.Config{Limits: fraiseql.Limits{ConnectionsPerIP: 1}})
	for _, tt := range []struct {
		limits fraiseql.Limits
		left   []string
	}{
		{fraiseql.Limits{SubscriptionsPerUser: 5, ConnectionsPerTenant: 3, ConnectionsPerIP: 7}, []string{"SubscriptionsPerUser", "ConnectionsPerTenant"}},
		{fraiseql.Limits{}, nil},
	} {
		if left, err := e.SetLimits(tt.limits); err != nil || !slices.Equal(left, tt.left) {
			t.Errorf("%v, %v, want %v", left, err, tt.left)
		}
	}
}

// An address that has as many connections as it may have does not use up the rate of all, and who is refused for the rate
// is not counted.
func TestConnectRateBesideARefusedAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sessions, seen := bounded(t, fraiseql.Limits{ConnectRate: 10, ConnectionsPerIP: 1})
		open := func(remote string) bool {
			s, err := sessions.Open(fraiseql.SessionRequest{RemoteAddr: remote}, func() {})
			if err == nil {
				t.Cleanup(s.Close)
			}
			return err == nil
		}
		for i := range 1001 {
			if got := open("192.0.2.1:1"); got != (i == 0) {
				t.Fatalf("connection %d: admitted %v", i, got)
			}
		}
		if !open("192.0.2.2:1") {
			t.Error("another address is refused")
		}
		for range 98 {
			open("127.0.0.1:1")
		}
		if open("192.0.2.3:1") || seen.n["connect_rate"] != 1 || seen.n["connections_per_ip"] != 1000 {
			t.Errorf("%v", seen.n)
		}
		<-time.After(time.Second)
		if !open("192.0.2.3:1") {
			t.Error("who was refused for the rate is counted")
		}
	})
}

// Beyond its ceiling an engine takes nothing new, and serves what it has.
func TestMemoryCeiling(t *testing.T) {
	sessions, seen := bounded(t, fraiseql.Limits{MemoryBytes: 1})
	if _, err := sessions.Open(fraiseql.SessionRequest{}, func() {}); err != fraiseql.ErrTooManyConnections {
		t.Errorf("connect: %v", err)
	}
	e := newEngine(t, fraiseql.Config{Limits: fraiseql.Limits{MemoryBytes: 1}})
	if _, err := as(e, "c", "s", "t", "u"); codeOf(err) != "RATE_LIMITED" {
		t.Errorf("subscribe: %v", err)
	}
	if _, err := e.Publish(t.Context(), fraiseql.Event{Channel: "x", Type: "t", Data: []byte(`{}`)}); codeOf(err) != "RATE_LIMITED" {
		t.Errorf("publish: %v", err)
	}
	if seen.n["memory"] != 1 {
		t.Errorf("%v", seen.n)
	}
}
