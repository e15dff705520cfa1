package fraiseql_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fraiseql/fraiseql-go"
)

// authenticate is an Authenticator that is a function.
type authenticate func(fraiseql.Credentials) (*fraiseql.Identity, error)

func (a authenticate) Authenticate(_ context.Context, c fraiseql.Credentials) (*fraiseql.Identity, error) {
	return a(c)
}

const guardedSDL = `
type Subscription {
  open: Item @source(channel: "items")
  guarded: Item @source(channel: "items") @requiresRole(roles: ["clerk"])
}
type Item { id: ID! cost: Int @requiresRole(roles: ["accounting"], deny: MASK) }
`

// texts takes all messages of a session, as soon as everything is quiet.
func texts(s *fraiseql.Session) (all []string) {
	synctest.Wait()
	out, _ := s.Take(nil, 1<<20)
	for _, o := range out {
		all = append(all, string(o.Data))
	}
	return all
}

// Fresh roles unmask and mask fields from one event to the next, and end what they do not allow.
func TestRefreshedRoles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, fraiseql.Config{Schema: []fraiseql.SchemaSource{{Name: "s", Text: guardedSDL}}})
		var roles []string
		sessions, err := e.Sessions(fraiseql.HandlerConfig{PingInterval: -1, Authenticator: authenticate(func(c fraiseql.Credentials) (*fraiseql.Identity, error) {
			if c.Request != "value" || c.Refresh != (string(c.Payload) != "") {
				t.Errorf("asked with %+v", c)
			}
			return &fraiseql.Identity{UserID: "u", Roles: roles, ExpiresAt: time.Now().Add(time.Minute)}, nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		s, err := sessions.Open(fraiseql.SessionRequest{Value: "value"}, func() {})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		step := func(message string, want ...string) {
			t.Helper()
			if message != "" {
				s.Receive([]byte(message))
			} else if _, err := e.Publish(t.Context(), fraiseql.Event{Channel: "items", Type: "t", Data: []byte(`{"id":"1","cost":7}`)}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, texts(s)); diff != "" {
				t.Fatalf("after %q: %s", message, diff)
			}
		}
		const fresh = `{"type":"ping","payload":{"authorization":"Bearer x"}}`
		const accepted = `{"type":"pong","payload":{"refreshed":true,"expiresIn":60}}`
		roles = []string{"clerk"}
		step(`{"type":"connection_init"}`, `{"type":"connection_ack"}`)
		step(`{"id":"a","type":"subscribe","payload":{"query":"subscription { open { id cost } }"}}`)
		step(`{"id":"b","type":"subscribe","payload":{"query":"subscription { guarded { id } }"}}`)
		step("", `{"id":"a","type":"next","payload":{"data":{"open":{"id":"1","cost":null}}}}`, `{"id":"b","type":"next","payload":{"data":{"guarded":{"id":"1"}}}}`)
		<-time.After(50 * time.Second)
		roles = []string{"accounting"}
		step(fresh, accepted, `{"id":"b","type":"error","payload":[{"message":"not authorised for Subscription.guarded","extensions":{"code":"FORBIDDEN"}}]}`)
		step("", `{"id":"a","type":"next","payload":{"data":{"open":{"id":"1","cost":7}}}}`)
		<-time.After(25 * time.Second) // beyond the first credentials
		roles = nil
		step(fresh, accepted)
		step("", `{"id":"a","type":"next","payload":{"data":{"open":{"id":"1","cost":null}}}}`)
		if n := e.Stats().Subscriptions; n != 1 {
			t.Errorf("%d subscriptions", n)
		}
		<-time.After(61 * time.Second)
		synctest.Wait()
		out, _ := s.Take(nil, 0)
		if last := out[len(out)-1]; last.Code != 4403 || string(last.Data) != "Forbidden: credentials have expired" {
			t.Errorf("the last is %+v", last)
		}
	})
}
