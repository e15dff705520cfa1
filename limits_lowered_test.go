package fraiseql_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fraiseql/fraiseql-go"
)

// longVariables selects the costs of items by a variable whose object has more than 32 bytes.
const longVariables = `subscription($a_variable_with_a_name_of_more_than_forty_letters: Boolean!) { open { id cost @include(if: $a_variable_with_a_name_of_more_than_forty_letters) } }`

// lower sets limits that the document and the variables of longVariables are above.
func lower(t *testing.T, e *fraiseql.Engine) {
	t.Helper()
	if _, err := e.SetLimits(fraiseql.Limits{EventBytes: 32, DocumentBytes: 20, DocumentTokens: 3, DocumentDepth: 1, DocumentFields: 1, DocumentAliases: 1}); err != nil {
		t.Fatal(err)
	}
}

// Fresh credentials hold for subscriptions whose variables are above a limit that was lowered: what they may not see any
// more is masked, and they go on when the old ones end.
func TestRefreshAfterLimitsWereLowered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, fraiseql.Config{Schema: []fraiseql.SchemaSource{{Name: "s", Text: guardedSDL}}})
		roles := []string{"accounting"}
		sessions, err := e.Sessions(fraiseql.HandlerConfig{PingInterval: -1, Authenticator: authenticate(func(fraiseql.Credentials) (*fraiseql.Identity, error) {
			return &fraiseql.Identity{UserID: "u", Roles: roles, ExpiresAt: time.Now().Add(time.Minute)}, nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		s, err := sessions.Open(fraiseql.SessionRequest{}, func() {})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		want := func(step string, want ...string) {
			t.Helper()
			if diff := cmp.Diff(want, texts(s)); diff != "" {
				t.Errorf("%s: %s", step, diff)
			}
		}
		s.Receive([]byte(`{"type":"connection_init"}`))
		want("init", ack)
		s.Receive([]byte(`{"id":"a","type":"subscribe","payload":{"query":"` + longVariables + `","variables":{"a_variable_with_a_name_of_more_than_forty_letters":true}}}`))
		synctest.Wait()
		publish(t, e, "items", `{"id":"1","cost":7}`)
		want("before", `{"id":"a","type":"next","payload":{"data":{"open":{"id":"1","cost":7}}}}`)
		lower(t, e)
		roles = nil
		s.Receive([]byte(`{"type":"ping","payload":{"authorization":"Bearer x"}}`))
		want("refresh", `{"type":"pong","payload":{"refreshed":true,"expiresIn":60}}`)
		publish(t, e, "items", `{"id":"1","cost":7}`)
		want("fewer roles", `{"id":"a","type":"next","payload":{"data":{"open":{"id":"1","cost":null}}}}`)
		<-time.After(50 * time.Second)
		s.Receive([]byte(`{"type":"ping","payload":{"authorization":"Bearer x"}}`))
		want("refresh again", `{"type":"pong","payload":{"refreshed":true,"expiresIn":60}}`)
		<-time.After(30 * time.Second) // the first credentials have ended
		publish(t, e, "items", `{"id":"1","cost":7}`)
		want("later", `{"id":"a","type":"next","payload":{"data":{"open":{"id":"1","cost":null}}}}`)
	})
}

// A live subscription above limits that were lowered resumes, and goes on under another schema; new ones are refused.
func TestResumeAndSchemaAfterLimitsWereLowered(t *testing.T) {
	e := withSchema(t, guardedSDL)
	register := func(connection, query string) (*fraiseql.Subscription, error) {
		return e.Register(t.Context(), fraiseql.Registration{
			ConnectionID: connection, SubscriptionID: "s", Query: query, Variables: []byte(`{"a_variable_with_a_name_of_more_than_forty_letters":true}`),
			Identity: fraiseql.Identity{UserID: "u", Roles: []string{"accounting"}},
		})
	}
	s, err := register("c", longVariables)
	if err != nil {
		t.Fatal(err)
	}
	lower(t, e)
	if err := s.Resume(t.Context(), ""); err != nil {
		t.Errorf("resume: %v", err)
	} else if n := len(read(t, s)); n != 1 {
		t.Errorf("%d messages", n)
	}
	setSchema(t, e, guardedSDL+` type More { id: ID }`, 1, 0)
	publish(t, e, "items", `{"id":"1","cost":7}`)
	if list := read(t, s); len(list) != 1 || string(list[0].Payload.Data) != `{"open":{"id":"1","cost":7}}` {
		t.Errorf("got %+v", list)
	}
	if _, err := register("d", strings.Replace(longVariables, "subscription", "subscription Other", 1)); err == nil {
		t.Error("a new one is accepted")
	}
}
