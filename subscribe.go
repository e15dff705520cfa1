package fraiseql

import (
	"context"
	"math"
	"runtime"
	"strings"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/introspect"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/plan"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
	"github.com/fraiseql/fraiseql-go/observe"
	"github.com/fraiseql/fraiseql-go/policy"
)

// subscribing is the scratch of one subscribe. Pooled.
type subscribing struct {
	raw    jsontape.Tape // variables as sent
	vars   jsontape.Tape // coerced
	buf    []byte
	claims []policy.Claim
	join   hub.Join
	ask    func(*plan.Plan) []*gql.Error // decides last; nil: nobody does
}

var emptyObject = []byte("{}")

// errMutation refuses a mutation.
var errMutation = &gql.Error{Code: code.ValidationFailed, Message: "This endpoint serves subscriptions: send mutations to the API of your application."}

// onceText refuses a subscription to a client that takes one answer.
const onceText = "A subscription is answered by a stream: send Accept: text/event-stream, or multipart/mixed;subscriptionSpec=1.0, or use a WebSocket."

// subscribe runs an operation: a subscription joins, a query is answered in the outcome. own is the resolver of
// this subscription alone, nil: that of its field or event type. ask, if any, decides last.
func (e *Engine) subscribe(ctx context.Context, conn *queue.Conn, who *identity.Identity, req *session.Request, own *hub.Resolver, ask func(*plan.Plan) []*gql.Error) (*hub.Subscription, []byte, []*gql.Error) {
	if e.closed.Load() {
		return nil, nil, refused(code.InternalServerError, "The server is shutting down.")
	}
	if e.revoked(who) {
		return nil, nil, refused(code.Unauthenticated, revokedText)
	}
	if errs := e.admit(who, conn); errs != nil {
		return nil, nil, errs
	}
	p, op, origin, errs := e.prepare(req.Query, req.OperationName)
	if errs != nil {
		return nil, nil, errs
	}
	if p != nil && req.Once {
		return nil, nil, refused(code.BadUserInput, onceText)
	}
	s := e.subscribing.Get().(*subscribing)
	defer e.free(s)
	if errs := s.coerce(op, req.Variables, e.limits().events()); errs != nil {
		return nil, nil, errs
	}
	if p == nil {
		result, errs := e.answer(op, s)
		return nil, result, errs
	}
	s.join = hub.Join{Conn: conn, ID: req.EscapedID, Plan: p, Identity: who, Policy: e.policy(p), Resolver: own}
	if own == nil {
		s.join.Resolver, s.join.Types = e.resolvers.Load().of(p)
	}
	if !resolves(&s.join) {
		return nil, nil, refused(code.ValidationFailed, "The field "+p.RootName+" needs a resolver, and there is none.")
	}
	s.ask = ask
	sub, errs := e.join(ctx, s, req)
	if sub != nil {
		e.observer.Counted(observe.Subscribed, origin, 1)
	}
	return sub, nil, errs
}

// prepare is plan, but it looks at a few documents at a time whose text is not known: clients that send many leave processors to those who
// wait for events. Who has waited may find that another has compiled the same.
func (e *Engine) prepare(query, name string) (p *plan.Plan, op *gql.Operation, origin string, errs []*gql.Error) {
	s := e.schema.Load()
	if p, ok := s.plans.Get(s.Generation, query, name); ok {
		return p, p.Operation, "cached", nil
	}
	e.compiling.Enter()
	defer e.compiling.Leave()
	return e.plan(query, name, e.limits().documents())
}

// compilers is how many documents are compiled at a time: on half of the processors.
func compilers() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// plan returns the plan of the operation of a document within limits, or, when it is not a subscription, the operation. origin
// is the label of observe.Subscribed.
func (e *Engine) plan(query, name string, lim gql.Limits) (p *plan.Plan, op *gql.Operation, origin string, errs []*gql.Error) {
	if p := e.known(query, name, lim); p != nil {
		return p, p.Operation, "cached", nil
	}
	p, op, errs = e.compile(e.schema.Load(), query, name, lim)
	return p, op, "compiled", errs
}

// known returns the plan of a document that was compiled before, nil if there is none.
func (e *Engine) known(query, name string, lim gql.Limits) *plan.Plan {
	s := e.schema.Load()
	p, ok := s.plans.Get(s.Generation, query, name)
	if !ok && len(query) <= lim.Bytes { // comments count, whatever is known about the rest
		p, _ = s.plans.Find(s.Generation, query, name)
	}
	return p
}

// compile is plan for a document that is not known.
func (e *Engine) compile(s *schema, query, name string, lim gql.Limits) (*plan.Plan, *gql.Operation, []*gql.Error) {
	doc, errs := s.Parse(query, lim)
	if len(errs) > 0 {
		return nil, nil, errs
	}
	op, err := doc.Operation(name)
	if err != nil {
		return nil, nil, []*gql.Error{err}
	}
	switch op.Kind {
	case gql.Query:
		return nil, op, nil
	case gql.Mutation:
		return nil, nil, []*gql.Error{errMutation}
	}
	p, failed := plan.Compile(op, plan.Options{Scope: policy.ScopeNames{User: e.cfg.Security.ScopeUser, Tenant: e.cfg.Security.ScopeTenant}})
	if failed != nil {
		return nil, nil, []*gql.Error{requestError(failed)}
	}
	if !e.serves(p.Channel) {
		return nil, nil, refused(code.ValidationFailed, "This server has no channel of that name.")
	}
	p.Asked = strings.Clone(name)
	return s.plans.Put(s.Generation, query, name, p), op, nil
}

func requestError(err error) *gql.Error {
	if g, ok := err.(*gql.Error); ok {
		return g
	}
	return &gql.Error{Code: code.InternalServerError, Message: "The operation could not be compiled."}
}

// coerce fills s.vars with the coerced variables of an operation. raw is a JSON object or nil.
func (s *subscribing) coerce(op *gql.Operation, raw []byte, lim jsontape.Limits) []*gql.Error {
	root := jsontape.None
	if len(raw) > 0 {
		if err := s.raw.Parse(raw, lim); err != nil {
			return refused(code.BadUserInput, "The variables are not valid: "+err.Error()+".")
		}
		root = jsontape.Root
	}
	var errs []*gql.Error
	if s.buf, errs = op.CoerceVariables(s.buf[:0], &s.raw, root); len(errs) > 0 {
		return errs
	}
	if len(s.buf) == 0 {
		s.buf = append(s.buf, emptyObject...)
	}
	if err := s.vars.Parse(s.buf, lim); err != nil {
		return refused(code.BadUserInput, "The variables are too large: "+err.Error()+".")
	}
	return nil
}

// answer executes a query: introspection, or a clear refusal.
func (e *Engine) answer(op *gql.Operation, s *subscribing) ([]byte, []*gql.Error) {
	return introspect.Execute(op, &s.vars, introspect.Options{Allowed: e.schema.Load().options.Introspection})
}

// join runs checks 1 and 5 on what s.join says so far and enters the subscription into the index.
func (e *Engine) join(ctx context.Context, s *subscribing, req *session.Request) (*hub.Subscription, []*gql.Error) {
	p, who := s.join.Plan, s.join.Identity
	var sent plan.Variables
	if len(req.Variables) > 0 {
		sent = &s.raw
	}
	s.claims = p.Claims(s.claims[:0], &s.vars, sent)
	if r := policy.AdmitScope(s.claims, who); r != nil {
		e.observer.Checked(policy.Scope, 0, 1)
		e.refusedScope.Add(1)
		return nil, refusal(r)
	}
	e.observer.Checked(policy.Scope, 1, 0)
	mask, r := policy.AdmitRole(p.Requirements(&s.vars), who)
	if r != nil {
		e.observer.Checked(policy.Role, 0, 1)
		e.refusedRole.Add(1)
		return nil, refusal(r)
	}
	e.observer.Checked(policy.Role, 1, 0)
	s.join.Variables, s.join.Tape, s.join.Mask = s.buf, &s.vars, mask
	resume, errs := s.extensions(req)
	if errs != nil {
		return nil, errs
	}
	s.join.Cursors = resume != nil
	if s.ask != nil {
		if errs := s.ask(p); errs != nil {
			return nil, errs
		}
	}
	return e.enter(ctx, &s.join, resume, req.Begin)
}

// readmit runs check 5 for a subscription of a connection whose credentials were refreshed. What may not be seen any
// more ends with an error.
func (e *Engine) readmit(sub *hub.Subscription, who *identity.Identity) {
	errs := e.hub.Readmit(sub, who, func(p *plan.Plan, vars *jsontape.Tape) (policy.Mask, []*gql.Error) {
		mask, r := policy.AdmitRole(p.Requirements(vars), who)
		if r != nil {
			e.observer.Checked(policy.Role, 0, 1)
			e.refusedRole.Add(1)
			return 0, refusal(r)
		}
		e.observer.Checked(policy.Role, 1, 0)
		return mask, nil
	})
	if errs != nil {
		sub.End(appendErrors(nil, errs))
	}
}

var dropsName = jsontape.MakeName("drops")

// extensionsLimits bound the extensions of a subscribe as messages are bounded, whose length is that of their transport.
var extensionsLimits = jsontape.Limits{Depth: 128, Bytes: math.MaxInt}

// extensions reads those of a subscribe that the engine knows: {"drops": true} and resume, which a transport may have
// read elsewhere. The tape of the raw variables is free by now.
func (s *subscribing) extensions(req *session.Request) (*session.Resume, []*gql.Error) {
	resume := req.Resume
	if len(req.Extensions) > 0 {
		if err := s.raw.Parse(req.Extensions, extensionsLimits); err != nil {
			return nil, refused(code.BadUserInput, "The extensions are not valid: "+err.Error()+".")
		}
		if kind := s.raw.Kind(jsontape.Root); kind != jsontape.Object && kind != jsontape.Null {
			return nil, refused(code.BadUserInput, "The extensions must be a JSON object.")
		}
		switch s.raw.Kind(s.raw.MemberNamed(jsontape.Root, dropsName)) {
		case jsontape.True:
			s.join.Extensions = true
		case jsontape.Invalid, jsontape.Null, jsontape.False:
		default:
			return nil, refused(code.BadUserInput, "The extension drops is true or false.")
		}
		if resume == nil {
			resume = session.ReadResume(&s.raw, jsontape.Root)
		}
	}
	if resume != nil && resume.Invalid {
		return nil, refused(code.BadUserInput, "The extension resume is true, or the cursor of a message as a string.")
	}
	return resume, nil
}

// deliveryKey is the part of @delivery that makes a queue policy.
type deliveryKey struct {
	overflow        gql.Overflow
	messages, bytes int
	fields          int
}

// delivery is the queue policy of a deliveryKey.
type delivery struct {
	key    deliveryKey
	policy queue.Policy
}

// policy returns the queue bounds of a plan's subscriptions, shared by all with the same. Most plans have those of
// the one before.
func (e *Engine) policy(p *plan.Plan) *queue.Policy { return e.policyOf(p, p.Fields) }

// policyOf is policy for subscriptions that count for so many fields.
func (e *Engine) policyOf(p *plan.Plan, fields int) *queue.Policy {
	key := deliveryKey{p.Delivery.Overflow, p.Delivery.MaxMessages, p.Delivery.MaxBytes, fields}
	if last := e.lastPolicy.Load(); last != nil && last.key == key {
		return &last.policy
	}
	d := e.delivery(key)
	e.lastPolicy.Store(d)
	return &d.policy
}

func (e *Engine) delivery(key deliveryKey) *delivery {
	if known, ok := e.policies.Load(key); ok {
		return known.(*delivery)
	}
	d := &delivery{key: key, policy: queue.Policy{Overflow: overflows[key.overflow], Messages: key.messages, Bytes: min(key.bytes, maxQueueBytes), Weight: int32(key.fields)}}
	d.policy.Shared = &e.queues
	known, _ := e.policies.LoadOrStore(key, d)
	return known.(*delivery)
}

var overflows = [...]queue.Overflow{
	gql.OverflowClose:      queue.CloseConnection,
	gql.OverflowDropOldest: queue.DropOldest,
	gql.OverflowDropNewest: queue.DropNewest,
	gql.OverflowLatest:     queue.Latest,
}

// keptVariables is the largest buffer of variables that is kept.
const keptVariables = 64 << 10

func (e *Engine) free(s *subscribing) {
	if cap(s.buf) > keptVariables {
		return
	}
	s.join, s.ask = hub.Join{}, nil
	clear(s.claims)
	e.subscribing.Put(s)
}
