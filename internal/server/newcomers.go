package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/shift"
)

// newcomers accepts connections. Of those that have not proven who they are only a few have their requests read and parsed at a time, so
// that a thousand that come or speak at once do not delay what others are owed: with them all ready to run, a publisher's request waited up
// to 27 ms for its turn behind them. A connection on which a publish token was accepted does not wait.
type newcomers struct {
	net.Listener
	few     *shift.Few
	lookout *lookout
}

func admit(l net.Listener, out *lookout) net.Listener {
	return &newcomers{l, shift.NewFew(runtime.GOMAXPROCS(0)), out}
}

// Accept lets others run after each connection: the rest waits in the system's queue, not in the scheduler's.
func (l *newcomers) Accept() (net.Conn, error) {
	shift.Yield()
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &newcomer{Conn: c, few: l.few, lookout: l.lookout}, nil
}

// newcomer is a connection as net/http sees it. It is inside from the moment at which bytes of a request's head were read until net/http
// reads again, writes, closes or has the head: it does nothing in between but compute.
type newcomer struct {
	net.Conn
	few     *shift.Few
	lookout *lookout
	// served says that a handler has the connection: what is read then is a body, or somebody waits for the end.
	served atomic.Bool
	known  atomic.Bool // proven
	inside atomic.Bool
	over   atomic.Bool // closed: whoever still reads does nothing with it, and leaves no more

	watched int32 // its number there; it and gone are the lookout's
	gone    bool

	mu     sync.Mutex
	until  time.Time   // the deadline of reading that was asked for
	nudged atomic.Bool // the one in force is another
	nudges atomic.Uint32
	seen   atomic.Uint32 // nudges that no read ends for any more
}

func (c *newcomer) Read(p []byte) (int, error) {
	c.leave()
	n, err := c.read(p)
	if n > 0 && !c.served.Load() && !c.known.Load() {
		c.few.Enter()
		c.inside.Store(true)
		if c.served.Load() || c.over.Load() { // a handler has it meanwhile and may keep it, or it was closed: HTTP/2 reads in a goroutine of its own
			c.leave()
		}
	}
	return n, err
}

func (c *newcomer) Write(p []byte) (int, error) {
	c.leave()
	return c.Conn.Write(p)
}

// read is that of the connection, begun again where it may have ended only because somebody saw that something has come.
func (c *newcomer) read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		nudges := c.nudges.Load()
		if nudges == c.seen.Load() {
			return n, err
		}
		c.seen.Store(nudges)
		c.settle()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
}

// nudge ends a read that waits. The time of a deadline is what wakes a goroutine without the network being asked.
func (c *newcomer) nudge() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nudged.Store(true)
	c.nudges.Add(1)                             // before a read ends for it
	_ = c.Conn.SetReadDeadline(time.Unix(1, 0)) // fails when it is closed, and whoever reads knows
}

// settle puts the deadline in force that was asked for.
func (c *newcomer) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nudged.Swap(false) {
		_ = c.Conn.SetReadDeadline(c.until) // fails when it is closed, and whoever reads knows
	}
}

func (c *newcomer) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = t
	c.nudged.Store(false)
	return c.Conn.SetReadDeadline(t)
}

func (c *newcomer) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.Conn.SetWriteDeadline(t))
}

// CloseWrite ends this side, which net/http does before it closes a connection with a body that it has not read: else the answer to it may be
// lost by a reset.
func (c *newcomer) CloseWrite() error {
	c.leave()
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func (c *newcomer) Close() error {
	c.over.Store(true)
	c.leave()
	c.lookout.forget(c)
	return c.Conn.Close()
}

// Socket is the connection without this, for whoever has hijacked it.
func (c *newcomer) Socket() net.Conn { return c.Conn }

func (c *newcomer) leave() {
	if c.inside.Load() && c.inside.CompareAndSwap(true, false) {
		c.few.Leave()
	}
}

// turned notes what net/http says of the connection.
func (c *newcomer) turned(state http.ConnState) {
	c.served.Store(state == http.StateActive || state == http.StateHijacked)
	c.leave()
	if state == http.StateHijacked {
		c.lookout.forget(c)
	}
}

// newcomerOf returns what Accept has made of a connection, nil if it was another's.
func newcomerOf(c net.Conn) *newcomer {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	n, _ := c.(*newcomer)
	return n
}

// newcomerKey is that of the connection in the context of its requests.
type newcomerKey struct{}

func withNewcomer(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, newcomerKey{}, newcomerOf(c))
}

// proven says that the request's connection is that of somebody known.
func proven(r *http.Request) {
	if c, _ := r.Context().Value(newcomerKey{}).(*newcomer); c != nil {
		if !c.known.Swap(true) {
			c.lookout.watch(c)
		}
	}
}
