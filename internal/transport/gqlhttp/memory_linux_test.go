//go:build amd64 || arm64

package gqlhttp

import (
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// maxConnBytes is the budget of a stream's own object. 288 is a size class of the allocator.
const maxConnBytes = 208

func TestConnectionSize(t *testing.T) {
	if n := unsafe.Sizeof(conn{}); n > maxConnBytes {
		t.Errorf("conn is %d bytes, at most %d", n, maxConnBytes)
	}
}

// nulls makes n open streams without sockets.
func nulls(t testing.TB, h *Handler, n int) []*conn {
	t.Helper()
	conns := make([]*conn, n)
	for i := range conns {
		h.open.Add(1)
		c := newConn(h, formatSSE, 0)
		c.chunked = true
		if err := h.cfg.Poller.Register(&c.out, c, poll.Registration{Queued: true, Deadline: time.Hour}); err != nil {
			t.Fatal(err)
		}
		c.start()
		conns[i] = c
	}
	return conns
}

// heap returns the live bytes.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// An idle stream costs its object and its place in the table; its subscription is the engine's.
func TestIdleMemory(t *testing.T) {
	f := serve(t, poll.Options{KeepMemory: true, Tick: time.Hour}, nil)
	nulls(t, f.handler, 2000)
	const n = 100_000
	kept := make([]*conn, 0, n)
	before := heap()
	kept = append(kept, nulls(t, f.handler, n)...)
	each := float64(heap()-before)/n - 8 // kept's own pointer was allocated before, that of nulls is garbage
	t.Logf("%.0f live bytes per idle stream (object %d)", each+8, unsafe.Sizeof(conn{}))
	if each > maxConnBytes+32 {
		t.Errorf("%.0f live bytes per idle stream", each)
	}
	for _, c := range kept {
		c.sub = &hub.Subscription{}
		c.sub.Init(c.out.Outbound(), &queue.Policy{Messages: 1}, nil, false)
	}
	runtime.KeepAlive(kept)
}

// Framing a result allocates nothing.
func TestFramingAllocations(t *testing.T) {
	f := serve(t, poll.Options{}, nil)
	c := nulls(t, f.handler, 1)[0]
	c.sub = &hub.Subscription{}
	q := &c.sub.Queue
	q.Init(c.out.Outbound(), &queue.Policy{Messages: 1}, []byte("an-operation-id"), true)
	buf := make([]byte, 0, 1024)
	for _, format := range []format{formatSSE, formatMultipart} {
		c.format = format
		for _, m := range []*queue.Message{
			{Payload: []byte(`{"data":{"x":1}`)},
			{Payload: []byte(`{"data":{"x":1}`), Extra: &queue.Extra{Cursor: make([]byte, 60)}},
		} {
			it := &queue.Item{Queue: q, Message: m, Extensions: true, Dropped: 3}
			if n := testing.AllocsPerRun(100, func() {
				buf = c.AppendPrefix(buf[:0], it)
				buf = append(buf, m.Payload...)
				buf = c.AppendSuffix(buf, it)
			}); n != 0 {
				t.Errorf("%v allocations", n)
			}
		}
	}
}

// BenchmarkFrame builds the chunk of an event of 300 bytes.
func BenchmarkFrame(b *testing.B) {
	f := serve(b, poll.Options{}, nil)
	c := nulls(b, f.handler, 1)[0]
	c.sub = &hub.Subscription{}
	q := &c.sub.Queue
	q.Init(c.out.Outbound(), &queue.Policy{Messages: 1}, nil, false)
	it := &queue.Item{Queue: q, Message: &queue.Message{Payload: make([]byte, 300)}}
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = c.AppendPrefix(buf[:0], it)
		buf = append(buf, it.Message.Payload...)
		buf = c.AppendSuffix(buf, it)
	}
}
