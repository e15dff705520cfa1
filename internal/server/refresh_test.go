package server

import (
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

const freshPing = `{"type":"ping","payload":{"authorization":"Bearer `

// A client that sends fresh credentials keeps its subscriptions beyond the end of the first ones; one that does not is
// closed, and so is one that sends those of somebody else.
func TestRefreshOverTheWebSocket(t *testing.T) {
	s := assemble(t, config.Source{}, withJWT+"auth.jwt.leeway: 0s\nlimits.init_timeout: 1s\n")
	short := func(c jwt.MapClaims) { c["exp"] = time.Now().Add(2 * time.Second).Unix() }
	subscribe := `{"id":"1","type":"subscribe","payload":{"query":"subscription { orders(userId: \"u1\") { id } }"}}`
	url := "ws://" + s.addr + "/graphql"
	kept := testkit.DialTalk(t, url).Init(sign(t, short))
	kept.Send(subscribe)
	lost := testkit.DialTalk(t, url).Init(sign(t, short))
	lost.Send(subscribe)
	s.live(2)

	kept.Send(freshPing + `nonsense"}}`)
	kept.Expect(`{"type":"pong","payload":{"refreshed":false,"code":"UNAUTHENTICATED"}}`)
	kept.Send(freshPing + sign(t, func(c jwt.MapClaims) { c["exp"] = time.Now().Add(time.Hour + time.Second/2).Unix() }) + `"}}`)
	if got := kept.Read(); got != `{"type":"pong","payload":{"refreshed":true,"expiresIn":3599}}` && got != `{"type":"pong","payload":{"refreshed":true,"expiresIn":3600}}` {
		t.Fatalf("got %s", got)
	}
	if code, reason := lost.Closed(); code != 4403 || reason != "Forbidden: credentials have expired" {
		t.Errorf("closed with %d %s", code, reason)
	}
	s.publish(`{"channel":"orders","type":"t","tenant_id":"t1","data":{"id":"7","user":"u1"}}`)
	kept.Expect(`{"id":"1","type":"next","payload":{"data":{"orders":{"id":"7"}}}}`)

	kept.Send(freshPing + sign(t, short) + `"}}`)
	kept.Read()
	if code, reason := kept.Closed(); code != 4403 || reason != "Forbidden: credentials have expired" {
		t.Errorf("after a refresh to less time: closed with %d %s", code, reason)
	}
	for _, claim := range []string{"sub", "tenant_id"} {
		other := testkit.DialTalk(t, url).Init(sign(t, nil))
		other.Send(freshPing + sign(t, func(c jwt.MapClaims) { c[claim] = "other" }) + `"}}`)
		if code, reason := other.Closed(); code != 4403 || reason != "Forbidden: the credentials are of another user or tenant" {
			t.Errorf("another %s: closed with %d %s", claim, code, reason)
		}
	}
}

// live waits until there are n subscriptions.
func (s *assembled) live(n int) {
	s.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for s.Engine.Stats().Subscriptions != n {
		select {
		case <-tick.C:
		case <-s.t.Context().Done():
			s.t.Fatal(s.t.Context().Err())
		}
	}
}

// publish publishes an event.
func (s *assembled) publish(event string) {
	s.t.Helper()
	if got := send(s.t, "POST", "http://"+s.addr+"/events", event, "Content-Type", js, "Authorization", "Bearer "+anyToken); got.status != 202 {
		s.t.Fatalf("publish %s: %d %s", event, got.status, got.body)
	}
}
