// Package session is the protocol machine of graphql-transport-ws on whole messages: bytes in, actions out,
// no I/O. A WebSocket transport, a Python ASGI mount or a test drives it.
package session

import (
	"context"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// Engine is what a session asks of the engine. Its methods are safe for concurrent use.
type Engine interface {
	// Authenticate answers connection_init. payload is the text of its payload (a JSON object) or nil. It may
	// block (key fetches, hooks): hosts run it off their reader. ErrForbidden (in the chain) refuses.
	Authenticate(ctx context.Context, h *Handshake, payload []byte) (*identity.Identity, error)
	// Prepared reports whether a document is in the plan cache, so that Subscribe is quick enough to run on
	// a reader.
	Prepared(query string) bool
	// Subscribe starts an operation. results are enqueued on conn from the moment that it returns a
	// subscription (never before). Exactly one member of the outcome is set.
	Subscribe(ctx context.Context, conn *queue.Conn, who *identity.Identity, req *Request) Outcome
}

// Handshake is what the connection's HTTP request said that authentication may use.
type Handshake struct {
	Authorization string // header
	Cookie        string // value of the configured cookie, only with a passing Origin
	RemoteAddr    string
}

// Request is the payload of a subscribe message.
type Request struct {
	ID            string // operation id
	Query         string
	OperationName string
	Variables     []byte // JSON object or nil
	Extensions    []byte // JSON object or nil
}

// Outcome is what became of a subscribe.
type Outcome struct {
	Subscription *hub.Subscription
	// Result is the whole ExecutionResult of a query that is answered once.
	Result []byte
	// Errors is the JSON array for an `error` message.
	Errors []byte
}
