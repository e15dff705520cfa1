//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// errAgain ends a connection on purpose.
var errAgain = errors.New("again")

// told is what a kind has done.
type told struct {
	Clients int   `json:"clients"`
	Opened  int64 `json:"opened"`  // connections that became what the kind needs
	Refused int64 `json:"refused"` // that did not
	Acts    int64 `json:"acts"`
	Ended   int64 `json:"ended"` // by the server, or because it had to
}

// crowd is all clients that misbehave.
type crowd struct {
	addr    string
	kinds   []kind
	every   time.Duration
	stopped chan struct{}
	running sync.WaitGroup
	counts  []struct{ clients, opened, refused, acts, ended atomic.Int64 }
	begun   atomic.Int64 // clients that have tried once
	// published are events of 16 KiB for those that subscribe and do not read.
	published atomic.Int64
}

// misbehave is the child process: it runs n clients until its standard input ends, says "ready" when each has had its first connection,
// and then prints what they have done.
func misbehave(addr string, kinds []kind, n int, every time.Duration) {
	signal.Ignore(syscall.SIGPIPE)
	c := &crowd{addr: addr, kinds: kinds, every: every, stopped: make(chan struct{})}
	c.counts = make([]struct{ clients, opened, refused, acts, ended atomic.Int64 }, len(kinds))
	c.running.Go(c.publish)
	began := time.Now()
	for i := range n {
		c.counts[i%len(kinds)].clients.Add(1)
		c.running.Go(func() { c.client(i) })
		time.Sleep(time.Until(began.Add(every * time.Duration(i) / time.Duration(n)))) // they come within one step, not at once
	}
	for c.begun.Load() < int64(n) {
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	close(c.stopped)
	c.running.Wait()
	all := map[string]told{}
	for i, k := range kinds {
		t := &c.counts[i]
		all[k.name] = told{int(t.clients.Load()), t.opened.Load(), t.refused.Load(), t.acts.Load(), t.ended.Load()}
	}
	all["events published for them"] = told{Acts: c.published.Load()}
	text, err := json.Marshal(all)
	check(err)
	fmt.Println(string(text))
}

// publish fills the queues of those that subscribe and do not read.
func (c *crowd) publish() {
	body := fmt.Sprintf(`{"channel":"bench","type":"tick","tenant_id":%q,"data":{"room":0,"pad":%q}}`, badTenant, strings.Repeat("x", 16<<10))
	for tick := time.NewTicker(c.every / 10); ; {
		select {
		case <-c.stopped:
			tick.Stop()
			return
		case <-tick.C:
		}
		r, err := http.NewRequest(http.MethodPost, "http://"+c.addr+"/events", strings.NewReader(body))
		check(err)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+publishToken)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			continue // the server has said what it thinks of so many connections
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if res.StatusCode == http.StatusAccepted {
			c.published.Add(1)
		}
	}
}

// client misbehaves in its way, from one connection to the next.
func (c *crowd) client(n int) {
	first := true
	for c.pause() {
		c.connection(n, &first)
	}
}

// pause waits for the next step; false: there is none.
func (c *crowd) pause() bool {
	select {
	case <-c.stopped:
		return false
	case <-time.After(c.every):
		return true
	}
}

// connection is the life of one.
func (c *crowd) connection(n int, first *bool) {
	k, counts, user := &c.kinds[n%len(c.kinds)], &c.counts[n%len(c.kinds)], fmt.Sprint("bad", n)
	s, err := dial(c.addr, n)
	if err == nil {
		defer s.Close()
		err = k.open(s, user)
	}
	if *first {
		*first = false
		c.begun.Add(1)
	}
	if err != nil {
		counts.refused.Add(1)
		return
	}
	counts.opened.Add(1)
	defer counts.ended.Add(1)
	ended := make(chan struct{})
	_ = s.SetReadDeadline(time.Time{})
	if k.reads {
		c.running.Go(func() {
			defer close(ended)
			_, _ = io.Copy(io.Discard, s.in) // until the server or the client ends it
		})
	}
	for step := 0; ; step++ {
		if k.act != nil {
			_ = s.SetWriteDeadline(time.Now().Add(30 * time.Second))
			if err := k.act(s, user, step); err != nil {
				return
			}
			counts.acts.Add(1)
		} else if step == maxHeld {
			return // a client that reads nothing does not see that it was closed
		}
		select {
		case <-ended:
			return
		case <-c.stopped:
			return
		case <-time.After(c.every):
		}
	}
}

// maxHeld is for how many steps a connection is held on which nothing is read or written.
const maxHeld = 10
