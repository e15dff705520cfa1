package server

import (
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/observe"
)

// waiting counts the connections that net/http holds: those that are not, or not yet, a WebSocket. Each costs a
// goroutine and two buffers, so their number is bounded.
type waiting struct {
	open atomic.Int64
	most atomic.Int64 // 0: no bound
}

// connState closes a connection that comes when there are too many.
func (s *Server) connState(c net.Conn, state http.ConnState) {
	if n := newcomerOf(c); n != nil {
		n.turned(state)
	}
	switch state {
	case http.StateNew:
		if n, most := s.waiting.open.Add(1), s.waiting.most.Load(); most > 0 && n > most {
			s.count(observe.ConnectionsRefused, "limit")
			s.count(observe.Limited, "http_connections")
			// The peer learns of it by its next read.
			_ = c.Close()
		}
	case http.StateHijacked, http.StateClosed:
		s.waiting.open.Add(-1)
	}
}

// borrow takes memory for a body of n bytes (negative: unknown) and reports whether there is any; back returns it.
func (s *Server) borrow(n int64) (back func(), ok bool) {
	if n < 0 {
		n = int64(s.inForce().Limits.PublishBytes)
	}
	if s.bodies.Add(n) > int64(s.inForce().Limits.PublishMemory) {
		s.bodies.Add(-n)
		return nil, false
	}
	return func() { s.bodies.Add(-n) }, true
}

// soon bounds the time that a client may take to read an answer.
func soon(w http.ResponseWriter) {
	// A recorder in a test has no deadlines; a server always does.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
}

// bounded is soon for a handler that writes its answer itself.
func bounded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		soon(w)
		h.ServeHTTP(w, r)
	})
}
