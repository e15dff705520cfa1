package server

import (
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// Whether clients without credentials are admitted is taken over by a reload; those that are there stay, and credentials that are
// presented and wrong are refused before and after.
func TestReloadAnonymous(t *testing.T) {
	s := assemble(t, config.Source{}, withJWT+"security.isolation: addressed\n")
	expect := func(when string, without int) {
		t.Helper()
		ask := func(more ...string) int {
			return send(t, "POST", "http://"+s.addr+"/graphql", `{"query":"{__typename}"}`, append([]string{"Content-Type", js}, more...)...).status
		}
		nobody, wrong, right := ask(), ask("Authorization", "Bearer x.y.z"), ask("Authorization", "Bearer "+sign(t, nil))
		if nobody != without || wrong != 401 || right != 200 {
			t.Errorf("%s: without credentials %d, with wrong ones %d, with right ones %d", when, nobody, wrong, right)
		}
	}
	reload := func(anonymous bool) {
		t.Helper()
		next := *s.inForce()
		next.Auth.Anonymous = anonymous
		if err := s.Reload(&next); err != nil {
			t.Fatal(err)
		}
	}
	expect("at the start", 401)
	reload(true)
	expect("admitted", 200)
	open := testkit.DialTalk(t, "ws://"+s.addr+"/graphql")
	open.Send(`{"type":"connection_init"}`)
	open.Expect(`{"type":"connection_ack"}`)
	open.Send(`{"id":"1","type":"subscribe","payload":{"query":"` + someOrders + `"}}`)
	s.live(1)
	reload(false)
	expect("not any more", 401)
	s.publish(`{"channel":"orders","type":"t","data":{"id":"mine"}}`)
	open.Expect(`{"id":"1","type":"next","payload":{"data":{"orders":{"id":"mine"}}}}`)
}
