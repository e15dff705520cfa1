package fraiseql_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/fraiseql/fraiseql-go"
)

// While events are published, schemas change and resolvers answer in any order, subscribers are cut off in any moment,
// and resume: each gets every event once, in order, whatever coincides.
func TestResumeWhileSchemasChange(t *testing.T) {
	const events, changes = 600, 40
	e := newEngine(t, fraiseql.Config{Schema: []fraiseql.SchemaSource{schemaText(versioned(0))},
		Limits: fraiseql.Limits{ResolverLane: 1 << 16, QueueMessages: 1 << 16, ResumeEvents: 1 << 16},
		Resolvers: map[string]fraiseql.Resolver{
			"resolved": {Resolve: func(_ context.Context, ev *fraiseql.Event, _ json.RawMessage, _ *fraiseql.ResolverContext) (any, error) {
				if rand.IntN(4) == 0 {
					runtime.Gosched()
				}
				return ev.Data, nil
			}},
			"deferred": {Deferred: func(r *fraiseql.ResolveRequest) { go r.Resolve(r.Event().Data) }},
		}})
	var work, readers sync.WaitGroup
	begun := make(chan struct{})
	for i, query := range []string{
		`{ message { n v } }`, `{ message(room: "r") { v n } }`, `{ resolved { n v } }`, `{ deferred { n v } }`, `{ resolved { v n } }`,
	} {
		for reader := range 3 {
			r := &cutter{t: t, engine: e, id: fmt.Sprint(i, "-", reader), query: "subscription " + query, events: events}
			readers.Go(func() { r.run(begun) })
			<-begun
		}
	}
	work.Go(func() {
		for i := range events {
			if _, err := e.Publish(context.Background(), eventN(i+1)); err != nil {
				t.Error(err)
			}
			if rand.IntN(16) == 0 {
				runtime.Gosched()
			}
		}
	})
	work.Go(func() {
		for v := 1; v <= changes; v++ {
			if _, err := e.SetSchema(schemaText(versioned(v))); err != nil {
				t.Error(err)
			}
		}
	})
	work.Wait()
	readers.Wait()
	if s := e.Stats(); s.Subscriptions+s.Groups+s.Channels != 0 {
		t.Errorf("left over: %+v", s)
	}
}

// cutter is a subscriber whose connection does not last.
type cutter struct {
	t             *testing.T
	engine        *fraiseql.Engine
	id, query     string
	events, round int
	cursor        string
	last          int // event
}

// run says that it has begun once it has a cursor, and reads until it has all events.
func (c *cutter) run(begun chan<- struct{}) {
	s := c.connect()
	told := false
	for s != nil && c.last < c.events {
		if !c.read(s) {
			s = nil
			break
		}
		if !told {
			told = true
			begun <- struct{}{}
		}
		switch {
		case rand.IntN(40) == 0:
			c.engine.CompleteConnection(c.connection())
			s = c.connect()
		case rand.IntN(60) == 0:
			if err := s.Resume(c.t.Context(), c.cursor); err != nil {
				c.t.Error(err)
				s = nil
			}
		}
	}
	if !told {
		begun <- struct{}{}
	}
	c.engine.CompleteConnection(c.connection())
}

func (c *cutter) connection() string { return fmt.Sprint(c.id, " ", c.round) }

func (c *cutter) connect() *fraiseql.Subscription {
	c.round++
	extensions := `{"resume":true}`
	if c.cursor != "" {
		extensions = fmt.Sprintf(`{"resume":%q}`, c.cursor)
	}
	s, err := c.engine.Register(c.t.Context(), fraiseql.Registration{
		ConnectionID: c.connection(), SubscriptionID: "s", Query: c.query, Extensions: []byte(extensions),
	})
	if err != nil {
		c.t.Error(err)
		return nil
	}
	return s
}

// read takes one message: a note, or the next event.
func (c *cutter) read(s *fraiseql.Subscription) bool {
	text, err := s.Receive(c.t.Context())
	if err != nil {
		c.t.Errorf("%s after %d: %v", c.query, c.last, err)
		return false
	}
	var m struct {
		Type    string
		Payload struct {
			Data       map[string]*observed
			Extensions struct {
				Cursor    string
				Recovered *bool
			}
		}
	}
	if err := json.Unmarshal(text, &m); err != nil || m.Type != "next" || m.Payload.Extensions.Cursor == "" {
		c.t.Errorf("%s: %v", text, err)
		return false
	}
	if r := m.Payload.Extensions.Recovered; r != nil && !*r {
		c.t.Errorf("%s after %d: not recovered: %s", c.query, c.last, text)
		return false
	}
	c.cursor = m.Payload.Extensions.Cursor
	for _, o := range m.Payload.Data {
		if o.N != c.last+1 {
			c.t.Errorf("%s after %d: %s", c.query, c.last, text)
			return false
		}
		c.last = o.N
	}
	return true
}
