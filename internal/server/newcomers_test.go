package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fraiseql/fraiseql-go/internal/shift"
)

// entrance is an HTTP server that reads the requests of one newcomer at a time.
type entrance struct {
	few     *shift.Few
	out     *lookout
	addr    string
	blocked chan struct{} // a handler of /block has begun
	free    chan struct{} // ends it
}

func newEntrance(t *testing.T) *entrance {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &entrance{few: shift.NewFew(1), out: newLookout(), addr: l.Addr().String(), blocked: make(chan struct{}), free: make(chan struct{})}
	server := &http.Server{
		ConnContext: withNewcomer,
		ConnState:   func(c net.Conn, state http.ConnState) { newcomerOf(c).turned(state) },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/block":
				e.blocked <- struct{}{}
				<-e.free
			case "/prove":
				proven(r)
			case "/read":
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					http.Error(w, err.Error(), http.StatusBadRequest)
				}
			case "/hold": // the answer says nothing of closing, and net/http gives up on the body
				w.Header().Set("Connection", "close")
			case "/hijack":
				echo(w)
			}
		}),
	}
	t.Cleanup(e.out.begin())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(&newcomers{Listener: l, few: e.few, lookout: e.out}) // until it is closed
	}()
	t.Cleanup(func() { server.Close(); <-ended })
	return e
}

// echo takes the connection over, answers, and sends four bytes back.
func echo(w http.ResponseWriter) {
	c, in, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer c.Close()
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") // the client notices
	got := make([]byte, 4)
	if _, err := io.ReadFull(in, got); err == nil {
		_, _ = c.Write(got)
	}
}

// caller is a client's connection.
type caller struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func (e *entrance) dial(t *testing.T) *caller {
	c, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &caller{t, c, bufio.NewReader(c)}
}

func (c *caller) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

func (c *caller) answer(want int) {
	c.t.Helper()
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != want {
		c.t.Errorf("answer %d, %v, want %d", res.StatusCode, err, want)
	}
}

func head(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n" }

// Whatever a client leaves unfinished, the others have their turn.
func TestNewcomersDoNotHoldTheirTurn(t *testing.T) {
	e := newEntrance(t)
	for name, begin := range map[string]func(c *caller){
		"says nothing":             func(*caller) {},
		"half a head":              func(c *caller) { c.send("GET / HT") },
		"a head and half the next": func(c *caller) { c.send(head("/")); c.answer(200); c.send("GET ") },
		"no request":               func(c *caller) { c.send("\x16\x03\x01\r\n\r\n"); c.answer(400) },
		"half a body":              func(c *caller) { c.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx") },
		"leaves":                   func(c *caller) { c.send(head("/")); c.Close() },
		"a handler that waits": func(c *caller) {
			c.send(head("/block"))
			<-e.blocked
			c.send(head("/")) // read while the handler runs
		},
	} {
		c := e.dial(t)
		begin(c)
		for range 3 { // the turn may be that of the one before for a moment
			other := e.dial(t)
			other.send(head("/"))
			other.answer(200)
			other.send(head("/"))
			other.answer(200)
			other.Close()
		}
		if strings.HasPrefix(name, "a handler") {
			e.free <- struct{}{}
			c.answer(200)
			c.answer(200)
		}
		c.Close()
	}
}

// Who has shown a publish token goes ahead of newcomers.
func TestWhoIsProvenDoesNotWait(t *testing.T) {
	e := newEntrance(t)
	known, unknown := e.dial(t), e.dial(t)
	known.send(head("/prove"))
	known.answer(200)
	e.few.Enter() // a newcomer is at work
	unknown.send(head("/"))
	for range 3 {
		known.send(head("/"))
		known.answer(200)
	}
	e.few.Leave()
	unknown.answer(200)
}

// A hundred connections at once, each with many requests: every one is answered, and no turn is lost.
func TestManyNewcomers(t *testing.T) {
	e := newEntrance(t)
	done := make(chan error)
	const many = 100
	for range many {
		go func() {
			c, err := net.Dial("tcp", e.addr)
			if err != nil {
				done <- err
				return
			}
			defer c.Close()
			in := bufio.NewReader(c)
			for range 10 {
				if _, err = io.WriteString(c, head("/")); err != nil {
					break
				}
				var res *http.Response
				if res, err = http.ReadResponse(in, nil); err != nil {
					break
				}
				if res.StatusCode != http.StatusOK {
					err = fmt.Errorf("answer %d", res.StatusCode)
					break
				}
			}
			done <- err
		}()
	}
	for range many {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	e.few.Enter() // free, or this waits for ever
	e.few.Leave()
}

// A connection that ends between its turn and what it does with it gives the turn back.
func TestTurnOfAConnectionThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		few := shift.NewFew(1)
		for _, end := range []func(c *newcomer){
			func(c *newcomer) { c.Close() },
			func(c *newcomer) { c.turned(http.StateClosed) },
			func(c *newcomer) { c.turned(http.StateHijacked) },
			func(c *newcomer) { _, _ = c.Write([]byte("x")) },
		} {
			near, far := net.Pipe()
			go func() { _, _ = far.Write([]byte("x")); _, _ = io.Copy(io.Discard, far) }()
			c := &newcomer{Conn: near, few: few}
			if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil || !c.inside.Load() {
				t.Fatalf("%d, %v", n, err)
			}
			end(c)
			few.Enter() // free
			few.Leave()
			near.Close()
			far.Close()
		}
	})
}

// So does one that is closed while its reader still waits for the turn: HTTP/2 reads in a goroutine that nobody hears of any more.
func TestTurnOfAConnectionThatWasClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		few := shift.NewFew(1)
		few.Enter()
		near, far := net.Pipe()
		defer far.Close()
		c := &newcomer{Conn: near, few: few}
		read := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 1))
			read <- err
		}()
		if _, err := far.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // it waits for its turn
		c.Close()
		few.Leave()
		if err := <-read; err != nil {
			t.Error(err)
		}
		few.Enter() // free
		few.Leave()
	})
}

// Who is refused in the middle of a body reads the answer and an end, no reset.
func TestRefusalOfABodyEnds(t *testing.T) {
	e := newEntrance(t)
	c := e.dial(t)
	c.send("POST /hold HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n" + strings.Repeat("x", 400<<10))
	c.answer(http.StatusOK)
	if _, err := io.Copy(io.Discard, c.in); err != nil {
		t.Error(err)
	}
}
