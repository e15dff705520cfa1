//go:build !fqmemory

package fraiseql

import (
	"context"
	"log/slog"

	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
)

// tooSlow returns what a transport calls for each client that it has closed because it did not keep up: the log is told, not too often.
// Who calls it writes for many connections and must not wait for a logger: a worker does.
func (e *Engine) tooSlow(host *session.Host, transport string) func() {
	return func() {
		write := e.seldom.Line(slog.LevelInfo, "slow "+transport, "a client that was too slow was closed: more waited for it than limits allow",
			"transport", transport, "code", queue.CodeSlowConsumer)
		if write != nil {
			host.Later(func(context.Context) { write() })
		}
	}
}

// bare says that a middleware is in the way of streams and WebSockets.
func (e *Engine) bare() {
	e.seldom.Write(slog.LevelWarn, "response writer", "a middleware's http.ResponseWriter has neither Flush, Hijack nor Unwrap: streams and WebSockets cannot work; give it Unwrap() http.ResponseWriter")
}
