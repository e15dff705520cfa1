package fraiseql_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go"
)

type resolve = func(ctx context.Context, ev *fraiseql.Event, variables json.RawMessage, who *fraiseql.ResolverContext) (any, error)

func resolving(t *testing.T, aware bool, f resolve) *fraiseql.Engine {
	return newEngine(t, fraiseql.Config{
		Schema:    []fraiseql.SchemaSource{{Name: "chat.graphql", Text: chatSDL}},
		Resolvers: map[string]fraiseql.Resolver{"everything": {Resolve: f, Context: aware}},
	})
}

func receive(t *testing.T, s *fraiseql.Subscription) string {
	t.Helper()
	m, err := s.Receive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	payload, _ := strings.CutPrefix(string(m), `{"id":"`+s.ID()+`","type":"next","payload":`)
	return payload[:len(payload)-1]
}

// What a resolver returns is projected like data; what goes wrong is masked, and the event stays inside.
func TestResolverResults(t *testing.T) {
	type message struct {
		Text   string `json:"text"`
		Secret string `json:"secret"`
	}
	const null = `{"data":{"everything":null}}`
	const failed = `{"data":{"everything":null},"errors":[{"message":"The resolver failed.","path":["everything"],"extensions":{"code":"RESOLVER_FAILED"}}]}`
	for name, c := range map[string]struct {
		value any
		err   error
		want  string
	}{
		"struct":      {message{"hi", "no"}, nil, `{"data":{"everything":{"text":"hi"}}}`},
		"map":         {map[string]any{"text": 1}, nil, `{"data":{"everything":{"text":"1"}}}`},
		"raw":         {json.RawMessage(`{"text":"raw"}`), nil, `{"data":{"everything":{"text":"raw"}}}`},
		"bytes":       {[]byte(`{"text":"bytes"}`), nil, `{"data":{"everything":{"text":"bytes"}}}`},
		"nil":         {nil, nil, null},
		"nil raw":     {json.RawMessage(nil), nil, null},
		"nil bytes":   {[]byte(nil), nil, null},
		"no JSON":     {json.RawMessage(`{`), nil, failed},
		"not encoded": {func() {}, nil, failed},
		"error":       {nil, errors.New("secret of the database"), failed},
	} {
		e := resolving(t, false, func(context.Context, *fraiseql.Event, json.RawMessage, *fraiseql.ResolverContext) (any, error) {
			return c.value, c.err
		})
		s := register(t, e, "1", `subscription { everything { text } }`, "")
		publish(t, e, "chat", `{"text":"raw event"}`)
		if got := receive(t, s); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

// A resolver sees the identity only if it asks for it, and may publish.
func TestResolverContext(t *testing.T) {
	for _, aware := range []bool{false, true} {
		var e *fraiseql.Engine
		seen := make(chan *fraiseql.ResolverContext, 1)
		e = resolving(t, aware, func(ctx context.Context, ev *fraiseql.Event, _ json.RawMessage, who *fraiseql.ResolverContext) (any, error) {
			seen <- who
			_, err := e.Publish(ctx, fraiseql.Event{Channel: "other", Type: "t", Data: ev.Data})
			return nil, err
		})
		s, err := e.Register(t.Context(), fraiseql.Registration{
			ConnectionID: "c", SubscriptionID: "s", Query: `subscription { everything { text } }`,
			Identity: fraiseql.Identity{UserID: "u", TenantID: "t", Roles: []string{"r"}, Claims: map[string]any{"x": 1}},
		})
		if err != nil {
			t.Fatal(err)
		}
		publish(t, e, "chat", `{}`)
		who := <-seen
		if (who != nil) != aware || aware && (who.UserID != "u" || who.TenantID != "t" || who.Roles[0] != "r") {
			t.Errorf("aware %v: got %+v", aware, who)
		}
		receive(t, s)
	}
}
