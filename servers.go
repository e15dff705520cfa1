package fraiseql

import (
	"context"
	"errors"
	"time"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// Nothing in this file needs HTTP: an engine without clients of its own is built without it (docs/adr/0022).

// server is what Handler and Sessions make.
type server interface {
	Connections() int
	// eachConn calls f for what waits for each connection, while others come and go, with the bytes that are queued or being
	// written. f must not block.
	eachConn(f func(c *queue.Conn, owed int))
	Drain(ctx context.Context, window time.Duration, code uint16, reason string) error
	// dismiss closes the connections of identities that are gone, and returns how many there were.
	dismiss(gone func(*identity.Identity) bool, code uint16, reason string) int
	setServing(s *Serving)
	// layer is what writes to its connections; nil where the host does.
	layer() *poll.Poller
	// part refuses further connections and has those of this process end after what waits for them, with 1001. It returns when all
	// of them have gone, or ctx ends.
	part(ctx context.Context)
	// shut refuses further connections and ends those that are open. It waits for nobody: what it ends may go on for a while.
	shut()
	// wait waits, after shut, for what runs, whose contexts end.
	wait() error
}

// closeServer ends what a server does and waits for it.
func closeServer(s server) error {
	s.shut()
	return s.wait()
}

// Serving is what of a HandlerConfig can change while handlers serve; members and defaults are those of there.
type Serving struct {
	Origins                                []string
	MaxConnections                         int
	InitTimeout, PingInterval, PongTimeout time.Duration
	MessageBytes                           int
	Cookie                                 string
	// MaxCallbacks is CallbackConfig.MaxSubscriptions.
	MaxCallbacks int
	// Hooks take the place of those in force; nil: these stay. A pointer to the zero value: there are none from now on.
	Hooks *Hooks
}

// addServer makes an endpoint the engine's own.
func (e *Engine) addServer(s server) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed.Load() { // Close sets it before it reads the list
		return errors.Join(errors.New("make a handler: the engine is closed"), closeServer(s))
	}
	e.servers = append(e.servers, s)
	e.noteHelpedLocked()
	return nil
}

// Codes of closes that clients answer by connecting again (docs/reference/protocol.md).
const (
	// CloseGoingAway is 1001.
	CloseGoingAway = 1001
	// CloseRestart is 1012.
	CloseRestart = 1012
)

// Drain refuses new connections, closes the open ones of every handler, and every session, with code 1012 after what waits for
// them, in random order spread over window, and returns when all are gone or ctx ends. One that comes while another is at
// work waits for it. A program that stops calls Close after it; Close beside it closes at once what is still open.
func (e *Engine) Drain(ctx context.Context, window time.Duration) error {
	if err := e.drain.enter(ctx); err != nil {
		return err
	}
	defer e.drain.leave()
	list := e.serving()
	errs := make(chan error, len(list))
	for _, h := range list {
		go func() { errs <- h.Drain(ctx, window, CloseRestart, "the server restarts, connect again") }()
	}
	var all []error
	for range list {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// turn has one slot: who is in keeps others out.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// enter waits until nobody is in, or ctx ends.
func (t turn) enter(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	default:
	}
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) leave() { <-t }
