package hub

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/plan"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/observe"
	"github.com/fraiseql/fraiseql-go/policy"
)

const testSDL = `
type Subscription {
  order(id: ID, status: [String!] @match(path: "status", op: IN), min: Int @match(path: "total", op: GTE), from: Float @match(path: "f", op: GTE),
    to: Float @match(path: "f", op: LT), prefix: String @match(path: "city", op: STARTS_WITH)): Order @source(channel: "orders")
  mine: Order @source(channel: "owned") @owner(path: "owners")
  state(a: Early @match(path: "status"), b: Late @match(path: "status")): Order
  latest: Order @source(channel: "latest") @delivery(overflow: LATEST, key: "id", maxMessages: 3)
  oldest: Order @source(channel: "oldest") @delivery(overflow: DROP_OLDEST, maxMessages: 3)
  newest: Order @source(channel: "newest") @delivery(overflow: DROP_NEWEST, maxMessages: 3)
}
enum Early { OPEN PAID }
enum Late { LATE LOST }
type Order { id: ID! status: String total: Int customer: String city: String note: String a: Int b: Int c: Int d: Int e: Boolean f: Float
  secret: Int @requiresRole(roles: ["x"], deny: MASK) }
`

const orderData = `{"id":"42","status":"open","total":1250,"customer":"Ada Lovelace, Analytical Engines Ltd","city":"London","note":"please ring twice and leave it with the neighbour at number 12, they know about it; if nobody opens, try the shop at the corner of the street, it is open until eight in the evening on all days but Sunday","a":1,"b":22,"c":333,"d":4444,"e":true,"f":1.25,"p":"xxxxxxxxxxxx"}`

// world is a hub with a schema, driven without a bus.
type world struct {
	tb     testing.TB
	hub    *Hub
	schema *gql.Schema
	counts *counts
	seq    uint64
}

// counts is an observer that adds up.
type counts struct {
	observe.Discard
	mu      sync.Mutex
	last    observe.Dispatch
	counted map[string]int
}

func (c *counts) Dispatched(d *observe.Dispatch) { c.last = *d }
func (c *counts) Counted(k observe.Counter, label string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counted == nil {
		c.counted = map[string]int{}
	}
	c.counted[fmt.Sprint(k, " ", label)] += n
}

func newWorld(tb testing.TB, a Addressing) *world {
	schema, errs := gql.LoadSchema([]gql.SchemaSource{{Name: "test.graphql", Text: testSDL}}, gql.SchemaOptions{})
	for _, err := range errs {
		tb.Fatal(err)
	}
	c := &counts{}
	w := &world{tb: tb, schema: schema, counts: c}
	w.hub = New(Config{
		Observer: c, Interest: func(string, bool) {}, Address: a, Limits: Limits{GroupsPerChannel: 1 << 30, GroupsPerTenant: 1 << 30, Workers: 4, Lane: 4, ResumeEvents: 10_000},
		Timeout: time.Minute, Failed: func(string, error) {},
	})
	tb.Cleanup(w.hub.Close)
	return w
}

// limit changes the hub's bounds.
func (w *world) limit(change func(*Limits)) {
	l := *w.hub.limits.Load()
	change(&l)
	w.hub.SetLimits(l)
}

type nullSink struct{}

func (nullSink) Wake(*queue.Queue) {}

func newConn() *queue.Conn {
	c := &queue.Conn{}
	c.InitPull(nullSink{}, nil)
	return c
}

func (w *world) plan(query string) *plan.Plan {
	w.tb.Helper()
	doc, errs := w.schema.Parse(query, gql.Limits{})
	for _, err := range errs {
		w.tb.Fatal(err)
	}
	op, failed := doc.Operation("")
	if failed != nil {
		w.tb.Fatal(failed)
	}
	p, err := plan.Compile(op, plan.Options{})
	if err != nil {
		w.tb.Fatal(err)
	}
	return p
}

// request is a Join with its variables coerced.
func (w *world) request(conn *queue.Conn, p *plan.Plan, variables string, who *identity.Identity) *Join {
	var raw, vars jsontape.Tape
	if err := raw.Parse([]byte(variables), jsontape.Limits{}); err != nil {
		w.tb.Error(err)
	}
	text, errs := p.Operation.CoerceVariables(nil, &raw, jsontape.Root)
	for _, err := range errs {
		w.tb.Error(err)
	}
	if err := vars.Parse(text, jsontape.Limits{}); err != nil {
		w.tb.Error(err)
	}
	pol := &queue.Policy{Messages: 1000, Bytes: 4 << 20}
	if p.Delivery.MaxMessages > 0 {
		pol.Messages = p.Delivery.MaxMessages
		pol.Overflow = [...]queue.Overflow{queue.CloseConnection, queue.DropOldest, queue.DropNewest, queue.Latest}[p.Delivery.Overflow]
	}
	return &Join{Conn: conn, ID: []byte("s"), Plan: p, Variables: text, Tape: &vars, Identity: who, Policy: pol}
}

func (w *world) join(conn *queue.Conn, p *plan.Plan, variables string, who *identity.Identity) *Subscription {
	s, errs := w.hub.Join(w.request(conn, p, variables, who), nil)
	for _, err := range errs {
		w.tb.Error(err)
	}
	return s
}

func (w *world) publish(ev event.Event) int {
	w.seq++
	if ev.Type == "" {
		ev.Type = "t"
	}
	ev.Timestamp = time.Now()
	return w.hub.Deliver(&bus.Message{Event: ev, Position: event.Position{Epoch: 1, Major: w.seq}})
}

// next pops the payload of one message, "" for none.
func next(s *Subscription) string {
	it, ok, _ := s.Pop()
	if !ok {
		return ""
	}
	return string(it.Message.Payload) + "}"
}

func user(u string) *identity.Identity   { return &identity.Identity{UserID: u} }
func tenant(t string) *identity.Identity { return &identity.Identity{TenantID: t} }

func (w *world) denied(c policy.Check) int { return w.counts.last.Denied[c] }
