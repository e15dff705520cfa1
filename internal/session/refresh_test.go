package session

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/hub"
)

func TestRefreshScript(t *testing.T) {
	newPlayer(t, Options{}).play(`
		> {"type":"ping","payload":{"authorization":"Bearer x"}}
		< send {"type":"pong","payload":{"refreshed":false,"code":"UNAUTHENTICATED"}}
	` + ready + `
		> {"id":"1","type":"subscribe","payload":{"query":"a"}}
		< subscribe 1 a
		begin 1
		sub 1
		> {"id":"2","type":"subscribe","payload":{"query":"b"}}
		< subscribe 2 b
		> {"type":"ping","payload":{"a":1,"Authorization":"Bearer x"}}
		< refresh {"a":1,"Authorization":"Bearer x"}
		> {"type":"ping","payload":{"authorization":"Bearer y"}}
		< send {"type":"pong","payload":{"refreshed":false,"code":"RATE_LIMITED"}}
		> {"type":"ping","payload":{"authorisation":"Bearer y"}}
		< send {"type":"pong","payload":{"authorisation":"Bearer y"}}
		refresh forbidden
		< send {"type":"pong","payload":{"refreshed":false,"code":"UNAUTHENTICATED"}}
		> {"type":"ping","payload":{"authorization":null}}
		< refresh {"authorization":null}
		refresh broken
		< send {"type":"pong","payload":{"refreshed":false,"code":"RATE_LIMITED"}}
		> {"type":"ping","payload":{"authorization":"Bearer z"}}
		< refresh {"authorization":"Bearer z"}
		refresh admin
		< readmit 1
		begin 2
		sub 2
		> {"type":"ping","payload":{"authorization":"Bearer y"}}
		< send {"type":"pong","payload":{"refreshed":false,"code":"RATE_LIMITED"}}
		confirm 90
		< send {"type":"pong","payload":{"refreshed":true,"expiresIn":90}}
		confirm 90
		> {"id":"3","type":"subscribe","payload":{"query":"c"}}
		< subscribe 3 c
		> {"type":"ping","payload":{"authorization":"Bearer y"}}
		< refresh {"authorization":"Bearer y"}
		refresh admin
		< readmit 1
		< readmit 2
		confirm 0
		< send {"type":"pong","payload":{"refreshed":true}}
		> {"type":"ping","payload":{"authorization":"Bearer y"}}
		< refresh {"authorization":"Bearer y"}
		refresh other
		< close 4403 Forbidden: the credentials are of another user or tenant
		< complete 1
		< complete 2
		refresh admin
		confirm 1
	`)
}

// A refresh keeps what the new identity may have, ends what it may not, and later subscribes are asked as that identity.
func TestDriverRefreshes(t *testing.T) {
	bubble(t, HostConfig{}, func(t *testing.T, w *world, p *peer) {
		answer := &identity.Identity{UserID: "u"}
		var failure error
		w.authenticate = func(context.Context, []byte) (*identity.Identity, error) { return answer, failure }
		p.send(initText)
		p.expect(t, ackReply)
		p.send(subscribeText("1", "subscription { a { n } }"))
		const fresh = `{"type":"ping","payload":{"authorization":"Bearer x"}}`
		answer = &identity.Identity{UserID: "u", Roles: []string{"r"}, ExpiresAt: time.Now().Add(time.Minute)}
		p.send(fresh)
		p.expect(t, `{"type":"pong","payload":{"refreshed":true,"expiresIn":60}}`)
		if p.acknowledged.Load() != answer || p.Identity() != answer {
			t.Error("the peer was not told of the refreshed identity")
		}
		w.publish("a", 1)
		p.expect(t, `{"id":"1","type":"next","payload":{"data":{"a":{"n":1}}}}`)

		failure = errors.New("out of reach")
		p.send(fresh)
		p.expect(t, `{"type":"pong","payload":{"refreshed":false,"code":"RATE_LIMITED"}}`)
		answer, failure = &identity.Identity{UserID: "u"}, nil
		p.send(fresh)
		p.expect(t, `{"type":"pong","payload":{"refreshed":true}}`,
			`{"id":"1","type":"error","payload":[{"message":"not any more","extensions":{"code":"FORBIDDEN"}}]}`)
		if w.publish("a", 2) != 0 || p.Operations() != 0 || w.subscriptions() != 0 {
			t.Error("the subscription that was ended still lives")
		}
	})
}

// A subscribe that was asked with credentials that are refreshed meanwhile is judged by the new ones.
func TestRefreshWhileSubscribing(t *testing.T) {
	bubble(t, HostConfig{}, func(t *testing.T, w *world, p *peer) {
		answer := &identity.Identity{UserID: "u", Roles: []string{"r"}}
		w.authenticate = func(context.Context, []byte) (*identity.Identity, error) { return answer, nil }
		w.prepared = func(string) bool { return false }
		proceed := make(chan struct{})
		w.before = func(*Request) { <-proceed }
		p.send(initText)
		p.expect(t, ackReply)
		p.send(subscribeText("1", "subscription { a { n } }"))
		answer = &identity.Identity{UserID: "u"}
		p.send(`{"type":"ping","payload":{"authorization":"Bearer x"}}`)
		p.expect(t, `{"type":"pong","payload":{"refreshed":true}}`)
		close(proceed)
		p.expect(t, `{"id":"1","type":"error","payload":[{"message":"not any more","extensions":{"code":"FORBIDDEN"}}]}`)
		if w.subscriptions() != 0 {
			t.Error("the subscription lives")
		}
	})
}

// Credentials that are refreshed while a subscription that has begun is not among those that get events yet: when the client
// has been told, the subscription is judged by the new ones, and no event reaches it before.
func TestRefreshBetweenBeginAndJoin(t *testing.T) {
	for _, keeps := range []bool{true, false} {
		bubble(t, HostConfig{}, func(t *testing.T, w *world, p *peer) {
			answer := &identity.Identity{UserID: "u", Roles: []string{"old"}}
			w.authenticate = func(context.Context, []byte) (*identity.Identity, error) { return answer, nil }
			w.prepared = func(string) bool { return false }
			begun, proceed := make(chan *hub.Subscription, 1), make(chan struct{})
			w.begun = func(sub *hub.Subscription) { begun <- sub; <-proceed }
			p.send(initText)
			p.expect(t, ackReply)
			p.send(subscribeText("1", "subscription { a { n } }"))
			sub := <-begun
			if answer = (&identity.Identity{UserID: "u"}); keeps {
				answer.Roles = []string{"new"}
			}
			p.send(`{"type":"ping","payload":{"authorization":"Bearer x"}}`)
			p.expect(t, `{"type":"pong","payload":{"refreshed":true}}`)
			if sub.Identity() != answer {
				t.Error("the client was told, and the subscription has the old identity")
			}
			p.acceptedBy(t, w, func() { close(proceed) }, keeps)
		})
	}
}

// A subscription that begins with credentials that were replaced meanwhile is judged by the new ones before it gets events.
func TestRefreshBeforeBegin(t *testing.T) {
	for _, keeps := range []bool{true, false} {
		bubble(t, HostConfig{}, func(t *testing.T, w *world, p *peer) {
			answer := &identity.Identity{UserID: "u", Roles: []string{"old"}}
			w.authenticate = func(context.Context, []byte) (*identity.Identity, error) { return answer, nil }
			w.prepared = func(string) bool { return false }
			proceed, joined := make(chan struct{}), make(chan struct{})
			w.before = func(*Request) { <-proceed }
			w.joined = func(*hub.Subscription) { <-joined }
			p.send(initText)
			p.expect(t, ackReply)
			p.send(subscribeText("1", "subscription { a { n } }"))
			if answer = (&identity.Identity{UserID: "u"}); keeps {
				answer.Roles = []string{"new"}
			}
			p.send(`{"type":"ping","payload":{"authorization":"Bearer x"}}`)
			p.expect(t, `{"type":"pong","payload":{"refreshed":true}}`)
			p.acceptedBy(t, w, func() { close(proceed) }, keeps)
			close(joined)
		})
	}
}

// acceptedBy has a subscribe go on, and publishes as soon as it can be found: it is there as the new identity, or was refused.
func (p *peer) acceptedBy(t *testing.T, w *world, goOn func(), keeps bool) {
	t.Helper()
	goOn()
	synctest.Wait()
	want, delivered := `{"id":"1","type":"error","payload":[{"message":"not any more","extensions":{"code":"FORBIDDEN"}}]}`, 0
	if keeps {
		want, delivered = `{"id":"1","type":"next","payload":{"data":{"a":{"n":1}}}}`, 1
	}
	if n := w.publish("a", 1); n != delivered {
		t.Errorf("the event went to %d subscriptions, not %d", n, delivered)
	}
	p.expect(t, want)
	if n := w.subscriptions(); n != delivered {
		t.Errorf("%d subscriptions live", n)
	}
}
