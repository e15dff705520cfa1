// Package bus is the door between the engine and whatever carries events: memory, Redis, PostgreSQL, NATS.
// An adapter imports its driver, this package and event, nothing else of the project.
package bus

import (
	"context"
	"errors"

	"github.com/fraiseql/fraiseql-go/event"
)

// Message is an event on its way over a bus.
type Message struct {
	Event    event.Event
	Position event.Position
	// Parsed travels with the message inside one process (the engine puts the parsed form of Event.Data
	// here before it publishes); it is nil on a message that came over a wire.
	Parsed any
	// Filled is set by a Handler when the message has filled queues by more than half, though nobody is slow: see Pace.
	Filled bool
}

// Handler takes each message that a bus delivers: in bus order per channel, one call at a time per channel,
// concurrently over channels. It must not block on I/O. It returns the number of subscriptions that the
// event was enqueued for.
type Handler interface {
	Deliver(m *Message) int
}

// Receipt is what a bus acknowledges.
type Receipt struct {
	// Accepted counts the leading events of the batch that the bus has acknowledged.
	Accepted int
	// Delivered is the number of subscriptions enqueued for, -1 where delivery is asynchronous.
	Delivered int
}

// Bus carries events from publishers to every attached engine.
type Bus interface {
	// Publish hands over a batch in order. It returns once the bus has acknowledged every event, or with the
	// count acknowledged so far and an error; ErrUnavailable in its chain means that a retry may succeed.
	// It sets the Position of each message that it delivers in-process.
	Publish(ctx context.Context, batch []Message) (Receipt, error)
	// Attach sets the handler and starts delivery. It is called once, before the first Publish.
	Attach(ctx context.Context, h Handler) error
	// Interest says that this node has (or no longer has) subscribers for a channel. A bus may ignore it.
	Interest(channel string, wanted bool)
	// History returns events of a channel after a position, oldest first, at most limit of them.
	History(ctx context.Context, channel string, after event.Position, limit int) (Page, error)
	// Close stops delivery and waits for it. Publishing afterwards returns ErrClosed.
	Close(ctx context.Context) error
}

// Page is a piece of a channel's history.
type Page struct {
	Messages []Message
	// Complete is false when events after the asked position are no longer held: there is a gap.
	Complete bool
	// Head is the channel's newest position at the time of reading.
	Head event.Position
}

var (
	// ErrUnavailable marks a failure that a later retry may not see.
	ErrUnavailable = errors.New("event bus unavailable")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("event bus closed")
)
