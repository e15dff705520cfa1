package testkit

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Balancer is a TCP balancer: each connection goes to the next of its targets that can be reached. Its methods are safe
// for concurrent use.
type Balancer struct {
	// Addr is where clients connect.
	Addr string

	listener net.Listener
	next     atomic.Uint64
	running  sync.WaitGroup

	mu      sync.Mutex
	targets []string
	open    map[net.Conn]struct{}
	closed  bool
}

// NewBalancer starts a balancer before targets, host:port each, and ends it with the test.
func NewBalancer(tb testing.TB, targets ...string) *Balancer {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	b := &Balancer{Addr: l.Addr().String(), listener: l, targets: targets, open: map[net.Conn]struct{}{}}
	b.running.Go(b.accept)
	tb.Cleanup(b.close)
	return b
}

// SetTargets says where connections go from now on. Those that are open stay.
func (b *Balancer) SetTargets(targets ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.targets = targets
}

func (b *Balancer) close() {
	_ = b.listener.Close()
	b.mu.Lock()
	b.closed = true
	for c := range b.open {
		_ = c.Close()
	}
	b.mu.Unlock()
	b.running.Wait()
}

func (b *Balancer) accept() {
	for {
		client, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.running.Go(func() { b.serve(client) })
	}
}

// serve connects one client with a target until either end closes.
func (b *Balancer) serve(client net.Conn) {
	defer b.forget(client)
	if !b.keep(client) {
		return
	}
	server := b.dial()
	if server == nil {
		return
	}
	defer b.forget(server)
	if b.keep(server) {
		relay(client, server)
	}
}

// dial tries each target once, beginning with the next in turn.
func (b *Balancer) dial() net.Conn {
	b.mu.Lock()
	targets := b.targets
	b.mu.Unlock()
	first := b.next.Add(1)
	for i := range targets {
		if c, err := net.Dial("tcp", targets[(first+uint64(i))%uint64(len(targets))]); err == nil {
			return c
		}
	}
	return nil
}

// keep notes an open connection; false: the balancer is closing.
func (b *Balancer) keep(c net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.open[c] = struct{}{}
	return true
}

func (b *Balancer) forget(c net.Conn) {
	_ = c.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, c)
}
