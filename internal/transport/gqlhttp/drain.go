package gqlhttp

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/poll"
)

// codeRestart ends streams whose clients are to connect again.
const codeRestart = 1012

// Drain refuses new streams from now on, ends the open ones after what waits for them, in random order spread evenly
// over window, without `complete`, and waits until all are gone. With ctx over it returns its error. Beside another one it ends
// at once what that has not ended yet.
func (h *Handler) Drain(ctx context.Context, window time.Duration) error {
	h.draining.Store(true)
	for _, s := range h.singles.list() {
		s.lapse()
	}
	var ends []func()
	h.each(func(c *conn) { ends = append(ends, c.dismiss) })
	ends = append(ends, h.forward.ends(flowLinger)...)
	rand.Shuffle(len(ends), func(i, j int) { ends[i], ends[j] = ends[j], ends[i] })
	if err := poll.Spread(ctx, window, len(ends), func(i int) { ends[i](); ends[i] = nil }); err != nil {
		return err
	}
	return h.left.Await(ctx, func() bool { return h.open.Load() == 0 })
}

// Dismiss ends at once every stream of an identity that is gone, and every reservation, and returns how many.
func (h *Handler) Dismiss(gone func(*identity.Identity) bool, code uint16) int {
	var found []*conn
	h.each(func(c *conn) {
		if c.single == nil && gone(c.sub.Identity()) {
			found = append(found, c)
		}
	})
	for _, c := range found {
		c.end(code)
	}
	n := len(found)
	for _, s := range h.singles.list() { // also those whose stream is not open, or is just being opened: they may have operations
		if s.of(gone) {
			s.Shut(code, "")
			n++
		}
	}
	return n
}

// of reports whether one of the identities behind a single connection is gone.
func (s *single) of(gone func(*identity.Identity) bool) bool {
	return gone(s.who.Load()) || slices.ContainsFunc(s.subscriptions(), func(sub *hub.Subscription) bool { return gone(sub.Identity()) })
}

// Close cuts what goroutines serve, and reservations, and waits for them. Streams over HTTP/1 are their poller's.
func (h *Handler) Close() {
	h.Shut()
	h.flows.wg.Wait()
	h.forward.wait()
}

// Shut is Close without the wait.
func (h *Handler) Shut() {
	h.draining.Store(true)
	for _, s := range h.singles.list() {
		s.lapse()
	}
	h.flows.shut()
	h.forward.shut()
}
