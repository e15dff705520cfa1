package poll

import (
	"context"
	"time"
)

// spreadStep is how often Spread does what is due.
const spreadStep = 10 * time.Millisecond

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
		case <-time.After(spreadStep):
		}
	}
	return nil
}

// dueBy is how many of n must be done when elapsed of window has passed: the first at once, the last at its end.
func dueBy(elapsed, window time.Duration, n int) int {
	if elapsed >= window || n <= 1 {
		return n
	}
	return 1 + int(float64(n-1)*float64(elapsed)/float64(window))
}

// Left tells those who wait for the end of the last connection that one has ended; of 1 slot.
type Left chan struct{}

// Note says that there may be no connection any more.
func (l Left) Note() {
	select {
	case l <- struct{}{}:
	default:
	}
}

// Await waits until none is there, or ctx ends, whose error it returns.
func (l Left) Await(ctx context.Context, none func() bool) error {
	for !none() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l:
		}
	}
	l.Note() // another may wait, too
	return nil
}
