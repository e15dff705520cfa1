package loadgen

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// churners is how many connections may be on their way at once.
const churners = 16

// churn opens connections at the configured rate and breaks them off, until stop is called, which waits. A
// failure ends the run.
func (r *run) churn(ctx context.Context, fail context.CancelCauseFunc, count *int) (stop func()) {
	if r.cfg.Churn <= 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	numbers := make(chan int)
	var wg sync.WaitGroup
	for range churners {
		wg.Go(func() {
			for n := range numbers {
				if err := r.come(ctx, n); err != nil && ctx.Err() == nil {
					fail(fmt.Errorf("churned connection %d: %w", n+1, err))
				}
			}
		})
	}
	wg.Go(func() {
		defer close(numbers)
		for n := 0; r.waitUntil(ctx, time.Duration(float64(n)/r.cfg.Churn*float64(time.Second))) == nil; n++ {
			select {
			case numbers <- n:
				*count++
			case <-ctx.Done():
				return
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}

// come opens a connection, subscribes and breaks off, in two ways by turns.
func (r *run) come(ctx context.Context, n int) error {
	conn, _, err := r.dial(ctx, n%perAddress)
	if err != nil {
		return err
	}
	if n%2 == 0 {
		_ = conn.SetLinger(0)
	}
	return conn.Close()
}
