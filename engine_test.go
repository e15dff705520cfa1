package fraiseql_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/bus"
)

const chatSDL = `
type Subscription {
  message(room: ID!): Message @source(channel: "chat")
  everything: Message @source(channel: "chat")
}
type Message { id: ID!  room: ID!  text: String!  author: Author }
type Author { name: String! }
`

func newEngine(t testing.TB, cfg fraiseql.Config) *fraiseql.Engine {
	t.Helper()
	e, err := fraiseql.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e
}

func chatEngine(t testing.TB) *fraiseql.Engine {
	return newEngine(t, fraiseql.Config{Schema: []fraiseql.SchemaSource{{Name: "chat.graphql", Text: chatSDL}}})
}

func register(t testing.TB, e *fraiseql.Engine, id, query, variables string) *fraiseql.Subscription {
	t.Helper()
	s, err := e.Register(t.Context(), fraiseql.Registration{
		ConnectionID: "c", SubscriptionID: id, Query: query, Variables: []byte(variables),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func publish(t testing.TB, e *fraiseql.Engine, channel, data string) {
	t.Helper()
	if _, err := e.Publish(t.Context(), fraiseql.Event{Channel: channel, Type: "created", Data: []byte(data)}); err != nil {
		t.Fatal(err)
	}
}

func TestPublishReachesSubscriber(t *testing.T) {
	e := chatEngine(t)
	s := register(t, e, "1", `subscription($r: ID!) { message(room: $r) { text by: author { name } } }`, `{"r": 7}`)
	r, err := e.Publish(t.Context(),
		fraiseql.Event{Channel: "chat", Type: "m", Data: []byte(`{"id":1,"room":"8","text":"no"}`)},
		fraiseql.Event{Channel: "chat", Type: "m", Data: []byte(`{"id":2,"room":"7","text":"hi","author":{"name":"Ada"}}`)})
	if err != nil || r.Accepted != 2 || r.Delivered != 1 {
		t.Fatalf("receipt %+v, %v", r, err)
	}
	got, ok, err := s.Next(nil)
	const want = `{"id":"1","type":"next","payload":{"data":{"message":{"text":"hi","by":{"name":"Ada"}}}}}`
	if !ok || err != nil || string(got) != want {
		t.Fatalf("got %s %v %v, want %s", got, ok, err, want)
	}
	if _, ok, _ := s.Next(nil); ok {
		t.Error("one event, two messages")
	}
}

// Without a schema, as a snippet of a host has it.
func TestSchemalessSnippet(t *testing.T) {
	e := newEngine(t, fraiseql.Config{})
	_, err := e.Register(t.Context(), fraiseql.Registration{
		ConnectionID: "conn1", SubscriptionID: "sub1", Query: "subscription { users { id } }",
		Identity: fraiseql.Identity{UserID: "user1", TenantID: "tenant1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, e, "users", `{"id":"123"}`)
	got, err := e.Next("conn1", "sub1")
	if want := `{"id":"sub1","type":"next","payload":{"data":{"users":{"id":"123"}}}}`; err != nil || string(got) != want {
		t.Fatalf("got %s, %v, want %s", got, err, want)
	}
	if !e.Complete("conn1", "sub1") || e.Complete("conn1", "sub1") {
		t.Error("complete once")
	}
	if _, err := e.Next("conn1", "sub1"); !errors.Is(err, fraiseql.ErrUnknownSubscription) {
		t.Errorf("got %v", err)
	}
	if !e.CompleteConnection("conn1") {
		t.Error("the connection must be known")
	}
	if s := e.Stats(); s.Connections != 0 || s.Subscriptions != 0 || s.Groups != 0 || s.Channels != 0 {
		t.Errorf("left over: %+v", s)
	}
}

func TestReceiveWaits(t *testing.T) {
	e := chatEngine(t)
	s := register(t, e, "1", `subscription { everything { text } }`, "")
	got := make(chan string)
	go func() {
		m, err := s.Receive(t.Context())
		got <- fmt.Sprint(string(m), err)
	}()
	publish(t, e, "chat", `{"id":1,"room":1,"text":"x"}`)
	if m := <-got; !strings.Contains(m, `"text":"x"`) {
		t.Error(m)
	}
	go func() {
		_, err := s.Receive(t.Context())
		got <- fmt.Sprint(err)
	}()
	s.Complete()
	if m := <-got; m != fraiseql.ErrEnded.Error() {
		t.Error(m)
	}
}

func TestRefusals(t *testing.T) {
	e := chatEngine(t)
	for query, code := range map[string]string{
		`subscription {`:        "GRAPHQL_PARSE_FAILED",
		`subscription { nope }`: "GRAPHQL_VALIDATION_FAILED",
		`subscription { everything { id } message(room: 1) { id } }`: "GRAPHQL_VALIDATION_FAILED",
		`subscription($r: ID!) { message(room: $r) { id } }`:         "BAD_USER_INPUT",
		`mutation { x }`: "GRAPHQL_VALIDATION_FAILED",
	} {
		_, err := e.Register(t.Context(), fraiseql.Registration{ConnectionID: "c", SubscriptionID: "s", Query: query})
		var refused *fraiseql.Error
		if !errors.As(err, &refused) || refused.Code != code {
			t.Errorf("%s: got %v, want %s", query, err, code)
		}
	}
	if s := e.Stats(); s.Subscriptions+s.Groups+s.Channels != 0 {
		t.Errorf("left over: %+v", s)
	}
}

func TestPublishRefusesTheWholeBatch(t *testing.T) {
	e := chatEngine(t)
	s := register(t, e, "1", `subscription { everything { text } }`, "")
	_, err := e.Publish(t.Context(),
		fraiseql.Event{Channel: "chat", Type: "m", Data: []byte(`{"id":1}`)},
		fraiseql.Event{Channel: "$control", Type: "m", Data: []byte(`{"id":1}`)},
		fraiseql.Event{Channel: "chat", Type: "m", Data: []byte(`[1]`)},
		fraiseql.Event{Channel: "chat", Type: "m", TenantID: "a", Data: []byte(`{"tenant_id":"b"}`)})
	var all fraiseql.PublishErrors
	if !errors.As(err, &all) || len(all) != 3 || all[0].Index != 1 || all[1].Index != 2 || all[2].Index != 3 {
		t.Fatalf("got %v", err)
	}
	if all[0].Member != "channel" || all[1].Member != "data" || all[2].Member != "tenant_id" {
		t.Errorf("members of %v", err)
	}
	if _, ok, _ := s.Next(nil); ok {
		t.Error("an event of a refused batch was delivered")
	}
}

func TestClosedEngine(t *testing.T) {
	e, err := fraiseql.New(fraiseql.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s := register(t, e, "1", `subscription { x { id } }`, "")
	for range 2 {
		if err := e.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.Next(nil); !errors.Is(err, fraiseql.ErrEnded) {
		t.Errorf("got %v", err)
	}
	if _, err := e.Publish(t.Context(), fraiseql.Event{Channel: "x", Type: "t", Data: []byte(`{}`)}); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("got %v", err)
	}
}
