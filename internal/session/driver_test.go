package session

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fraiseql/fraiseql-go/identity"
)

// expect compares what a peer reads once everything is quiet.
func (p *peer) expect(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, p.read()); diff != "" {
		t.Fatalf("messages (-want +got):\n%s", diff)
	}
}

// bubble runs a test of one connection with a world of its own.
func bubble(t *testing.T, cfg HostConfig, test func(t *testing.T, w *world, p *peer)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		test(t, w, connect(newHost(t, w, cfg)))
	})
}

func TestDriverDelivers(t *testing.T) {
	for _, prepared := range []bool{true, false} {
		t.Run(fmt.Sprintf("prepared=%v", prepared), func(t *testing.T) {
			bubble(t, HostConfig{}, func(t *testing.T, w *world, p *peer) {
				w.prepared = func(string) bool { return prepared }
				p.send(initText)
				p.expect(t, ackReply)
				if p.acknowledged.Load() != anybody || p.Identity() != anybody {
					t.Error("the peer was not told who is acknowledged")
				}
				p.send(subscribeText("1", "subscription { a { n } }"))
				synctest.Wait() // documents that are not prepared are subscribed to by workers, in any order
				p.send(subscribeText(`"x`, "subscription { a }"))
				synctest.Wait()
				if n := w.publish("a", 7); n != 2 {
					t.Fatalf("delivered to %d", n)
				}
				p.expect(t, `{"id":"1","type":"next","payload":{"data":{"a":{"n":7}}}}`,
					`{"id":"\"x","type":"next","payload":{"data":{"a":{"n":7}}}}`)
				w.publish("a", 8)
				p.send(completeText("1"))
				p.expect(t, `{"id":"\"x","type":"next","payload":{"data":{"a":{"n":8}}}}`)
				if p.Operations() != 1 || w.subscriptions() != 1 {
					t.Errorf("%d operations, %d subscriptions", p.Operations(), w.subscriptions())
				}
				p.Closed()
				if p.Operations() != 0 || w.subscriptions() != 0 || p.Identity() != nil {
					t.Errorf("after the close: %d operations, %d subscriptions", p.Operations(), w.subscriptions())
				}
			})
		})
	}
}

func TestDriverQueryAndErrors(t *testing.T) {
	bubble(t, HostConfig{}, func(t *testing.T, w *world, p *peer) {
		p.send(initText)
		p.expect(t, ackReply)
		p.send(subscribeText("q", "{ __typename }"), subscribeText("e", "{"), subscribeText("q", "{ __typename }"))
		p.expect(t, `{"id":"q","type":"next","payload":{"data":{"__typename":"Query"}}}`, `{"id":"q","type":"complete"}`,
			`{"id":"e","type":"error","payload":[{"message":"syntax error","extensions":{"code":"GRAPHQL_PARSE_FAILED"}}]}`,
			`{"id":"q","type":"next","payload":{"data":{"__typename":"Query"}}}`, `{"id":"q","type":"complete"}`)
	})
}

// TestDriverServerEnds has the server end a subscription while results wait: they go out first, the id is free.
func TestDriverServerEnds(t *testing.T) {
	bubble(t, HostConfig{}, func(t *testing.T, w *world, p *peer) {
		p.send(initText, subscribeText("0", "{"))
		p.expect(t, `close 4401 Unauthorized`)

		p = connect(p.host)
		p.send(initText)
		p.expect(t, ackReply)
		p.send(subscribeText("1", "subscription { a { n } }"))
		w.publish("a", 1)
		p.mu.Lock()
		sub := p.machine.ops.first.sub
		p.mu.Unlock()
		sub.End([]byte(`[{"message":"gone"}]`))
		p.expect(t, `{"id":"1","type":"next","payload":{"data":{"a":{"n":1}}}}`, `{"id":"1","type":"error","payload":[{"message":"gone"}]}`)
		p.send(completeText("1"), subscribeText("1", "subscription { a { n } }"))
		w.publish("a", 2)
		p.expect(t, `{"id":"1","type":"next","payload":{"data":{"a":{"n":2}}}}`)
		p.send(completeText("1"))
		sub.Complete()
		if w.subscriptions() != 0 {
			t.Errorf("%d subscriptions are left", w.subscriptions())
		}
	})
}

// TestDriverSlowAuthentication has a hook that takes longer than the init timeout; pings are answered.
func TestDriverSlowAuthentication(t *testing.T) {
	bubble(t, HostConfig{}, func(t *testing.T, w *world, p *peer) {
		proceed := make(chan struct{})
		w.authenticate = func(context.Context, []byte) (*identity.Identity, error) {
			<-proceed
			return anybody, nil
		}
		p.send(initText, `{"type":"ping"}`)
		p.InitTimeout()
		p.expect(t, `{"type":"pong"}`)
		close(proceed)
		p.expect(t, ackReply)
	})
}

func TestDriverRefusedAuthentication(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"forbidden":   {fmt.Errorf("expired token of mallory: %w", ErrForbidden), "close 4403 Forbidden"},
		"unavailable": {errors.New("dial 10.0.0.1: refused"), "close 1013 Authentication is not available, try again later"},
		"uninformed":  {ErrUninformed, "close 1013 The event bus cannot be read, try again later"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, HostConfig{}, func(t *testing.T, w *world, p *peer) {
				w.authenticate = func(context.Context, []byte) (*identity.Identity, error) { return nil, c.err }
				p.send(initText)
				p.expect(t, c.want)
				if p.acknowledged.Load() != nil {
					t.Error("acknowledged")
				}
			})
		})
	}
}

// TestDriverCallTimeout bounds what the engine is given to block on.
func TestDriverCallTimeout(t *testing.T) {
	bubble(t, HostConfig{CallTimeout: time.Second}, func(t *testing.T, w *world, p *peer) {
		w.authenticate = func(ctx context.Context, _ []byte) (*identity.Identity, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		p.send(initText)
		<-time.After(2 * time.Second) // of the bubble's clock
		p.expect(t, `close 1013 Authentication is not available, try again later`)
	})
}

// TestDriverBusy has more work than workers and places to wait.
func TestDriverBusy(t *testing.T) {
	bubble(t, HostConfig{Workers: 1, Waiting: 1}, func(t *testing.T, w *world, p *peer) {
		proceed := make(chan struct{})
		w.before = func(*Request) { <-proceed }
		w.prepared = func(string) bool { return false }
		p.send(initText)
		p.expect(t, ackReply)
		p.send(subscribeText("running", "subscription { a }"))
		synctest.Wait()
		p.send(subscribeText("waiting", "subscription { a }"), subscribeText("refused", "subscription { a }"))
		p.expect(t, `{"id":"refused","type":"error","payload":[{"message":"the server is busy, subscribe again later","extensions":{"code":"RATE_LIMITED"}}]}`)
		other := connect(p.host)
		other.send(initText)
		other.expect(t, `close 1013 The server is busy, try again later`)
		close(proceed)
		synctest.Wait()
		if p.Operations() != 2 || w.subscriptions() != 2 {
			t.Errorf("%d operations, %d subscriptions", p.Operations(), w.subscriptions())
		}
		p.Closed()
	})
}

// TestDriverBusyBytes bounds the messages that wait, and spares the work for what was completed meanwhile.
func TestDriverBusyBytes(t *testing.T) {
	bubble(t, HostConfig{Workers: 1, WaitingBytes: 250}, func(t *testing.T, w *world, p *peer) {
		proceed := make(chan struct{})
		var asked []string
		w.before = func(req *Request) {
			asked = append(asked, req.ID)
			<-proceed
		}
		w.prepared = func(string) bool { return false }
		p.send(initText)
		p.expect(t, ackReply)
		p.send(subscribeText("running", "subscription { a }"))
		synctest.Wait()
		for _, id := range []string{"a", "b", "c", "d"} {
			p.send(subscribeText(id, "subscription { a }"))
		}
		p.expect(t, `{"id":"d","type":"error","payload":[{"message":"the server is busy, subscribe again later","extensions":{"code":"RATE_LIMITED"}}]}`)
		p.send(completeText("b"))
		close(proceed)
		synctest.Wait()
		if diff := cmp.Diff([]string{"running", "a", "c"}, asked); diff != "" || w.subscriptions() != 3 {
			t.Errorf("%d subscriptions\n%s", w.subscriptions(), diff)
		}
		p.Closed()
	})
}

// TestHostClose cancels what runs, waits for it and refuses what comes later.
func TestHostClose(t *testing.T) {
	bubble(t, HostConfig{}, func(t *testing.T, w *world, p *peer) {
		w.authenticate = func(ctx context.Context, _ []byte) (*identity.Identity, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		p.send(initText)
		synctest.Wait()
		p.host.Close()
		p.expect(t, `close 1013 Authentication is not available, try again later`)
		late := connect(p.host)
		late.send(initText)
		late.expect(t, `close 1013 The server is busy, try again later`)
		p.host.Close()
	})
}

func TestDriverShut(t *testing.T) {
	bubble(t, HostConfig{}, func(t *testing.T, w *world, p *peer) {
		p.send(initText)
		p.expect(t, ackReply)
		p.send(subscribeText("1", "subscription { a { n } }"))
		w.publish("a", 1)
		p.Shut(1012, "Service restart")
		p.Shut(1001, "again")
		if n := w.publish("a", 2); n != 0 {
			t.Errorf("delivered to %d after the close", n)
		}
		p.expect(t, `close 1012 Service restart`)
	})
}

// TestDriverLongMessage has a known document with variables that take a while: it runs on the pool.
func TestDriverLongMessage(t *testing.T) {
	bubble(t, HostConfig{Workers: 1}, func(t *testing.T, w *world, p *peer) {
		proceed := make(chan struct{})
		w.before = func(*Request) { <-proceed }
		p.send(initText)
		p.expect(t, ackReply)
		long := make([]byte, inlineBytes)
		for i := range long {
			long[i] = 'x'
		}
		p.send(fmt.Sprintf(`{"id":"1","type":"subscribe","payload":{"query":"subscription { a }","variables":{"v":%q}}}`, long))
		p.send(`{"type":"ping"}`)
		if synctest.Wait(); len(p.read()) != 0 {
			t.Error("the reader subscribed")
		}
		close(proceed)
		p.expect(t, `{"type":"pong"}`)
		p.Closed()
	})
}

// TestDriverPanics has the engine panic on the pool and on a reader: it is reported, the client answered, the server goes on.
func TestDriverPanics(t *testing.T) {
	var reported []any
	cfg := HostConfig{Panicked: func(v any, stack []byte) {
		if len(stack) == 0 {
			t.Error("no stack")
		}
		reported = append(reported, v)
	}}
	bubble(t, cfg, func(t *testing.T, w *world, p *peer) {
		w.prepared = func(string) bool { return false }
		w.before = func(*Request) { panic("subscribe") }
		p.send(initText)
		p.expect(t, ackReply)
		p.send(subscribeText("1", "subscription { a }"))
		p.expect(t, `{"id":"1","type":"error","payload":[{"message":"internal server error","extensions":{"code":"INTERNAL_SERVER_ERROR"}}]}`)
		w.prepared = func(string) bool { return true } // on the reader
		p.send(subscribeText("1", "subscription { a }"))
		p.expect(t, `{"id":"1","type":"error","payload":[{"message":"internal server error","extensions":{"code":"INTERNAL_SERVER_ERROR"}}]}`)
		w.authenticate = func(context.Context, []byte) (*identity.Identity, error) { panic("authenticate") }
		other := connect(p.host)
		other.send(initText)
		other.expect(t, `close 1013 Authentication is not available, try again later`)
		if diff := cmp.Diff([]any{"subscribe", "subscribe", "authenticate"}, reported); diff != "" {
			t.Error(diff)
		}
	})
}

// What ends the goroutine of a worker is answered as a panic is.
func TestDriverOutlivesGoexit(t *testing.T) {
	var found atomic.Int64
	bubble(t, HostConfig{Workers: 1, Panicked: func(any, []byte) { found.Add(1) }}, func(t *testing.T, w *world, p *peer) {
		judge := w.authenticate
		w.authenticate = func(context.Context, []byte) (*identity.Identity, error) { runtime.Goexit(); return nil, nil }
		w.prepared = func(string) bool { return false }
		p.send(initText)
		p.expect(t, "close 1013 Authentication is not available, try again later")

		w.authenticate = judge
		p = connect(p.host)
		p.send(initText)
		p.expect(t, ackReply)
		w.before = func(*Request) { runtime.Goexit() }
		p.send(subscribeText("1", "subscription { a }"))
		p.expect(t, `{"id":"1","type":"error","payload":[{"message":"internal server error","extensions":{"code":"INTERNAL_SERVER_ERROR"}}]}`)
		w.authenticate = func(context.Context, []byte) (*identity.Identity, error) { runtime.Goexit(); return nil, nil }
		p.send(`{"type":"ping","payload":{"authorization":"x"}}`)
		p.expect(t, `{"type":"pong","payload":{"refreshed":false,"code":"RATE_LIMITED"}}`)
		if called := p.host.Call(0, func(context.Context) { runtime.Goexit() }); !called || found.Load() != 4 {
			t.Errorf("called %v, %d found", called, found.Load())
		}
	})
}

// What waits for the peer when the client completes its operation does not come, whether the id is used again or not.
func TestDriverForgetsWhatWasCompleted(t *testing.T) {
	bubble(t, HostConfig{}, func(t *testing.T, w *world, p *peer) {
		p.send(initText)
		p.expect(t, ackReply)
		p.send(subscribeText("1", "{"), subscribeText("12", "{"), subscribeText("q", "{ __typename }"))
		synctest.Wait()
		p.send(completeText("1"), completeText("q"), completeText("nobody"), subscribeText("1", "subscription { a { n } }"))
		w.publish("a", 1)
		p.expect(t, `{"id":"12","type":"error","payload":[{"message":"syntax error","extensions":{"code":"GRAPHQL_PARSE_FAILED"}}]}`,
			`{"id":"1","type":"next","payload":{"data":{"a":{"n":1}}}}`)
		if n := p.out.Bytes(); n != 0 {
			t.Errorf("%d bytes wait", n)
		}
		p.send(subscribeText("2", "{"), completeText("2"))
		p.expect(t)
		p.send(`{"type":"ping"}`)
		p.expect(t, `{"type":"pong"}`)
	})
}
