package fraiseql_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/fraiseql/fraiseql-go"
)

// later keeps requests for tests to answer.
type later chan *fraiseql.ResolveRequest

func (l later) resolver() fraiseql.Resolver {
	return fraiseql.Resolver{Deferred: func(r *fraiseql.ResolveRequest) { l <- r }}
}

// says is a resolver that answers at once with one text.
func says(text string) fraiseql.Resolver {
	return fraiseql.Resolver{Deferred: func(r *fraiseql.ResolveRequest) { r.Resolve(json.RawMessage(`{"text":"` + text + `"}`)) }}
}

func everything(text string) string { return `{"data":{"everything":{"text":"` + text + `"}}}` }

func registerOwn(t testing.TB, e *fraiseql.Engine, id string, who fraiseql.Identity, r *fraiseql.Resolver) *fraiseql.Subscription {
	t.Helper()
	s, err := e.Register(t.Context(), fraiseql.Registration{
		ConnectionID: "c", SubscriptionID: id, Query: `subscription { everything { text } }`, Identity: who, Resolver: r,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What waits for its resolver counts as delivered; the answer wakes who waits for it, from any goroutine.
func TestDeferredResolver(t *testing.T) {
	asked := make(later, 1)
	e := newEngine(t, fraiseql.Config{
		Schema:    []fraiseql.SchemaSource{{Text: chatSDL}},
		Resolvers: map[string]fraiseql.Resolver{"message": asked.resolver()},
	})
	s := register(t, e, "1", `subscription($r: ID!) { message(room: $r) { text } }`, `{"r": 7}`)
	receipt, err := e.Publish(t.Context(), fraiseql.Event{Channel: "chat", Type: "t", TenantID: "x", ID: "9", Data: []byte(`{"room":7}`)})
	if err != nil || receipt.Delivered != 0 {
		t.Fatalf("another tenant's: %+v, %v", receipt, err)
	}
	receipt, err = e.Publish(t.Context(), fraiseql.Event{Channel: "chat", Type: "t", ID: "1", Data: []byte(`{"room":7}`)})
	if err != nil || receipt.Delivered != 1 {
		t.Fatalf("receipt %+v, %v", receipt, err)
	}
	r := <-asked
	if r.Field() != "message" || r.Event().ID != "1" || string(r.Event().Data) != `{"room":7}` || string(r.Variables()) != `{"r":"7"}` || r.Context() != nil {
		t.Errorf("asked for %s of %+v with %s by %+v", r.Field(), r.Event(), r.Variables(), r.Context())
	}
	go r.Resolve(json.RawMessage(`{"text":"late"}`))
	if got := receive(t, s); got != `{"data":{"message":{"text":"late"}}}` {
		t.Errorf("got %s", got)
	}
	publish(t, e, "chat", `{"room":7}`)
	if r := <-asked; !r.Resolve(nil) || r.Skip() || r.Fail(errors.New("x")) {
		t.Error("the first answer counts")
	}
	if got := receive(t, s); got != `{"data":{"message":null}}` {
		t.Errorf("got %s", got)
	}
}

// A deferred resolver may publish, also to the channel whose event it was asked for.
func TestDeferredResolverPublishes(t *testing.T) {
	var e *fraiseql.Engine
	e = newEngine(t, fraiseql.Config{
		Schema: []fraiseql.SchemaSource{{Text: chatSDL}},
		Resolvers: map[string]fraiseql.Resolver{"everything": {Deferred: func(r *fraiseql.ResolveRequest) {
			if n := len(r.Event().ID); n < 5 {
				again := fraiseql.Event{Channel: "chat", Type: "t", ID: r.Event().ID + "x", Data: r.Event().Data}
				if _, err := e.Publish(context.Background(), again); err != nil {
					t.Error(err)
				}
			}
			r.Resolve(json.RawMessage(`{"text":"` + r.Event().ID + `"}`))
		}}},
	})
	s := register(t, e, "1", `subscription { everything { text } }`, "")
	if _, err := e.Publish(t.Context(), fraiseql.Event{Channel: "chat", Type: "t", ID: "x", Data: []byte(`{}`)}); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if got, want := receive(t, s), everything(strings.Repeat("x", i+1)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// Publishers on several goroutines, answers on others, to the same channels.
func TestDeferredResolversInParallel(t *testing.T) {
	const publishers, events = 4, 200
	asked := make(later, publishers*events)
	e := newEngine(t, fraiseql.Config{
		Resolvers: map[string]fraiseql.Resolver{"t": asked.resolver()}, Limits: fraiseql.Limits{ResolverLane: publishers * events},
	})
	var subs []*fraiseql.Subscription
	for i := range publishers {
		subs = append(subs, register(t, e, fmt.Sprint(i), fmt.Sprintf(`subscription { room%d { n } }`, i), ""))
	}
	var group sync.WaitGroup
	for i := range publishers {
		group.Go(func() {
			for n := range events {
				ev := fraiseql.Event{Channel: fmt.Sprint("room", i), Type: []string{"t", "pass"}[n%2], Data: fmt.Appendf(nil, `{"n":%d}`, n)}
				if r, err := e.Publish(context.Background(), ev); err != nil || r.Delivered != 1 {
					t.Error(r, err)
				}
			}
		})
		group.Go(func() {
			var held []*fraiseql.ResolveRequest
			for range events / 2 {
				held = append(held, <-asked)
				for len(held) > 10 {
					held = answerOne(t, held)
				}
			}
			for len(held) > 0 {
				held = answerOne(t, held)
			}
		})
	}
	group.Wait()
	for i, s := range subs {
		for n := range events {
			if got, want := receive(t, s), fmt.Sprintf(`{"data":{"room%d":{"n":%d}}}`, i, n); got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
		}
	}
}

// answerOne answers a request chosen at random and returns the others.
func answerOne(t *testing.T, held []*fraiseql.ResolveRequest) []*fraiseql.ResolveRequest {
	i, last := rand.IntN(len(held)), len(held)-1
	r := held[i]
	held[i] = held[last]
	if !r.Resolve(r.Event().Data) {
		t.Error("nobody waits")
	}
	return held[:last]
}

// The subscription's own resolver goes before that of its root field, and that before that of the event's type.
func TestResolverPrecedence(t *testing.T) {
	e := newEngine(t, fraiseql.Config{Schema: []fraiseql.SchemaSource{{Text: chatSDL}}})
	set := func(name, text string) {
		t.Helper()
		if err := e.SetResolver(name, says(text)); err != nil {
			t.Fatal(err)
		}
	}
	raw := registerOwn(t, e, "raw", fraiseql.Identity{}, nil)
	set("created", "of the type")
	byType := registerOwn(t, e, "type", fraiseql.Identity{}, nil)
	set("everything", "of the field")
	byField := registerOwn(t, e, "field", fraiseql.Identity{}, nil)
	mine := says("its own")
	own := registerOwn(t, e, "own", fraiseql.Identity{}, &mine)
	set("everything", "of the field, later")
	later := registerOwn(t, e, "later", fraiseql.Identity{}, nil)
	publish(t, e, "chat", `{"text":"raw"}`)
	if _, err := e.Publish(t.Context(), fraiseql.Event{Channel: "chat", Type: "removed", Data: []byte(`{"text":"raw"}`)}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		sub             *fraiseql.Subscription
		created, passed string
	}{
		{raw, "raw", "raw"}, {byType, "of the type", "raw"}, {byField, "of the field", "of the field"},
		{own, "its own", "its own"}, {later, "of the field, later", "of the field, later"},
	} {
		if created, passed := receive(t, c.sub), receive(t, c.sub); created != everything(c.created) || passed != everything(c.passed) {
			t.Errorf("%s: got %s and %s", c.sub.ID(), created, passed)
		}
	}
}

func TestSetResolverRefuses(t *testing.T) {
	typed := `type Subscription { a: A @source(types: ["x"]) } type A { n: Int }`
	both := says("x")
	both.Resolve = func(context.Context, *fraiseql.Event, json.RawMessage, *fraiseql.ResolverContext) (any, error) {
		return nil, nil
	}
	for _, c := range []struct {
		sdl, name string
		resolver  fraiseql.Resolver
		want      string
	}{
		{typed, "a", says("x"), ""},
		{typed, "x", says("x"), ""},
		{chatSDL, "anything", says("x"), ""},
		{"", "anything", says("x"), ""},
		{typed, "y", says("x"), `set resolver "y": the schema has no such root field, and no root field takes events of such a type`},
		{chatSDL, "Subscription.message", says("x"), `set resolver "Subscription.message": name the root field alone, "message"`},
		{"", "", says("x"), `set resolver "": the name is required and must not be empty`},
		{chatSDL, "a b", says("x"), `set resolver "a b": the name contains white space`},
		{chatSDL, "message", fraiseql.Resolver{}, `set resolver "message": a resolver has exactly one of Resolve and Deferred`},
		{chatSDL, "message", both, `set resolver "message": a resolver has exactly one of Resolve and Deferred`},
	} {
		var cfg fraiseql.Config
		if c.sdl != "" {
			cfg.Schema = []fraiseql.SchemaSource{{Text: c.sdl}}
		}
		got := ""
		if err := newEngine(t, cfg).SetResolver(c.name, c.resolver); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%q: got %q, want %q", c.name, got, c.want)
		}
	}
	e := chatEngine(t)
	if _, err := e.Register(t.Context(), fraiseql.Registration{
		ConnectionID: "c", SubscriptionID: "s", Query: `subscription { everything { text } }`, Resolver: &fraiseql.Resolver{},
	}); err == nil || e.Stats().Connections != 0 {
		t.Errorf("got %v", err)
	}
}

// Results are shared by one resolver only; what thousands of registrations bring along goes with them.
func TestOwnResolversLeaveNothing(t *testing.T) {
	e := chatEngine(t)
	shared := says("shared")
	for i := range 3000 {
		id := fmt.Sprint(i)
		own := says(id)
		one := registerOwn(t, e, "own", fraiseql.Identity{}, &own)
		two, three := registerOwn(t, e, "two", fraiseql.Identity{}, &shared), registerOwn(t, e, "three", fraiseql.Identity{}, &shared)
		if groups := e.Stats().Groups; groups != 2 {
			t.Fatalf("%d groups", groups)
		}
		publish(t, e, "chat", `{"text":"raw"}`)
		if a, b, c := receive(t, one), receive(t, two), receive(t, three); a != everything(id) || b != everything("shared") || c != b {
			t.Fatalf("got %s, %s, %s", a, b, c)
		}
		one.Complete()
		two.Complete()
		three.Complete()
	}
	if s := e.Stats(); s.Groups != 0 || s.Channels != 0 || s.Subscriptions != 0 {
		t.Errorf("left over: %+v", s)
	}
}

// A scalar field waits for its resolver if that may come late.
func TestLateResolvers(t *testing.T) {
	sdl := []fraiseql.SchemaSource{{Text: `type Subscription { n: Int @source(channel: "c") typed: Int @source(channel: "c", types: ["x", "y"]) } type A { n: Int }`}}
	if _, err := fraiseql.New(fraiseql.Config{Schema: sdl}); err == nil || !strings.Contains(err.Error(), "needs a resolver") {
		t.Fatalf("got %v", err)
	}
	e := newEngine(t, fraiseql.Config{Schema: sdl, LateResolvers: true})
	refused := func(field string) bool {
		s, err := e.Register(t.Context(), fraiseql.Registration{ConnectionID: "c", SubscriptionID: field, Query: "subscription { " + field + " }"})
		var errs fraiseql.Errors
		if errors.As(err, &errs) && errs[0].Code == "GRAPHQL_VALIDATION_FAILED" && errs[0].Message == "The field "+field+" needs a resolver, and there is none." {
			return true
		}
		if err != nil {
			t.Fatal(err)
		}
		s.Complete()
		return false
	}
	number := fraiseql.Resolver{Deferred: func(r *fraiseql.ResolveRequest) { r.Resolve(json.RawMessage("7")) }}
	for _, step := range []struct {
		set      string
		n, typed bool // refused
	}{{"", true, true}, {"x", true, true}, {"y", true, false}, {"n", false, false}} {
		if step.set != "" {
			if err := e.SetResolver(step.set, number); err != nil {
				t.Fatal(err)
			}
		}
		if n, typed := refused("n"), refused("typed"); n != step.n || typed != step.typed {
			t.Errorf("with %q: n refused %v, typed refused %v", step.set, n, typed)
		}
	}
	s := register(t, e, "1", "subscription { typed }", "")
	if _, err := e.Publish(t.Context(), fraiseql.Event{Channel: "c", Type: "y", Data: []byte(`{}`)}); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, s); got != `{"data":{"typed":7}}` {
		t.Errorf("got %s", got)
	}
}

// What a resolver returned for one tenant, federation or caller reaches no other, whichever resolver it is. The
// event that is denied does not arrive, the one after it does.
func TestResolverResultsStayApart(t *testing.T) {
	people := []fraiseql.Identity{
		{UserID: "1", TenantID: "a"}, {UserID: "2", TenantID: "a"}, {UserID: "1", TenantID: "b"}, {UserID: "1", TenantID: "a", Roles: []string{"admin"}},
	}
	for _, aware := range []bool{false, true} {
		asked := make(later, 100)
		ask := asked.resolver()
		ask.Context = aware
		for _, by := range []string{"everything", "created", "own"} {
			e := chatEngine(t)
			var own *fraiseql.Resolver
			if by == "own" {
				own = &ask
			} else if err := e.SetResolver(by, ask); err != nil {
				t.Fatal(err)
			}
			var subs []*fraiseql.Subscription
			for i, who := range people {
				subs = append(subs, registerOwn(t, e, fmt.Sprint(i), who, own))
			}
			for _, tenant := range []string{"b", "a"} {
				if _, err := e.Publish(t.Context(), fraiseql.Event{Channel: "chat", Type: "created", TenantID: tenant, Data: []byte(`{"text":"raw"}`)}); err != nil {
					t.Fatal(err)
				}
			}
			for n := len(asked); n > 0; n-- {
				r := <-asked
				text := r.Event().TenantID
				if who := r.Context(); who != nil {
					text = who.TenantID + who.UserID + strings.Join(who.Roles, "")
				}
				r.Resolve(json.RawMessage(`{"text":"` + text + `"}`))
			}
			for i, s := range subs {
				want := people[i].TenantID
				if aware {
					want += people[i].UserID + strings.Join(people[i].Roles, "")
				}
				if got := receive(t, s); got != everything(want) {
					t.Errorf("%s, aware %v: %d got %s, want %s", by, aware, i, got, want)
				}
				if more, ok, _ := s.Next(nil); ok {
					t.Errorf("%s: %d got more: %s", by, i, more)
				}
			}
		}
	}
}

// An engine that closes leaves answers without effect, from whatever goroutine they come.
func TestCloseWhileDeferred(t *testing.T) {
	asked := make(later, 10)
	e := newEngine(t, fraiseql.Config{Resolvers: map[string]fraiseql.Resolver{"room": asked.resolver()}})
	s := register(t, e, "1", `subscription { room { text } }`, "")
	publish(t, e, "room", `{}`)
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := <-asked; r.Resolve(nil) || r.Fail(nil) {
		t.Error("nobody waits")
	}
	if _, _, err := s.Next(nil); !errors.Is(err, fraiseql.ErrEnded) {
		t.Errorf("got %v", err)
	}
}

// Config names root fields and listed event types; anything else is a mistake there.
func TestConfiguredResolvers(t *testing.T) {
	sdl := []fraiseql.SchemaSource{{Text: `type Subscription { a: A @source(types: ["x"]) b: A } type A { n: Int }`}}
	for name, c := range map[string]struct {
		resolver fraiseql.Resolver
		want     string
	}{
		"a": {says("x"), ""},
		"x": {says("x"), ""},
		"y": {says("x"), `config: Resolvers["y"]: the schema has no field Subscription.y, and no field lists it as an event type`},
		"b": {fraiseql.Resolver{Context: true}, `config: Resolvers["b"]: a resolver has exactly one of Resolve and Deferred`},
	} {
		e, err := fraiseql.New(fraiseql.Config{Schema: sdl, Resolvers: map[string]fraiseql.Resolver{name: c.resolver}})
		if c.want == "" && err == nil {
			if err := e.Close(t.Context()); err != nil {
				t.Error(err)
			}
			continue
		}
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}
