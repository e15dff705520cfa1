//go:build !fqmemory

package fraiseql

import (
	"context"
	"log/slog"
	"strconv"

	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
	"github.com/fraiseql/fraiseql-go/observe"
)

// closes is the observer of one transport: it also logs clients that were closed because they did not keep up.
type closes struct {
	observe.Observer
	engine    *Engine
	host      *session.Host
	transport string
}

// watch returns the engine's observer for the connections of a transport.
func (e *Engine) watch(host *session.Host, transport string) observe.Observer {
	return closes{e.observer, e, host, transport}
}

var slowConsumer = strconv.Itoa(queue.CodeSlowConsumer)

// Counted implements observe.Observer. Who calls it writes for many connections and must not wait for a logger: a worker
// does.
func (c closes) Counted(counter observe.Counter, label string, n int) {
	c.Observer.Counted(counter, label, n)
	if counter != observe.ConnectionsClosed || label != slowConsumer {
		return
	}
	write := c.engine.seldom.Line(slog.LevelInfo, "slow "+c.transport, "a client that was too slow was closed: more waited for it than limits allow",
		"transport", c.transport, "code", queue.CodeSlowConsumer)
	if write != nil {
		c.host.Later(func(context.Context) { write() })
	}
}
