package fraiseql

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/membus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/revoke"
)

// overtaken is a bus on which others come first with what they publish.
type overtaken struct {
	*membus.Bus
	first func()
}

func (o *overtaken) Publish(ctx context.Context, batch []bus.Message) (bus.Receipt, error) {
	o.first()
	return o.Bus.Publish(ctx, batch)
}

// revoking is an engine on such a bus, and what puts rules for tokens in force.
func revoking(t *testing.T) (e *Engine, o *overtaken, add func(n int)) {
	o = &overtaken{Bus: membus.New(membus.Options{}), first: func() {}}
	e, err := New(Config{Bus: o})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(e.Close(context.Background()), o.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	now := time.Now()
	return e, o, func(n int) {
		for i := range n {
			e.control.rules.Add(revoke.Rule{TokenID: strconv.Itoa(i)}, now, now, now.Add(time.Hour))
		}
	}
}

// As many revocations may be in force as is said, and what is in force can be renewed.
func TestRevocationsAreBounded(t *testing.T) {
	e, _, add := revoking(t)
	add(maxRevocations)
	if err := e.Revoke(t.Context(), Revocation{TokenID: "one more"}); !errors.Is(err, ErrTooManyRevocations) {
		t.Errorf("one more: %v", err)
	}
	if err := e.Revoke(t.Context(), Revocation{TokenID: "7"}); err != nil {
		t.Errorf("one that is in force: %v", err)
	}
}

// What the bus has acknowledged, and is not in force since others were faster, is not said to be.
func TestARevocationThatIsOvertaken(t *testing.T) {
	e, o, add := revoking(t)
	o.first = func() { add(maxRevocations + revocationSpare) }
	if err := e.Revoke(t.Context(), Revocation{TokenID: "late"}); !errors.Is(err, ErrTooManyRevocations) {
		t.Errorf("got %v", err)
	}
	if e.revoked(&Identity{TokenID: "late"}) {
		t.Error("it is in force")
	}
}

// When a revocation is acknowledged this node has acted on it: nothing that is published from then on reaches who was revoked.
func TestARevocationHasBeenActedOnHere(t *testing.T) {
	e, _, _ := revoking(t)
	for i := range 20 {
		token := strconv.Itoa(i)
		s, err := e.Register(t.Context(), Registration{ConnectionID: token, SubscriptionID: "s", Query: "subscription { a { id } }", Identity: Identity{TokenID: token}})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Revoke(t.Context(), Revocation{TokenID: token}); err != nil {
			t.Fatal(err)
		}
		if r, err := e.Publish(t.Context(), Event{Channel: "a", Type: "t", Data: []byte(`{"id":1}`)}); err != nil || r.Delivered != 0 {
			t.Fatalf("%d: %+v, %v", i, r, err)
		}
		if m, ok, err := s.Next(nil); !ok || err != nil || !strings.Contains(string(m), revokedText) {
			t.Fatalf("%d: %s, %v, %v", i, m, ok, err)
		}
	}
}

// A node that is still reading the revocations of before acts on a new one all the same.
func TestARevocationBesideTheReadingOfOthers(t *testing.T) {
	b := &unread{Bus: membus.New(membus.Options{}), reading: make(chan struct{}, 1), read: make(chan struct{})}
	e, err := New(Config{Bus: b})
	if err != nil {
		t.Fatal(err)
	}
	<-b.reading
	s, err := e.Register(t.Context(), Registration{ConnectionID: "c", SubscriptionID: "s", Query: "subscription { a { id } }", Identity: Identity{TokenID: "t"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Revoke(t.Context(), Revocation{TokenID: "t"}); err != nil {
		t.Error(err)
	}
	if m, _, _ := s.Next(nil); !strings.Contains(string(m), revokedText) {
		t.Errorf("got %s", m)
	}
	close(b.read)
	if err := errors.Join(e.Close(t.Context()), b.Close(t.Context())); err != nil {
		t.Error(err)
	}
}

// unread is a remote bus whose history does not come.
type unread struct {
	*membus.Bus
	reading, read chan struct{}
}

func (u *unread) Status() bus.Status { return bus.Status{Connected: true} }

func (u *unread) History(ctx context.Context, channel string, after event.Position, limit int) (bus.Page, error) {
	u.reading <- struct{}{}
	<-u.read
	return u.Bus.History(ctx, channel, after, limit)
}

// Revoke waits for what it ends as long as its context lets it. The revocation is in force then.
func TestRevokeHeedsItsContext(t *testing.T) {
	e, _, _ := revoking(t)
	told, hangs := make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(told) })
	_, err := e.Register(t.Context(), Registration{ConnectionID: "c", SubscriptionID: "s", Query: "subscription { a { id } }",
		Identity: Identity{TokenID: "t"}, Arrived: func() { once(); <-hangs }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-told
		cancel()
	}()
	if err := e.Revoke(ctx, Revocation{TokenID: "t"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if !e.revoked(&Identity{TokenID: "t"}) {
		t.Error("it is not in force")
	}
	close(hangs)
}
