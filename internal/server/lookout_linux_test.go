package server

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/shift"
)

// watched is a connection of a proven client, and the client's end.
func watched(t testing.TB) (l *lookout, c *newcomer, client net.Conn) {
	t.Helper()
	l = newLookout()
	t.Cleanup(l.begin())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if client, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	accepted, err := admit(listener, l).Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { accepted.Close() })
	c = accepted.(*newcomer)
	c.known.Store(true)
	l.watch(c)
	return l, c, client
}

// lookUntil lets others run until that is so.
func lookUntil(t *testing.T, so func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !so(); shift.Yield() {
		if time.Now().After(end) {
			t.Fatal("nobody has seen it")
		}
	}
}

// inBackground reads once.
func (c *newcomer) inBackground() <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 10))
		ended <- err
	}()
	return ended
}

// What has come is seen by whoever lets others run, and read by whoever reads; it is not seen twice.
func TestLookoutSees(t *testing.T) {
	l, c, client := watched(t)
	for range 3 {
		if _, err := client.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		lookUntil(t, c.nudged.Load)
		got := make([]byte, 10)
		if n, err := c.Read(got); string(got[:n]) != "hello" || err != nil {
			t.Fatalf("%q, %v", got[:n], err)
		}
		l.last.Store(-int64(time.Hour))
		if l.look(); c.nudged.Load() {
			t.Error("seen again after it was read")
		}
	}
	client.Close()
	lookUntil(t, c.nudged.Load)
	if _, err := c.Read(make([]byte, 10)); err != io.EOF {
		t.Errorf("%v at the end of the connection", err)
	}
}

// Deadlines are those that were asked for, whatever was seen meanwhile.
func TestLookoutKeepsDeadlines(t *testing.T) {
	past, future := time.Unix(1, 0), time.Now().Add(time.Hour)
	for name, set := range map[string]func(c *newcomer, at time.Time) error{
		"read": (*newcomer).SetReadDeadline, "both": (*newcomer).SetDeadline,
	} {
		_, c, client := watched(t)
		for _, at := range []time.Time{{}, future} {
			if err := set(c, at); err != nil {
				t.Fatal(err)
			}
			ended := c.inBackground()
			c.nudge() // for nothing
			lookUntil(t, func() bool { return !c.nudged.Load() })
			c.nudge()
			if _, err := client.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; err != nil {
				t.Errorf("%s until %v: %v", name, at, err)
			}
			ended = c.inBackground()
			c.nudge()
			if err := set(c, past); err != nil { // as net/http ends a read in the background
				t.Fatal(err)
			}
			if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s, ended by its deadline: %v", name, err)
			}
			c.nudge()
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s after its deadline: %v", name, err)
			}
		}
	}
}

// renewing is a connection whose deadline is set anew between the end of a read that was nudged and what is done about that.
type renewing struct {
	net.Conn
	between func()
}

func (r *renewing) SetReadDeadline(time.Time) error { return nil }

func (r *renewing) Read(p []byte) (int, error) {
	if between := r.between; between != nil {
		r.between = nil
		between()
		return 0, os.ErrDeadlineExceeded
	}
	return copy(p, "x"), nil
}

// A read that was nudged does not end because somebody asked for another deadline at that moment, before the read or in it.
func TestDeadlineSetWhileNudged(t *testing.T) {
	for _, before := range []bool{false, true} {
		r := &renewing{}
		c := &newcomer{Conn: r}
		if before {
			c.nudge()
		}
		r.between = func() {
			if !before {
				c.nudge()
			}
			if err := c.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
				t.Error(err)
			}
		}
		if n, err := c.read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("nudged before: %v: %d bytes, %v", before, n, err)
		}
		r.between = func() {}
		if _, err := c.read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a deadline without a nudge: %v", err)
		}
	}
}

// A connection that was taken over or closed is watched no longer, and its deadline is the one that was asked for.
func TestLookoutForgets(t *testing.T) {
	for name, end := range map[string]func(c *newcomer){
		"taken over": func(c *newcomer) { c.turned(http.StateHijacked) },
		"closed":     func(c *newcomer) { c.Close() },
		"closed by itself first": func(c *newcomer) {
			c.Conn.Close()
			c.Close()
		},
	} {
		l, c, client := watched(t)
		c.nudge()
		end(c)
		if c.nudged.Load() {
			t.Errorf("%s: another deadline is in force", name)
		}
		l.watch(c)
		if len(l.byID) != 0 || l.some.Load() != 0 {
			t.Errorf("%s: %d are watched", name, len(l.byID))
		}
		if name != "taken over" {
			continue
		}
		ended := make(chan error, 1)
		go func() { _, err := c.Socket().Read(make([]byte, 1)); ended <- err }()
		if _, err := client.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A connection without a descriptor is left to the scheduler.
func TestLookoutWithoutDescriptor(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	l := newLookout()
	defer l.begin()()
	c := &newcomer{Conn: near, lookout: l}
	l.watch(c)
	if len(l.byID) != 0 {
		t.Error("it is watched")
	}
	c.Close()
	var none *lookout
	none.watch(c)
	none.forget(c)
	none.begin()()
}

// Many publishers, with requests in pieces and connections that end, while others look and nudge at all times: each request is answered.
func TestLookoutUnderLoad(t *testing.T) {
	e := newEntrance(t)
	stop := make(chan struct{})
	var lookers, clients sync.WaitGroup
	for range 2 {
		lookers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				shift.Yield()
				e.out.mu.Lock()
				for _, c := range e.out.byID {
					c.nudge()
				}
				e.out.mu.Unlock()
			}
		})
	}
	for range 8 {
		clients.Go(func() {
			for range 5 {
				if err := e.publishes(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	clients.Wait()
	close(stop)
	lookers.Wait()
}

// publishes is the life of one connection: proven, requests in pieces, taken over in the end.
func (e *entrance) publishes() error {
	c, err := net.Dial("tcp", e.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	in := bufio.NewReader(c)
	ask := func(pieces ...string) error {
		for _, piece := range pieces {
			if _, err := io.WriteString(c, piece); err != nil {
				return err
			}
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("answer %d", res.StatusCode)
		}
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	err = ask(head("/prove"))
	for range 10 {
		err = errors.Join(err, ask("POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nx", "yz", "."))
	}
	if err := errors.Join(err, ask(head("/hijack"))); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "echo"); err != nil {
		return err
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(in, got); err != nil || string(got) != "echo" {
		return fmt.Errorf("%q after the connection was taken over, %w", got, err)
	}
	return nil
}

// BenchmarkLook is what one look at a connection costs on which nothing has come, and what one costs that comes too soon.
func BenchmarkLook(b *testing.B) {
	l, _, _ := watched(b)
	b.Run("asks", func(b *testing.B) {
		for b.Loop() {
			l.last.Store(-int64(time.Hour))
			l.look()
		}
	})
	b.Run("too soon", func(b *testing.B) {
		for b.Loop() {
			l.look()
		}
	})
}
