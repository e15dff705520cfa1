package testkit

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy forwards TCP connections and can drop all of them at once, as a failing network does. Its methods are
// safe for concurrent use.
type Proxy struct {
	// Addr is where clients connect.
	Addr string

	targets  []string
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex
	open   map[net.Conn]struct{} // both ends
	served int                   // connections that reached a target
	turn   int                   // of the targets
	closed bool
	cut    bool
	delay  atomic.Int64  // a time.Duration
	held   chan struct{} // closed by Release; nil: nothing is held
}

// NewProxy starts a proxy in front of targets, which take turns, and ends it with the test.
func NewProxy(tb testing.TB, targets ...string) *Proxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), targets: targets, listener: l, open: map[net.Conn]struct{}{}}
	p.running.Go(p.accept)
	tb.Cleanup(p.close)
	return p
}

// Served returns how many connections reached the target so far.
func (p *Proxy) Served() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.served
}

// Drop resets every connection that is open now; later ones are served.
func (p *Proxy) Drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropLocked()
}

// Cut resets every connection and those that come, until Restore.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	p.dropLocked()
}

// Restore ends what Cut began.
func (p *Proxy) Restore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
}

// Hold keeps everything that is sent from now on, in both directions, until Release; connections stay open.
func (p *Proxy) Hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == nil {
		p.held = make(chan struct{})
	}
}

// Release forwards what was kept, and what comes.
func (p *Proxy) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.releaseLocked()
}

func (p *Proxy) releaseLocked() {
	if p.held != nil {
		close(p.held)
		p.held = nil
	}
}

// gate waits while everything is held.
func (p *Proxy) gate() {
	p.mu.Lock()
	held := p.held
	p.mu.Unlock()
	if held != nil {
		<-held
	}
}

// gated is the side of a connection that is written to.
type gated struct {
	net.Conn
	proxy *Proxy
}

// Write forwards once nothing is held.
func (g gated) Write(b []byte) (int, error) {
	g.proxy.gate()
	if d := g.proxy.delay.Load(); d > 0 {
		<-time.After(time.Duration(d))
	}
	return g.Conn.Write(b)
}

func (p *Proxy) dropLocked() {
	for c := range p.open {
		if tcp, ok := c.(*net.TCPConn); ok {
			// A reset instead of an orderly end. It fails only on a connection that is closed already.
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
}

func (p *Proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.releaseLocked()
	p.mu.Unlock()
	p.Drop()
	p.running.Wait()
}

// accept serves connections until the listener is closed.
func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.forward(client) })
	}
}

// forward connects one client with the target until either end closes.
func (p *Proxy) forward(client net.Conn) {
	defer p.forget(client)
	if !p.keep(client) {
		return
	}
	server := p.dial()
	if server == nil {
		return
	}
	defer p.forget(server)
	if !p.keep(server) {
		return
	}
	p.mu.Lock()
	p.served++
	p.mu.Unlock()
	relay(gated{client, p}, gated{server, p})
}

// relay copies between two connections until either direction ends, which ends both; why does not matter.
func relay(a, b net.Conn) {
	var copies sync.WaitGroup
	for _, pair := range [][2]net.Conn{{a, b}, {b, a}} {
		copies.Go(func() {
			_, _ = io.Copy(pair[0], pair[1])
			_ = a.Close()
			_ = b.Close()
		})
	}
	copies.Wait()
}

// Delay makes each piece of data wait before it passes.
func (p *Proxy) Delay(d time.Duration) { p.delay.Store(int64(d)) }

// dial connects with the target whose turn it is, or with the next that answers; nil: none does.
func (p *Proxy) dial() net.Conn {
	p.mu.Lock()
	first := p.turn
	p.turn++
	p.mu.Unlock()
	for i := range p.targets {
		if server, err := net.Dial("tcp", p.targets[(first+i)%len(p.targets)]); err == nil {
			return server
		}
	}
	return nil
}

// keep notes an open connection; false: the proxy is closing, or cut.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.cut {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		return false
	}
	p.open[c] = struct{}{}
	return true
}

func (p *Proxy) forget(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	delete(p.open, c)
	p.mu.Unlock()
}
