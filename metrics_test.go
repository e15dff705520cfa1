package fraiseql_test

import (
	"testing"

	"github.com/fraiseql/fraiseql-go"
)

func TestMetrics(t *testing.T) {
	e := newEngine(t, fraiseql.Config{Schema: []fraiseql.SchemaSource{{Name: "chat.graphql", Text: chatSDL}}})
	for i, tenant := range []string{"a", "b"} {
		_, err := e.Register(t.Context(), fraiseql.Registration{
			ConnectionID: tenant, SubscriptionID: "s", Query: "subscription { everything { text } }",
			Identity: fraiseql.Identity{TenantID: tenant},
		})
		if err != nil {
			t.Fatal(i, err)
		}
	}
	for range 3 {
		if _, err := e.Publish(t.Context(), fraiseql.Event{Channel: "chat", Type: "t", TenantID: "a", Data: []byte(`{"text":"x"}`)}); err != nil {
			t.Fatal(err)
		}
	}
	publish(t, e, "nobody", `{}`)
	m := e.Metrics()
	if m.Events != 4 || m.Messages != 3 || m.Dropped != 0 || m.Denied["tenant"] != 3 || len(m.Denied) != 5 || m.Subscriptions != 2 {
		t.Errorf("%+v", m)
	}
}
