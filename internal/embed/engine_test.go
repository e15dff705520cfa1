//go:build linux

package embed

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	fraiseql "github.com/fraiseql/fraiseql-go"
)

// open makes an engine that is closed after the test.
func open(t testing.TB, config string) *Engine {
	t.Helper()
	l := New(nil)
	h, shared, err := l.Open([]byte(config))
	if err != nil {
		t.Fatalf("open: %s", AppendError(nil, err))
	}
	t.Cleanup(func() {
		if err := l.Close(h); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	if shared == nil || atomic.LoadUint32(shared) != 0 {
		t.Error("calls wait in a new engine")
	}
	return l.Engine(h)
}

// subscribe subscribes connection "c" of a test.
func subscribe(t testing.TB, e *Engine, id, query string, more ...func(*Subscription)) Subscribed {
	t.Helper()
	s := Subscription{ConnectionID: []byte("c"), SubscriptionID: []byte(id), Query: []byte(query)}
	for _, f := range more {
		f(&s)
	}
	made, err := e.Subscribe(&s)
	if err != nil {
		t.Fatalf("subscribe: %s", AppendError(nil, err))
	}
	return made
}

const users = `subscription { users { id } }`

// publish publishes to channel users and returns the count.
func publish(t testing.TB, e *Engine, data ...string) int64 {
	t.Helper()
	sheet := e.Sheet()
	for _, d := range data {
		sheet.Add(&Event{Channel: []byte("users"), Type: []byte("userCreated"), Data: []byte(d)})
	}
	n, err := sheet.Publish()
	if err != nil {
		t.Fatalf("publish: %s", AppendError(nil, err))
	}
	return n
}

// next returns the next message as text and what Next said.
func next(e *Engine, handle int64) (string, int64) {
	message, n := e.Next(nil, handle)
	return string(message), n
}

// codes decodes an error as the host gets it and returns its code and the members that it names.
func codes(t testing.TB, err error) (code string, members []string) {
	t.Helper()
	var document struct {
		Code, Message string
		Errors        []struct {
			Code, Message, Member string
		}
	}
	text := AppendError(nil, err)
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	for _, e := range document.Errors {
		members = append(members, e.Member+": "+e.Message)
	}
	return document.Code, members
}

func TestConfigNamesWhatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		config string
		want   []string
	}{
		{`{`, []string{"config: is not JSON"}},
		{`[]`, []string{"config: must be a JSON object"}},
		{``, []string{"config: is not JSON"}},
		{`{"shema":null}`, []string{"shema: is not known"}},
		{`{"schema":1}`, []string{"schema: must be a list, not a number"}},
		{`{"schema":[null,{"name":1,"sdl":""}]}`, []string{"schema[0]: must not be null", "schema[1].name: must be a string, not a number", "schema[1].sdl: is not known"}},
		{`{"snake_case":"yes","introspection":0,"late_resolvers":[]}`, []string{
			"snake_case: must be a boolean, not a string", "introspection: must be a boolean, not a number", "late_resolvers: must be a boolean, not a list",
		}},
		{`{"limits":{"event_bytes":1.5,"queue_messages":-1,"x":1,"resolver_timeout":"5s","plan_cache_bytes":99999999999999999999}}`, []string{
			"limits.event_bytes: must be a whole number, not a number", "limits.queue_messages: must be between 0 and", "limits.x: is not known",
			"limits.resolver_timeout: must be a number, not a string", "limits.plan_cache_bytes: must be between 0 and",
		}},
		{`{"limits":{"resolver_timeout":0}}`, []string{"limits.resolver_timeout: must be more than 0 seconds"}},
		{`{"limits":{"resolver_timeout":1e300}}`, []string{"limits.resolver_timeout: must be at most"}},
		{`{"limits":{"resolver_timeout":-1}}`, []string{"limits.resolver_timeout: must be a number that is not negative"}},
		{`{"limits":[],"security":true,"bus":"memory"}`, []string{"limits: must be an object", "security: must be an object", "bus: must be an object"}},
		{`{"security":{"isolation":"lax","row_filter":1,"scope":{"user":"id","x":[]}}}`, []string{
			`security.isolation: must be "addressed" or "strict"`, `security.row_filter: must be "none", "tenant", "user" or "both"`,
			"security.scope.user: must be a list, not a string", "security.scope.x: is not known",
		}},
		{`{"bus":{"type":"kafka","url":"kafka://localhost"}}`, []string{"bus.type: must be memory, redis, postgresql or nats"}},
		{`{"processors":1025}`, []string{"processors: must be at most 1024"}},
		{`{"bus":{"typ":1}}`, []string{"bus.typ: is not known"}},
		{`{"limits":{"event_depth":1,"event_depth":2}}`, []string{"limits.event_depth: is there twice"}},
		{`{"limits":{"queue_bytes":2000000000}}`, []string{": Limits.QueueBytes"}},
		{`{"schema":[{"name":"s.graphql","text":"type Subscription { a: Nothing }"}]}`, []string{": s.graphql:1:"}},
	} {
		l := New(nil)
		h, _, err := l.Open([]byte(tt.config))
		if err == nil {
			t.Errorf("%s: opened", tt.config)
			l.Close(h)
			continue
		}
		_, got := codes(t, err)
		if len(got) < len(tt.want) {
			t.Errorf("%s: %q", tt.config, got)
			continue
		}
		for i, want := range tt.want {
			if !strings.HasPrefix(got[i], want) {
				t.Errorf("%s: %q, want %q", tt.config, got[i], want)
			}
		}
	}
}

// TestConfigSetsEverything gives every member a value of its own.
func TestConfigSetsEverything(t *testing.T) {
	c, err := parseEngine([]byte(`{"schema":[{"name":"a","text":"b"}],"snake_case":true,"bus":{"type":"redis","url":"u","consumer_group":"g"},
		"security":{"isolation":"strict","row_filter":"user","scope":{"user":["u"],"tenant":["t"]}},
		"limits":{"document_bytes":1,"document_tokens":2,"document_depth":3,"document_aliases":4,"event_bytes":5,"event_depth":6,
		"queue_messages":7,"queue_bytes":8,"connection_queue_bytes":9,"subscriptions_per_connection":10,"subscriptions_per_user":11,
		"subscribe_rate":12,"subscribe_burst":13,"publish_rate":14,"publish_burst":15,"groups_per_channel":16,"groups_per_tenant":17,
		"plan_cache_bytes":18,"resolver_timeout":0.5,"resolver_lane":19},
		"introspection":true,"late_resolvers":true,"processors":2}`))
	if err != nil {
		t.Fatal(err)
	}
	want := fraiseql.Limits{
		DocumentBytes: 1, DocumentTokens: 2, DocumentDepth: 3, DocumentAliases: 4, EventBytes: 5, EventDepth: 6, QueueMessages: 7, QueueBytes: 8,
		ConnectionQueueBytes: 9, SubscriptionsPerConnection: 10, SubscriptionsPerUser: 11, SubscribeRate: 12, SubscribeBurst: 13,
		PublishRate: 14, PublishBurst: 15, GroupsPerChannel: 16, GroupsPerTenant: 17, PlanCacheBytes: 18, ResolverTimeout: 5e8, ResolverLane: 19,
	}
	if diff := cmp.Diff(want, c.Limits); diff != "" {
		t.Errorf("limits:\n%s", diff)
	}
	security := fraiseql.Security{Isolation: fraiseql.IsolationStrict, RowFilter: fraiseql.RowFilterUser, ScopeUser: []string{"u"}, ScopeTenant: []string{"t"}}
	if diff := cmp.Diff(security, c.Security); diff != "" {
		t.Errorf("security:\n%s", diff)
	}
	if !c.SnakeCase || !c.Introspection || !c.LateResolvers || c.processors != 2 || c.bus != (busConfig{"redis", "u", "g"}) {
		t.Errorf("%+v", c)
	}
	if diff := cmp.Diff([]fraiseql.SchemaSource{{Name: "a", Text: "b"}}, c.Schema); diff != "" {
		t.Errorf("schema:\n%s", diff)
	}
}

func TestSeedWorkflow(t *testing.T) {
	e := open(t, `{}`)
	s := subscribe(t, e, "sub1", users, func(s *Subscription) { s.Identity = []byte(`{"user_id":"user1","tenant_id":"tenant1"}`) })
	if s.Channel != "users" {
		t.Errorf("channel %q", s.Channel)
	}
	if n := publish(t, e, `{"id":"123"}`); n != 1 {
		t.Errorf("published to %d", n)
	}
	if got, n := next(e, s.Handle); n != 1 || got != `{"id":"sub1","type":"next","payload":{"data":{"users":{"id":"123"}}}}` {
		t.Errorf("next: %d %s", n, got)
	}
	var m struct{ Connections, Subscriptions, Events, Messages int }
	if err := json.Unmarshal(e.AppendMetrics(nil), &m); err != nil || m.Subscriptions != 1 || m.Connections != 1 || m.Events != 1 || m.Messages != 1 {
		t.Errorf("metrics %+v, %v", m, err)
	}
	if n := e.Complete(s.Handle); n != 1 {
		t.Errorf("complete: %d", n)
	}
	if n := e.Complete(s.Handle); n != 0 {
		t.Errorf("complete again: %d", n)
	}
	if _, n := next(e, s.Handle); n != Ended {
		t.Errorf("next after complete: %d", n)
	}
}

func TestUnknownHandles(t *testing.T) {
	e, other := open(t, `{}`), open(t, `{}`)
	s := subscribe(t, other, "s", users)
	for _, h := range []int64{0, -1, 7, s.Handle, s.Connection} {
		if _, n := e.Next(nil, h); n != Unknown {
			t.Errorf("Next(%d): %d", h, n)
		}
		if _, n := e.Take(nil, h, 1); n != Unknown {
			t.Errorf("Take(%d): %d", h, n)
		}
		if _, n := e.TakeConnection(nil, h, 1); n != Unknown {
			t.Errorf("TakeConnection(%d): %d", h, n)
		}
		for name, f := range map[string]func(int64) int64{
			"Complete": e.Complete, "CompleteConnection": e.CompleteConnection, "MailboxClose": e.MailboxClose, "SessionClose": e.SessionClose,
			"Watch":       func(h int64) int64 { return e.Watch(h, 0, 1) },
			"MailboxTake": func(h int64) int64 { return e.MailboxTake(h, nil) },
			"Receive":     func(h int64) int64 { return e.SessionReceive(h, nil) },
			"Shut":        func(h int64) int64 { n, _ := e.SessionShut(h, 1000, nil); return n },
			"SessionTake": func(h int64) int64 { _, n := e.SessionTake(nil, h, 0); return n },
			"Stop":        func(h int64) int64 { n, _ := e.StopServing(h, 0); return n },
			"Open":        func(h int64) int64 { n, _ := e.OpenSession(h, nil, 0, 0); return n },
		} {
			if n := f(h); n != Unknown {
				t.Errorf("%s(%d): %d", name, h, n)
			}
		}
		if n, err := e.Answer(h, AnswerSkip, nil); n != 0 || err != nil {
			t.Errorf("Answer(%d): %d, %v", h, n, err)
		}
	}
}

func TestSubscribeRefusals(t *testing.T) {
	e := open(t, `{}`)
	subscribe(t, e, "live", users)
	for name, tt := range map[string]struct {
		s          Subscription
		code, text string
	}{
		"no connection":    {Subscription{SubscriptionID: []byte("s"), Query: []byte(users)}, "BAD_USER_INPUT", "connection_id: must not be empty"},
		"no subscription":  {Subscription{ConnectionID: []byte("c"), Query: []byte(users)}, "BAD_USER_INPUT", "subscription_id: must not be empty"},
		"no query":         {Subscription{ConnectionID: []byte("c"), SubscriptionID: []byte("s")}, "BAD_USER_INPUT", "query: must not be empty"},
		"no GraphQL":       {Subscription{Query: []byte("{{")}, "GRAPHQL_PARSE_FAILED", ": "},
		"twice":            {Subscription{SubscriptionID: []byte("live"), Query: []byte(users)}, "BAD_USER_INPUT", "subscription_id: is live"},
		"scope":            {Subscription{Query: []byte(`subscription { users(userId: "2") { id } }`), Identity: []byte(`{"user_id":1}`)}, "SCOPE_MISMATCH", ": "},
		"identity":         {Subscription{Query: []byte(users), Identity: []byte(`{"user":"1"}`)}, "BAD_USER_INPUT", "user: is not known"},
		"empty user":       {Subscription{Query: []byte(users), Identity: []byte(`{"user_id":""}`)}, "BAD_USER_INPUT", "user_id: must not be empty"},
		"a fraction":       {Subscription{Query: []byte(users), Identity: []byte(`{"tenant_id":1.0}`)}, "BAD_USER_INPUT", "tenant_id: must be a string or an integer"},
		"expiry":           {Subscription{Query: []byte(users), Identity: []byte(`{"expires_at":"soon"}`)}, "BAD_USER_INPUT", "expires_at: must be a time"},
		"issue":            {Subscription{Query: []byte(users), Identity: []byte(`{"issued_at":"soon"}`)}, "BAD_USER_INPUT", "issued_at: must be a time"},
		"token":            {Subscription{Query: []byte(users), Identity: []byte(`{"token_id":""}`)}, "BAD_USER_INPUT", "token_id"},
		"a later expiry":   {Subscription{Query: []byte(users), Identity: []byte(`{"expires_at":1e18}`)}, "BAD_USER_INPUT", "expires_at: is after the year 9999"},
		"variables":        {Subscription{Query: []byte(users), Variables: []byte(`{`)}, "BAD_USER_INPUT", ": "},
		"identity, a list": {Subscription{Query: []byte(users), Identity: []byte(`[]`)}, "BAD_USER_INPUT", "identity: must be a JSON object"},
	} {
		if tt.s.ConnectionID == nil && name != "no connection" {
			tt.s.ConnectionID = []byte("c")
		}
		if tt.s.SubscriptionID == nil && name != "no subscription" {
			tt.s.SubscriptionID = []byte("s")
		}
		_, err := e.Subscribe(&tt.s)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if code, texts := codes(t, err); code != tt.code || len(texts) == 0 || !strings.HasPrefix(texts[0], tt.text) {
			t.Errorf("%s: %s %q", name, code, texts)
		}
	}
	// Nothing of it is left: the id is free.
	subscribe(t, e, "s", users)
}

func TestPublishRefusals(t *testing.T) {
	e := open(t, `{"limits":{"publish_rate":1,"publish_burst":5}}`)
	s := subscribe(t, e, "s", users)
	good := Event{Channel: []byte("users"), Type: []byte("t"), Data: []byte(`{"id":1}`)}
	for name, change := range map[string]func(*Event){
		"channel":       func(ev *Event) { ev.Channel = nil },
		"type":          func(ev *Event) { ev.Type = []byte("a b") },
		"data":          func(ev *Event) { ev.Data = []byte(`{"id":}`) },
		"id":            func(ev *Event) { ev.ID = []byte{} },
		"tenant_id":     func(ev *Event) { ev.TenantID = []byte{} },
		"user_id":       func(ev *Event) { ev.UserID = []byte{} },
		"federation_id": func(ev *Event) { ev.FederationID = []byte{} },
		"service_name":  func(ev *Event) { ev.ServiceName = []byte{} },
	} {
		broken := good
		change(&broken)
		sheet := e.Sheet()
		sheet.Add(&good)
		sheet.Add(&broken)
		_, err := sheet.Publish()
		var at *fraiseql.PublishError
		if !errors.As(err, &at) || at.Index != 1 || at.Member != name {
			t.Errorf("%s: %v", name, err)
		}
		if code, _ := codes(t, err); code != "INVALID_VALUE" {
			t.Errorf("%s: code %s", name, code)
		}
	}
	if got, n := next(e, s.Handle); n != 0 {
		t.Errorf("published all the same: %s", got)
	}
	sheet := e.Sheet()
	for range 6 {
		sheet.Add(&good)
	}
	_, err := sheet.Publish()
	if code, _ := codes(t, err); code != "RATE_LIMITED" {
		t.Errorf("code %s of %v", code, err)
	}
}

func TestErrorsDoNotTellTheInside(t *testing.T) {
	if got := string(AppendError(nil, errors.New("a secret"))); got != InternalFault {
		t.Errorf("%s", got)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	l := New(nil)
	h, _, err := l.Open([]byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	e := l.Engine(h)
	s := subscribe(t, e, "s", users)
	box, _, err := e.Mailbox()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.Close(h); err != nil {
			t.Fatal(err)
		}
	}
	if l.Engine(h) != nil {
		t.Error("the engine is there after its end")
	}
	if _, n := e.Next(nil, s.Handle); n != Ended {
		t.Errorf("next: %d", n)
	}
	if n := e.MailboxClose(box); n != 0 {
		t.Errorf("close of the mailbox: %d", n)
	}
	if _, _, err := e.Mailbox(); !errors.Is(err, errClosed) {
		t.Errorf("a mailbox of a closed engine: %v", err)
	}
	if _, err := e.Subscribe(&Subscription{ConnectionID: []byte("c"), SubscriptionID: []byte("s"), Query: []byte(users)}); !errors.Is(err, errClosed) {
		t.Errorf("subscribe: %v", err)
	}
	if _, err := e.Sessions([]byte(`{"anonymous":true}`)); err == nil {
		t.Error("sessions of a closed engine")
	}
	if _, _, err := e.Serve(nil, []byte(`{"anonymous":true}`)); err == nil {
		t.Error("a server of a closed engine")
	}
}

// TestCloseWhileBusy ends engines while other threads use everything of them.
func TestCloseWhileBusy(t *testing.T) {
	l := New(nil)
	for range 20 {
		h, _, err := l.Open([]byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		e := l.Engine(h)
		resolver(t, e, "users", 1, false)
		var wg sync.WaitGroup
		var busy sync.WaitGroup
		for w := range 4 {
			busy.Add(1)
			wg.Go(func() {
				for i := range 200 {
					if i == 20 {
						busy.Done()
					}
					box, _, err := e.Mailbox()
					if err == nil {
						e.MailboxCalls(box)
					}
					s, err := e.Subscribe(&Subscription{ConnectionID: fmt.Append(nil, w%2), SubscriptionID: fmt.Append(nil, w), Query: []byte(users)})
					if err == nil {
						e.Watch(s.Handle, box, 1)
					}
					sheet := e.Sheet()
					sheet.Add(&Event{Channel: []byte("users"), Type: []byte("t"), Data: []byte("{}")})
					_, _ = sheet.Publish() // the engine may be closed
					text, _ := e.AppendCalls(nil, 2)
					for _, c := range asks(t, text) {
						_, _ = e.Answer(c.id, AnswerValue, []byte("{}"))
					}
					e.Next(nil, s.Handle)
					e.MailboxTake(box, make([]int64, 2))
					e.Complete(s.Handle)
					e.MailboxClose(box)
					e.AppendMetrics(nil)
				}
			})
		}
		busy.Wait()
		if err := l.Close(h); err != nil {
			t.Error(err)
		}
		wg.Wait()
	}
	if n := len(l.words.free) - l.words.head; n%(slabBytes/wordSpace) != 0 {
		t.Errorf("%d free words: some are missing", n)
	}
}
