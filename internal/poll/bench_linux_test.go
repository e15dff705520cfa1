//go:build amd64 || arm64

package poll

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// socketpair returns two ends of a connection inside the kernel.
func socketpair(t testing.TB) (server net.Conn, client int) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[0]), "server")
	defer f.Close()
	server, err = net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	return server, fds[1]
}

// cpu is the processor time of the process so far.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRawWrite is what the system calls of BenchmarkFanOut cost alone.
func BenchmarkRawWrite(b *testing.B) {
	for name, connect := range map[string]func(testing.TB) (net.Conn, int){"socketpair": socketpair, "loopback": loopback} {
		b.Run(name, func(b *testing.B) {
			const conns = 1000
			near, far := make([]int, conns), make([]int, conns)
			for i := range near {
				var server net.Conn
				server, far[i] = connect(b)
				near[i], _, _ = takeOver(server)
				defer syscall.Close(far[i])
				defer syscall.Close(near[i])
			}
			p, buf := make([]byte, 204), make([]byte, 64<<10)
			var used time.Duration
			b.ResetTimer()
			for range b.N {
				before := cpu()
				for _, fd := range near {
					if _, err := syscall.Write(fd, p); err != nil {
						b.Fatal(err)
					}
				}
				used += cpu() - before
				b.StopTimer()
				for _, fd := range far {
					if _, err := syscall.Read(fd, buf); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
			}
			b.ReportMetric(used.Seconds()/float64(b.N*conns)*1e6, "cpu-s/Mdelivery")
		})
	}
}

// BenchmarkFanOut enqueues one shared message of 200 bytes per round on 1,000 connections; `behind` messages
// gather per connection before the writer gets its turn. The readers' CPU is not included: the far ends are read
// between rounds, outside the measured time. It reports CPU-seconds per million deliveries.
func BenchmarkFanOut(b *testing.B) {
	for _, behind := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("socketpair/behind=%d", behind), func(b *testing.B) { fanOut(b, socketpair, behind) })
		b.Run(fmt.Sprintf("loopback/behind=%d", behind), func(b *testing.B) { fanOut(b, loopback, behind) })
	}
}

// loopback returns both ends of a TCP connection, the client's as a descriptor.
func loopback(t testing.TB) (server net.Conn, client int) {
	s, c := pair(t)
	fd, _, err := takeOver(c)
	if err == nil {
		err = syscall.SetNonblock(fd, false)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s, fd
}

func fanOut(b *testing.B, connect func(testing.TB) (net.Conn, int), behind int) {
	const conns = 1000

	p, err := New(Options{Shards: 1, KeepMemory: true})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	owners, queues, far := make([]*owner, conns), make([]*queue.Queue, conns), make([]int, conns)
	for i := range owners {
		var server net.Conn
		server, far[i] = connect(b)
		defer syscall.Close(far[i])
		owners[i] = newOwner()
		if err := p.Register(&owners[i].Conn, owners[i], Registration{Conn: server}); err != nil {
			b.Fatal(err)
		}
		queues[i] = owners[i].subscribe("id", roomy)
	}
	m := message(string(make([]byte, 200)))
	buf := make([]byte, 64<<10)
	var used time.Duration
	sent := int64(0)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		before := cpu()
		for i, q := range queues {
			owners[i].io.Lock() // nothing is written before the last one is enqueued
			for range behind {
				q.Enqueue(m)
			}
			owners[i].io.Unlock()
		}
		sent += int64(conns * behind)
		if _, err := syscall.Read(far[conns-1], buf); err != nil { // written last: the dirty list is a FIFO
			b.Fatal(err)
		}
		used += cpu() - before
		b.StopTimer()
		for _, fd := range far[:conns-1] {
			if _, err := syscall.Read(fd, buf); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
	}
	b.ReportMetric(used.Seconds()/float64(sent)*1e6, "cpu-s/Mdelivery")
	b.ReportMetric(float64(sent)/float64(p.Stats().Writes), "deliveries/write")
}

// BenchmarkEnqueueDrain is the work per delivery without the system call: enqueue, dirty list, take, frame.
func BenchmarkEnqueueDrain(b *testing.B) {
	p, err := New(Options{Portable: true})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	s := newShard(p)
	s.dirty.sleeping.Store(false)
	const conns = 1000
	owners, queues := make([]*owner, conns), make([]*queue.Queue, conns)
	for i := range owners {
		owners[i] = newOwner()
		owners[i].shard, owners[i].owner, owners[i].fd = s, owners[i], -1
		owners[i].Conn.Conn.Init(&owners[i].Conn, nil)
		queues[i] = owners[i].subscribe("id", roomy)
	}
	m := message(string(make([]byte, 200)))
	var w sender
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += conns {
		for _, q := range queues {
			q.Enqueue(m)
		}
		for list, _ := s.dirty.take(); list.first != nil; {
			c := list.take()
			c.linked.Store(false)
			w.fill(c)
			w.encode(c.owner)
			w.clear()
		}
	}
}

// TestWriteAllocations: a delivery from Enqueue to the socket allocates nothing.
func TestWriteAllocations(t *testing.T) {
	p, err := New(Options{Shards: 1, Tick: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	o := newOwner()
	server, far := socketpair(t)
	defer syscall.Close(far)
	if err := p.Register(&o.Conn, o, Registration{Conn: server}); err != nil {
		t.Fatal(err)
	}
	q := o.subscribe("id", roomy)
	small, large := message("small"), message(string(make([]byte, 3*bigPayload)))
	buf := make([]byte, 64<<10)
	frames := int64(0)
	n := testing.AllocsPerRun(500, func() {
		q.Enqueue(small)
		q.Enqueue(large)
		for frames += 2; p.Stats().Frames < frames; {
			runtime.Gosched()
		}
		if _, err := syscall.Read(far, buf); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations per two deliveries", n)
	}
}

// A connection without a socket lives and ends like any other.
func TestNullConnection(t *testing.T) {
	p, err := New(Options{Shards: 1, Tick: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, end := range []func(*owner){
		func(o *owner) { o.Control(queue.Control{Kind: queue.Close, Code: 1000}) },
		func(o *owner) { o.Abort() },
	} {
		o := newOwner()
		if err := p.Register(&o.Conn, o, Registration{}); err != nil {
			t.Fatal(err)
		}
		q := o.subscribe("id", roomy)
		before := p.Stats().Frames
		q.Enqueue(message("discarded"))
		await(t, "written", func() bool { return p.Stats().Frames == before+1 })
		end(o)
		<-o.closed
	}
	portable, err := New(Options{Portable: true})
	if err != nil {
		t.Fatal(err)
	}
	o := newOwner()
	if err := portable.Register(&o.Conn, o, Registration{}); err == nil {
		t.Error("registered without a socket and without epoll")
	}
	if err := portable.Close(); err != nil {
		t.Error(err)
	}
}

// A burst of connects is followed by one return of memory, when it is over.
func TestMemoryReleased(t *testing.T) {
	for _, keep := range []bool{false, true} {
		p, err := New(Options{Shards: 1, Tick: time.Millisecond, KeepMemory: keep})
		if err != nil {
			t.Fatal(err)
		}
		connect := func(n int) {
			for range n {
				o := newOwner()
				if err := p.Register(&o.Conn, o, Registration{}); err != nil {
					t.Fatal(err)
				}
			}
		}
		quiet := func() {
			for from := p.Now(); p.Now() < from+3; {
				runtime.Gosched()
			}
		}
		connect(burst - 1)
		quiet()
		if n := p.Stats().Released; n != 0 {
			t.Errorf("released %d times before the bound", n)
		}
		connect(1)
		if !keep {
			await(t, "release", func() bool { return p.Stats().Released == 1 })
		}
		quiet()
		if n := p.Stats().Released; n > 1 || keep && n != 0 {
			t.Errorf("released %d times", n)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}
