package gqlhttp

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/gql"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
)

// exchange is one request with its answer.
type exchange struct {
	h      *Handler
	w      http.ResponseWriter
	r      *http.Request
	accept accepted
	who    *identity.Identity
	read   bool   // the body is read, or there is none to read
	name   string // of the stream, for a client that asks

	bodyBound bool // the time of the body is bounded
}

// answerTimeout is how long a client may take to read an answer that is no stream.
const answerTimeout = 30 * time.Second

// bound bounds the time that a client may take to read the answer.
func (x *exchange) bound() {
	// Whoever is no server (a recorder) has no deadlines.
	_ = http.NewResponseController(x.w).SetWriteDeadline(time.Now().Add(answerTimeout))
}

// distinct answers a request for one operation: by a stream or by one answer.
func (x *exchange) distinct() {
	if x.accept.once == formatNone && x.accept.stream == formatNone {
		x.refuse(bad(http.StatusNotAcceptable, "accept one of application/graphql-response+json, application/json, text/event-stream, multipart/mixed;subscriptionSpec=1.0"))
		return
	}
	if no := x.authenticate(); no != nil {
		x.refuse(no)
		return
	}
	req, no := x.readRequest()
	if no != nil {
		x.refuse(no)
		return
	}
	if x.h.cfg.Callbacks.Open != nil && asksCallback(x.r) {
		x.callback(req)
		return
	}
	if x.accept.stream == formatNone {
		x.once(req)
		return
	}
	x.stream(req)
}

var errNoAnswer = errors.New("the authenticator did not answer")

// authenticate judges the credentials of the request.
func (x *exchange) authenticate() *refusal {
	return x.identify(func(ctx context.Context, h *session.Handshake) (*identity.Identity, error) {
		return x.h.cfg.Host.Engine().Authenticate(ctx, h, nil)
	})
}

// identify has the credentials of the request judged.
func (x *exchange) identify(judge func(context.Context, *session.Handshake) (*identity.Identity, error)) *refusal {
	err := errNoAnswer
	credentials := x.h.cfg.Credentials(x.r)
	called := x.h.cfg.Host.Call(0, func(ctx context.Context) { x.who, err = judge(ctx, credentials) })
	switch {
	case !called:
		return busy()
	case errors.Is(err, session.ErrForbidden):
		return &refusal{status: http.StatusUnauthorized, code: code.Unauthenticated, message: "credentials are missing or not valid"}
	case errors.Is(err, errNoAnswer):
		return internal()
	case errors.Is(err, session.ErrUninformed):
		return &refusal{status: http.StatusServiceUnavailable, code: code.BusUnavailable, message: "the event bus cannot be read, try again later", retry: true}
	case err != nil || x.who == nil:
		return &refusal{status: http.StatusServiceUnavailable, code: code.InternalServerError, message: "authentication is not available, try again later", retry: true}
	}
	return nil
}

// enter asks whether who was authenticated may have a stream. A request that is forwarded is authenticated elsewhere.
func (x *exchange) enter() *refusal {
	if x.who == nil {
		return nil
	}
	err := errNoAnswer
	called := x.h.cfg.Host.Call(0, func(ctx context.Context) { err = x.h.cfg.Host.Engine().Enter(ctx, x.who) })
	switch {
	case err == nil:
		return nil
	case !called:
		return busy()
	case errors.Is(err, session.ErrTooMany):
		return &refusal{status: http.StatusTooManyRequests, code: code.RateLimited, message: "too many connections of this user or tenant, try again later", retry: true}
	case errors.Is(err, session.ErrForbidden):
		return &refusal{status: http.StatusForbidden, code: code.Forbidden, message: "the connection is refused"}
	case errors.Is(err, session.ErrUndecided):
		return &refusal{status: http.StatusServiceUnavailable, code: code.InternalServerError, message: "a hook of the server could not judge the connection, try again later", retry: true}
	}
	return &refusal{status: http.StatusServiceUnavailable, code: code.InternalServerError, message: "the connection could not be judged, try again later", retry: true}
}

// revoked looks once more at the identity, after a revocation would find it in the stream.
func (x *exchange) revoked() bool { return x.h.cfg.Host.Engine().Revoked(x.who) }

func busy() *refusal {
	return &refusal{status: http.StatusServiceUnavailable, code: code.RateLimited, message: "the server is busy, try again later", retry: true}
}

// stopping refuses what a server that drains takes no more.
func stopping() *refusal {
	return &refusal{status: http.StatusServiceUnavailable, label: "draining", code: code.RateLimited, message: "the server is shutting down", retry: true}
}

func internal() *refusal {
	return &refusal{status: http.StatusInternalServerError, code: code.InternalServerError, message: "internal server error"}
}

// run starts an operation whose results go to q.
func (x *exchange) run(q *queue.Conn, req *session.Request) (out session.Outcome, no *refusal) {
	host, ran := x.h.cfg.Host, false
	called := host.Call(len(req.Query)+len(req.Variables)+len(req.Extensions), func(ctx context.Context) {
		out = host.Engine().Subscribe(ctx, q, x.who, req)
		ran = true
	})
	switch {
	case !called:
		return out, busy()
	case !ran:
		return out, internal()
	case x.r.Method == http.MethodGet && isMutation(&out, req):
		x.w.Header().Set("Allow", http.MethodPost)
		return out, bad(http.StatusMethodNotAllowed, "a mutation needs POST")
	}
	return out, nil
}

// isMutation reports whether an operation that was refused is a mutation. Where a schema has none, or the mutation is
// not valid, it was refused by another rule.
func isMutation(out *session.Outcome, req *session.Request) bool {
	return out.Mutation || out.Code == code.ValidationFailed && gql.IsMutation(req.Query, req.OperationName)
}

// nowhere discards what is queued for a request that is answered once.
type nowhere struct{}

// Wake implements queue.Sink.
func (nowhere) Wake(*queue.Queue) {}

// once answers by one result.
func (x *exchange) once(req *session.Request) {
	var q queue.Conn
	q.Init(nowhere{}, x.h.cfg.Queue)
	req.Once = true
	out, no := x.run(&q, req)
	switch {
	case no != nil:
		x.refuse(no)
	case out.Result != nil:
		x.result(out.Result)
	case out.Errors != nil:
		x.errors(out.Code, out.Errors)
	default:
		x.refuse(internal())
	}
}

// stream answers by a stream, or by one answer where there is no subscription and the client takes one.
func (x *exchange) stream(req *session.Request) {
	address, no := x.h.admit(x)
	if no != nil {
		x.refuse(no)
		return
	}
	if last := x.r.Header.Get("Last-Event-ID"); last != "" && x.accept.stream == formatSSE {
		req.Resume = &session.Resume{Cursor: last} // an EventSource sends the id of the last event
	}
	c := newConn(x.h, x.accept.stream, address)
	c.prepare(x)
	out, no := x.run(&c.out.Conn, req)
	if no == nil && out.Subscription != nil {
		c.sub = out.Subscription
		c.expireAt(x.who.ExpiresAt)
		x.tell(req.Extensions, (*distinct)(c))
		x.open(c)
		return
	}
	c.out.Shut()
	x.h.leave(address, x.who)
	switch {
	case no != nil:
		x.refuse(no)
	case out.Result != nil && x.accept.once != formatNone:
		x.result(out.Result)
	case out.Result != nil:
		x.streamed(c, out.Result)
	case out.Errors == nil:
		x.refuse(internal())
	case x.accept.stream == formatSSE && (x.accept.once == formatNone || x.accept.streamFirst) && inStream(out.Code):
		x.streamed(c, appendErrors(nil, out.Errors))
	default:
		x.errors(out.Code, out.Errors)
	}
}

// inStream reports whether an operation that is refused with a code is answered on the stream, as graphql-sse wants for
// what validation finds; syntax, and what a client may try again, has the status of its own.
func inStream(name string) bool {
	switch name {
	case code.ParseFailed, code.OperationResolution, code.RateLimited, code.TooManySubscriptions, code.InternalServerError, code.LimitExceeded:
		return false
	}
	return true
}

// streamed answers by a stream of one result, whole.
func (x *exchange) streamed(c *conn, result []byte) {
	for name, values := range c.header() {
		x.w.Header()[name] = values
	}
	x.w.Header().Add("Vary", "Accept")
	x.bound()
	x.w.WriteHeader(http.StatusOK)
	// A client that is gone does not read its answer.
	_, _ = x.w.Write(c.appendWhole(nil, result))
}
