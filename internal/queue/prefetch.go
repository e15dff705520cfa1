package queue

import (
	"unsafe"

	"github.com/fraiseql/fraiseql-go/internal/prefetch"
)

// Expect says that Enqueue will soon be called for q, which is in a cache already, and after that for
// the queue whose object begins at later.
func (q *Queue) Expect(later unsafe.Pointer) { prefetch.Both(later, unsafe.Pointer(&q.conn)) }

// ExpectTake says that Take will soon be called for the connection, which is in a cache already: its first ready
// queue is asked for.
func (c *Conn) ExpectTake() { prefetch.Through(unsafe.Pointer(&c.first)) }
