package fraiseql_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/internal/wsclient"
)

const burstSDL = `
type Subscription {
  ticks: Tick @source(channel: "ticks")
  few: Tick @source(channel: "ticks") @delivery(maxMessages: 20)
  newest: Tick @source(channel: "ticks") @delivery(maxMessages: 20, overflow: DROP_OLDEST)
  one: Tick @source(channel: "ticks") @delivery(maxMessages: 1)
}
type Tick { n: Int pad: String }
`

func burstEngine(t *testing.T) *fraiseql.Engine {
	return newEngine(t, fraiseql.Config{Schema: []fraiseql.SchemaSource{{Name: "ticks.graphql", Text: burstSDL}}})
}

// burst publishes events in one call.
func burst(t *testing.T, e *fraiseql.Engine, events, pad int) {
	t.Helper()
	list := make([]fraiseql.Event, events)
	for i := range list {
		list[i] = fraiseql.Event{Channel: "ticks", Type: "t", Data: fmt.Appendf(nil, `{"n":%d,"pad":"%s"}`, i, strings.Repeat("x", pad))}
	}
	if _, err := e.Publish(t.Context(), list...); err != nil {
		t.Error(err)
	}
}

// inOrder counts the events of one subscriber.
type inOrder struct{ n, want int }

func (c *inOrder) take(result []byte) error {
	type data struct{ Data map[string]struct{ N int } }
	var m struct {
		data
		Payload data // of a whole message
	}
	if err := json.Unmarshal(result, &m); err != nil {
		return err
	}
	if m.Data == nil {
		m.Data = m.Payload.Data
	}
	for _, tick := range m.Data {
		if tick.N != c.n {
			return fmt.Errorf("event %d, want %d", tick.N, c.n)
		}
	}
	if c.n++; c.n == c.want {
		return errEnough
	}
	return nil
}

// Clients that read get all of one call of Publish, though it is more than their queues hold.
func TestBurstReachesClientsThatRead(t *testing.T) {
	for _, tt := range []struct {
		name, field          string
		clients, events, pad int
		portable             bool
	}{
		{"one client", "ticks { n }", 1, 10_000, 0, false},
		{"many clients", "ticks { n }", 40, 2000, 0, false},
		{"many clients with goroutines of their own", "ticks { n }", 40, 2000, 0, true},
		{"6 MB", "ticks { n pad }", 1, 60, 100_000, false},
		{"a small bound", "few { n }", 1, 50, 0, false},
		{"a small bound, drops", "newest { n }", 1, 50, 0, false},
		{"the smallest bound", "one { n }", 1, 50, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := burstEngine(t)
			h, err := e.Handler(fraiseql.HandlerConfig{Anonymous: true, Portable: tt.portable})
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(h)
			t.Cleanup(server.Close)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var clients sync.WaitGroup
			for range tt.clients {
				clients.Go(func() {
					c := &inOrder{want: tt.events}
					err := wsclient.Run(ctx, wsclient.Config{URL: server.URL, Query: "subscription { " + tt.field + " }", Final: []int{4290}}, func(m json.RawMessage) error { return c.take(m) })
					if !errors.Is(err, errEnough) {
						t.Errorf("%d of %d events, then %v", c.n, tt.events, err)
					}
				})
			}
			awaitSubscriptions(t, ctx, e, tt.clients)
			burst(t, e, tt.events, tt.pad)
			clients.Wait()
		})
	}
}

// awaitSubscriptions waits until so many subscriptions are live.
func awaitSubscriptions(t *testing.T, ctx context.Context, e *fraiseql.Engine, n int) {
	t.Helper()
	for e.Stats().Subscriptions < n {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%d of %d subscriptions", e.Stats().Subscriptions, n)
		}
	}
}

// So do streams over HTTP/2 with TLS.
func TestBurstReachesStreams(t *testing.T) {
	for _, accept := range []string{"text/event-stream", "multipart/mixed;subscriptionSpec=1.0"} {
		e := burstEngine(t)
		h, err := e.Handler(fraiseql.HandlerConfig{Anonymous: true})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewUnstartedServer(h)
		server.EnableHTTP2 = true
		server.StartTLS()
		t.Cleanup(server.Close)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r, _ := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"?query="+url.QueryEscape("subscription { ticks { n } }"), nil)
		r.Header.Set("Accept", accept)
		r.Header.Set("Apollo-Require-Preflight", "1")
		answer, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK || answer.ProtoMajor != 2 {
			t.Fatalf("%s: %s %s", accept, answer.Proto, answer.Status)
		}
		awaitSubscriptions(t, ctx, e, 1)
		const events = 10_000
		var wait sync.WaitGroup
		wait.Go(func() { burst(t, e, events, 0) })
		lines, n := bufio.NewScanner(answer.Body), 0
		for n < events && lines.Scan() {
			n += strings.Count(lines.Text(), `"ticks":{`)
		}
		if n != events {
			t.Errorf("%s: %d of %d events: %v", accept, n, events, lines.Err())
		}
		wait.Wait()
	}
}

// Who asks for the next message whenever there is one gets all, beside one that never does, who is ended by its bound.
func TestBurstReachesPullers(t *testing.T) {
	e := burstEngine(t)
	const readers, events = 4, 5000
	slow, err := e.Register(t.Context(), fraiseql.Registration{ConnectionID: "slow", SubscriptionID: "s", Query: `subscription { ticks { n } }`})
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	var all atomic.Int64
	for i := range readers {
		s, err := e.Register(t.Context(), fraiseql.Registration{ConnectionID: fmt.Sprint(i), SubscriptionID: "s", Query: `subscription { ticks { n } }`})
		if err != nil {
			t.Fatal(err)
		}
		wait.Go(func() {
			c := &inOrder{want: events}
			for {
				m, err := s.Receive(t.Context())
				if err == nil {
					all.Add(1)
					err = c.take(m)
				}
				if errors.Is(err, errEnough) {
					return
				}
				if err != nil {
					t.Errorf("after %d events: %v", c.n, err)
					return
				}
			}
		})
	}
	burst(t, e, events, 0)
	wait.Wait()
	got := 0
	for ; err == nil; got++ {
		_, err = slow.Receive(t.Context())
	}
	if bound := 1000; all.Load() != readers*events || got-1 != bound || !errors.Is(err, fraiseql.ErrSlowConsumer) {
		t.Errorf("%d events read; the slow one got %d, then %v", all.Load(), got-1, err)
	}
}
