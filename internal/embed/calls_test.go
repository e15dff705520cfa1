//go:build linux

package embed

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	fraiseql "github.com/fraiseql/fraiseql-go"
	"github.com/google/go-cmp/cmp"
)

// asked is a call as the host reads it.
type asked struct {
	id, kind, token int64
	texts           []string // absent: "-"
}

// asks reads what AppendCalls appended.
func asks(t testing.TB, text []byte) (list []asked) {
	t.Helper()
	word := func() int64 {
		n := int64(binary.NativeEndian.Uint64(text))
		text = text[8:]
		return n
	}
	for len(text) > 0 {
		a := asked{word(), word(), word(), nil}
		count := 4
		if a.kind != CallResolve {
			count = 2
		}
		for range count {
			n := binary.NativeEndian.Uint32(text)
			if text = text[4:]; n == absent {
				a.texts = append(a.texts, "-")
				continue
			}
			a.texts = append(a.texts, string(text[:n]))
			text = text[n:]
		}
		list = append(list, a)
	}
	return list
}

func take(t testing.TB, e *Engine, limit int64) []asked {
	t.Helper()
	text, n := e.AppendCalls(nil, limit)
	list := asks(t, text)
	if int64(len(list)) != n {
		t.Fatalf("%d calls, %d said", len(list), n)
	}
	return list
}

func answer(t testing.TB, e *Engine, id, kind int64, text string) int64 {
	t.Helper()
	n, err := e.Answer(id, kind, []byte(text))
	if err != nil {
		t.Fatalf("answer: %v", err)
	}
	return n
}

func resolver(t testing.TB, e *Engine, name string, token int64, context bool) {
	t.Helper()
	if err := e.SetResolver([]byte(name), token, context); err != nil {
		t.Fatal(err)
	}
}

func TestResolveCall(t *testing.T) {
	e := open(t, `{}`)
	resolver(t, e, "users", 42, true)
	s := subscribe(t, e, "s", `subscription($n: Int) { users(n: $n) { name } }`, func(s *Subscription) {
		s.Variables = []byte(`{"n":1}`)
		s.Identity = []byte(`{"user_id":"u\"1","tenant_id":7,"roles":["a","b"],"scopes":["x"]}`)
	})
	sheet := e.Sheet()
	sheet.Add(&Event{
		Channel: []byte("users"), Type: []byte("userCreated"), Data: []byte(`{"n":1,"id":"1"}`), ID: []byte(`e"1`), TenantID: []byte("7"),
		UserID: []byte(`u"1`),
	})
	if n, err := sheet.Publish(); n != 1 || err != nil {
		t.Fatalf("published to %d, %v", n, err)
	}
	if n := atomic.LoadUint32(e.queue.word); n != 1 {
		t.Errorf("%d calls wait", n)
	}
	calls := take(t, e, 10)
	if len(calls) != 1 || calls[0].kind != CallResolve || calls[0].token != 42 || calls[0].id <= 0 {
		t.Fatalf("calls %+v", calls)
	}
	if n := atomic.LoadUint32(e.queue.word); n != 0 {
		t.Errorf("%d calls wait after they were taken", n)
	}
	var ev map[string]any
	if err := json.Unmarshal([]byte(calls[0].texts[0]), &ev); err != nil {
		t.Fatal(err)
	}
	if at, err := time.Parse(time.RFC3339Nano, ev["timestamp"].(string)); err != nil || at.IsZero() {
		t.Errorf("timestamp %v, %v", ev["timestamp"], err)
	}
	delete(ev, "timestamp")
	want := map[string]any{"channel": "users", "type": "userCreated", "id": `e"1`, "tenant_id": "7", "user_id": `u"1`}
	if diff := cmp.Diff(want, ev); diff != "" {
		t.Errorf("event:\n%s", diff)
	}
	if diff := cmp.Diff([]string{`{"n":1,"id":"1"}`, `{"n":1}`, `{"user_id":"u\"1","tenant_id":"7","roles":["a","b"],"scopes":["x"]}`}, calls[0].texts[1:]); diff != "" {
		t.Errorf("texts:\n%s", diff)
	}
	if _, n := next(e, s.Handle); n != 0 {
		t.Error("a message before the answer")
	}
	if n := answer(t, e, calls[0].id, AnswerValue, `{"name":"N","secret":1}`); n != 1 {
		t.Errorf("answer: %d", n)
	}
	if got, n := next(e, s.Handle); n != 1 || !strings.Contains(got, `{"data":{"users":{"name":"N"}}}`) {
		t.Errorf("next: %d %s", n, got)
	}
	if n := answer(t, e, calls[0].id, AnswerValue, `{}`); n != 0 {
		t.Errorf("second answer: %d", n)
	}
}

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name string
		kind int64
		text []byte
		want string // of the message; "": none
	}{
		{"null", AnswerValue, []byte("null"), `"users":null`},
		{"skip", AnswerSkip, nil, ""},
		{"failed, logged by the host", AnswerFailed, nil, "RESOLVER_FAILED"},
		{"not JSON", AnswerValue, []byte("{"), "RESOLVER_FAILED"},
	} {
		e := open(t, `{}`)
		resolver(t, e, "users", 1, false)
		s := subscribe(t, e, "s", users)
		publish(t, e, `{"id":1}`)
		calls := take(t, e, 1)
		if n, err := e.Answer(calls[0].id, tt.kind, tt.text); n != 1 || err != nil {
			t.Errorf("%s: answer %d, %v", tt.name, n, err)
		}
		got, n := next(e, s.Handle)
		if tt.want == "" && n == 0 {
			continue
		}
		if n != 1 || !strings.Contains(got, tt.want) || strings.Contains(got, "secret") {
			t.Errorf("%s: next %d %s", tt.name, n, got)
		}
	}
}

func TestAnswerThatDoesNotFitLeavesTheCall(t *testing.T) {
	e := open(t, `{}`)
	resolver(t, e, "users", 1, false)
	subscribe(t, e, "s", users)
	publish(t, e, `{"id":1}`)
	id := take(t, e, 1)[0].id
	for _, kind := range []int64{-1, AnswerRefused, 9} {
		if _, err := e.Answer(id, kind, nil); err == nil {
			t.Errorf("answer %d is accepted", kind)
		}
	}
	if n := answer(t, e, id, AnswerSkip, ""); n != 1 {
		t.Errorf("answer: %d", n)
	}
}

func TestResolversOfSingleSubscriptions(t *testing.T) {
	e := open(t, `{}`)
	own := func(token int64) func(*Subscription) { return func(s *Subscription) { s.Resolver = token } }
	a, b := subscribe(t, e, "a", users, own(5)), subscribe(t, e, "b", users, own(5))
	c := subscribe(t, e, "c", users, own(6))
	publish(t, e, `{"id":1}`)
	var tokens []int64
	for _, call := range take(t, e, 10) {
		tokens = append(tokens, call.token)
		answer(t, e, call.id, AnswerValue, fmt.Sprintf(`{"id":%d}`, call.token))
	}
	slices.Sort(tokens)
	if !slices.Equal(tokens, []int64{5, 6}) {
		t.Errorf("tokens %v: equal ones share a call", tokens)
	}
	for h, want := range map[int64]string{a.Handle: `"id":5`, b.Handle: `"id":5`, c.Handle: `"id":6`} {
		if got, _ := next(e, h); !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	e.Complete(a.Handle)
	e.CompleteConnection(c.Connection)
	if len(e.resolvers) != 0 {
		t.Errorf("%d resolvers are left", len(e.resolvers))
	}
}

func TestSetResolverRefusals(t *testing.T) {
	e := open(t, `{"schema":[{"name":"s","text":"type Subscription { a: Int } "}],"late_resolvers":true}`)
	for _, name := range []string{"", "b c"} {
		if code, _ := codes(t, e.SetResolver([]byte(name), 1, false)); code != "BAD_USER_INPUT" {
			t.Errorf("%q: code %s", name, code)
		}
	}
	if _, err := e.Subscribe(&Subscription{ConnectionID: []byte("c"), SubscriptionID: []byte("s"), Query: []byte("subscription { a }")}); err == nil {
		t.Error("a scalar without a resolver is served")
	}
	resolver(t, e, "a", 1, false)
	subscribe(t, e, "s", "subscription { a }")
}

// TestCallsTimeOut: calls that nobody answers in time are not handed out any more, and nothing is left of them.
func TestCallsTimeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := open(t, `{"limits":{"resolver_timeout":1}}`)
		resolver(t, e, "users", 1, false)
		s := subscribe(t, e, "s", users)
		publish(t, e, `{"id":1}`, `{"id":2}`)
		taken := take(t, e, 1)
		<-time.After(13 * time.Second) // the second waits for its turn twelve times as long
		synctest.Wait()
		if got, n := next(e, s.Handle); n != 1 || !strings.Contains(got, "RESOLVER_TIMEOUT") {
			t.Errorf("next: %d %s", n, got)
		}
		if n := answer(t, e, taken[0].id, AnswerValue, "{}"); n != 0 {
			t.Errorf("late answer: %d", n)
		}
		if calls := take(t, e, 10); len(calls) != 0 || atomic.LoadUint32(e.queue.word) != 0 {
			t.Errorf("%d calls are given out late, %d wait", len(calls), atomic.LoadUint32(e.queue.word))
		}
		if e.queue.resolves != (callList{}) {
			t.Error("calls are left")
		}
		publish(t, e, `{"id":3}`)
		if calls := take(t, e, 10); len(calls) != 1 || answer(t, e, calls[0].id, AnswerSkip, "") != 1 {
			t.Errorf("calls %+v", calls)
		}
	})
}

// TestCallsWaitForTheirTurn: what a call may take counts from its beginning, which is that of its batch for the first.
func TestCallsWaitForTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := open(t, `{"limits":{"resolver_timeout":1}}`)
		resolver(t, e, "users", 1, false)
		s := subscribe(t, e, "s", users)
		publish(t, e, `{"id":1}`, `{"id":2}`, `{"id":3}`)
		<-time.After(3 * time.Second)
		taken := take(t, e, 10)
		for _, call := range taken {
			if call.id != taken[0].id && e.BeginCall(call.id) != 1 {
				t.Error("it does not begin")
			}
			<-time.After(900 * time.Millisecond)
			if n := answer(t, e, call.id, AnswerValue, `{"id":7}`); n != 1 {
				t.Errorf("answer: %d", n)
			}
		}
		for range taken {
			if got, n := next(e, s.Handle); n != 1 || strings.Contains(got, "RESOLVER_TIMEOUT") {
				t.Errorf("next: %d %s", n, got)
			}
		}
		publish(t, e, `{"id":4}`, `{"id":5}`)
		taken = take(t, e, 10)
		<-time.After(1001 * time.Millisecond)
		synctest.Wait()
		if answer(t, e, taken[0].id, AnswerSkip, "") != 0 || e.BeginCall(taken[0].id) != 0 || e.BeginCall(1) != 0 || e.BeginCall(taken[1].id) != 1 {
			t.Error("the first alone took too long")
		}
		if answer(t, e, taken[1].id, AnswerSkip, "") != 1 || len(taken) != 2 {
			t.Error("the second had its time")
		}
	})
}

// TestResolverPublishes answers a call by publishing first, as a resolver of the host may.
func TestResolverPublishes(t *testing.T) {
	e := open(t, `{}`)
	resolver(t, e, "users", 1, false)
	s := subscribe(t, e, "s", users)
	publish(t, e, `{"id":1}`)
	first := take(t, e, 1)[0]
	publish(t, e, `{"id":2}`)
	second := take(t, e, 1)[0]
	answer(t, e, second.id, AnswerValue, `{"id":2}`)
	if _, n := next(e, s.Handle); n != 0 {
		t.Error("out of order")
	}
	answer(t, e, first.id, AnswerValue, `{"id":1}`)
	for _, want := range []string{`"id":1`, `"id":2`} {
		if got, _ := next(e, s.Handle); !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestCallsOfManyThreads publishes, takes and answers from several threads at once: each event is answered once.
func TestCallsOfManyThreads(t *testing.T) {
	const publishers, each = 4, 300
	e := open(t, `{"limits":{"queue_messages":100000,"resolver_lane":100000}}`)
	resolver(t, e, "users", 1, false)
	s := subscribe(t, e, "s", users)
	var left atomic.Int64
	left.Store(publishers * each)
	var wg sync.WaitGroup
	for range publishers {
		wg.Go(func() {
			for range each {
				publish(t, e, `{"id":1}`)
				for _, c := range take(t, e, 3) {
					if answer(t, e, c.id, AnswerValue, `{"id":1}`) != 1 {
						t.Error("a call was answered before")
					}
					left.Add(-1)
				}
			}
		})
	}
	wg.Wait()
	for _, c := range take(t, e, publishers*each) {
		answer(t, e, c.id, AnswerValue, `{"id":1}`)
		left.Add(-1)
	}
	if _, n := e.Take(nil, s.Handle, 2*publishers*each); left.Load() != 0 || n != publishers*each {
		t.Errorf("%d calls are missing, %d messages", left.Load(), n)
	}
	if n := atomic.LoadUint32(e.queue.word); n != 0 || e.queue.resolves != (callList{}) {
		t.Errorf("%d calls are left", n)
	}
}

// Who publishes takes what its own publishing asks for, and is not to work: it may hold what the worker waits for.
func TestCallsWithoutWork(t *testing.T) {
	e := open(t, `{}`)
	resolver(t, e, "users", 1, false)
	subscribe(t, e, "s", users)
	c := &call{engine: e, kind: CallWork, token: 6, event: &fraiseql.Event{Channel: "mails", Data: []byte(`{}`)}, reply: make(chan reply, 1)}
	if !e.queue.add(c, true) {
		t.Fatal("the engine is closed")
	}
	publish(t, e, `{"id":"1"}`)
	if calls := take(t, e, -9); len(calls) != 1 || calls[0].kind != CallResolve {
		t.Errorf("calls without work: %+v", calls)
	}
	if calls := take(t, e, -9); len(calls) != 0 {
		t.Errorf("calls without work, again: %+v", calls)
	}
	if n := atomic.LoadUint32(e.queue.word); n != 1 {
		t.Errorf("%d calls wait", n)
	}
	if calls := take(t, e, 9); len(calls) != 1 || calls[0].kind != CallWork || calls[0].token != 6 {
		t.Errorf("calls: %+v", calls)
	}
}

func BenchmarkResolve(b *testing.B) {
	e := open(b, `{}`)
	resolver(b, e, "users", 1, false)
	s := subscribe(b, e, "s", users)
	buf, value := make([]byte, 0, 1024), []byte(`{"id":"1"}`)
	b.ReportAllocs()
	for b.Loop() {
		publish(b, e, `{"id":"1","name":"n"}`)
		calls, n := e.AppendCalls(buf, 16)
		if n != 1 {
			b.Fatal(n)
		}
		if n, err := e.Answer(int64(binary.NativeEndian.Uint64(calls)), AnswerValue, value); n != 1 || err != nil {
			b.Fatal(n, err)
		}
		if _, n := e.Next(buf, s.Handle); n != 1 {
			b.Fatal(n)
		}
	}
}
