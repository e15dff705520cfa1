package fraiseql_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// forgetful returns an engine on a bus that keeps nothing, as one node of several.
func forgetful(t *testing.T, net *network) (*fraiseql.Engine, *node, *fraiseql.Sessions) {
	t.Helper()
	n := net.node()
	n.forgets = true
	e := newEngine(t, fraiseql.Config{Bus: n})
	sessions, err := e.Sessions(fraiseql.HandlerConfig{Authenticator: byToken})
	if err != nil {
		t.Fatal(err)
	}
	return e, n, sessions
}

// On a bus that keeps nothing, a node that was cut off, and one that starts later, are told by the others what was revoked.
func TestRevocationsAreToldByOtherNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNetwork(t)
		a, _, _ := forgetful(t, net)
		_, away, doors := forgetful(t, net)
		held := join(t, doors, "u1/t1/j1/1m")
		away.deaf.Store(true)
		if err := a.Revoke(t.Context(), fraiseql.Revocation{UserID: "u1"}); err != nil {
			t.Fatal(err)
		}
		if got := held.state(); got != ack {
			t.Fatalf("cut off: %s", got)
		}
		away.deaf.Store(false)
		(*away.handler.Load()).(bus.GapHandler).Gap(bus.ControlChannel, event.Position{})
		if got := held.state(); got != closeRevoked {
			t.Errorf("back: %s", got)
		}
		_, _, late := forgetful(t, net)
		synctest.Wait()
		if got := join(t, late, "u1/t1/j1/1m").state(); got != "close Forbidden" {
			t.Errorf("at a node that was started later: %s", got)
		}
		<-time.After(time.Second)
		for _, door := range []*fraiseql.Sessions{doors, late} {
			if got := join(t, door, "u1/t1/j2/0s").state(); got != ack {
				t.Errorf("fresh credentials: %s", got)
			}
		}
	})
}

// Nodes that are asked share the answer: each publishes what no other one has, though many are asked at once.
func TestRevocationsAreToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rules, nodes = 300, 5
		net := newNetwork(t)
		var told atomic.Int64
		counter := net.node()
		var count bus.Handler = onlooker(func(m *bus.Message) {
			if m.Event.Type == "revocation" {
				told.Add(1)
			}
		})
		counter.handler.Store(&count)
		a, _, _ := forgetful(t, net)
		var members []*node
		for range nodes {
			_, n, _ := forgetful(t, net)
			members = append(members, n)
		}
		for i := range rules {
			if err := a.Revoke(t.Context(), fraiseql.Revocation{TokenID: fmt.Sprint("j", i)}); err != nil {
				t.Fatal(err)
			}
		}
		told.Store(0)
		for _, n := range members {
			(*n.handler.Load()).(bus.GapHandler).Gap(bus.ControlChannel, event.Position{})
		}
		<-time.After(time.Minute)
		if n := told.Load(); n < rules || n > rules*(nodes+1) {
			t.Errorf("%d nodes asked at once: %d of %d revocations were told", nodes, n, rules)
		}
		told.Store(0)
		_, _, late := forgetful(t, net)
		<-time.After(time.Minute)
		if n := told.Load(); n < rules || n > 2*rules {
			t.Errorf("one node asked %d: %d of %d revocations were told", nodes+1, n, rules)
		}
		for _, id := range []string{"j0", "j299"} {
			if got := join(t, late, "u1/t1/"+id+"/1m").state(); got != "close Forbidden" {
				t.Errorf("%s at the node that has asked: %s", id, got)
			}
		}
	})
}

// A node of which a queue overflows again and again does not ask as often.
func TestQuestionsAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newNetwork(t)
		var asked atomic.Int64
		var count bus.Handler = onlooker(func(m *bus.Message) {
			if m.Event.Type == "ask" {
				asked.Add(1)
			}
		})
		net.node().handler.Store(&count)
		_, n, _ := forgetful(t, net)
		for range 100 {
			(*n.handler.Load()).(bus.GapHandler).Gap(bus.ControlChannel, event.Position{})
			<-time.After(100 * time.Millisecond)
		}
		if n := asked.Load(); n < 10 || n > 15 {
			t.Errorf("asked %d times in 10 seconds", n)
		}
		before := asked.Load()
		<-time.After(2 * time.Second)
		if n := asked.Load() - before; n > 1 {
			t.Errorf("asked %d times when nothing is missed any more", n)
		}
	})
}

// onlooker is a handler that looks at what is delivered.
type onlooker func(*bus.Message)

func (c onlooker) Deliver(m *bus.Message) int {
	c(m)
	return 0
}
