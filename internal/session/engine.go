package session

import (
	"context"
	"errors"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// ErrForbidden in the chain of Authenticate's error refuses the client's credentials: close 4403. Every other
// error means that the credentials could not be judged now: close 1013, which clients retry.
var ErrForbidden = errors.New("forbidden")

// ErrTooMany refuses a connection beyond a bound: close 1013.
var ErrTooMany = errors.New("too many connections")

// ErrUndecided says that a hook could not judge a connection: close 1013.
var ErrUndecided = errors.New("a hook could not judge")

// ErrUninformed says that credentials cannot be judged while the revocations on the bus cannot be read: close 1013.
var ErrUninformed = errors.New("revocations are not known yet")

// Engine is what a session asks of the engine. Its methods are safe for concurrent use.
type Engine interface {
	// Authenticate answers connection_init. payload is the text of its payload (a JSON object) or nil. It may
	// block (key fetches, hooks): hosts run it off their reader. ErrForbidden (in the chain) refuses.
	Authenticate(ctx context.Context, h *Handshake, payload []byte) (*identity.Identity, error)
	// Enter lets a connection of an identity in, and counts it. It may block. ErrTooMany and ErrForbidden (in the chain)
	// refuse; every other error means that it could not be judged now.
	Enter(ctx context.Context, who *identity.Identity) error
	// Left counts out what Enter has counted in; after a refresh that of the newest identity.
	Left(who *identity.Identity)
	// Refresh judges fresh credentials for a connection or stream that is open: the payload of a ping, beside the Value of
	// the connection's handshake, or what an HTTP request and its body say. Otherwise like Authenticate.
	Refresh(ctx context.Context, h *Handshake, payload []byte) (*identity.Identity, error)
	// Readmit gives a subscription that has begun the refreshed identity of its connection, and ends it with an error if that
	// may not have it, before it gets another event. It may wait.
	Readmit(sub *hub.Subscription, who *identity.Identity)
	// Revoked reports whether the credentials of an identity have been revoked. It is asked once more after an identity is
	// there to be found, so that a revocation either finds it or is found.
	Revoked(who *identity.Identity) bool
	// Prepared reports whether an operation of a document is in the plan cache, so that Subscribe is quick
	// enough to run on a reader.
	Prepared(query, operationName string) bool
	// Subscribe starts an operation. results are enqueued on conn from the moment that it returns a
	// subscription (never before req.Begin). Exactly one member of the outcome is set.
	Subscribe(ctx context.Context, conn *queue.Conn, who *identity.Identity, req *Request) Outcome
}

// Gates bounds connections before anything of them is read. Its methods are safe for concurrent use and do not block.
type Gates interface {
	// Enter counts a connection of a remote address in, "" for one whose address says nothing. reason is why it is not, a label of observe.ConnectionsRefused, and
	// message the text for the client.
	Enter(remote string) (address uint32, reason, message string)
	// Leave counts out what Enter has counted in.
	Leave(address uint32)
}

// Handshake is what the connection's HTTP request said that authentication may use.
type Handshake struct {
	Authorization string // header
	Cookie        string // value of the configured cookie, only with a passing Origin
	RemoteAddr    string
	Value         any // the host's own
}

// Request is the payload of a subscribe message. It owns its bytes.
type Request struct {
	ID            string // operation id
	EscapedID     []byte // ID as in JSON, without quotes: what queue.Queue.Init takes
	Query         string
	OperationName string
	Variables     []byte  // JSON object or nil
	Extensions    []byte  // JSON object or nil
	Resume        *Resume // a transport's own way of saying so; else what Extensions say
	// Once says that the client takes one answer: a subscription is refused, before it starts.
	Once bool

	gate   Gate
	token  uint32
	weight uint16 // see Machine.waiting
}

// Begin is to be called by Engine.Subscribe once nothing can refuse the operation any more and before its
// subscription is able to receive a first result, without any lock held. False means that the client has
// completed the operation meanwhile: Subscribe then lets go of the subscription and returns the zero Outcome.
// After true the subscription belongs to the operation: Complete may be called on it at any time, also before
// Subscribe returns. (Without this call a result could still reach a client that has completed, or be taken
// for one of a new operation of the same id.)
func (r *Request) Begin(s *hub.Subscription) bool {
	return r.gate == nil || r.gate.Begin(r, s)
}

// Gate decides whether an operation is still wanted, see Request.Begin.
type Gate interface {
	Begin(r *Request, s *hub.Subscription) bool
}

// Through sets who decides in Begin; without a gate every operation is wanted. For hosts that have no Driver.
func (r *Request) Through(g Gate) { r.gate = g }

// Outcome is what became of a subscribe. The zero Outcome follows a false Begin.
type Outcome struct {
	Subscription *hub.Subscription
	// Result is the whole ExecutionResult of a query that is answered once.
	Result []byte
	// Errors is the JSON array for an `error` message, Code the code of the first of them.
	Errors []byte
	Code   string
	// Mutation is set beside Errors when the operation is one.
	Mutation bool
}
