package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
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
	"github.com/fraiseql/fraiseql-go/policy"
)

// world is an Engine without a schema over a real hub. Documents that are not subscriptions, and those that do
// not parse, are answered as a real engine answers them.
type world struct {
	tb     testing.TB
	hub    *hub.Hub
	schema *gql.Schema
	seq    atomic.Uint64

	connected atomic.Int64 // identities that are connected

	authenticate func(ctx context.Context, payload []byte) (*identity.Identity, error)
	prepared     func(query string) bool
	before       func(req *Request)      // in Subscribe, before anything else
	begun        func(*hub.Subscription) // before it can get events
	joined       func(*hub.Subscription) // and once it can, before Subscribe returns

	mu    sync.Mutex
	plans map[string]*plan.Plan
}

var anybody = &identity.Identity{UserID: "u"}

func newWorld(tb testing.TB) *world {
	w := &world{tb: tb, schema: gql.Schemaless(), plans: map[string]*plan.Plan{}}
	w.hub = hub.New(hub.Config{
		Observer: observe.Discard{}, Interest: func(string, bool) {}, Limits: hub.Limits{GroupsPerChannel: 1 << 20, GroupsPerTenant: 1 << 20, Workers: 1, Lane: 1},
		Timeout: time.Minute, Failed: func(string, error) {}, Renew: w.renew,
		Refused: func(errs []*gql.Error) []byte { return AppendErrors(nil, errs[0].Code, errs[0].Message) },
	})
	tb.Cleanup(w.hub.Close)
	w.authenticate = func(context.Context, []byte) (*identity.Identity, error) { return anybody, nil }
	w.prepared = func(string) bool { return true }
	w.before = func(*Request) {}
	w.begun, w.joined = func(*hub.Subscription) {}, func(*hub.Subscription) {}
	return w
}

func (w *world) Authenticate(ctx context.Context, _ *Handshake, payload []byte) (*identity.Identity, error) {
	return w.authenticate(ctx, payload)
}

func (w *world) Refresh(ctx context.Context, _ *Handshake, payload []byte) (*identity.Identity, error) {
	return w.authenticate(ctx, payload)
}

// Readmit refuses subscribers whose identity has no role.
func (w *world) Readmit(sub *hub.Subscription, who *identity.Identity) {
	errs := w.hub.Readmit(sub, who, func(*plan.Plan, *jsontape.Tape) (policy.Mask, []*gql.Error) { return admitAgain(who) })
	if errs != nil {
		sub.End(AppendErrors(nil, errs[0].Code, errs[0].Message))
	}
}

func admitAgain(who *identity.Identity) (policy.Mask, []*gql.Error) {
	if who.Roles == nil {
		return 0, []*gql.Error{{Code: "FORBIDDEN", Message: "not any more"}}
	}
	return 0, nil
}

// renew judges as Readmit does.
func (w *world) renew(j *hub.Join) *hub.Renewal {
	return &hub.Renewal{Plan: j.Plan, Variables: j.Variables, Tape: j.Tape, Policy: j.Policy, Admit: admitAgain}
}

func (w *world) Revoked(who *identity.Identity) bool { return who.TokenID == "revoked" }

func (w *world) Enter(context.Context, *identity.Identity) error { w.connected.Add(1); return nil }

func (w *world) Left(*identity.Identity) { w.connected.Add(-1) }

func (w *world) Prepared(query, _ string) bool { return w.prepared(query) }

func (w *world) Subscribe(_ context.Context, conn *queue.Conn, who *identity.Identity, req *Request) Outcome {
	w.before(req)
	p, err := w.plan(req.Query)
	switch {
	case err != nil:
		return Outcome{Errors: AppendErrors(nil, "GRAPHQL_PARSE_FAILED", "syntax error")}
	case p == nil:
		return Outcome{Result: []byte(`{"data":{"__typename":"Query"}}`)}
	}
	var vars jsontape.Tape
	if err := vars.Parse([]byte(`{}`), jsontape.Limits{}); err != nil {
		w.tb.Error(err)
	}
	sub, errs := w.hub.Join(&hub.Join{
		Conn: conn, ID: req.EscapedID, Plan: p, Variables: []byte(`{}`), Tape: &vars, Identity: who,
		Policy: &queue.Policy{Messages: 1 << 20, Bytes: 1 << 30},
	}, func(sub *hub.Subscription) bool {
		if !req.Begin(sub) {
			return false
		}
		w.begun(sub)
		return true
	})
	for _, err := range errs {
		w.tb.Error(err)
	}
	w.joined(sub)
	return Outcome{Subscription: sub}
}

// plan compiles a subscription, once; nil without an error means another operation.
func (w *world) plan(query string) (*plan.Plan, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.plans[query]; p != nil {
		return p, nil
	}
	doc, errs := w.schema.Parse(query, gql.Limits{})
	if len(errs) > 0 {
		return nil, errs[0]
	}
	op, failed := doc.Operation("")
	if failed != nil {
		return nil, failed
	}
	if op.Kind != gql.Subscription {
		return nil, nil
	}
	p, err := plan.Compile(op, plan.Options{})
	if err != nil {
		return nil, errors.New("not a plan")
	}
	w.plans[query] = p
	return p, nil
}

// publish delivers an event of a channel, one at a time.
func (w *world) publish(channel string, n int) int {
	return w.hub.Deliver(&bus.Message{
		Event:    event.Event{Channel: channel, Type: "t", Data: fmt.Appendf(nil, `{"n":%d}`, n)},
		Position: event.Position{Epoch: 1, Major: w.seq.Add(1)},
	})
}

// subscriptions is the number of live ones in the hub.
func (w *world) subscriptions() int {
	_, _, n := w.hub.Sizes()
	return n
}

// peer is a connection whose writer is the test.
type peer struct {
	Driver
	out          queue.Conn
	acknowledged atomic.Pointer[identity.Identity]
	items        []queue.Item
	name         string
	woken        func() // by what is queued, under the locks of who does; nil: nothing
}

func (p *peer) Outbound() *queue.Conn               { return &p.out }
func (p *peer) Acknowledged(who *identity.Identity) { p.acknowledged.Store(who) }
func (p *peer) Wake(*queue.Queue) {
	if p.woken != nil {
		p.woken()
	}
}
func (p *peer) Name() string { return p.name }
func (p *peer) Unname()      { p.name = "" }

// connect makes a connection of a host.
func connect(h *Host) *peer {
	p := &peer{}
	p.out.Init(p, nil)
	p.Init(h, p, &Handshake{RemoteAddr: "192.0.2.1:7"})
	return p
}

func newHost(t testing.TB, w Engine, cfg HostConfig) *Host {
	cfg.Engine = w
	h := NewHost(cfg)
	t.Cleanup(h.Close)
	return h
}

// send hands over messages of the client.
func (p *peer) send(messages ...string) {
	for _, m := range messages {
		p.Receive([]byte(m))
	}
}

// read takes what waits, as a writer does; closes are rendered as "close CODE REASON".
func (p *peer) read() []string {
	var texts []string
	p.items, _ = p.out.Take(p.items[:0], 1<<30)
	for i := range p.items {
		it := &p.items[i]
		if it.Queue == nil && it.Control.Kind == queue.Close {
			texts = append(texts, fmt.Sprintf("close %d %s", it.Control.Code, it.Control.Data))
			continue
		}
		if it.Queue != nil && it.Message.End {
			p.Ended(it.Queue)
			p.Written(it.Queue)
		}
		texts = append(texts, string(AppendItem(nil, it)))
	}
	return texts
}

const (
	initText = `{"type":"connection_init"}`
	ackReply = `{"type":"connection_ack"}`
)

func subscribeText(id, query string) string {
	return fmt.Sprintf(`{"id":%q,"type":"subscribe","payload":{"query":%q}}`, id, query)
}

func completeText(id string) string { return fmt.Sprintf(`{"id":%q,"type":"complete"}`, id) }
