package session

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Clients whose jobs wait are served in turn: one that sent many delays the others by one job each.
func TestPoolIsFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pool
		p.init(&HostConfig{Workers: 1, Waiting: 1000, WaitingBytes: 1 << 20, CallTimeout: time.Minute})
		var order []string
		proceed := make(chan struct{})
		add := func(client *Driver, name string) {
			if !p.do(client, 1, func(context.Context) { <-proceed; order = append(order, name) }) {
				t.Errorf("%s was refused", name)
			}
		}
		flood, a, b := &Driver{}, &Driver{}, &Driver{}
		for i := range 200 {
			add(flood, fmt.Sprint("flood", i))
		}
		synctest.Wait()
		add(a, "a0")
		add(a, "a1")
		add(b, "b0")
		close(proceed)
		synctest.Wait()
		if want := []string{"flood0", "flood1", "a0", "b0", "flood2", "a1", "flood3"}; !slices.Equal(order[:7], want) {
			t.Errorf("got %v", order[:7])
		}
		if len(order) != 203 || order[202] != "flood199" || len(p.lines) != 0 || p.waiting != 0 || p.bytes != 0 || p.first != nil {
			t.Errorf("%d jobs, %d lines, %d waiting", len(order), len(p.lines), p.waiting)
		}
		p.close()
	})
}

func TestPoolIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pool
		p.init(&HostConfig{Workers: 1, Waiting: 3, WaitingBytes: 10, CallTimeout: time.Minute})
		proceed := make(chan struct{})
		job := func(context.Context) { <-proceed }
		try := func(size int, want bool) {
			t.Helper()
			if got := p.do(&Driver{}, size, job); got != want {
				t.Errorf("%d bytes: %v", size, got)
			}
		}
		try(5, true)
		synctest.Wait()
		try(8, true)
		try(3, false)
		try(1, true)
		try(1, true)
		try(0, false)
		close(proceed)
		synctest.Wait()
		p.close()
		try(0, false)
	})
}

// However jobs come, each runs once, and those of one client begin in order.
func TestPoolRunsAll(t *testing.T) {
	var p pool
	p.init(&HostConfig{Workers: 1, Waiting: 1 << 20, WaitingBytes: 1 << 30, CallTimeout: time.Minute})
	const clients, jobs = 20, 300
	next := make([]int, clients)
	var adding sync.WaitGroup
	for i := range clients {
		client := &Driver{}
		adding.Go(func() {
			for k := range jobs {
				p.do(client, k, func(context.Context) {
					if next[i] != k {
						t.Errorf("client %d: job %d, want %d", i, k, next[i])
					}
					next[i]++
				})
			}
		})
	}
	adding.Wait()
	for done := false; !done; {
		p.mu.Lock()
		done = p.running == 0
		p.mu.Unlock()
	}
	p.close()
	for i, n := range next {
		if n != jobs {
			t.Errorf("client %d: %d jobs", i, n)
		}
	}
}

// What nobody waits for, the end of a connection for example, is still told when the pool is closed meanwhile, for a bounded time.
func TestPoolEndsWhatComesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pool
		p.init(&HostConfig{Workers: 2, Waiting: 10, WaitingBytes: 1 << 20, CallTimeout: time.Minute})
		var took []time.Duration
		var mu sync.Mutex
		began := time.Now()
		wait := func(length time.Duration) func(context.Context) {
			return func(ctx context.Context) {
				select {
				case <-ctx.Done():
				case <-time.After(length):
				}
				mu.Lock()
				defer mu.Unlock()
				took = append(took, time.Since(began))
			}
		}
		p.later(wait(time.Second))
		p.later(wait(time.Hour))
		p.do(nil, 0, wait(time.Hour)) // who asked for this is gone
		synctest.Wait()
		p.close()
		if want := []time.Duration{time.Second, time.Second, grace}; !slices.Equal(took, want) {
			t.Errorf("ended after %v, want %v", took, want)
		}
		if p.later(wait(0)) {
			t.Error("a closed pool takes more")
		}
	})
}

// A job that ends its goroutine takes no worker away: what waits is done, also what comes later.
func TestPoolOutlivesGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pool
		p.init(&HostConfig{Workers: 2, Waiting: 100, WaitingBytes: 1 << 20, CallTimeout: time.Minute})
		var done atomic.Int64
		for range 2 {
			for range 3 {
				p.do(&Driver{}, 1, func(context.Context) { runtime.Goexit() })
				p.do(&Driver{}, 1, func(context.Context) { done.Add(1) })
			}
			synctest.Wait()
		}
		if n := done.Load(); n != 6 || p.waiting != 0 || p.running != 0 {
			t.Errorf("%d jobs done, %d wait, %d workers", n, p.waiting, p.running)
		}
		p.close()
	})
}
