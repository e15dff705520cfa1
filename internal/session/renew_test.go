package session

import (
	"context"
	"testing"

	"github.com/fraiseql/fraiseql-go/identity"
)

const askName = `{"type":"connection_init","payload":{"stream":true}}`

// A connection that is renewed from outside keeps what the new identity may have, ends what it may not, and takes no other
// credentials meanwhile.
func TestDriverRenews(t *testing.T) {
	bubble(t, HostConfig{}, func(t *testing.T, w *world, p *peer) {
		first := &identity.Identity{UserID: "u", TenantID: "t", Roles: []string{"r"}}
		w.authenticate = func(context.Context, []byte) (*identity.Identity, error) { return first, nil }
		if err := p.Renew(first); err != ErrGone {
			t.Errorf("before it is acknowledged: %v", err)
		}
		p.name = "n.a.m.e"
		p.send(askName)
		p.expect(t, `{"type":"connection_ack","payload":{"stream":"n.a.m.e"}}`)
		p.send(subscribeText("1", "subscription { a { n } }"))
		fresh := &identity.Identity{UserID: "u", TenantID: "t", Roles: []string{"r", "s"}}
		if err := p.Renew(fresh); err != nil || p.Identity() != fresh || p.acknowledged.Load() != fresh {
			t.Errorf("%v, the identity is %+v", err, p.Identity())
		}
		w.publish("a", 1)
		p.expect(t, `{"id":"1","type":"next","payload":{"data":{"a":{"n":1}}}}`)
		for _, other := range []*identity.Identity{{UserID: "x", TenantID: "t"}, {UserID: "u"}, {UserID: "u", TenantID: "t", ServiceName: "s"}} {
			if err := p.Renew(other); err != ErrGone || p.Identity() != fresh {
				t.Errorf("%+v: %v", other, err)
			}
		}
		if err := p.Renew(&identity.Identity{UserID: "u", TenantID: "t"}); err != nil {
			t.Error(err)
		}
		p.expect(t, `{"id":"1","type":"error","payload":[{"message":"not any more","extensions":{"code":"FORBIDDEN"}}]}`)
		p.Closed()
		if err := p.Renew(fresh); err != ErrGone {
			t.Errorf("after the end: %v", err)
		}
	})
}

// While a ping's credentials are judged others are not taken, nor is a ping's while those from outside are.
func TestRenewBesideRefresh(t *testing.T) {
	bubble(t, HostConfig{}, func(t *testing.T, w *world, p *peer) {
		who := &identity.Identity{UserID: "u", Roles: []string{"r"}}
		w.authenticate = func(context.Context, []byte) (*identity.Identity, error) { return who, nil }
		p.send(initText)
		p.expect(t, ackReply)
		proceed := make(chan struct{})
		w.authenticate = func(context.Context, []byte) (*identity.Identity, error) { <-proceed; return who, nil }
		p.send(`{"type":"ping","payload":{"authorization":"Bearer x"}}`)
		if err := p.Renew(who); err != ErrRenewing {
			t.Errorf("beside a ping: %v", err)
		}
		close(proceed)
		p.expect(t, `{"type":"pong","payload":{"refreshed":true}}`)
		if err := p.Renew(who); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// A name that is given to a connection which was closed meanwhile is taken back.
func TestNameOfAClosedConnection(t *testing.T) {
	bubble(t, HostConfig{}, func(t *testing.T, w *world, p *peer) {
		proceed := make(chan struct{})
		w.authenticate = func(context.Context, []byte) (*identity.Identity, error) {
			<-proceed
			return &identity.Identity{UserID: "u"}, nil
		}
		p.name = "name"
		p.send(askName)
		p.Closed()
		close(proceed)
		p.expect(t)
		if p.name != "" {
			t.Error("the name stays")
		}
	})
}
