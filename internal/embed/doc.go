// Package embed is the engine as a library of another language sees it: numbers instead of pointers, bytes in and
// bytes out, and no function that waits for the host. cmd/libfraiseql exports it as the C functions of fraiseql.h;
// everything that can be said and tested in plain Go is here.
//
// A host pulls. It is told that there is something to pull by a word in memory that it reads without a call
// (Subscription: Ready), or by a Mailbox: a list of its own tokens behind a descriptor that its event loop watches.
// Work for the host (resolvers, authentication) is a call: taken from a list, answered by number, whenever it likes.
//
// Concurrency: every method of Library and Engine may be called by any thread at any time, Close included. Handles
// are unique in the process, never used twice, and looked up without a lock. No lock of this package is held while
// the engine publishes, subscribes or resolves; docs/locks.md has the order.
package embed

// What functions return instead of a count or a handle.
const (
	// Failed: the text says why.
	Failed int64 = -1
	// Acknowledged: the bus has the events, the number of subscriptions is not known.
	Acknowledged int64 = -2
	// Ended: the subscription was completed.
	Ended int64 = -3
	// Slow: the subscription did not keep up and was ended.
	Slow int64 = -4
	// Unknown: no such handle.
	Unknown int64 = -5
	// Pending: the operation has not ended.
	Pending int64 = -6
)
