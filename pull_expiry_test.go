package fraiseql_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/membus"
	"github.com/fraiseql/fraiseql-go/event"
)

// A pulled subscription whose credentials end says so, after what was queued; one that is completed before does not.
func TestExpiryOfPulledSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, fraiseql.Config{})
		var arrived atomic.Int32
		register := func(id string) *fraiseql.Subscription {
			s, err := e.Register(t.Context(), fraiseql.Registration{
				ConnectionID: "c", SubscriptionID: id, Query: "subscription { items { id } }", Arrived: func() { arrived.Add(1) },
				Identity: fraiseql.Identity{UserID: "u", ExpiresAt: time.Now().Add(time.Minute)},
			})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		s, done := register("s"), register("done")
		done.Complete()
		publish := func() {
			if _, err := e.Publish(t.Context(), fraiseql.Event{Channel: "items", Type: "t", Data: []byte(`{"id":"1"}`)}); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(50 * time.Second)
		publish()
		<-time.After(20 * time.Second)
		synctest.Wait()
		publish() // too late
		var got []string
		for {
			text, ok, err := s.Next(nil)
			if err != nil || !ok {
				if !errors.Is(err, fraiseql.ErrEnded) {
					t.Errorf("%v", err)
				}
				break
			}
			got = append(got, string(text))
		}
		want := []string{`{"id":"s","type":"next","payload":{"data":{"items":{"id":"1"}}}}`,
			`{"id":"s","type":"error","payload":[{"message":"The credentials have expired.","extensions":{"code":"UNAUTHENTICATED"}}]}`}
		if strings.Join(got, "\n") != strings.Join(want, "\n") || arrived.Load() == 0 {
			t.Errorf("%d times told, got\n%s", arrived.Load(), strings.Join(got, "\n"))
		}
		if n := e.Stats().Subscriptions; n != 0 {
			t.Errorf("%d subscriptions", n)
		}
	})
}

// Credentials that end within a second are good until then.
func TestExpiryWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, fraiseql.Config{})
		<-time.After(200 * time.Millisecond) // the clock of a bubble begins with a second
		s, err := e.Register(t.Context(), fraiseql.Registration{
			ConnectionID: "c", SubscriptionID: "s", Query: "subscription { items { id } }", Identity: fraiseql.Identity{UserID: "u", ExpiresAt: time.Now().Add(700 * time.Millisecond)},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`"data":{"items":{"id":"1"}}`, "UNAUTHENTICATED"} {
			<-time.After(600 * time.Millisecond)
			publish(t, e, "items", `{"id":"1"}`)
			if text, _, err := s.Next(nil); err != nil || !strings.Contains(string(text), want) {
				t.Errorf("%s, %v, want %s", text, err, want)
			}
		}
	})
}

// lingering is a bus whose history takes a while.
type lingering struct {
	*membus.Bus
	takes atomic.Int64 // a time.Duration
}

func (l *lingering) History(ctx context.Context, channel string, after event.Position, limit int) (bus.Page, error) {
	<-time.After(time.Duration(l.takes.Load()))
	return l.Bus.History(ctx, channel, after, limit)
}

// A subscription whose credentials end while it is resumed ends, too.
func TestExpiryWhileResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &lingering{Bus: membus.New(membus.Options{})}
		e := newEngine(t, fraiseql.Config{Bus: slow})
		s, err := e.Register(t.Context(), fraiseql.Registration{
			ConnectionID: "c", SubscriptionID: "s", Query: "subscription { items { id } }", Identity: fraiseql.Identity{UserID: "u", ExpiresAt: time.Now().Add(3 * time.Second)},
		})
		if err != nil {
			t.Fatal(err)
		}
		slow.takes.Store(int64(5 * time.Second))
		if err := s.Resume(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		for {
			text, err := s.Receive(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), "UNAUTHENTICATED") {
				return
			}
		}
	})
}

// What would make every subscription as large is refused.
func TestRegistrationsAreBounded(t *testing.T) {
	e := newEngine(t, fraiseql.Config{})
	long := strings.Repeat("x", 1025)
	for name, change := range map[string]func(*fraiseql.Registration){
		"connection":   func(r *fraiseql.Registration) { r.ConnectionID = long },
		"subscription": func(r *fraiseql.Registration) { r.SubscriptionID = long },
		"user":         func(r *fraiseql.Registration) { r.Identity.UserID = long },
		"roles":        func(r *fraiseql.Registration) { r.Identity.Roles = make([]string, 5000) },
	} {
		r := fraiseql.Registration{ConnectionID: "c", SubscriptionID: "s", Query: "subscription { items { id } }"}
		change(&r)
		var refused fraiseql.Errors
		if _, err := e.Register(t.Context(), r); !errors.As(err, &refused) || refused[0].Code != "LIMIT_EXCEEDED" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
