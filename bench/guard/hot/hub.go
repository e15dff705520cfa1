package main

import (
	"fmt"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/plan"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/observe"
)

// subscriptions is how many there are where an event is for few of them.
const subscriptions = 10_000

var hubCases = []hotCase{
	{"one event to 100 subscriptions in one group", 300, func() (func(), func()) {
		w := newWorld()
		p := w.plan(`subscription { order ` + fiveFields + ` }`)
		for range 100 {
			w.join(w.connection(), p, `{}`, "")
		}
		return w.deliver(100)
	}},
	{"one event to 100 subscriptions in 100 groups", 100, func() (func(), func()) {
		w := newWorld()
		for i := range 100 {
			w.join(w.connection(), w.plan(fmt.Sprintf(`subscription { order { a%d: id status total customer city } }`, i)), `{}`, "")
		}
		return w.deliver(100)
	}},
	{"one event among 10,000 subscriptions with distinct arguments", 1000, func() (func(), func()) {
		w := newWorld()
		p := w.plan(`subscription($i: ID) { order(id: $i) ` + fiveFields + ` }`)
		w.join(w.connection(), p, `{"i":"42"}`, "")
		for i := range subscriptions {
			w.join(w.idle, p, fmt.Sprintf(`{"i":"%d"}`, 100+i), "")
		}
		return w.deliver(1)
	}},
	{"one event among 10,000 ranges, 1 % of which match", 20, func() (func(), func()) {
		w := newWorld()
		p := w.plan(`subscription($a: Float, $b: Float) { order(from: $a, to: $b) ` + fiveFields + ` }`)
		for i := range subscriptions { // f is 1.25
			from, c := float64(i%100)/10, w.idle
			if i%100 == 12 {
				c = w.connection()
			}
			w.join(c, p, fmt.Sprintf(`{"a":%g,"b":%g}`, from+float64(i/100)/10_000, from+0.1), "")
		}
		return w.deliver(subscriptions / 100)
	}},
	{"one event of a tenant beside 10,000 subscriptions of others", 1000, func() (func(), func()) {
		w := newWorld()
		p := w.plan(`subscription { order ` + fiveFields + ` }`)
		for i := range subscriptions {
			w.join(w.idle, p, `{}`, fmt.Sprint(i))
		}
		w.message.Event.TenantID = "nobody"
		return w.deliver(0)
	}},
	{"join and leave a group that exists", 2000, func() (func(), func()) { return joinAndLeave(`{"i":"1"}`) }},
	{"join and leave a new group", 1000, func() (func(), func()) { return joinAndLeave(`{"i":"2"}`) }},
}

func joinAndLeave(variables string) (func(), func()) {
	w := newWorld()
	p := w.plan(`subscription($i: ID) { order(id: $i) ` + fiveFields + ` }`)
	w.join(w.idle, p, `{"i":"1"}`, "")
	j := w.request(w.idle, p, variables, "")
	return func() {
		s, errs := w.hub.Join(j, nil)
		must(errs == nil, "join")
		s.Complete()
	}, nil
}

// world is a hub without a bus.
type world struct {
	hub     *hub.Hub
	schema  *gql.Schema
	idle    *queue.Conn   // of subscriptions that receive nothing
	conns   []*queue.Conn // of those that do
	items   []queue.Item
	policy  queue.Policy
	message bus.Message
}

type nobody struct{}

func (nobody) Wake(*queue.Queue) {}

func newWorld() *world {
	w := &world{schema: schema(), policy: queue.Policy{Messages: 1000, Bytes: 4 << 20}}
	w.idle = newConnection()
	w.hub = hub.New(hub.Config{
		Observer: observe.Discard{}, Interest: func(string, bool) {}, Limits: hub.Limits{GroupsPerChannel: 1 << 30, GroupsPerTenant: 1 << 30, Workers: 1, Lane: 1},
		Timeout: time.Minute, Failed: func(string, error) {},
	})
	w.message = bus.Message{Event: event.Event{Channel: "orders", Type: "t", Data: []byte(orderData)}, Position: event.Position{Epoch: 1}}
	return w
}

func newConnection() *queue.Conn {
	c := &queue.Conn{}
	c.Init(nobody{}, nil)
	return c
}

func (w *world) connection() *queue.Conn {
	c := newConnection()
	w.conns = append(w.conns, c)
	return c
}

func (w *world) plan(query string) *plan.Plan { return compile(w.schema, query) }

func (w *world) request(c *queue.Conn, p *plan.Plan, variables, tenant string) *hub.Join {
	text, errs := p.Operation.CoerceVariables(nil, parse(variables), jsontape.Root)
	must(len(errs) == 0, variables)
	return &hub.Join{Conn: c, ID: []byte("s"), Plan: p, Variables: text, Tape: parse(string(text)),
		Identity: &identity.Identity{TenantID: tenant}, Policy: &w.policy}
}

func (w *world) join(c *queue.Conn, p *plan.Plan, variables, tenant string) {
	_, errs := w.hub.Join(w.request(c, p, variables, tenant), nil)
	must(errs == nil, "join")
}

// deliver is one event to so many subscriptions; their queues are emptied as by a writer, which counts too.
func (w *world) deliver(want int) (func(), func()) {
	return func() {
		w.message.Position.Major++
		must(w.hub.Deliver(&w.message) == want, "deliveries")
		if want == 0 {
			return
		}
		for _, c := range w.conns {
			w.items, _ = c.Take(w.items[:0], 1<<20)
		}
	}, nil
}
