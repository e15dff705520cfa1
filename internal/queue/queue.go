// Package queue holds what waits for a subscriber: one bounded queue per subscription, one ready list and one
// control queue per connection. Push transports (a writer) and pull (Python, Engine.Next) use the same objects.
//
// Locks: everything of a connection and of its queues is guarded by the connection's mutex, which is held for
// pointer work only, never over encoding or I/O. Enqueue may be called from any goroutine.
package queue

import "sync"

// Message is one result, shared by every subscriber of a group and immutable once enqueued. Its bytes are
// owned by the garbage collector.
type Message struct {
	// Payload is an ExecutionResult without its closing brace: `{"data":{…}` with `,"errors":[…]` if any.
	Payload []byte
	// Cursor is the text of the position's cursor, for groups that asked; nil otherwise.
	Cursor []byte
	// Key is the LATEST key.
	Key string
	// End marks the last message of its subscription: `complete` when Payload is nil, else `error` with
	// Payload the JSON array of errors.
	End bool
}

// ControlKind is what a control message is.
type ControlKind uint8

const (
	// Text is a whole protocol message.
	Text ControlKind = iota
	// Ping and Pong are frames of the transport, Data their application data.
	Ping
	Pong
	// Close ends the connection after what was half sent; Code and Data (the reason) go to the peer.
	Close
)

// Control is a message of the connection itself; it overtakes queued results.
type Control struct {
	Kind ControlKind
	Code uint16
	Data []byte
}

// Item is one thing to write, as taken from a connection.
type Item struct {
	Queue   *Queue   // nil for control
	Message *Message // nil for control
	Control Control
	// Dropped is the number of messages dropped before this one, for subscribers that asked to be told.
	Dropped uint32
	// Extensions is set when the subscriber asked for extensions (cursor or drops).
	Extensions bool
}

// Sink is woken when a connection has something to write. Wake is called without the connection's lock, at
// most once until the next Take that empties the connection; it must not block.
type Sink interface{ Wake() }

// Conn is the outbound side of one connection. It is embedded in the transport's connection.
type Conn struct {
	mu sync.Mutex
	// see conn.go
}

// Init prepares an embedded Conn. limits may be shared.
func (c *Conn) Init(sink Sink, limits *Limits) {}

// Limits bounds a connection; zero members mean the defaults.
type Limits struct {
	Bytes           int // of queued results over all subscriptions; 16 MiB
	ControlMessages int // 256
}

// Control queues a control message. Past the bound, or after Close, it is discarded; past the bound the
// connection is closed with 4290.
func (c *Conn) Control(m Control) {}

// Take appends what waits to dst, control messages first, then one message of each ready subscription in
// turn, until about maxBytes of payload. more is true when something is left. When nothing is left the
// connection is idle again: the next enqueue wakes the sink.
func (c *Conn) Take(dst []Item, maxBytes int) (items []Item, more bool) { return dst, false }

// Untake gives back items that were taken and not written, in their order, to the front; those of
// subscriptions completed meanwhile are discarded. The connection stays busy: it does not wake its sink until
// a Take has emptied it.
func (c *Conn) Untake(items []Item) {}

// Shut discards everything and refuses what comes later. Idempotent.
func (c *Conn) Shut() {}

// Queue is one subscription's queue; it is embedded in the subscription.
type Queue struct {
	conn *Conn
	// see queue fields in ring.go
}

// ID returns the operation id, JSON-escaped, without quotes. The bytes are immutable.
func (q *Queue) ID() []byte { return nil }
