package gqlhttp

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

func TestAsksCallback(t *testing.T) {
	for accept, want := range map[string]bool{
		"application/json;callbackSpec=1.0":                          true,
		"application/json; callbackspec=1.0, application/json":       true,
		`text/html, Application/JSON ; callbackSpec = "1.0" ;q=0.5`:  true,
		`text/html;a="x,y", application/json;callbackSpec=1.0`:       true,
		`application/json;a=";x";callbackSpec=1.0`:                   true,
		`text/html;a="x,application/json;callbackSpec=1.0,y"`:        false,
		`application/json;a=";callbackSpec=1.0"`:                     false,
		"application/json;callbackSpec=1.0;q=0":                      false,
		"application/json":                                           false,
		"application/json, text/html;callbackSpec=1.0":               false,
		"application/json;callbackSpec=2.0":                          false,
		"text/event-stream;callbackSpec=1.0":                         false,
		"":                                                           false,
		`multipart/mixed;subscriptionSpec="1.0", application/json`:   false,
		strings.Repeat("a/b,", 40) + "application/json;callbackSpec": false,
	} {
		r := httptest.NewRequest(http.MethodPost, "/graphql", nil)
		r.Header.Set("Accept", accept)
		if got := asksCallback(r); got != want {
			t.Errorf("%q: %v", accept, got)
		}
		r.Method = http.MethodGet
		if asksCallback(r) {
			t.Errorf("%q: by GET", accept)
		}
	}
}

// answer records what has left for the client.
type answer struct {
	*httptest.ResponseRecorder
	gone    bool
	flushed string
}

func (a *answer) FlushError() error {
	if a.gone {
		return errors.New("broken pipe")
	}
	a.flushed = a.Body.String()
	return nil
}

// called is a Callback that knows what had left for the client when it began.
type called struct {
	Callback
	out    queue.Conn
	answer *answer
	sub    *hub.Subscription
	steps  []string
}

func (c *called) Outbound() *queue.Conn { return &c.out }
func (c *called) Confirm(_ context.Context, sub *hub.Subscription, _ *identity.Identity) error {
	c.sub = sub
	c.steps = append(c.steps, "confirm after "+c.answer.flushed)
	return nil
}
func (c *called) Begin()   { c.steps = append(c.steps, "begin after "+c.answer.flushed) }
func (c *called) Abandon() { c.steps = append(c.steps, "abandon"); c.sub.Complete() }

// No result overtakes the answer to its request, and who is gone before it gets none.
func TestCallbackBeginsBehindTheAnswer(t *testing.T) {
	for _, gone := range []bool{false, true} {
		a := &answer{ResponseRecorder: httptest.NewRecorder(), gone: gone}
		c := &called{answer: a}
		c.out.Init(nowhere{}, nil)
		f := serve(t, poll.Options{}, func(cfg *Config) {
			cfg.Callbacks = Callbacks{Protocol: "p", Open: func([]byte) (Callback, error) { return c, nil }}
		})
		r := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(`{"query":"orders"}`))
		r.Header.Set("Accept", "application/json;callbackSpec=1.0")
		r.Header.Set("Content-Type", "application/json")
		f.handler.ServeHTTP(a, r)
		got, want := strings.Join(c.steps, ", "), `confirm after , begin after {"data":null}`
		if gone {
			want = "confirm after , abandon"
		}
		if got != want {
			t.Errorf("gone %v: %s, want %s", gone, got, want)
		}
		if !gone {
			c.sub.Complete()
		}
		if n := f.engine.live("orders"); n != 0 {
			t.Errorf("gone %v: %d subscriptions are left", gone, n)
		}
	}
}
