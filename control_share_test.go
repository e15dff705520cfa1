package fraiseql_test

import (
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
