package pgbus

import (
	"context"
	"time"
)

// A context for each statement costs what the rest of publishing an event does, in memory and timers. Statements of writers and of the
// reader are bounded by the connection's own deadline instead, and have context.Background.

// longPast is a deadline that is over.
var longPast = time.Unix(1, 0)

// interruptible has what is under way on the connection fail when ctx ends, from now on.
func (s *session) interruptible(ctx context.Context) {
	s.interrupted = make(chan struct{})
	s.spare = context.AfterFunc(ctx, func() {
		_ = s.conn.Conn().SetDeadline(longPast)
		close(s.interrupted)
	})
}

// until bounds what is asked for next. ctx is the one that interrupts: where it has ended, nothing is asked for any more. The order of
// the two makes sure that its end is not overwritten.
func (s *session) until(ctx context.Context, deadline time.Time) error {
	if err := s.conn.Conn().SetDeadline(deadline); err != nil {
		return err
	}
	return ctx.Err()
}

// hurry gives what is under way patience to end when ctx does, at most until deadline. The function that it returns is called when it
// has ended, and returns when nothing touches the deadline any more.
func (s *session) hurry(ctx context.Context, deadline time.Time) (over func()) {
	hurried := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		if soon := time.Now().Add(patience); soon.Before(deadline) {
			_ = s.conn.Conn().SetDeadline(soon)
		}
		close(hurried)
	})
	return func() {
		if !stop() {
			<-hurried
		}
	}
}

// close ends the connection.
func (s *session) close() {
	if s.spare != nil && !s.spare() {
		<-s.interrupted
	}
	if !s.conn.IsClosed() { // else it is drained in the background, which is bounded
		_ = s.conn.Conn().SetDeadline(time.Time{})
	}
	closeConn(s.conn)
}
