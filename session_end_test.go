package fraiseql

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// An operation that the server ends frees its id before the host sees the end, as a subscription of the client may
// follow at once.
func TestEndOfAnOperationFreesItsID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close(t.Context())
		sessions, err := e.Sessions(HandlerConfig{Anonymous: true})
		if err != nil {
			t.Fatal(err)
		}
		s, err := sessions.Open(SessionRequest{}, func() {})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		const subscribe = `{"id":"1","type":"subscribe","payload":{"query":"subscription { x }"}}`
		s.Receive([]byte(`{"type":"connection_init"}`))
		synctest.Wait()
		s.Take(nil, 0)
		for _, last := range []struct{ errors, want string }{
			{``, `{"id":"1","type":"complete"}`},
			{`[{"message":"gone"}]`, `{"id":"1","type":"error","payload":[{"message":"gone"}]}`},
		} {
			s.Receive([]byte(subscribe))
			synctest.Wait()
			if _, err := e.Publish(t.Context(), Event{Channel: "x", Type: "t", Data: []byte(`{}`)}); err != nil {
				t.Fatal(err)
			}
			items, _ := s.out.Take(nil, 1)
			if len(items) != 1 {
				t.Fatalf("%d items", len(items))
			}
			end := &queue.Message{End: true}
			if last.errors != "" {
				end.Payload = []byte(last.errors)
			}
			if !items[0].Queue.End(end) {
				t.Fatal("it had ended")
			}
			out, more := s.Take(nil, 0)
			if len(out) != 1 || more || string(out[0].Data) != last.want {
				t.Fatalf("got %+v", out)
			}
		}
		s.Receive([]byte(subscribe))
		synctest.Wait()
		if out, _ := s.Take(nil, 0); len(out) != 0 {
			t.Errorf("the id is not free: %+v", out)
		}
	})
}

// A pulled subscription that the server ends gives its last message, then ErrEnded, and is forgotten.
func TestEndOfAPulledSubscription(t *testing.T) {
	e, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(t.Context())
	s, err := e.Register(t.Context(), Registration{ConnectionID: "c", SubscriptionID: "s", Query: "subscription { x }"})
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	s.Notify(func() { calls++ })
	s.sub.Load().End(nil)
	message, err := s.Receive(t.Context())
	if err != nil || calls != 1 || !strings.Contains(string(message), `"complete"`) {
		t.Errorf("got %s, %v, %d calls", message, err, calls)
	}
	if !s.Waiting() || s.Notify(func() {}) {
		t.Error("its end must be announced")
	}
	if _, _, err := s.Next(nil); err != ErrEnded || s.Waiting() {
		t.Errorf("got %v, waiting %v", err, s.Waiting())
	}
	if n := e.Stats().Subscriptions; n != 0 || e.Complete("c", "s") {
		t.Errorf("%d subscriptions are left", n)
	}
}
