package gqlhttp

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
)

// maxOperationID bounds an operation's id in bytes.
const maxOperationID = 255

// single is a single connection: a reservation, then one stream with many operations. What they say before the stream
// is open waits in the stream's queue, within its bounds.
type single struct {
	handler *Handler
	id      streamID
	conn    *conn
	who     atomic.Pointer[identity.Identity] // who reserved it, with fresh credentials; only the same caller may use it

	mu     sync.Mutex
	opened bool
	closed bool
	timer  *time.Timer // ends a reservation without a stream
	ops    map[string]*operation
}

// operation is one operation of a single connection. Of a subscription that is ready sub and queue are set, of a query
// whose result waits queue only.
type operation struct {
	sub   *hub.Subscription
	queue *queue.Queue
	ended bool // its last message is about to be written: the id is free, and what is not on the network can be taken back
}

// complete takes back what was not written of an operation.
func (o *operation) complete() {
	switch {
	case o.sub != nil:
		o.sub.Complete()
	case o.queue != nil:
		o.queue.Complete()
	}
}

// oncePolicy bounds the queue of a query: one result. What all hold together is the connection's bound.
var oncePolicy = queue.Policy{Messages: 1}

// singles finds single connections by their id.
type singles struct {
	mu   sync.Mutex
	byID map[streamID]*single
}

func (s *singles) init() { s.byID = make(map[streamID]*single) }

func (s *singles) add(one *single) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byID[one.id] = one
}

func (s *singles) get(id streamID) *single {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byID[id]
}

func (s *singles) remove(id streamID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, id)
}

func (s *singles) list() []*single {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*single, 0, len(s.byID))
	for _, one := range s.byID {
		list = append(list, one)
	}
	return list
}

// reserve answers PUT: a token for a stream to come.
func (x *exchange) reserve(text string) {
	if !takesText(x.r.Header.Values("Accept")) {
		x.refuse(bad(http.StatusNotAcceptable, "the token comes as text/plain: accept that"))
		return
	}
	if t, ok := x.h.node.parse(text); ok && t.genuine && x.h.singles.get(t.id) != nil {
		x.refuse(bad(http.StatusConflict, "there is a stream of that token already"))
		return
	}
	if no := x.authenticate(); no != nil {
		x.refuse(no)
		return
	}
	address, no := x.h.admit(x)
	if no != nil {
		x.refuse(no)
		return
	}
	s := &single{handler: x.h, id: newStreamID(), ops: make(map[string]*operation)}
	s.who.Store(x.who)
	s.conn = newConn(x.h, formatSSE, address)
	s.conn.single = s
	s.arm()
	x.h.singles.add(s)
	x.write(http.StatusCreated, "text/plain; charset=utf-8", []byte(x.h.node.issue(s.id)))
	if x.h.draining.Load() || x.revoked() { // admitted before
		s.lapse()
	}
}

// arm starts the time within which the stream must be opened.
func (s *single) arm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer = time.AfterFunc(s.handler.cfg.OpenTimeout, func() { s.lapse() })
}

// lapse ends a reservation whose stream was not opened, and reports whether it was one.
func (s *single) lapse() bool {
	s.mu.Lock()
	opened := s.opened
	s.opened = true // for nobody any more
	s.mu.Unlock()
	if !opened {
		s.conn.abandon()
	}
	return !opened
}

// gone ends everything of the connection. It is called once its stream is, before that was counted out.
func (s *single) gone() {
	s.mu.Lock()
	ops := s.ops
	s.closed, s.ops = true, nil
	s.timer.Stop()
	s.mu.Unlock()
	s.handler.singles.remove(s.id)
	for _, o := range ops {
		if o.sub != nil {
			o.sub.Complete()
		}
	}
}

// single answers a request with a token.
func (x *exchange) single(text string) {
	t, ok := x.h.node.parse(text)
	switch {
	case !ok:
		x.refuse(bad(http.StatusNotFound, "there is no stream of that token"))
		return
	case t.node != x.h.node.name:
		x.elsewhere(&t)
		return
	}
	s := x.h.singles.get(t.id)
	if !t.genuine || s == nil {
		x.refuse(bad(http.StatusNotFound, "there is no stream of that token"))
		return
	}
	if no := x.authenticate(); no != nil {
		x.refuse(no)
		return
	}
	if !x.who.SameAs(s.who.Load()) {
		x.refuse(&refusal{status: http.StatusForbidden, code: code.Forbidden, message: "the stream belongs to somebody else"})
		return
	}
	switch {
	case x.r.Method == http.MethodDelete:
		x.stop(s)
	case x.accept.events:
		x.attach(s)
	case x.accept.once == formatNone:
		x.refuse(bad(http.StatusNotAcceptable, "accept text/event-stream for the stream, application/json for an operation"))
	default:
		x.operation(s)
	}
}

// attach opens the stream.
func (x *exchange) attach(s *single) {
	s.mu.Lock()
	taken, closed := s.opened, s.closed
	s.opened = true
	s.mu.Unlock()
	switch {
	case closed:
		x.refuse(bad(http.StatusNotFound, "there is no stream of that token"))
		return
	case taken:
		x.refuse(bad(http.StatusConflict, "the stream of that token is open already"))
		return
	}
	s.timer.Stop()
	s.conn.expireAt(x.who.ExpiresAt)
	s.conn.prepare(x)
	x.open(s.conn)
}

// operation starts an operation whose results come on the stream.
func (x *exchange) operation(s *single) {
	req, no := x.readRequest()
	if no != nil {
		x.refuse(no)
		return
	}
	if req.ID, no = operationID(req.Extensions); no != nil {
		x.refuse(no)
		return
	}
	req.EscapedID = session.AppendEscaped(nil, []byte(req.ID))
	o := &operation{}
	if no := s.begin(req.ID, o); no != nil {
		x.refuse(no)
		return
	}
	req.Through(&gate{s, o})
	out, no := x.run(&s.conn.out.Conn, req)
	switch {
	case no != nil:
		s.drop(req.ID, o)
		x.refuse(no)
	case out.Subscription != nil:
		s.expireAt(x.who.ExpiresAt)
		if x.revoked() {
			s.conn.end(codeExpired)
		}
		x.accepted(http.StatusAccepted)
	case out.Result != nil:
		if s.answer(o, req, out.Result) {
			x.accepted(http.StatusAccepted)
		} else {
			x.accepted(http.StatusNoContent)
		}
	case out.Errors != nil:
		s.drop(req.ID, o)
		x.accept.once = formatResponse // graphql-sse: what is wrong with the operation answers the request with a 4xx
		x.errors(out.Code, out.Errors)
	default: // stopped before it was ready
		x.accepted(http.StatusNoContent)
	}
}

// accepted answers without a body.
func (x *exchange) accepted(status int) {
	x.w.Header().Set("Cache-Control", "no-store")
	x.bound()
	x.w.WriteHeader(status)
}

// operationID takes the id of an operation from its extensions.
func operationID(extensions []byte) (string, *refusal) {
	t := tapes.Get().(*jsontape.Tape)
	defer func() { t.Forget(); tapes.Put(t) }()
	if len(extensions) == 0 || t.Parse(extensions, jsontape.Limits{Depth: maxDepth}) != nil {
		return "", bad(http.StatusBadRequest, "an operation of a single connection needs extensions.operationId")
	}
	value := t.Member(jsontape.Root, "operationId")
	if t.Kind(value) != jsontape.String {
		return "", bad(http.StatusBadRequest, "extensions.operationId must be a string")
	}
	id := string(t.AppendString(nil, value))
	if id == "" || len(id) > maxOperationID {
		return "", bad(http.StatusBadRequest, "extensions.operationId must have 1 to 255 bytes")
	}
	return id, nil
}

// begin takes an operation in, which is not ready yet.
func (s *single) begin(id string, o *operation) *refusal {
	before, no := s.beginNow(id, o)
	if before != nil {
		before.complete()
	}
	return no
}

// beginNow is begin without the end of the operation that had the id before.
func (s *single) beginNow(id string, o *operation) (before *operation, no *refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, bad(http.StatusNotFound, "the stream of that token has ended")
	}
	if before = s.ops[id]; before != nil && !before.ended {
		return nil, bad(http.StatusConflict, "there is an operation of that operationId already")
	}
	delete(s.ops, id)
	if s.handler.cfg.busy(len(s.ops)) && s.handler.cfg.busy(s.liveLocked()) {
		return before, &refusal{status: http.StatusTooManyRequests, code: code.TooManySubscriptions, message: "this stream has as many operations as it may have", retry: true, limit: "subscriptions_per_connection"}
	}
	s.ops[id] = o
	return before, nil
}

// liveLocked is the number of operations that have not ended.
func (s *single) liveLocked() (n int) {
	for _, o := range s.ops {
		if !o.ended {
			n++
		}
	}
	return n
}

// drop takes an operation out, unless another has its id. It reports whether it was there.
func (s *single) drop(id string, o *operation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ops[id] != o {
		return false
	}
	delete(s.ops, id)
	return true
}

// gate lets an operation begin only while its client wants it.
type gate struct {
	single *single
	op     *operation
}

// answer queues the one result of a query, unless it was stopped: then it returns false.
func (s *single) answer(o *operation, req *session.Request, result []byte) bool {
	q := &queue.Queue{}
	q.Init(&s.conn.out.Conn, &oncePolicy, req.EscapedID, false)
	s.mu.Lock()
	if s.ops[req.ID] != o {
		s.mu.Unlock()
		return false
	}
	o.queue = q
	s.mu.Unlock()
	q.Enqueue(&queue.Message{Payload: result[:len(result)-1]})
	q.End(&queue.Message{End: true})
	return true
}

// Begin implements session.Gate.
func (g *gate) Begin(req *session.Request, sub *hub.Subscription) bool {
	s := g.single
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ops[req.ID] != g.op { // stopped, or the stream is gone
		return false
	}
	g.op.sub, g.op.queue = sub, &sub.Queue
	return true
}

// subscriptions are those that are ready.
func (s *single) subscriptions() (list []*hub.Subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.ops {
		if o.sub != nil {
			list = append(list, o.sub)
		}
	}
	return list
}

// expireAt ends the stream when the credentials of one of its operations do.
func (s *single) expireAt(t time.Time) {
	if t.IsZero() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn.expireAt(t)
	if !s.closed {
		s.conn.lookAgain(t)
	}
}

// stop answers DELETE: the end of an operation.
func (x *exchange) stop(s *single) {
	id := x.r.URL.Query().Get("operationId")
	if id == "" {
		x.refuse(bad(http.StatusBadRequest, "say which operation ends: ?operationId="))
		return
	}
	s.mu.Lock()
	o := s.ops[id]
	delete(s.ops, id)
	s.mu.Unlock()
	if o != nil {
		o.complete()
	}
	x.accepted(http.StatusOK)
}

// ended says that the last message of an operation is about to be written: its id is free.
func (s *single) ended(q *queue.Queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.ops {
		if o.queue == q {
			o.ended = true
			return
		}
	}
}

// written says that it is out.
func (s *single) written(q *queue.Queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, o := range s.ops {
		if o.queue == q && o.ended {
			delete(s.ops, id)
			return
		}
	}
}

// elsewhere answers a request whose stream is another node's.
func (x *exchange) elsewhere(t *token) {
	if t.genuine && t.address != "" && x.r.Header.Get(forwardedHeader) == "" {
		x.h.forward.serve(x, t)
		return
	}
	x.w.Header().Set(nodeHeader, t.node)
	x.refuse(bad(http.StatusMisdirectedRequest, "the stream of that token is on another node: route by the part of the token before the first dot, see "+nodeHeader))
}
