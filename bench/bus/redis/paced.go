package main

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// paced is a subject that is published to at a rate, in pieces.
type paced struct {
	of string
	s  subject

	mu             sync.Mutex
	times          []time.Duration // of the piece
	received, sent atomic.Int64

	all         []time.Duration // of all pieces
	pieces      []float64       // the 99th percentile of each, in milliseconds
	took        time.Duration
	cpu, server time.Duration
	others      time.Duration // CPU time that neither this process nor the server used meanwhile
}

func newPaced(addr, of string) *paced {
	p := &paced{of: of}
	var err error
	p.s, err = makers[of](addr, func(d []byte) {
		took := time.Since(due(d))
		p.mu.Lock()
		p.times = append(p.times, took)
		p.mu.Unlock()
		p.received.Add(1)
	})
	check(err)
	return p
}

// latencies publishes at a rate to all subjects of a round in turn, a piece each, so that what else the machine does meets
// all alike.
func latencies(addr string, order []string, round int, rate float64) []figures {
	var list []*paced
	for _, of := range order {
		p := newPaced(addr, of)
		defer p.s.close()
		list = append(list, p)
	}
	for range *pieces {
		for _, p := range list {
			p.piece(rate)
		}
		slices.Reverse(list)
	}
	var all []figures
	for _, p := range list {
		slices.Sort(p.all)
		n := float64(len(p.all))
		all = append(all, figures{
			Kind: "latency", Round: round, Of: p.of, Batch: *batch, Events: len(p.all), PerSecond: n / p.took.Seconds(), P50: quantile(p.all, 0.5), P99: quantile(p.all, 0.99),
			Pieces: p.pieces, CPU: p.cpu.Seconds() / n * 1e6, ServerCPU: p.server.Seconds() / n * 1e6, Others: p.others.Seconds() / p.took.Seconds(),
		})
	}
	return all
}

// piece publishes for a while and waits until all has arrived. An event's time counts from when it was due, so that a
// publisher that is late shows.
func (p *paced) piece(rate float64) {
	began, before, server, busy := time.Now(), cpu(), serverCPU(), machineCPU()
	calls := int64(rate * pieceLength.Seconds() / float64(*batch))
	interval := time.Duration(float64(*batch) / rate * float64(time.Second))
	var next atomic.Int64
	var wait sync.WaitGroup
	for n := range *publishers {
		wait.Go(func() {
			list, publish := make([][]byte, *batch), p.s.publisher()
			for {
				i := next.Add(1) - 1
				if i >= calls {
					return
				}
				at := began.Add(time.Duration(i) * interval)
				time.Sleep(time.Until(at))
				for i := range list {
					list[i] = data(at)
				}
				check(publish(n%*channels, list))
				p.sent.Add(int64(len(list)))
			}
		})
	}
	wait.Wait()
	await(&p.received, &p.sent)
	used, usedByServer := cpu()-before, serverCPU()-server
	p.took, p.cpu, p.server = p.took+time.Since(began), p.cpu+used, p.server+usedByServer
	p.others += machineCPU() - busy - used - usedByServer
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.Sort(p.times)
	p.all, p.pieces = append(p.all, p.times...), append(p.pieces, quantile(p.times, 0.99))
	p.times = p.times[:0]
}

// quantile is one of sorted times, in milliseconds.
func quantile(sorted []time.Duration, q float64) float64 {
	return float64(sorted[int(float64(len(sorted)-1)*q)].Microseconds()) / 1000
}

// machineCPU is the time that all processes of this machine have used, and what a hypervisor gave to others. Interrupts
// are nobody's, those of our own network included.
func machineCPU() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	check(err)
	line, _, _ := strings.Cut(string(text), "\n")
	const user, nice, system, steal = 0, 1, 2, 7 // columns
	var sum int64
	for i, field := range strings.Fields(line)[1:] {
		n, err := strconv.ParseInt(field, 10, 64)
		check(err)
		switch i {
		case user, nice, system, steal:
			sum += n
		}
	}
	return time.Duration(sum) * 10 * time.Millisecond
}
