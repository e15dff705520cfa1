package fraiseql

import (
	"cmp"
	"log/slog"
	"slices"

	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/observe"
)

// slowBytes is what must wait for a client that is closed to make room: one that reads is owed less, unless it is the
// last event that is large.
const slowBytes = 256 << 10

// makeRoom closes those clients for which most waits, as if their queues had been full, until excess bytes are given
// back. Subscriptions that the program itself pulls are not among them. It visits every connection, and does not block.
func (e *Engine) makeRoom(excess int64) {
	type owed struct {
		conn  *queue.Conn
		bytes int
	}
	var slow []owed
	for _, s := range e.serving() {
		s.eachConn(func(c *queue.Conn, n int) {
			if n >= slowBytes {
				slow = append(slow, owed{c, n})
			}
		})
	}
	slices.SortFunc(slow, func(a, b owed) int { return cmp.Compare(b.bytes, a.bytes) })
	closed := 0
	for _, o := range slow {
		if excess <= 0 {
			break
		}
		o.conn.Control(queue.Control{Kind: queue.Close, Code: queue.CodeSlowConsumer, Data: []byte("slow consumer: the server is short of memory")})
		excess -= int64(o.bytes)
		closed++
	}
	if closed == 0 {
		return
	}
	e.observer.Counted(observe.Limited, "memory_slowest", closed)
	e.seldom.Write(slog.LevelWarn, "memory", "memory is short: the clients for which most waited were closed", "closed", closed)
}
