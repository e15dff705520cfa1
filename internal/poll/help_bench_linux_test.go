//go:build amd64 || arm64

package poll

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// BenchmarkOneByOne sends messages of 200 bytes, each to one of 1,000 connections, in steps of 1 or 25 with a pause
// of 2 ms: what is behind a server that routes. It reports CPU-seconds of the process per million deliveries, without
// those of the readers, and how long the sender is busy with one.
func BenchmarkOneByOne(b *testing.B) {
	for _, step := range []int{1, 25} {
		b.Run(fmt.Sprintf("step=%d/woken", step), func(b *testing.B) { oneByOne(b, step, false) })
		b.Run(fmt.Sprintf("step=%d/helped", step), func(b *testing.B) { oneByOne(b, step, true) })
	}
}

func oneByOne(b *testing.B, step int, helps bool) {
	const conns = 1000
	p, err := New(Options{Shards: 2, KeepMemory: true})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	queues, far := make([]*queue.Queue, conns), make([]int, conns)
	for i := range queues {
		server := newOwner()
		near, fd := loopback(b)
		far[i] = fd
		defer syscall.Close(fd)
		if err := p.Register(&server.Conn, server, Registration{Conn: near}); err != nil {
			b.Fatal(err)
		}
		queues[i] = server.subscribe("id", roomy)
	}
	m, buf := message(string(make([]byte, 200))), make([]byte, 1024)
	var used, busy time.Duration
	for n := 0; b.Loop(); n++ {
		before, began := cpu(), time.Now()
		for i := range step {
			if helps {
				p.Announce()
			}
			queues[(n*step+i)%conns].Enqueue(m)
			if helps {
				p.Help()
			}
		}
		busy += time.Since(began)
		<-time.After(2 * time.Millisecond) // the writers go to sleep
		used += cpu() - before
		for i := range step {
			if _, err := syscall.Read(far[(n*step+i)%conns], buf); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(used.Seconds()/float64(b.N*step)*1e6, "cpu-s/Mdelivery")
	b.ReportMetric(float64(busy.Nanoseconds())/float64(b.N*step), "busy-ns/event")
}
