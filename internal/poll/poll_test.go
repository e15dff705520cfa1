package poll

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.NoLeaks(m)) }

// owner is a connection with a framing of lines: `<id>:<payload>`, a control text as it is, `close <code>
// <reason>`.
type owner struct {
	Conn
	mu       sync.Mutex
	got      []byte
	onBytes  func(*owner, []byte)
	deadline chan struct{}
	closed   chan error
}

func newOwner() *owner {
	return &owner{deadline: make(chan struct{}, 16), closed: make(chan error, 2)}
}

func (o *owner) AppendPrefix(dst []byte, it *queue.Item) []byte {
	if it.Queue != nil {
		return append(it.Queue.AppendID(dst), ':')
	}
	if it.Control.Kind == queue.Close {
		return fmt.Appendf(dst, "close %d %s\n", it.Control.Code, it.Control.Data)
	}
	return append(append(dst, it.Control.Data...), '\n')
}

func (o *owner) AppendSuffix(dst []byte, it *queue.Item) []byte { return append(dst, '\n') }

func (o *owner) OnBytes(p []byte) {
	o.mu.Lock()
	o.got = append(o.got, p...)
	o.mu.Unlock()
	if o.onBytes != nil {
		o.onBytes(o, p)
	}
}

func (o *owner) OnDeadline()       { o.deadline <- struct{}{} }
func (o *owner) OnClose(err error) { o.closed <- err }

func (o *owner) received() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.got)
}

// echo sends every byte back as one control text per read.
func echo(o *owner, p []byte) {
	o.Control(queue.Control{Kind: queue.Text, Data: bytes.Clone(p)})
}

// roomy is a policy that nothing in these tests overflows by accident.
var roomy = &queue.Policy{Messages: 1 << 20, Bytes: 1 << 30}

// subscribe gives the connection a queue.
func (o *owner) subscribe(id string, p *queue.Policy) *queue.Queue {
	q := new(queue.Queue)
	q.Init(&o.Conn.Conn, p, []byte(id), false)
	return q
}

// backends runs a test on epoll, with io_uring and without, and on the portable implementation.
func backends(t *testing.T, opts Options, f func(t *testing.T, p *Poller)) {
	for _, mode := range []string{"native", "plain", "portable"} {
		opts.Portable, opts.PlainSends = mode == "portable", mode == "plain"
		t.Run(mode, func(t *testing.T) {
			p, err := New(opts)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := p.Close(); err != nil {
					t.Error(err)
				}
				if n := p.Stats().Open; n != 0 {
					t.Errorf("%d connections open after Close", n)
				}
			}()
			f(t, p)
		})
	}
}

// pair returns both ends of a TCP connection over loopback.
func pair(t testing.TB) (server, client *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return s.(*net.TCPConn), c.(*net.TCPConn)
}

// connect registers a new connection and returns the client's end, closed with the test.
func connect(t testing.TB, p *Poller, o *owner, r Registration) *net.TCPConn {
	t.Helper()
	s, c := pair(t)
	t.Cleanup(func() { c.Close() })
	r.Conn = s
	if err := p.Register(&o.Conn, o, r); err != nil {
		t.Fatal(err)
	}
	return c
}

// await spins until cond holds; the test's time limit is the bound.
func await(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for i := 0; !cond(); i++ {
		if i%1024 == 0 && t.Context().Err() != nil {
			t.Fatalf("gave up waiting: %s", what)
		}
		runtime.Gosched()
	}
}

func message(payload string) *queue.Message { return &queue.Message{Payload: []byte(payload)} }

func readLine(t testing.TB, r *bufio.Reader) string {
	t.Helper()
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return strings.TrimSuffix(line, "\n")
}

func TestBufferedFirst(t *testing.T) {
	backends(t, Options{}, func(t *testing.T, p *Poller) {
		o := newOwner()
		c := connect(t, p, o, Registration{Buffered: []byte("one ")})
		if _, err := c.Write([]byte("two")); err != nil {
			t.Fatal(err)
		}
		await(t, "both parts", func() bool { return o.received() == "one two" })
	})
}

func TestEcho(t *testing.T) {
	backends(t, Options{Shards: 2}, func(t *testing.T, p *Poller) {
		var wg sync.WaitGroup
		for i := range 20 {
			o := newOwner()
			o.onBytes = echo
			c := connect(t, p, o, Registration{})
			wg.Go(func() {
				r := bufio.NewReader(c)
				for j := range 50 {
					want := fmt.Sprintf("%d/%d", i, j)
					if _, err := c.Write([]byte(want)); err != nil {
						t.Error(err)
						return
					}
					if got, err := r.ReadString('\n'); err != nil || got != want+"\n" {
						t.Errorf("got %q, %v; want %q", got, err, want)
						return
					}
				}
			})
		}
		wg.Wait()
		await(t, "counts", func() bool { s := p.Stats(); return s.Accepted == 20 && s.Open == 20 && s.Frames == 1000 })
	})
}

// Control overtakes results; results of one subscription keep their order; subscriptions take turns.
func TestOrder(t *testing.T) {
	backends(t, Options{Shards: 1}, func(t *testing.T, p *Poller) {
		o := newOwner()
		r := bufio.NewReader(connect(t, p, o, Registration{}))
		a, b := o.subscribe("a", roomy), o.subscribe("b", roomy)
		o.io.Lock() // hold the writer off
		for i := range 3 {
			a.Enqueue(message(fmt.Sprint(i)))
			b.Enqueue(message(fmt.Sprint(i)))
		}
		o.Control(queue.Control{Kind: queue.Text, Data: []byte("control")})
		o.io.Unlock()
		got := map[string][]string{}
		for range 7 {
			id, rest, _ := strings.Cut(readLine(t, r), ":")
			got[id] = append(got[id], rest)
		}
		if fmt.Sprint(got) != "map[a:[0 1 2] b:[0 1 2] control:[]]" {
			t.Errorf("got %v", got)
		}
	})
}

func TestPeerLeaves(t *testing.T) {
	backends(t, Options{}, func(t *testing.T, p *Poller) {
		o := newOwner()
		c := connect(t, p, o, Registration{})
		if _, err := c.Write([]byte("bye")); err != nil {
			t.Fatal(err)
		}
		c.Close()
		if err := <-o.closed; err == nil {
			t.Errorf("OnClose(%v)", err)
		}
		if o.received() != "bye" {
			t.Errorf("received %q", o.received())
		}
		if n := p.Stats().Open; n > 0 {
			await(t, "count", func() bool { return p.Stats().Open == 0 })
		}
		o.Control(queue.Control{Kind: queue.Text, Data: []byte("late")}) // must not touch the descriptor
	})
}

// A close writes what waits before it, ends the stream, and is done when the peer ends its side.
func TestClose(t *testing.T) {
	backends(t, Options{}, func(t *testing.T, p *Poller) {
		o := newOwner()
		c := connect(t, p, o, Registration{})
		q := o.subscribe("a", roomy)
		q.Enqueue(message("1"))
		o.CloseAfter(1001, "drain")
		q.Enqueue(message("late"))
		r := bufio.NewReader(c)
		if got := readLine(t, r) + "|" + readLine(t, r); got != "a:1|close 1001 drain" {
			t.Errorf("got %q", got)
		}
		if _, err := r.ReadByte(); err == nil {
			t.Error("the stream goes on after the close")
		}
		if _, err := c.Write([]byte("ignored")); err != nil {
			t.Fatal(err)
		}
		c.Close()
		if err := <-o.closed; err != nil {
			t.Errorf("OnClose(%v)", err)
		}
		if o.received() != "" {
			t.Errorf("received %q after the close", o.received())
		}
	})
}

// A peer that reads the close and never ends its side is reset after the linger.
func TestLinger(t *testing.T) {
	backends(t, Options{Tick: time.Millisecond, Linger: 3 * time.Millisecond}, func(t *testing.T, p *Poller) {
		o := newOwner()
		connect(t, p, o, Registration{})
		o.Control(queue.Control{Kind: queue.Close, Code: 1000})
		if err := <-o.closed; err != ErrReset {
			t.Errorf("OnClose(%v)", err)
		}
		if p.Stats().Resets != 1 {
			t.Errorf("stats %+v", p.Stats())
		}
	})
}

func TestDeadline(t *testing.T) {
	backends(t, Options{Tick: time.Millisecond}, func(t *testing.T, p *Poller) {
		o := newOwner()
		connect(t, p, o, Registration{Deadline: time.Millisecond})
		<-o.deadline
		o.SetDeadline(2 * time.Millisecond)
		<-o.deadline
		o.SetDeadline(time.Hour)
		o.SetDeadline(time.Millisecond)
		<-o.deadline
		if n := len(o.deadline); n != 0 {
			t.Errorf("%d more deadlines", n)
		}
	})
}

func TestAbort(t *testing.T) {
	backends(t, Options{}, func(t *testing.T, p *Poller) {
		o := newOwner()
		c := connect(t, p, o, Registration{})
		o.Abort()
		o.Abort()
		if err := <-o.closed; err != ErrReset {
			t.Errorf("OnClose(%v)", err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("the client's read succeeds")
		}
		o.Abort()
	})
}

func TestPollerClose(t *testing.T) {
	backends(t, Options{}, func(t *testing.T, p *Poller) {
		var owners []*owner
		for range 10 {
			o := newOwner()
			connect(t, p, o, Registration{})
			owners = append(owners, o)
		}
		seen := 0
		p.Each(func(Owner) { seen++ })
		if err := p.Close(); err != nil || seen != 10 {
			t.Errorf("Close: %v; Each saw %d", err, seen)
		}
		for _, o := range owners {
			if err := <-o.closed; err != ErrClosed {
				t.Errorf("OnClose(%v)", err)
			}
		}
		s, c := pair(t)
		defer c.Close()
		o := newOwner()
		if err := p.Register(&o.Conn, o, Registration{Conn: s}); err != ErrClosed {
			t.Errorf("Register after Close: %v", err)
		}
	})
}

// A peer that closes on the level of the protocol and ends its side at once still gets the answer, and the
// connection ends without a linger.
func TestPeerCloses(t *testing.T) {
	backends(t, Options{Tick: time.Hour}, func(t *testing.T, p *Poller) {
		for range 50 {
			o := newOwner()
			o.onBytes = func(o *owner, _ []byte) {
				o.PeerClosed()
				o.Control(queue.Control{Kind: queue.Close, Code: 1000, Data: []byte("bye")})
			}
			c := connect(t, p, o, Registration{})
			if _, err := c.Write([]byte("close")); err != nil {
				t.Fatal(err)
			}
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got := readLine(t, bufio.NewReader(c)); got != "close 1000 bye" {
				t.Fatalf("got %q", got)
			}
			if err := <-o.closed; err != nil {
				t.Fatalf("OnClose(%v)", err)
			}
		}
	})
}
