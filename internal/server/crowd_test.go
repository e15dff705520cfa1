package server

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// misbehaviours are what a client does with its connection, each in one way; it goes on until it is refused, or 50 times.
var misbehaviours = map[string]func(c *testkit.Talk, i int){
	"floods unknown documents": func(c *testkit.Talk, i int) {
		c.Send(fmt.Sprintf(`{"id":"%d","type":"subscribe","payload":{"query":"subscription { orders { a%d: id } }"}}`, i, i))
	},
	"piles aliases": func(c *testkit.Talk, i int) {
		var aliases strings.Builder
		for k := range 150 {
			fmt.Fprintf(&aliases, "a%d_%d: id ", i, k)
		}
		c.Send(fmt.Sprintf(`{"id":"%d","type":"subscribe","payload":{"query":"subscription { orders { %s } }"}}`, i, aliases.String()))
	},
	"subscribes and completes": func(c *testkit.Talk, i int) {
		c.Send(`{"id":"1","type":"subscribe","payload":{"query":"subscription { orders { id } }"}}`)
		c.Send(`{"id":"1","type":"complete"}`)
	},
	"refreshes with nonsense": func(c *testkit.Talk, _ int) { c.Send(freshPing + `nonsense"}}`) },
	"pings":                   func(c *testkit.Talk, _ int) { c.Send(`{"type":"ping","payload":{"a":1}}`) },
	"selects what is not there": func(c *testkit.Talk, i int) {
		c.Send(fmt.Sprintf(`{"id":"%d","type":"subscribe","payload":{"query":"subscription { nothing%d }"}}`, i, i))
	},
}

// Good clients lose nothing beside clients that misbehave in one way each.
func TestGoodClientsBesideBadOnes(t *testing.T) {
	const good, badOfEach, times, events = 20, 4, 50, 30
	s := assemble(t, config.Source{}, withJWT+"limits: {subscriptions_per_connection: 20, subscriptions_per_user: 30, fields_per_user: 3000, document_fields: 300, subscribe_rate: 20}\n")
	url := "ws://" + s.addr + "/graphql"
	as := func(user string) string { return sign(t, func(c jwt.MapClaims) { c["sub"] = user }) }
	var well []*testkit.Talk
	for i := range good {
		c := testkit.DialTalk(t, url).Init(as(fmt.Sprint("good", i)))
		c.Send(`{"id":"1","type":"subscribe","payload":{"query":"subscription { orders { id } }"}}`)
		well = append(well, c)
	}
	s.live(good)
	var acting, reading sync.WaitGroup
	for name, act := range misbehaviours {
		for k := range badOfEach {
			c := testkit.DialTalk(t, url).Init(as(name + fmt.Sprint(k)))
			acting.Go(func() {
				for i := range times {
					act(c, i)
				}
			})
			reading.Go(func() { // reads what comes, until the end of the test
				for {
					if _, err := c.TryRead(); err != nil {
						return
					}
				}
			})
			t.Cleanup(c.Close)
		}
	}
	for i := range events {
		s.publish(fmt.Sprintf(`{"channel":"orders","type":"t","tenant_id":"t1","data":{"id":"%d"}}`, i))
	}
	for n, c := range well {
		for i := range events {
			if got, want := c.Read(), fmt.Sprintf(`{"id":"1","type":"next","payload":{"data":{"orders":{"id":"%d"}}}}`, i); got != want {
				t.Fatalf("client %d: got %s, want %s", n, got, want)
			}
		}
	}
	metrics := send(t, "GET", "http://"+s.addr+"/readyz", "")
	if metrics.status != 200 {
		t.Errorf("not ready: %d", metrics.status)
	}
	if most := good + len(misbehaviours)*badOfEach*20; s.Engine.Stats().Subscriptions > most {
		t.Errorf("%d subscriptions, at most %d", s.Engine.Stats().Subscriptions, most)
	}
	acting.Wait()
	s.cancel() // the readers of the bad ones end
	reading.Wait()
}
