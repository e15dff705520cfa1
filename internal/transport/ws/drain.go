package ws

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/poll"
)

// drainStep is how often a drain closes the connections whose time has come.
const drainStep = 10 * time.Millisecond

// dismiss closes every connection of the handler over window.
func (h *Handler) dismiss(ctx context.Context, window time.Duration, code uint16, reason string) error {
	conns := h.shuffled()
	return Spread(ctx, window, len(conns), func(i int) {
		conns[i].out.CloseAfter(code, reason)
		conns[i] = nil
	})
}

// Spread calls do for 0 to n-1, spread evenly over window: the first at once. With ctx over it returns its error.
func Spread(ctx context.Context, window time.Duration, n int, do func(i int)) error {
	start := time.Now()
	for done := 0; done < n; {
		due := dueBy(time.Since(start), window, n)
		for ; done < due; done++ {
			do(done)
		}
		if done == n {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(drainStep):
		}
	}
	return nil
}

// dueBy is how many of n connections must be closed when elapsed of window has passed: the first at once, the
// last at its end.
func dueBy(elapsed, window time.Duration, n int) int {
	if elapsed >= window || n <= 1 {
		return n
	}
	return 1 + int(float64(n-1)*float64(elapsed)/float64(window))
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
