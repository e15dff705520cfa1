package fraiseql_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/internal/wsclient"
	"github.com/fraiseql/fraiseql-go/observe"
)

// serving is an engine with a handler behind a server.
func serving(t *testing.T, portable bool) (*fraiseql.Engine, http.Handler, *httptest.Server) {
	t.Helper()
	e := newEngine(t, fraiseql.Config{})
	h, err := e.Handler(fraiseql.HandlerConfig{Anonymous: true, Portable: portable})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return e, h, server
}

// connectTo is one attempt of a client that stays.
func connectTo(ctx context.Context, server *httptest.Server, handle func(json.RawMessage) error) error {
	return wsclient.Run(ctx, wsclient.Config{URL: server.URL, Query: `subscription { x { n } }`, Attempts: 1, Final: []int{fraiseql.CloseGoingAway}}, handle)
}

// subscribedBy waits until there are so many subscriptions.
func subscribedBy(e *fraiseql.Engine, n int) {
	for e.Stats().Subscriptions < n {
		runtime.Gosched()
	}
}

// Close tells every client that the server goes away, after what was published before.
func TestCloseSaysFarewell(t *testing.T) {
	for _, portable := range []bool{false, true} {
		e, _, server := serving(t, portable)
		const clients = 40
		var got atomic.Int64
		ends := make(chan error)
		for range clients {
			go func() {
				ends <- connectTo(t.Context(), server, func(json.RawMessage) error { got.Add(1); return nil })
			}()
		}
		subscribedBy(e, clients)
		if r, err := e.Publish(t.Context(), fraiseql.Event{Channel: "x", Type: "t", Data: []byte(`{"n":1}`)}); err != nil || r.Delivered != clients {
			t.Fatalf("%+v, %v", r, err)
		}
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
		for range clients {
			var end *wsclient.CloseError
			if err := <-ends; !errors.As(err, &end) || end.Code != fraiseql.CloseGoingAway || end.Reason != "the server stops" {
				t.Errorf("portable %v: a client ended with %v", portable, err)
			}
		}
		if n := got.Load(); n != clients {
			t.Errorf("portable %v: %d clients of %d got the event", portable, n, clients)
		}
	}
}

// Streams over HTTP end after what was published before, too.
func TestCloseEndsStreamsAfterWhatWaits(t *testing.T) {
	for _, portable := range []bool{false, true} {
		e, _, server := serving(t, portable)
		request, err := http.NewRequest(http.MethodPost, server.URL, strings.NewReader(`{"query":"subscription { x { n } }"}`))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Accept", "text/event-stream")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		publish(t, e, "x", `{"n":1}`)
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
		body, err := io.ReadAll(bufio.NewReader(response.Body))
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
		if !strings.Contains(string(body), `{"data":{"x":{"n":1}}}`) || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("portable %v: %q, %v", portable, body, err)
		}
	}
}

// A client that does not answer is cut: Close does not wait for it beyond its bound, nor beyond a context.
func TestCloseCutsWhoDoesNotAnswer(t *testing.T) {
	for _, bounded := range []bool{false, true} {
		e, _, server := serving(t, false)
		hangs, deaf := make(chan struct{}), make(chan struct{})
		end := make(chan error)
		go func() {
			end <- connectTo(t.Context(), server, func(json.RawMessage) error { close(deaf); <-hangs; return nil })
		}()
		subscribedBy(e, 1)
		publish(t, e, "x", `{"n":1}`)
		<-deaf
		ctx, cancel := context.WithCancel(t.Context())
		if bounded {
			time.AfterFunc(10*time.Millisecond, cancel)
		}
		if err := e.Close(ctx); err != nil && !bounded {
			t.Error(err)
		}
		cancel()
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if n := e.Stats().Connections; n != 0 {
			t.Errorf("%d connections", n)
		}
		close(hangs)
		if err := <-end; err == nil {
			t.Error("the client goes on")
		}
	}
}

// A handler of an engine that was closed, or that was released, refuses what comes, as while it drains.
func TestAHandlerThatWasClosedRefuses(t *testing.T) {
	for _, portable := range []bool{false, true} {
		for name, end := range map[string]func(*fraiseql.Engine, http.Handler) error{
			"close":   func(e *fraiseql.Engine, _ http.Handler) error { return e.Close(t.Context()) },
			"drain":   func(e *fraiseql.Engine, _ http.Handler) error { return e.Drain(t.Context(), 0) },
			"release": func(e *fraiseql.Engine, h http.Handler) error { e.Release(h); return nil },
		} {
			e, h, server := serving(t, portable)
			if err := end(e, h); err != nil {
				t.Error(err)
			}
			var no *wsclient.HandshakeError
			if err := connectTo(t.Context(), server, func(json.RawMessage) error { return nil }); !errors.As(err, &no) || no.Status != http.StatusServiceUnavailable {
				t.Errorf("%s, portable %v: %v", name, portable, err)
			}
		}
	}
}

// dispatching is an observer under which an event is dispatched until it is told that it is enough.
type dispatching struct {
	observe.Discard
	begun, enough chan struct{}
}

func (d *dispatching) Dispatched(*observe.Dispatch) { close(d.begun); <-d.enough }

// Close that is called again waits on, and says how it ended, not what the first one's context was.
func TestCloseCanBeCalledAgain(t *testing.T) {
	d := &dispatching{begun: make(chan struct{}), enough: make(chan struct{})}
	e := newEngine(t, fraiseql.Config{Observer: d})
	register(t, e, "1", `subscription { x { n } }`, "")
	go func() {
		if _, err := e.Publish(context.Background(), fraiseql.Event{Channel: "x", Type: "t", Data: []byte(`{"n":1}`)}); err != nil {
			t.Error(err)
		}
	}()
	<-d.begun
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := e.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the first: %v", err)
	}
	ends := make(chan error)
	for range 2 {
		go func() { ends <- e.Close(t.Context()) }()
	}
	over, cancelled := context.WithCancel(t.Context())
	cancelled()
	if err := e.Close(over); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	close(d.enough)
	for range 2 {
		if err := <-ends; err != nil {
			t.Errorf("again: %v", err)
		}
	}
	if err := e.Close(t.Context()); err != nil {
		t.Errorf("at the end: %v", err)
	}
}

// A drain that takes its time keeps nobody open when Close comes.
func TestCloseBesideADrain(t *testing.T) {
	e, _, server := serving(t, false)
	const clients = 5
	ends := make(chan error)
	for range clients {
		go func() {
			ends <- connectTo(t.Context(), server, func(json.RawMessage) error { return nil })
		}()
	}
	subscribedBy(e, clients)
	ctx, cancel := context.WithCancel(t.Context())
	drained := make(chan error)
	go func() { drained <- e.Drain(ctx, time.Hour) }()
	if err := <-ends; err == nil { // the first one
		t.Error("a client ended without an error")
	}
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
	for range clients - 1 {
		var end *wsclient.CloseError
		if err := <-ends; !errors.As(err, &end) || end.Code != fraiseql.CloseGoingAway {
			t.Errorf("a client ended with %v", err)
		}
	}
	cancel()
	if err := <-drained; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
