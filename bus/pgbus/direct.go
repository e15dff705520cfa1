package pgbus

import (
	"context"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
)

// patience is how long a statement that is under way is waited for when whoever publishes gives up: a server that is well
// answers by then, and the connection is kept.
const patience = 250 * time.Millisecond

// direct writes a request over a connection that nobody uses, by the goroutine that publishes: no other has to be woken, and the first
// such connection is taken, whose memory on the server is warm. done is false where it has to be queued.
func (b *Bus) direct(ctx context.Context, r *request) (done bool, err error) {
	if len(b.requests) > 0 {
		return false, nil // these share a transaction
	}
	for _, w := range b.writers {
		if !w.idle() {
			continue
		}
		if w.s == nil {
			w.release()
			continue
		}
		return b.writeAlone(ctx, w, r)
	}
	return false, nil
}

// writeAlone tries once. What fails otherwise than by the event is queued: whether it was written is found out there.
func (b *Bus) writeAlone(ctx context.Context, w *writer, r *request) (done bool, err error) {
	defer w.release()
	floor := b.horizon.xmin.Load()
	err = w.attempt(ctx, []*request{r}, false, floor)
	switch {
	case err == nil:
		return true, nil
	case b.ctx.Err() != nil:
		w.giveUp(err)
		return true, bus.ErrClosed
	case aboutTheEvent(err):
		return true, explain(err)
	}
	w.giveUp(err)
	if ctx.Err() != nil {
		return true, ctx.Err()
	}
	r.again, r.floor = true, floor
	return false, nil
}

// idle takes the writer's turn if nobody has it.
func (w *writer) idle() bool {
	select {
	case <-w.turn:
		return true
	default:
		return false
	}
}

func (w *writer) release() { w.turn <- struct{}{} }

// giveUp closes a connection that an error says is not to be used any more.
func (w *writer) giveUp(err error) {
	if w.s != nil && (w.s.conn.IsClosed() || class(err) == "" || class(err) == "25") {
		w.disconnect()
	}
}
