package loadgen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// stalledBuffer is the receive buffer of a stalled connection: small, so that the server notices soon.
const stalledBuffer = 4 << 10

// stall opens the connections that never read.
func (r *run) stall(ctx context.Context) error {
	for i := range r.cfg.Stalled {
		conn, _, err := r.dial(ctx, i*r.cfg.Rooms) // a number that subscribes to the first room first
		if err != nil {
			return fmt.Errorf("stalled connection %d: %w", i+1, err)
		}
		_ = conn.SetReadBuffer(stalledBuffer)
		r.stalled = append(r.stalled, conn)
	}
	return nil
}

// stalledClosed reads at last and counts the connections that the server has ended.
func (r *run) stalledClosed() int {
	closed := 0
	for _, conn := range r.stalled {
		_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if _, err := io.Copy(io.Discard, conn); !errors.Is(err, os.ErrDeadlineExceeded) {
			closed++
		}
	}
	return closed
}
