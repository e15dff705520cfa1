package fraiseql

import (
	"context"
	"errors"
	"time"
)

// ErrRefused in the chain of a hook's error refuses. Every other error, and a panic, means that the hook could not judge:
// what it gates does not happen either, and the client is told to come again.
var ErrRefused = errors.New("refused by a hook")

// Hooks are asked, and told, at points in the life of the connections of one handler. Members that are nil are not
// called. They are called by many goroutines and may block, within the bounds of HandlerConfig.Workers; contexts end after
// 30 s, or with the handler. Subscriptions that the host registers itself (Engine.Register) are nobody's connection.
type Hooks struct {
	// OnConnect is asked once per connection and stream, when its credentials were accepted. ErrRefused: close 4403, HTTP
	// 403.
	OnConnect func(ctx context.Context, who *Identity) error
	// OnSubscribe is asked before each subscription begins, after everything else has allowed it.
	OnSubscribe func(ctx context.Context, s Subscribing) error
	// OnDisconnect is told of the end of each connection that OnConnect was asked about and has let in, soon after it. When
	// the process is so busy that it would have to wait for long, and after Engine.Close, it is not; when its handler is closed it
	// has two seconds more. Its error is counted and logged, nothing else: nobody waits for it.
	OnDisconnect func(ctx context.Context, who *Identity) error
	// OnRecheck is asked about each open connection, every RecheckEvery, by eight calls at the same time; one that outlives its
	// context keeps its place until it returns, and Engine.Close waiting, but no connection from its end. ErrRefused closes the
	// connection with 4403; where it cannot judge, the connection stays until the next time. An identity with IssuedAt that an
	// Authenticator gives to many connections is asked about once for all of them; those without are the connection's own.
	OnRecheck func(ctx context.Context, who *Identity) error
	// RecheckEvery is the time between two looks at all connections; 5 min.
	RecheckEvery time.Duration
}

// Subscribing is a subscription that somebody asks for. It is valid during the call.
type Subscribing struct {
	Identity *Identity
	// Channel that it listens to, and the root field.
	Channel, Field string
	// Query is the document as the client sent it, Variables the object of its variables; they may be long.
	Query         string
	OperationName string
	Variables     []byte
}
