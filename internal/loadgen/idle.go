package loadgen

import (
	"context"
	"fmt"
	"time"
)

// settled is how long it is quiet before memory is read, unless the configuration says otherwise.
const settled = 3 * time.Second

// idle opens the connections in steps and reads the server's memory after each.
func (r *run) idle(ctx context.Context) (*Result, error) {
	result := &Result{Connections: r.cfg.Connections, Subscriptions: r.cfg.Connections * r.cfg.Subscriptions, Channels: r.cfg.Rooms}
	opened, atOnce := 0, r.cfg.Settle < 0
	for _, step := range idleSteps(r.cfg.Connections) {
		took, err := r.open(ctx, opened, step)
		if err != nil {
			return nil, err
		}
		opened = step
		result.ConnectSeconds += took.Seconds()
		if !atOnce {
			if err := r.settle(ctx, opened, r.cfg.Settle); err != nil {
				return nil, err
			}
		}
		result.Idle = append(result.Idle, IdleStep{opened, r.process.memory() / 1024, atOnce})
	}
	result.Server.RSSKBPerConnection = slope(result.Idle)
	if atOnce {
		if err := r.settle(ctx, opened, settled); err != nil {
			return nil, err
		}
		result.Idle = append(result.Idle, IdleStep{opened, r.process.memory() / 1024, false})
	}
	t := r.totals()
	result.ClosedConnections, result.Problem = t.closed, t.problem
	result.Server.PID, result.Server.RSSKB = r.process.id(), result.Idle[len(result.Idle)-1].RSSKB
	return result, nil
}

func (r *run) settle(ctx context.Context, opened int, wait time.Duration) error {
	r.cfg.Progress(fmt.Sprintf("%d idle connections, waiting %v", opened, wait))
	return pause(ctx, wait)
}

// idleSteps are 2,000 or, of a few, a quarter of the connections, the half and all.
func idleSteps(n int) []int {
	const first = 2000
	switch {
	case n < 4:
		return []int{n}
	case n > 2*first:
		return []int{first, n / 2, n}
	}
	return []int{n / 4, n / 2, n}
}

// slope is the memory per connection between the first and the last step: what the process needs anyway is
// left out.
func slope(steps []IdleStep) float64 {
	first, last := steps[0], steps[len(steps)-1]
	if first.Connections == last.Connections {
		return float64(last.RSSKB) / float64(last.Connections)
	}
	return float64(last.RSSKB-first.RSSKB) / float64(last.Connections-first.Connections)
}
