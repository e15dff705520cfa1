package ws

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/poll"
)

// dismiss closes every connection of the handler over window.
func (h *Handler) dismiss(ctx context.Context, window time.Duration, code uint16, reason string) error {
	conns := h.shuffled()
	return poll.Spread(ctx, window, len(conns), func(i int) {
		conns[i].out.CloseAfter(code, reason)
		conns[i] = nil
	})
}

// shuffled returns the open connections of the handler in random order.
func (h *Handler) shuffled() []*conn {
	var conns []*conn
	h.cfg.Poller.Each(func(o poll.Owner) {
		if c, ok := o.(*conn); ok && c.handler == h {
			conns = append(conns, c)
		}
	})
	rand.Shuffle(len(conns), func(i, j int) { conns[i], conns[j] = conns[j], conns[i] })
	return conns
}

// Refuse lets no connection in from now on: requests are answered with 503, and what was admitted before is closed with code
// and reason.
func (h *Handler) Refuse(code uint16, reason string) { h.draining.Store(&farewell{code, reason}) }

// gone waits until no connection is open, or ctx ends.
func (h *Handler) gone(ctx context.Context) error {
	return h.left.Await(ctx, func() bool { return h.open.Load() == 0 })
}
