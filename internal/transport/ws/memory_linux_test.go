//go:build amd64 || arm64

package ws

import (
	"fmt"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
)

// maxConnBytes is the budget of a connection's own object, the protocol's state included. 288 is a size class
// of the allocator.
const maxConnBytes = 288

func TestConnectionSize(t *testing.T) {
	if n := unsafe.Sizeof(conn{}); n > maxConnBytes {
		t.Errorf("conn is %d bytes, at most %d", n, maxConnBytes)
	}
}

// nulls makes n acknowledged connections without sockets.
func nulls(t testing.TB, h *Handler, n int) []*conn {
	t.Helper()
	conns := make([]*conn, n)
	for i := range conns {
		c := newConn(h, &session.Handshake{}, Subprotocol, 0)
		h.open.Add(1)
		if err := h.cfg.Poller.Register(&c.out, c, poll.Registration{Deadline: time.Hour}); err != nil {
			t.Fatal(err)
		}
		c.driver.Receive([]byte(`{"type":"connection_init"}`))
		conns[i] = c
	}
	for _, c := range conns {
		await(t, "acknowledged", func() bool { return c.driver.Identity() != nil })
	}
	return conns
}

// An idle connection costs its object and its place in the table, nothing else.
func TestIdleMemory(t *testing.T) {
	f := serve(t, poll.Options{KeepMemory: true, Tick: time.Hour}, nil)
	nulls(t, f.handler, 2000)
	const n = 100_000
	kept := make([]*conn, 0, n)
	before := heap()
	kept = append(kept, nulls(t, f.handler, n)...)
	each := float64(heap()-before)/n - 8 // kept's own pointer was allocated before, that of nulls is garbage
	t.Logf("%.0f live bytes per idle connection (object %d)", each+8, unsafe.Sizeof(conn{}))
	if each > maxConnBytes+32 {
		t.Errorf("%.0f live bytes per idle connection", each)
	}
	runtime.KeepAlive(kept)
}

// Framing a result allocates nothing.
func TestFramingAllocations(t *testing.T) {
	f := serve(t, poll.Options{}, nil)
	c := nulls(t, f.handler, 1)[0]
	q := new(queue.Queue)
	q.Init(c.Outbound(), &queue.Policy{Messages: 1}, []byte("an-operation-id"), true)
	buf := make([]byte, 0, 1024)
	for _, m := range []*queue.Message{
		{Payload: []byte(`{"data":{"x":1}`)},
		{Payload: []byte(`{"data":{"x":1}`), Extra: &queue.Extra{Cursor: make([]byte, 60)}},
		{Payload: make([]byte, 126-len(`{"id":"an-operation-id","type":"next","payload":}}`))},
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

// BenchmarkFrame builds the frame of a result of 300 bytes.
func BenchmarkFrame(b *testing.B) {
	f := serve(b, poll.Options{}, nil)
	c := nulls(b, f.handler, 1)[0]
	q := new(queue.Queue)
	q.Init(c.Outbound(), &queue.Policy{Messages: 1}, []byte("1"), false)
	it := &queue.Item{Queue: q, Message: &queue.Message{Payload: make([]byte, 300)}}
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = c.AppendPrefix(buf[:0], it)
		buf = append(buf, it.Message.Payload...)
		buf = c.AppendSuffix(buf, it)
	}
}

// BenchmarkReceive reads a subscribe and a complete message of a known document from one buffer.
func BenchmarkReceive(b *testing.B) {
	f := serve(b, poll.Options{}, nil)
	c := nulls(b, f.handler, 1)[0]
	src := append(text(subscribe("a", "known")), text(complete("a"))...)
	buf := make([]byte, len(src))
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, src)
		c.OnBytes(buf)
		f.engine.mu.Lock()
		clear(f.engine.subs)
		f.engine.mu.Unlock()
	}
}

// BenchmarkFanOut publishes one message to 1,000 WebSockets over loopback; all ends live in this process.
func BenchmarkFanOut(b *testing.B) {
	for _, conns := range []int{1, 1000} {
		b.Run(fmt.Sprintf("conns=%d", conns), func(b *testing.B) {
			f := serve(b, poll.Options{KeepMemory: true}, nil)
			clients := make([]*client, conns)
			for i := range clients {
				clients[i] = f.initialised()
				clients[i].send(subscribe("1", "known"))
			}
			await(b, "subscribed", func() bool { return f.engine.live("known") == conns })
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				f.engine.publish("known", `{"order":{"id":"o-1","state":"SHIPPED"}}`)
				for _, c := range clients {
					if _, err := c.next(); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*conns), "ns/delivery")
		})
	}
}
