package fraiseql_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/observe"
)

// hooked is sessions with hooks, in a bubble.
func hooked(t *testing.T, hooks fraiseql.Hooks) *fraiseql.Sessions {
	t.Helper()
	e := newEngine(t, fraiseql.Config{})
	sessions, err := e.Sessions(fraiseql.HandlerConfig{Authenticator: byToken, Hooks: hooks, PingInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

// judge refuses user `bad`, cannot judge `odd` and panics about `panic`.
func judge(who *fraiseql.Identity) error {
	switch who.UserID {
	case "bad":
		return errors.Join(errors.New("a reason of the operator"), fraiseql.ErrRefused)
	case "odd":
		return errors.New("the database of the operator is away")
	case "panic":
		panic("a hook's own fault")
	}
	return nil
}

// What a hook at connect does not allow does not connect, and is not told of as disconnected.
func TestConnectAndDisconnectHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var told []string
		sessions := hooked(t, fraiseql.Hooks{
			OnConnect: func(_ context.Context, who *fraiseql.Identity) error { return judge(who) },
			OnDisconnect: func(_ context.Context, who *fraiseql.Identity) error {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, who.UserID)
				return nil
			},
		})
		for _, tt := range []struct{ user, want string }{
			{"good", ack}, {"bad", "close Forbidden"}, {"odd", "close A hook of the server could not judge the connection, try again later"},
			{"panic", "close A hook of the server could not judge the connection, try again later"},
		} {
			m := join(t, sessions, tt.user+"/t/j/1m")
			if got := m.state(); got != tt.want {
				t.Errorf("%s: %s", tt.user, got)
			}
			m.Close()
		}
		synctest.Wait()
		if len(told) != 1 || told[0] != "good" {
			t.Errorf("told of the end of %v", told)
		}
	})
}

// A subscribe that a hook does not allow does not begin, and the client is not told why.
func TestSubscribeHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sessions := hooked(t, fraiseql.Hooks{OnSubscribe: func(_ context.Context, s fraiseql.Subscribing) error {
			if s.Channel != "x" || s.Field != "x" || s.Query != "subscription { x { n } }" {
				t.Errorf("asked about %+v", s)
			}
			return judge(s.Identity)
		}})
		for _, tt := range []struct{ user, want string }{
			{"good", ack}, {"bad", `"code":"FORBIDDEN"`}, {"odd", `"code":"INTERNAL_SERVER_ERROR"`}, {"panic", `"code":"INTERNAL_SERVER_ERROR"`}, {"good", ack},
		} {
			if got := join(t, sessions, tt.user+"/t/j/1m").state(); !strings.Contains(got, tt.want) || strings.Contains(got, "operator") {
				t.Errorf("%s: %s", tt.user, got)
			}
		}
	})
}

// Connections that are looked at again are closed when they are refused, and stay when nobody can judge.
func TestRecheckHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		refuse := map[string]bool{}
		sessions := hooked(t, fraiseql.Hooks{RecheckEvery: time.Minute, OnRecheck: func(_ context.Context, who *fraiseql.Identity) error {
			mu.Lock()
			defer mu.Unlock()
			if refuse[who.UserID] {
				return fraiseql.ErrRefused
			}
			return judge(who)
		}})
		gone, stays, odd := join(t, sessions, "gone/t/j/1m"), join(t, sessions, "stays/t/j/1m"), join(t, sessions, "odd/t/j/1m")
		<-time.After(90 * time.Second)
		for _, m := range []member{gone, stays, odd} {
			if got := m.state(); got != ack {
				t.Errorf("got %s", got)
			}
		}
		mu.Lock()
		refuse["gone"] = true
		mu.Unlock()
		<-time.After(time.Minute)
		if got := gone.state(); got != "close Forbidden: the credentials are not accepted any more" {
			t.Errorf("got %s", got)
		}
		if got := stays.state() + odd.state(); got != "" {
			t.Errorf("got %s", got)
		}
	})
}

// Calls that hang, whether they heed their context or not, keep nobody from being closed or looked at again.
func TestRecheckHookThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		asked := map[string]int{}
		awake := make(chan struct{})
		defer close(awake)
		sessions := hooked(t, fraiseql.Hooks{RecheckEvery: time.Minute, OnRecheck: func(ctx context.Context, who *fraiseql.Identity) error {
			mu.Lock()
			asked[who.UserID]++
			first := asked[who.UserID] == 1
			mu.Unlock()
			switch {
			case who.UserID == "waits":
				<-ctx.Done()
				return ctx.Err()
			case who.UserID == "deaf" && first:
				<-awake
			case who.UserID == "gone", who.UserID == "later" && !first:
				return fraiseql.ErrRefused
			}
			return nil
		}})
		var stay []member
		for _, user := range []string{"waits", "deaf", "stays"} {
			stay = append(stay, join(t, sessions, user+"/t/j/1m"))
		}
		gone, later := join(t, sessions, "gone/t/j/1m"), join(t, sessions, "later/t/j/1m")
		const refused = "close Forbidden: the credentials are not accepted any more"
		for _, m := range []member{gone, later} {
			<-time.After(time.Minute + time.Second) // the first round ends after half a minute
			if got := m.state(); got != refused {
				t.Errorf("got %s", got)
			}
		}
		for _, m := range stay {
			if got := m.state(); got != ack {
				t.Errorf("got %s", got)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for _, user := range []string{"waits", "deaf", "stays", "later"} {
			if asked[user] != 2 {
				t.Errorf("%s: asked %d times", user, asked[user])
			}
		}
	})
}

// Calls that never return take up all that may run, and no more.
func TestRecheckHookThatNeverReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		awake := make(chan struct{})
		defer close(awake)
		sessions := hooked(t, fraiseql.Hooks{RecheckEvery: time.Minute, OnRecheck: func(context.Context, *fraiseql.Identity) error {
			calls.Add(1)
			<-awake
			return nil
		}})
		for i := range 20 {
			join(t, sessions, fmt.Sprintf("u%d/t/j/1m", i))
		}
		<-time.After(10 * time.Minute)
		if n := calls.Load(); n != 8 {
			t.Errorf("%d calls", n)
		}
	})
}

// Calls that hang keep their places when other hooks are put in force.
func TestRecheckHooksThatHangOverReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		awake := make(chan struct{})
		defer close(awake)
		hooks := fraiseql.Hooks{RecheckEvery: time.Minute, OnRecheck: func(context.Context, *fraiseql.Identity) error {
			calls.Add(1)
			<-awake
			return nil
		}}
		e := newEngine(t, fraiseql.Config{})
		sessions, err := e.Sessions(fraiseql.HandlerConfig{Authenticator: byToken, Hooks: hooks, PingInterval: -1})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			join(t, sessions, fmt.Sprintf("u%d/t/j/1m", i))
		}
		for range 4 {
			<-time.After(2 * time.Minute)
			if err := e.SetServing(fraiseql.Serving{Hooks: &hooks}); err != nil {
				t.Error(err)
			}
		}
		if n := calls.Load(); n != 8 {
			t.Errorf("%d calls", n)
		}
	})
}

// OnRecheck is asked once a round about an identity that the Authenticator gives to many and that says when it was issued, and closes all
// of them; about others once for each connection, which were presented at different times.
func TestRecheckHookOfASharedIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls, refuse atomic.Int32
		loggedOut := time.Now().Add(time.Second)
		keys := map[string]*fraiseql.Identity{"Bearer a": {UserID: "a", TenantID: "t", IssuedAt: time.Now()}, "Bearer b": {UserID: "b", TenantID: "t"}}
		sessions, err := newEngine(t, fraiseql.Config{}).Sessions(fraiseql.HandlerConfig{
			Authenticator: authenticate(func(c fraiseql.Credentials) (*fraiseql.Identity, error) { return keys[c.Authorization], nil }),
			Hooks: fraiseql.Hooks{RecheckEvery: time.Minute, OnRecheck: func(_ context.Context, who *fraiseql.Identity) error {
				calls.Add(1)
				if refuse.Load() > 0 && (who.UserID == "a" || who.PresentedAt.Before(loggedOut)) {
					return fraiseql.ErrRefused
				}
				return nil
			}}, PingInterval: -1,
		})
		if err != nil {
			t.Fatal(err)
		}
		var a []member
		for range 50 {
			a = append(a, join(t, sessions, "a"))
		}
		before := join(t, sessions, "b")
		<-time.After(2 * time.Second)
		b := join(t, sessions, "b")
		<-time.After(time.Minute)
		if n := calls.Load(); n != 3 {
			t.Errorf("%d calls in a round", n)
		}
		refuse.Store(1)
		<-time.After(time.Minute)
		for _, m := range append(a, before) {
			if got := m.state(); got != "close Forbidden: the credentials are not accepted any more" {
				t.Errorf("got %s", got)
			}
		}
		if got := b.state(); got != ack {
			t.Errorf("got %s", got)
		}
	})
}

// hookCounts remembers what became of calls of hooks.
type hookCounts struct {
	observe.Discard
	mu sync.Mutex
	n  map[string]int
}

func (h *hookCounts) Counted(c observe.Counter, label string, n int) {
	if c == observe.Hooks {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.n[label] += n
	}
}

// A hook that is told of an end and fails, in whichever way, is counted as failed: there was nothing to refuse.
func TestFailedDisconnectHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := &hookCounts{n: map[string]int{}}
		sessions, err := newEngine(t, fraiseql.Config{Observer: seen}).Sessions(fraiseql.HandlerConfig{Authenticator: byToken, PingInterval: -1,
			Hooks: fraiseql.Hooks{OnDisconnect: func(_ context.Context, who *fraiseql.Identity) error { return judge(who) }}})
		if err != nil {
			t.Fatal(err)
		}
		for _, user := range []string{"good", "bad", "odd", "panic"} {
			m := join(t, sessions, user+"/t/j/1m")
			if got := m.state(); got != ack {
				t.Errorf("%s: %s", user, got)
			}
			m.Close()
		}
		synctest.Wait()
		if seen.n["allowed"] != 1 || seen.n["failed"] != 3 || seen.n["refused"] != 0 {
			t.Errorf("%v", seen.n)
		}
	})
}
