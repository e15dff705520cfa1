package fraiseql_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fraiseql/fraiseql-go"
)

// codeOf is the code of an error of the engine, or its text.
func codeOf(err error) string {
	var refused *fraiseql.Error
	var unpublished *fraiseql.PublishError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &refused):
		return refused.Code
	case errors.As(err, &unpublished):
		return unpublished.Code
	}
	return err.Error()
}

// as registers for a user; the connection is new unless it is named.
func as(e *fraiseql.Engine, connection, id, tenant, user string) (*fraiseql.Subscription, error) {
	return e.Register(context.Background(), fraiseql.Registration{
		ConnectionID: connection, SubscriptionID: id, Query: `subscription { x }`,
		Identity: fraiseql.Identity{TenantID: tenant, UserID: user},
	})
}

func TestSubscriptionsPerUser(t *testing.T) {
	e := newEngine(t, fraiseql.Config{Limits: fraiseql.Limits{SubscriptionsPerUser: 2}})
	expect := func(connection, id, tenant, user, want string) *fraiseql.Subscription {
		t.Helper()
		s, err := as(e, connection, id, tenant, user)
		if codeOf(err) != want {
			t.Errorf("%s of %q: %v, want %q", user, tenant, err, want)
		}
		return s
	}
	first := expect("1", "a", "t", "u", "")
	expect("2", "a", "t", "u", "")
	expect("3", "a", "t", "u", "TOO_MANY_SUBSCRIPTIONS")
	expect("3", "b", "t2", "u", "")
	expect("3", "c", "", "u", "")
	expect("3", "d", "t", "v", "")
	for range 3 { // refused for another reason: not counted
		if _, err := e.Register(t.Context(), fraiseql.Registration{ConnectionID: "4", SubscriptionID: "x", Query: `subscription { `, Identity: fraiseql.Identity{UserID: "w"}}); err == nil {
			t.Error("accepted")
		}
	}
	expect("4", "a", "", "w", "")
	expect("4", "b", "", "w", "")
	first.Complete()
	first.Complete()
	expect("1", "b", "t", "u", "")
	expect("1", "c", "t", "u", "TOO_MANY_SUBSCRIPTIONS")
	e.CompleteConnection("1")
	e.CompleteConnection("2")
	expect("1", "d", "t", "u", "")
	expect("1", "e", "t", "u", "")

	expect("anonymous 1", "a", "t", "", "") // nobody is the same as nobody else
	expect("anonymous 1", "b", "t", "", "")
	expect("anonymous 1", "c", "t", "", "TOO_MANY_SUBSCRIPTIONS")
	expect("anonymous 2", "a", "t", "", "")
}

// A subscription that ended because it did not keep up counts until its host lets go of it.
func TestOverflowedSubscriptionsCount(t *testing.T) {
	e := newEngine(t, fraiseql.Config{Limits: fraiseql.Limits{SubscriptionsPerUser: 1, QueueMessages: 1}})
	s, err := as(e, "c", "1", "", "u")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := e.Publish(t.Context(), fraiseql.Event{Channel: "x", Type: "t", UserID: "u", Data: []byte(`{}`)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := as(e, "c", "2", "", "u"); codeOf(err) != "TOO_MANY_SUBSCRIPTIONS" {
		t.Errorf("got %v", err)
	}
	s.Complete()
	if _, err := as(e, "c", "2", "", "u"); err != nil {
		t.Error(err)
	}
}

// However subscriptions come and go, the count is right in the end.
func TestConcurrentCounts(t *testing.T) {
	const limit = 3
	e := newEngine(t, fraiseql.Config{Limits: fraiseql.Limits{SubscriptionsPerUser: limit}})
	var work sync.WaitGroup
	for k := range 6 {
		work.Go(func() {
			for i := range 300 {
				connection := fmt.Sprint(k, i%2)
				s, err := as(e, connection, "s", "t", "u")
				if err != nil {
					if codeOf(err) != "TOO_MANY_SUBSCRIPTIONS" {
						t.Error(err)
					}
					continue
				}
				if i%3 == 0 {
					e.CompleteConnection(connection)
				}
				s.Complete()
			}
		})
	}
	work.Wait()
	for i := range limit + 1 {
		if _, err := as(e, "c", fmt.Sprint(i), "t", "u"); (err == nil) != (i < limit) {
			t.Errorf("subscription %d: %v", i, err)
		}
	}
}

func TestSubscribeRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := fraiseql.New(fraiseql.Config{Limits: fraiseql.Limits{SubscribeRate: 2, SubscribeBurst: 3}})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close(t.Context())
		n := 0
		try := func(tenant, user string) error {
			n++
			_, err := as(e, "c"+tenant+user, fmt.Sprint(n), tenant, user)
			return err
		}
		for range 3 {
			if err := try("t", "u"); err != nil {
				t.Error(err)
			}
		}
		if err := try("t", "u"); codeOf(err) != "RATE_LIMITED" || !strings.Contains(err.Error(), "try again in 0.5 s") {
			t.Errorf("got %v", err)
		}
		for _, other := range []string{"v", ""} {
			if err := try("t", other); err != nil {
				t.Error(err)
			}
		}
		<-time.After(500 * time.Millisecond)
		if err := try("t", "u"); err != nil {
			t.Error(err)
		}
		if err := try("t", "u"); codeOf(err) != "RATE_LIMITED" {
			t.Errorf("got %v", err)
		}
	})
}

func TestPublishRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := fraiseql.New(fraiseql.Config{Limits: fraiseql.Limits{PublishRate: 10, PublishBurst: 4}})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close(t.Context())
		send := func(tenants string) error {
			var events []fraiseql.Event
			for _, tenant := range tenants {
				events = append(events, fraiseql.Event{Channel: "x", Type: "t", TenantID: strings.TrimSpace(string(tenant)), Data: []byte(`{}`)})
			}
			_, err := e.Publish(t.Context(), events...)
			return err
		}
		expect := func(tenants, want string, index int, after time.Duration) {
			t.Helper()
			err := send(tenants)
			var refused *fraiseql.PublishError
			if codeOf(err) != want || errors.As(err, &refused) && (refused.Index != index || refused.RetryAfter != after) {
				t.Errorf("%q: %v, %+v", tenants, err, refused)
			}
		}
		expect("aaaa", "", 0, 0)
		expect("a", "RATE_LIMITED", 0, 100*time.Millisecond)
		expect("bbcca", "RATE_LIMITED", 4, 100*time.Millisecond)
		expect("bbbbcccc", "", 0, 0) // of those nothing was taken
		expect("ddddd", "RATE_LIMITED", 0, 0)
		expect("efefefefe", "RATE_LIMITED", 8, 0) // no more than one at a time, but too many for ever
		expect("eeeeffff", "", 0, 0)
		expect("    ", "", 0, 0) // events without a tenant are one tenant's
		expect(" ", "RATE_LIMITED", 0, 100*time.Millisecond)
		<-time.After(time.Second)
		expect("abc aa", "", 0, 0)
		if m := e.Metrics(); m.Events != 4+8+8+4+6 {
			t.Errorf("%d events", m.Events)
		}
	})
}
