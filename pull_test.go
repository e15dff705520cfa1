package fraiseql_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/internal/code"
)

// A registration that is refused leaves nothing behind, not even its connection.
func TestRefusedRegistrationLeavesNothing(t *testing.T) {
	e := chatEngine(t)
	for i := range 10 {
		_, err := e.Register(t.Context(), fraiseql.Registration{ConnectionID: fmt.Sprint(i), SubscriptionID: "s", Query: `subscription { nope }`})
		if err == nil {
			t.Fatal("accepted")
		}
	}
	if s := e.Stats(); s.Connections != 0 {
		t.Errorf("%d connections", s.Connections)
	}
	s := register(t, e, "1", `subscription { everything { text } }`, "")
	if _, err := e.Register(t.Context(), fraiseql.Registration{ConnectionID: "c", SubscriptionID: "2", Query: `subscription { nope }`}); err == nil {
		t.Fatal("accepted")
	}
	publish(t, e, "chat", `{"text":"x"}`)
	if _, ok, _ := s.Next(nil); !ok || e.Stats().Connections != 1 {
		t.Error("a connection with subscriptions must stay")
	}
}

func TestRegisterBounds(t *testing.T) {
	e := newEngine(t, fraiseql.Config{Limits: fraiseql.Limits{SubscriptionsPerConnection: 1, QueueMessages: 2}})
	s := register(t, e, "1", `subscription { x }`, "")
	r := fraiseql.Registration{ConnectionID: "c", SubscriptionID: "1", Query: `subscription { x }`}
	if _, err := e.Register(t.Context(), r); !errors.Is(err, fraiseql.ErrDuplicateSubscription) {
		t.Error(err)
	}
	r.SubscriptionID = "2"
	var refused *fraiseql.Error
	if _, err := e.Register(t.Context(), r); !errors.As(err, &refused) || refused.Code != "TOO_MANY_SUBSCRIPTIONS" {
		t.Error(err)
	}
	for i := range 4 {
		publish(t, e, "x", fmt.Sprint(`{"i":`, i, `}`))
	}
	for range 2 {
		if _, ok, err := s.Next(nil); !ok || err != nil {
			t.Error("what was queued must come first")
		}
	}
	if _, ok, err := s.Next(nil); ok || !errors.Is(err, fraiseql.ErrSlowConsumer) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Receive(t.Context()); !errors.Is(err, fraiseql.ErrSlowConsumer) {
		t.Errorf("got %v", err)
	}
	for _, l := range []fraiseql.Limits{{QueueBytes: 1<<30 + 1}, {QueueMessages: -1}} {
		if _, err := fraiseql.New(fraiseql.Config{Limits: l}); err == nil {
			t.Errorf("%+v accepted", l)
		}
	}
}

func TestReceiveCanBeCancelled(t *testing.T) {
	e := chatEngine(t)
	s := register(t, e, "1", `subscription { everything { text } }`, "")
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error)
	go func() {
		_, err := s.Receive(ctx)
		got <- err
	}()
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	publish(t, e, "chat", `{"text":"x"}`)
	if _, err := s.Receive(t.Context()); err != nil {
		t.Error(err)
	}
}

// The drops extension counts what was dropped before a message, for those who asked.
func TestDropsExtension(t *testing.T) {
	e := newEngine(t, fraiseql.Config{Schema: []fraiseql.SchemaSource{{Text: `
		type Subscription { x: X @delivery(overflow: DROP_OLDEST, maxMessages: 1) }
		type X { i: Int }`}}})
	for id, extensions := range map[string]string{"asked": `{"drops":true}`, "not": `{"drops":false}`, "none": ``} {
		s, err := e.Register(t.Context(), fraiseql.Registration{
			ConnectionID: id, SubscriptionID: "s", Query: `subscription { x { i } }`, Extensions: []byte(extensions),
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			publish(t, e, "x", fmt.Sprintf(`{"i":%d}`, i))
		}
		want := `{"data":{"x":{"i":2}}}`
		if id == "asked" {
			want = `{"data":{"x":{"i":2}},"extensions":{"dropped":2}}`
		}
		if got := receive(t, s); got != want {
			t.Errorf("%s: got %s, want %s", id, got, want)
		}
	}
}

// What an extension cannot be is refused, not taken for its absence.
func TestExtensionsOfOtherTypes(t *testing.T) {
	e := newEngine(t, fraiseql.Config{})
	for extensions, want := range map[string]string{
		`{"drops":"true"}`:          "The extension drops is true or false.",
		`{"drops":1,"resume":true}`: "The extension drops is true or false.",
		`{"resume":1}`:              "The extension resume is true, or the cursor of a message as a string.",
		`{"drops":null,"other":7}`:  "",
		`{}`:                        "",
	} {
		_, err := e.Register(t.Context(), fraiseql.Registration{ConnectionID: "c", SubscriptionID: extensions, Query: `subscription { x }`, Extensions: []byte(extensions)})
		if got := fmt.Sprint(err); want == "" && err != nil || !strings.Contains(got, want) {
			t.Errorf("%s: %v", extensions, err)
		}
	}
}

func TestSchemalessChannels(t *testing.T) {
	e := newEngine(t, fraiseql.Config{SchemalessChannels: []string{"users", "room*"}})
	for channel, served := range map[string]bool{"users": true, "user": false, "users2": false, "room": true, "room7": true, "orders": false} {
		_, err := e.Register(t.Context(), fraiseql.Registration{ConnectionID: "c", SubscriptionID: channel, Query: `subscription { ` + channel + ` }`})
		if (err == nil) != served {
			t.Errorf("%s: %v", channel, err)
		}
	}
}

// Strict: an event without a tenant is refused, unless a field of its channel and type finds one in data.
func TestStrictIsolationAtPublish(t *testing.T) {
	e := newEngine(t, fraiseql.Config{
		Security: fraiseql.Security{Isolation: fraiseql.IsolationStrict, RowFilter: fraiseql.RowFilterNone},
		Schema: []fraiseql.SchemaSource{{Text: `
			type Subscription { a: A @source(channel: "a", types: ["mine"]) @tenant(path: "owner.org") b: A }
			type A { i: Int }`}},
	})
	for _, c := range []struct {
		ev      fraiseql.Event
		allowed bool
	}{
		{fraiseql.Event{Channel: "a", Type: "mine", Data: []byte(`{}`)}, false},
		{fraiseql.Event{Channel: "a", Type: "mine", Data: []byte(`{"owner":{"org":"t"}}`)}, true},
		{fraiseql.Event{Channel: "a", Type: "mine", Data: []byte(`{"owner":{"org":7}}`)}, true},
		{fraiseql.Event{Channel: "a", Type: "mine", Data: []byte(`{"owner":{"org":null}}`)}, false},
		{fraiseql.Event{Channel: "a", Type: "mine", Data: []byte(`{"owner":{"org":""}}`)}, false},
		{fraiseql.Event{Channel: "a", Type: "other", Data: []byte(`{"owner":{"org":"t"}}`)}, false},
		{fraiseql.Event{Channel: "b", Type: "mine", Data: []byte(`{"owner":{"org":"t"}}`)}, false},
		{fraiseql.Event{Channel: "b", Type: "mine", TenantID: "t", Data: []byte(`{}`)}, true},
		{fraiseql.Event{Channel: "b", Type: "mine", Broadcast: true, Data: []byte(`{}`)}, true},
		{fraiseql.Event{Channel: "b", Type: "mine", UserID: "u", Data: []byte(`{}`)}, false},
	} {
		if err := e.Check(c.ev); (err == nil) != c.allowed {
			t.Errorf("%+v with %s: %v", c.ev.Channel, c.ev.Data, err)
		}
	}
}

// Registrations, completions of subscriptions and of whole connections, events and readers, all at once: what
// is left in the end is nothing.
func TestConcurrentPulls(t *testing.T) {
	e := chatEngine(t)
	var wg sync.WaitGroup
	for k := range 4 {
		wg.Go(func() {
			for i := range 100 {
				s, err := e.Register(context.Background(), fraiseql.Registration{
					ConnectionID: fmt.Sprint(i % 3), SubscriptionID: fmt.Sprint(k), Query: `subscription { everything { text } }`,
				})
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := e.Publish(context.Background(), fraiseql.Event{Channel: "chat", Type: "t", Data: []byte(`{"text":"x"}`)}); err != nil {
					t.Error(err)
				}
				if _, err := s.Receive(context.Background()); err != nil && !errors.Is(err, fraiseql.ErrEnded) {
					t.Error(err)
				}
				if i%5 == 0 {
					e.CompleteConnection(fmt.Sprint(i % 3))
				}
				s.Complete()
			}
		})
	}
	wg.Wait()
	for i := range 3 {
		e.CompleteConnection(fmt.Sprint(i))
	}
	if s := e.Stats(); s.Connections+s.Subscriptions+s.Groups+s.Channels != 0 {
		t.Errorf("left over: %+v", s)
	}
}

func TestHandlerOfAClosedEngine(t *testing.T) {
	e, err := fraiseql.New(fraiseql.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Handler(fraiseql.HandlerConfig{Anonymous: true}); err == nil {
		t.Error("a handler that nobody would close")
	}
	if _, err := e.Register(t.Context(), fraiseql.Registration{ConnectionID: "c", SubscriptionID: "s", Query: `subscription { x }`}); err == nil {
		t.Error("registered")
	}
}

// Extensions that are no JSON object are refused, those of other programs are let be, however deep they are.
func TestExtensionsOfRegistrations(t *testing.T) {
	e := newEngine(t, fraiseql.Config{})
	deep := strings.Repeat("[", 70) + strings.Repeat("]", 70)
	for extensions, want := range map[string]string{
		`{"resume":true}`: "", `{"resume":true,"client":` + deep + `}`: "", `{"drops":true,"client":` + deep + `}`: "", "null": "", `{}`: "",
		`{"resume":true`: code.BadUserInput, `[{"resume":true}]`: code.BadUserInput, `"resume"`: code.BadUserInput, " ": code.BadUserInput,
		`{"resume":true}{"x":1}`: code.BadUserInput, `{"drops":5,"client":` + deep + `}`: code.BadUserInput, `{"resume":5}`: code.BadUserInput,
	} {
		s, err := e.Register(t.Context(), fraiseql.Registration{ConnectionID: "c", SubscriptionID: "s", Query: "subscription { a }", Extensions: []byte(extensions)})
		var refused fraiseql.Errors
		switch {
		case want == "" && err != nil:
			t.Errorf("%.40s: %v", extensions, err)
		case want != "" && (!errors.As(err, &refused) || refused[0].Code != want):
			t.Errorf("%.40s: %v, want %s", extensions, err, want)
		}
		if s == nil {
			continue
		}
		if first, ok, _ := s.Next(nil); ok != strings.Contains(extensions, "resume") || ok && !strings.Contains(string(first), "cursor") {
			t.Errorf("%.40s: the first message is %q", extensions, first)
		}
		s.Complete()
	}
}
