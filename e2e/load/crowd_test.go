package load

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"
)

// crowd are the subscribers that read. Each checks that it receives 1, 2, 3 … and nothing else.
type crowd struct {
	t       *testing.T
	clients []*client
	running sync.WaitGroup
	failed  chan error

	mu      sync.Mutex
	pending int           // messages that are still to come, over all
	arrived chan struct{} // closed when pending is 0
	ending  bool
}

// gather connects n subscribers of a field, the first ones, and waits until the server knows them.
func gather(t *testing.T, s *server, n int, query string) *crowd {
	t.Helper()
	g := &crowd{t: t, clients: make([]*client, n), failed: make(chan error, n)}
	err := inParallel(n, func(i int) (err error) {
		if g.clients[i], err = s.dial(); err != nil {
			return err
		}
		return g.clients[i].subscribe(query, "")
	})
	if err != nil {
		t.Fatal(err)
	}
	s.equals("fraiseql_subscriptions", n)
	for _, c := range g.clients {
		g.running.Go(func() {
			if err := g.read(c); err != nil && !g.isEnding() {
				g.failed <- err
			}
		})
	}
	t.Cleanup(g.leave)
	return g
}

// leave ends all of them.
func (g *crowd) leave() {
	g.mu.Lock()
	g.ending = true
	g.mu.Unlock()
	for _, c := range g.clients {
		_ = c.Close()
	}
	g.running.Wait()
}

func (g *crowd) isEnding() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ending
}

// read checks one client's messages until its connection ends.
func (g *crowd) read(c *client) error {
	buf := make([]byte, 256)
	member := []byte(`"n":`)
	for want := 1; ; want++ {
		opcode, text, err := c.receive(buf)
		if err != nil {
			return fmt.Errorf("after %d messages: %w", want-1, err)
		}
		_, rest, found := bytes.Cut(text, member)
		digits, _, _ := bytes.Cut(rest, []byte("}"))
		if n, err := strconv.Atoi(string(digits)); opcode != 1 || !found || err != nil || n != want {
			return fmt.Errorf("message %d: opcode %d: %.200q", want, opcode, text)
		}
		g.mu.Lock()
		if g.pending--; g.pending == 0 {
			close(g.arrived)
		}
		g.mu.Unlock()
	}
}

// expect says how many more messages each of them is to receive; to be called before they are published.
func (g *crowd) expect(each int) (arrived <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pending, g.arrived = each*len(g.clients), make(chan struct{})
	return g.arrived
}

// wait fails the test unless everything arrives and nothing else happens.
func (g *crowd) wait(arrived <-chan struct{}) {
	g.t.Helper()
	select {
	case <-arrived:
	case err := <-g.failed:
		g.t.Fatal("one of the others:", err)
	case <-time.After(patience):
		g.mu.Lock()
		defer g.mu.Unlock()
		g.t.Fatalf("%d messages to the others are missing", g.pending)
	}
}
