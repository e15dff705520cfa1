package session

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// unprepared is a world whose subscribes wait until proceed is closed.
func unprepared(w *world) (proceed chan struct{}) {
	proceed = make(chan struct{})
	w.prepared = func(string) bool { return false }
	w.before = func(*Request) { <-proceed }
	return proceed
}

// TestPongFollowsSubscribes has a client that learns by a ping that its subscriptions are in force.
func TestPongFollowsSubscribes(t *testing.T) {
	bubble(t, HostConfig{}, func(t *testing.T, w *world, p *peer) {
		proceed := unprepared(w)
		p.send(initText)
		p.expect(t, ackReply)
		p.send(subscribeText("1", "subscription { a { n } }"), subscribeText("2", "{"), `{"type":"ping","payload":{"n":1}}`)
		if synctest.Wait(); len(p.read()) != 0 {
			t.Error("answered while the subscription was not in force")
		}
		close(proceed)
		synctest.Wait()
		if n := w.publish("a", 7); n != 1 {
			t.Errorf("delivered to %d", n)
		}
		p.expect(t, `{"id":"2","type":"error","payload":[{"message":"syntax error","extensions":{"code":"GRAPHQL_PARSE_FAILED"}}]}`,
			`{"type":"pong","payload":{"n":1}}`, `{"id":"1","type":"next","payload":{"data":{"a":{"n":7}}}}`)
		p.send(`{"type":"ping"}`)
		p.expect(t, `{"type":"pong"}`)
		p.Closed()
	})
}

// TestPongWaitsASecond has a subscribe that takes longer than a client waits for a pong, and one that sends many pings.
func TestPongWaitsASecond(t *testing.T) {
	bubble(t, HostConfig{}, func(t *testing.T, w *world, p *peer) {
		proceed := unprepared(w)
		p.send(initText)
		p.expect(t, ackReply)
		p.send(subscribeText("1", "subscription { a }"), `{"type":"ping"}`)
		<-time.After(fenceTime - 1) // of the bubble's clock
		p.expect(t)
		<-time.After(2)
		p.expect(t, `{"type":"pong"}`)
		for range fencedPongs {
			p.send(`{"type":"ping"}`)
		}
		p.expect(t)
		p.send(`{"type":"ping"}`)
		p.expect(t, strings.Fields(strings.Repeat(`{"type":"pong"} `, fencedPongs+1))...)
		close(proceed)
		p.expect(t)
		p.Closed()
	})
}

// TestPongOfAClosedConnection has pongs wait when the connection goes.
func TestPongOfAClosedConnection(t *testing.T) {
	bubble(t, HostConfig{}, func(t *testing.T, w *world, p *peer) {
		proceed := unprepared(w)
		p.send(initText)
		p.expect(t, ackReply)
		p.send(subscribeText("1", "subscription { a }"), `{"type":"ping"}`)
		p.Shut(CodeForbidden, "Forbidden")
		p.expect(t, "close 4403 Forbidden")
		if p.machine.ops.fence() != nil {
			t.Error("a pong waits")
		}
		close(proceed)
		p.expect(t)
	})
}
