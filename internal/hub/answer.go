package hub

import (
	"context"
	"errors"
	"fmt"

	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/plan"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/observe"
)

// ErrSkip from a resolver means: no message for this event.
var ErrSkip = errors.New("no message for this event")

type panicError struct{ value any }

func (e panicError) Error() string { return fmt.Sprintf("resolver panicked: %v", e.value) }

// answering is the scratch of one result on its way into a message. Pooled.
type answering struct {
	tape jsontape.Tape
	slab slab
}

// answer turns a resolver's result into the group's message. What went wrong is logged, never sent: the client
// gets a masked error and nothing of the event. It is called once per request, without a lock.
func (h *Hub) answer(r *Request, value []byte, err error) {
	if err == nil {
		if err = h.settleResult(r, value); err == nil {
			h.cfg.Observer.Counted(observe.Resolved, "ok", 1)
			return
		}
		err = fmt.Errorf("result of resolver %s: %w", r.Field(), err)
	}
	if errors.Is(err, ErrSkip) {
		h.cfg.Observer.Counted(observe.Resolved, "ok", 1)
		r.settle(nil, nil)
		return
	}
	label, errorCode, text := "error", code.ResolverFailed, "The resolver failed."
	var p panicError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		label, errorCode, text = "timeout", code.ResolverTimeout, "The resolver took too long."
	case errors.As(err, &p):
		label = "panic"
	}
	h.cfg.Observer.Counted(observe.Resolved, label, 1)
	h.cfg.Failed(r.Field(), err)
	for p := r.projection(); !r.settle(&queue.Message{Extra: r.extra, Payload: p.AppendFailed(nil, errorCode, text)}, p); {
		p = r.projection()
	}
}

// settleResult projects and settles a result, once more where the schema is replaced meanwhile.
func (h *Hub) settleResult(r *Request, value []byte) error {
	for {
		p := r.projection()
		m, err := h.projectResult(r, p, value)
		if err != nil || r.settle(m, p) {
			return err
		}
	}
}

func (h *Hub) projectResult(r *Request, p *plan.Projection, value []byte) (*queue.Message, error) {
	a := h.answering.Get().(*answering)
	defer h.answering.Put(a)
	defer a.tape.Forget()
	l := h.limits.Load().Events
	if err := a.tape.Parse(value, jsontape.Limits{Depth: l.Depth, Bytes: l.Bytes}); err != nil {
		return nil, err
	}
	return a.slab.add(r.extra, func(dst []byte) []byte {
		return p.AppendResolved(dst, &a.tape, jsontape.Root)
	}), nil
}
