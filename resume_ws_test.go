package fraiseql_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
	"github.com/fraiseql/fraiseql-go/internal/wsclient"
)

// counted is a client that counts the events 0, 1, 2 … and wants each once, in order.
type counted struct {
	t        testing.TB
	received atomic.Int64
	progress chan struct{} // 1 slot
	losses   int
	resumed  int
	each     func(n int64)
	last     int64
}

var errEnough = errors.New("enough")

// handle takes one result.
func (c *counted) handle(result json.RawMessage) error {
	var m struct {
		Data       *struct{ Ticks struct{ N int64 } }
		Extensions struct {
			Cursor    string
			Recovered *bool
		}
	}
	if err := json.Unmarshal(result, &m); err != nil {
		return err
	}
	if m.Extensions.Cursor == "" {
		return fmt.Errorf("no cursor: %s", result)
	}
	if r := m.Extensions.Recovered; r != nil {
		c.resumed++
		if !*r {
			c.losses++
		}
	}
	if m.Data == nil {
		return nil
	}
	want := c.received.Load()
	if m.Data.Ticks.N != want {
		return fmt.Errorf("event %d, want %d", m.Data.Ticks.N, want)
	}
	c.received.Add(1)
	select {
	case c.progress <- struct{}{}:
	default:
	}
	c.each(want)
	if want+1 == c.last {
		return errEnough
	}
	return nil
}

// TestResumeOverWebSocket drops the connection of a client again and again while 100,000 events are published: it gets
// each once, in order.
func TestResumeOverWebSocket(t *testing.T) {
	const events, ahead, between = manyEvents, manyEvents / 20, manyEvents/14 - 1
	e := newEngine(t, fraiseql.Config{})
	h, err := e.Handler(fraiseql.HandlerConfig{Anonymous: true})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	proxy := testkit.NewProxy(t, server.Listener.Addr().String())

	begun := make(chan struct{})
	c := &counted{t: t, progress: make(chan struct{}, 1), last: events, each: func(n int64) {
		if n%between == between-1 {
			proxy.Drop()
		}
	}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		first := true
		done <- wsclient.Run(ctx, wsclient.Config{
			URL: "ws://" + proxy.Addr, Query: `subscription { ticks { n } }`, Resume: true, BackoffBase: time.Millisecond, BackoffMax: 20 * time.Millisecond,
		}, func(result json.RawMessage) error {
			if first {
				first = false
				close(begun)
			}
			return c.handle(result)
		})
	}()
	<-begun
	for i := range int64(events) {
		for i-c.received.Load() > ahead {
			select {
			case <-c.progress:
			case err := <-done:
				t.Fatalf("the client ended after %d events: %v", c.received.Load(), err)
			}
		}
		if _, err := e.Publish(ctx, fraiseql.Event{Channel: "ticks", Type: "t", Data: fmt.Appendf(nil, `{"n":%d}`, i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; !errors.Is(err, errEnough) {
		t.Errorf("the client ended after %d events: %v", c.received.Load(), err)
	}
	if c.losses > 0 || c.resumed < events/between/2 { // a drop may hit a connection that is just made
		t.Errorf("resumed %d times, %d losses", c.resumed, c.losses)
	}
	t.Logf("%d events, %d connections, resumed %d times", c.received.Load(), proxy.Served(), c.resumed)
}
