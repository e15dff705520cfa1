package fraiseql_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/fraiseql/fraiseql-go"
)

func schemaText(text string) fraiseql.SchemaSource {
	return fraiseql.SchemaSource{Name: "schema.graphql", Text: text}
}

func withSchema(t testing.TB, text string) *fraiseql.Engine {
	return newEngine(t, fraiseql.Config{Schema: []fraiseql.SchemaSource{schemaText(text)}})
}

func setSchema(t testing.TB, e *fraiseql.Engine, text string, moved, ended int) {
	t.Helper()
	c, err := e.SetSchema(schemaText(text))
	if err != nil || c.Moved != moved || c.Ended != ended {
		t.Errorf("set schema: %+v, %v, want %d moved and %d ended", c, err, moved, ended)
	}
}

// next returns the payload of the oldest message; "" for none.
func next(t testing.TB, s *fraiseql.Subscription) string {
	t.Helper()
	text, ok, err := s.Next(nil)
	if err != nil || !ok {
		return ""
	}
	var m struct {
		Type    string
		Payload json.RawMessage
	}
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	return m.Type + " " + string(m.Payload)
}

const changingSDL = `type Subscription { %s }
enum Size { S M L }
input Range { from: Int  to: Int }
type Order { id: ID! %s }`

// TestSetSchema: what a live subscription makes of another schema.
func TestSetSchema(t *testing.T) {
	field := func(args, directives string) string {
		return "order" + args + `: Order @source(channel: "orders") ` + directives
	}
	const changed = `error [{"message":"The schema has changed, and the subscription is not valid any more: `
	clerk := fraiseql.Identity{UserID: "u", TenantID: "t", Roles: []string{"clerk"}}
	for _, tt := range []struct {
		name, before, members string
		query, variables      string
		after, others         string
		want                  string // of {"id":1,"n":5,"m":6,"size":"M","user":"u"}
	}{
		{"a field more", field("", ""), "n: Int", `subscription { order { n } }`, ``, field("", ""), "n: Int m: Int", `next {"data":{"order":{"n":5}}}`},
		{"a description", field("", ""), "n: Int", `subscription { order { n } }`, ``, `"the orders" ` + field("", ""), "n: Int", `next {"data":{"order":{"n":5}}}`},
		{"a field less", field("", ""), "n: Int", `subscription { order { n } }`, ``, field("", ""), "m: Int", changed + `Cannot query field`},
		{"a root field less", field("", ""), "n: Int", `subscription { order { n } }`, ``, "other: Order", "n: Int", changed + `Cannot query field`},
		{"another type", field("", ""), "n: Int", `subscription { order { n } }`, ``, field("", ""), "n: String", `next {"data":{"order":{"n":"5"}}}`},
		{"another member", field("", ""), "n: Int", `subscription { order { n } }`, ``, field("", ""), `n: Int @from(path: "m")`, `next {"data":{"order":{"n":6}}}`},
		{"another channel", field("", ""), "n: Int", `subscription { order { n } }`, ``, `order: Order @source(channel: "others")`, "n: Int", changed + `The field listens to another channel now.`},
		{"other event types", field("", ""), "n: Int", `subscription { order { n } }`, ``, `order: Order @source(channel: "orders", types: ["deleted"])`, "n: Int", ""},
		{"an argument that filters otherwise", field("(n: Int)", ""), "n: Int", `subscription { order(n: 5) { n } }`, ``, field(`(n: Int @match(path: "n", op: GT))`, ""), "n: Int", ""},
		{"a path", field("(n: Int)", ""), "n: Int", `subscription { order(n: 6) { n } }`, ``, field(`(n: Int @match(path: "m"))`, ""), "n: Int", `next {"data":{"order":{"n":5}}}`},
		{"a type of argument", field("(n: Int!)", ""), "n: Int", `subscription($n: Int!) { order(n: $n) { n } }`, `{"n":5}`, field("(n: Int = 4)", ""), "n: Int", `next {"data":{"order":{"n":5}}}`},
		{"a type that the variable has not", field("(n: Int)", ""), "n: Int", `subscription($n: Int) { order(n: $n) { n } }`, `{"n":5}`, field(`(n: String @match(path: "n", op: STARTS_WITH))`, ""), "n: Int", changed + `Variable`},
		{"a value of an enum less", field("(size: Size)", ""), "size: Size", `subscription($s: Size) { order(size: $s) { size } }`, `{"s":"M"}`, field("(size: Few)", "") + "}  enum Few { L } type Unused { id: ID", "size: Few", changed},
		{"an argument that must be", field("(n: Int)", ""), "n: Int", `subscription { order { n } }`, ``, field("(n: Int!)", ""), "n: Int", changed + `Field`},
		{"an owner", field("", ""), "n: Int", `subscription { order { n } }`, ``, field("", `@owner(path: "user")`), "n: Int", `next {"data":{"order":{"n":5}}}`},
		{"another owner", field("", ""), "n: Int", `subscription { order { n } }`, ``, field("", `@owner(path: "n")`), "n: Int", ""},
		{"a tenant", field("", ""), "n: Int", `subscription { order { n } }`, ``, field("", `@tenant(path: "user")`), "n: Int", ""},
		{"a role that it has", field("", ""), "n: Int", `subscription { order { n } }`, ``, field("", `@requiresRole(roles: ["clerk"])`), "n: Int", `next {"data":{"order":{"n":5}}}`},
		{"a role that it has not", field("", ""), "n: Int", `subscription { order { n } }`, ``, field("", `@requiresRole(roles: ["boss"])`), "n: Int", changed + `not authorised for Subscription.order`},
		{"a mask", field("", ""), "n: Int", `subscription { order { n } }`, ``, field("", ""), `n: Int @requiresRole(roles: ["boss"], deny: MASK)`, `next {"data":{"order":{"n":null}}}`},
		{"no mask any more", field("", ""), `n: Int @requiresRole(roles: ["boss"], deny: MASK)`, `subscription { order { n } }`, ``, field("", ""), `n: Int`, `next {"data":{"order":{"n":5}}}`},
		{"a scope", field("(user_id: ID @unscoped @match(path: \"user\"))", ""), "n: Int", `subscription { order(user_id: "x") { n } }`, ``, field("(user_id: ID @match(path: \"user\"))", ""), "n: Int", changed},
		{"an operation of several", field("", ""), "n: Int", `subscription A { order { n } } subscription B { order { id } }`, ``, field("", ""), "n: Int m: Int", `next {"data":{"order":{"id":"1"}}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := withSchema(t, fmt.Sprintf(changingSDL, tt.before, tt.members))
			r := fraiseql.Registration{ConnectionID: "c", SubscriptionID: "s", Query: tt.query, Identity: clerk, Variables: []byte(tt.variables)}
			if strings.Contains(tt.query, "subscription B") {
				r.OperationName = "B"
			}
			s, err := e.Register(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			const data = `{"id":1,"n":5,"m":6,"size":"M","user":"u"}`
			ev := fraiseql.Event{Channel: "orders", Type: "created", TenantID: "t", Data: []byte(data)}
			if _, err := e.Publish(t.Context(), ev); err != nil {
				t.Fatal(err)
			}
			waits := s.Waiting()
			after := fmt.Sprintf(changingSDL, tt.after, tt.others)
			ended := 0
			if strings.HasPrefix(tt.want, "error") {
				ended = 1
			}
			setSchema(t, e, after, 1-ended, ended)
			setSchema(t, e, after, 0, 0) // the same text
			if waits && !strings.HasPrefix(next(t, s), "next ") {
				t.Error("what waited is gone")
			}
			if _, err := e.Publish(t.Context(), ev); err != nil {
				t.Fatal(err)
			}
			if got := next(t, s); !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" || ended == 1 && !strings.Contains(got, `"extensions":{"code":"SCHEMA_CHANGED"}`) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if got := next(t, s); got != "" {
				t.Errorf("then %s", got)
			}
			if stats := e.Stats(); stats.Subscriptions != 1-ended || stats.Groups != 1-ended {
				t.Errorf("%+v", stats)
			}
		})
	}
}

// A schema that is not valid changes nothing, nor does one where there was none.
func TestSetSchemaRefused(t *testing.T) {
	e := chatEngine(t)
	s := register(t, e, "1", `subscription { everything { text } }`, ``)
	for _, text := range []string{`type Subscription { x: Missing }`, `type Subscription {`, `type Subscription { n: Int }`, `type Query { a: Int }`} {
		if _, err := e.SetSchema(schemaText(text)); err == nil || !strings.Contains(err.Error(), "schema.graphql:") && !strings.Contains(err.Error(), "ubscription") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := e.SetSchema(); err == nil {
		t.Error("the schema was taken away")
	}
	if _, err := newEngine(t, fraiseql.Config{}).SetSchema(schemaText(chatSDL)); err == nil {
		t.Error("a schema was given")
	}
	publish(t, e, "chat", `{"text":"hi"}`)
	if got := next(t, s); got != `next {"data":{"everything":{"text":"hi"}}}` {
		t.Error(got)
	}
}

// Members of one group that are not equal before the new schema go different ways.
func TestSetSchemaSplits(t *testing.T) {
	e := withSchema(t, fmt.Sprintf(changingSDL, `order: Order @source(channel: "orders")`, "n: Int"))
	subs := map[string]*fraiseql.Subscription{}
	for _, role := range []string{"boss", "clerk", "none"} {
		s, err := e.Register(t.Context(), fraiseql.Registration{ConnectionID: role, SubscriptionID: "s", Query: `subscription { order { n } }`, Identity: fraiseql.Identity{UserID: role, TenantID: "t", Roles: []string{role}}})
		if err != nil {
			t.Fatal(err)
		}
		subs[role] = s
	}
	setSchema(t, e, fmt.Sprintf(changingSDL, `order: Order @source(channel: "orders") @requiresRole(roles: ["boss", "clerk"])`, `n: Int @requiresRole(roles: ["boss"], deny: MASK)`), 2, 1)
	if _, err := e.Publish(t.Context(), fraiseql.Event{Channel: "orders", Type: "t", TenantID: "t", Data: []byte(`{"n":5}`)}); err != nil {
		t.Fatal(err)
	}
	for role, want := range map[string]string{"boss": `next {"data":{"order":{"n":5}}}`, "clerk": `next {"data":{"order":{"n":null}}}`, "none": "error [{"} {
		if got := next(t, subs[role]); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", role, got)
		}
	}
}

// versioned is the chat in which field v says which version of the schema has projected.
func versioned(version int) string {
	return fmt.Sprintf(`type Subscription {
  message(room: ID @match(path: "room")): Message @source(channel: "chat")
  resolved: Message @source(channel: "chat")
  deferred: Message @source(channel: "chat")
}
type Message { n: Int! v: Int @from(path: "v%d") only%d: Int }`, version%2, version)
}

// observed is a message of the versioned chat.
type observed struct{ N, V int }

func look(t testing.TB, s *fraiseql.Subscription) (o observed, ok bool) {
	text, ok, err := s.Next(nil)
	if err != nil || !ok {
		if err != nil {
			t.Error(err)
		}
		return o, false
	}
	var m struct {
		Payload struct {
			Data   map[string]*observed
			Errors json.RawMessage
		}
	}
	if err := json.Unmarshal(text, &m); err != nil || m.Payload.Errors != nil {
		t.Errorf("%s: %v", text, err)
	}
	for _, v := range m.Payload.Data {
		return *v, true
	}
	return look(t, s) // a cursor alone
}

// event n of the versioned chat: v says by which member it was read.
func eventN(n int) fraiseql.Event {
	return fraiseql.Event{Channel: "chat", Type: "m", ID: fmt.Sprint("e", n), Data: []byte(fmt.Sprintf(`{"n":%d,"v0":0,"v1":1,"room":"r"}`, n))}
}

// Results that were due when the schema changed come in their order, projected by the new one.
func TestSetSchemaWithResultsDue(t *testing.T) {
	held := make(chan *fraiseql.ResolveRequest, 8)
	for _, members := range []int{1, 3} {
		e := newEngine(t, fraiseql.Config{Schema: []fraiseql.SchemaSource{schemaText(versioned(0))}, Resolvers: map[string]fraiseql.Resolver{
			"deferred": {Deferred: func(r *fraiseql.ResolveRequest) { held <- r }},
		}})
		var subs []*fraiseql.Subscription
		for i := range members {
			subs = append(subs, register(t, e, fmt.Sprint(i), `subscription { deferred { n v } }`, ``))
		}
		publishN := func(n int) *fraiseql.ResolveRequest {
			if _, err := e.Publish(t.Context(), eventN(n)); err != nil {
				t.Fatal(err)
			}
			return <-held
		}
		first, second := publishN(1), publishN(2)
		setSchema(t, e, versioned(1), members, 0)
		late := register(t, e, "late", `subscription { deferred { n v } }`, ``) // is not given what it came after
		third := publishN(3)
		fourth := <-held // of the late one, which has another group
		for _, r := range []*fraiseql.ResolveRequest{third, second, fourth} {
			if !r.Resolve(r.Event().Data) {
				t.Error("nobody waits")
			}
		}
		if subs[0].Waiting() && next(t, subs[0]) != "" {
			t.Error("out of order")
		}
		if !first.Resolve(first.Event().Data) {
			t.Error("nobody waits")
		}
		for _, s := range subs {
			for n := 1; n <= 3; n++ {
				if o, ok := look(t, s); !ok || o.N != n || n == 1 && o.V != 1 {
					t.Errorf("%+v, want event %d", o, n)
				}
			}
		}
		if o, ok := look(t, late); !ok || o.N != 3 || late.Waiting() && next(t, late) != "" {
			t.Errorf("late: %+v", o)
		}
	}
}

// While schemas change, events are published and subscriptions come and go: nobody misses one, gets one twice or out of
// order, and what is published after a change is projected by it.
func TestSetSchemaBesideEvents(t *testing.T) {
	e := newEngine(t, fraiseql.Config{Schema: []fraiseql.SchemaSource{schemaText(versioned(0))},
		Limits: fraiseql.Limits{ResolverLane: 1 << 16, QueueMessages: 1 << 16},
		Resolvers: map[string]fraiseql.Resolver{
			"resolved": {Resolve: func(_ context.Context, ev *fraiseql.Event, _ json.RawMessage, _ *fraiseql.ResolverContext) (any, error) {
				return ev.Data, nil
			}},
			"deferred": {Deferred: func(r *fraiseql.ResolveRequest) { r.Resolve(r.Event().Data) }},
		}})
	const events, changes = 1500, 40
	var mu sync.Mutex
	published, version := 0, 0
	one := func() {
		mu.Lock()
		defer mu.Unlock()
		published++
		if _, err := e.Publish(context.Background(), eventN(published)); err != nil {
			t.Error(err)
		}
	}
	var work, readers sync.WaitGroup
	over := make(chan struct{})
	work.Go(func() {
		for range events {
			one()
		}
	})
	work.Go(func() {
		for v := 1; v <= changes; v++ {
			if _, err := e.SetSchema(schemaText(versioned(v))); err != nil {
				t.Error(err)
			}
			mu.Lock()
			version = v
			mu.Unlock()
		}
	})
	for i, query := range []string{
		`subscription { message { n v } }`, `subscription { message(room: "r") { v n } }`, `subscription($r: ID) { message(room: $r) { n v } }`,
		`subscription { resolved { n v } }`, `subscription { deferred { n v } }`,
	} {
		for _, extensions := range []string{``, `{"resume":true}`} {
			readers.Go(func() {
				comeAndGo(t, e, fmt.Sprint(i, extensions), fraiseql.Registration{Query: query, Extensions: []byte(extensions)}, &mu, &published, over)
			})
		}
	}
	work.Wait()
	mu.Lock()
	if version != changes || published != events {
		t.Errorf("%d changes, %d events", version, published)
	}
	mu.Unlock()
	close(over)
	readers.Wait()
	if s := e.Stats(); s.Subscriptions+s.Groups+s.Channels != 0 {
		t.Errorf("left over: %+v", s)
	}
}

// comeAndGo subscribes again and again, each time for a while, until all is over.
func comeAndGo(t *testing.T, e *fraiseql.Engine, id string, r fraiseql.Registration, mu *sync.Mutex, published *int, over <-chan struct{}) {
	r.SubscriptionID, r.Variables = "s", []byte(`{"r":"r"}`)
	for round := 0; ; round++ {
		r.ConnectionID = fmt.Sprint(id, round)
		mu.Lock()
		before := *published
		s, err := e.Register(context.Background(), r)
		mu.Unlock()
		if err != nil {
			t.Error(err)
			return
		}
		_, ended := watch(t, s, before, over)
		e.CompleteConnection(r.ConnectionID)
		if ended {
			return
		}
	}
}

// watch reads what comes after an event until there are 100, or, once all is over, the last of 1500.
func watch(t *testing.T, s *fraiseql.Subscription, last int, over <-chan struct{}) (at int, ended bool) {
	from := last
	for {
		switch {
		case last == 1500:
			<-over
			return last, true
		case last >= from+100 && last < 1300:
			return last, false
		}
		text, err := s.Receive(t.Context())
		if err != nil {
			t.Error(err)
			return last, true
		}
		var m struct {
			Type    string
			Payload struct{ Data map[string]*observed }
		}
		if err := json.Unmarshal(text, &m); err != nil || m.Type != "next" {
			t.Errorf("%s: %v", text, err)
			return last, true
		}
		for _, o := range m.Payload.Data {
			if o.N != last+1 {
				t.Errorf("%d after %d: %s", o.N, last, text)
				return last, true
			}
			last = o.N
		}
	}
}

// A replay goes on under another schema where it was, or ends.
func TestSetSchemaBesideReplays(t *testing.T) {
	for _, query := range []string{`message { n v }`, `resolved { n v }`} {
		e := newEngine(t, fraiseql.Config{Schema: []fraiseql.SchemaSource{schemaText(versioned(0))}, Limits: fraiseql.Limits{QueueMessages: 10},
			Resolvers: map[string]fraiseql.Resolver{"resolved": {Resolve: func(_ context.Context, ev *fraiseql.Event, _ json.RawMessage, _ *fraiseql.ResolverContext) (any, error) {
				return ev.Data, nil
			}}}})
		first := resumed(t, e, `subscription { `+query+` }`, "", fraiseql.Identity{})
		cursor := read(t, first)[0].Payload.Extensions.Cursor
		first.Complete()
		for i := range 300 {
			if _, err := e.Publish(t.Context(), eventN(i+1)); err != nil {
				t.Fatal(err)
			}
		}
		stays := resumed(t, e, `subscription { `+query+` }`, cursor, fraiseql.Identity{})
		goes := resumed(t, e, `subscription { `+query[:len(query)-1]+`only0 } }`, cursor, fraiseql.Identity{})
		setSchema(t, e, versioned(1), 1, 1)
		last := observed{}
		for last.N < 300 {
			text, err := stays.Receive(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var m struct {
				Payload struct{ Data map[string]*observed }
			}
			if err := json.Unmarshal(text, &m); err != nil {
				t.Fatal(err)
			}
			for _, o := range m.Payload.Data {
				if o.N != last.N+1 || o.V < last.V {
					t.Fatalf("%s: %+v after %+v", query, *o, last)
				}
				last = *o
			}
		}
		if last.V != 1 {
			t.Errorf("the last was projected by version %d", last.V)
		}
		for text := ""; !strings.HasPrefix(text, "error"); {
			got, err := goes.Receive(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if text = string(got); strings.Contains(text, "SCHEMA_CHANGED") {
				break
			}
		}
	}
}
