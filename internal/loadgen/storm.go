package loadgen

import (
	"context"
	"fmt"
	"time"
)

// storm opens all connections, breaks them off at once, and takes the time until all are back.
func (r *run) storm(ctx context.Context) (*Result, error) {
	result := &Result{Connections: r.cfg.Connections, Subscriptions: r.cfg.Connections * r.cfg.Subscriptions, Channels: r.cfg.Rooms}
	took, err := r.open(ctx, 0, r.cfg.Connections)
	if err == nil {
		err = r.awaitReady(ctx)
	}
	if err == nil {
		err = pause(ctx, r.cfg.Warmup)
	}
	if err != nil {
		return nil, err
	}
	result.ConnectSeconds = took.Seconds()
	began, cpu, own := time.Now(), r.process.cpu(), ownCPU()
	if err := r.breakAll(); err != nil {
		return nil, err
	}
	if _, err := r.open(ctx, 0, r.cfg.Connections); err != nil {
		return nil, fmt.Errorf("after the storm: %w", err)
	}
	if err := r.awaitReady(ctx); err != nil {
		return nil, fmt.Errorf("after the storm: %w", err)
	}
	result.Storm = &Storm{Seconds: time.Since(began).Seconds(), ServerCPUSeconds: (r.process.cpu() - cpu).Seconds(), ClientCPUSeconds: (ownCPU() - own).Seconds()}
	t := r.totals()
	result.ClosedConnections, result.Corrupt, result.Problem = t.closed, t.corrupt, t.problem
	result.Server.PID, result.Server.RSSKB = r.process.id(), r.process.memory()/1024
	result.Server.CPUSeconds, result.Client.CPUSeconds = result.Storm.ServerCPUSeconds, result.Storm.ClientCPUSeconds
	million := float64(r.cfg.Connections) / 1e6
	result.Server.CPUSecondsPerMillion, result.Client.CPUSecondsPerMillion = result.Server.CPUSeconds/million, result.Client.CPUSeconds/million
	return result, nil
}

// breakAll closes every connection without a close of the protocol, and forgets it.
func (r *run) breakAll() error {
	for _, rd := range r.readers {
		rd.close()
	}
	r.readers, r.clients = nil, nil
	return r.startReaders()
}
