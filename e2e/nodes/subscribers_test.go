package nodes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/wsclient"
)

// subscriber follows one channel, whose events are numbered from 1, through as many connections as it takes.
type subscriber struct {
	channel string

	mu    sync.Mutex
	begun bool // the first cursor has come: what is published from now on is for it
	last  int  // number of the newest event received
	tally tally
	moved chan struct{} // closed when begun or last change
}

// tally is what a subscriber counted.
type tally struct {
	Received   int // events, each number once
	Duplicates int
	Lost       int // numbers left out without a word
	Gaps       int // times that the server said recovered: false
	InGaps     int // numbers left out behind such a word
	Backwards  int // duplicates that came after newer ones of another number than the last
	Connects   int
}

func (t tally) plus(o tally) tally {
	t.Received += o.Received
	t.Duplicates += o.Duplicates
	t.Lost += o.Lost
	t.Gaps += o.Gaps
	t.InGaps += o.InGaps
	t.Backwards += o.Backwards
	t.Connects += o.Connects
	return t
}

// result is a message of the server as far as it matters here.
type result struct {
	Data       map[string]struct{ N int }
	Errors     json.RawMessage
	Extensions struct {
		Cursor    string
		Recovered *bool
	}
}

// receive counts one message.
func (s *subscriber) receive(text json.RawMessage, gap *bool) error {
	var r result
	if err := json.Unmarshal(text, &r); err != nil || r.Errors != nil {
		return fmt.Errorf("%s: %w", text, errors.Join(err, errors.New("not an event")))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.changedLocked()
	if r.Extensions.Recovered != nil && !*r.Extensions.Recovered {
		s.tally.Gaps++
		*gap = true
	}
	if r.Data == nil {
		s.begun = true
		return nil
	}
	n := r.Data[s.channel].N
	switch left := n - s.last - 1; {
	case n == s.last:
		s.tally.Duplicates++
		return nil
	case n < s.last:
		s.tally.Backwards++
		return nil
	case left > 0 && *gap:
		s.tally.InGaps += left
	case left > 0:
		s.tally.Lost += left
	}
	*gap = false
	s.tally.Received++
	s.last = n
	return nil
}

func (s *subscriber) changedLocked() {
	close(s.moved)
	s.moved = make(chan struct{})
}

// await returns when ready says so, or ctx's error.
func (s *subscriber) await(ctx context.Context, ready func(*subscriber) bool) error {
	for {
		s.mu.Lock()
		ok, moved := ready(s), s.moved
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// crowd is many subscribers.
type crowd struct {
	tb      testing.TB
	all     []*subscriber
	stop    context.CancelFunc
	running sync.WaitGroup
}

// connecting bounds how many subscribers connect at the same time.
const connecting = 100

// follow connects n subscribers, spread evenly over addresses and channels, and waits until each has its first cursor.
// They are ended with the test.
func follow(tb testing.TB, addrs, channels []string, n int) *crowd {
	tb.Helper()
	ctx, stop := context.WithCancel(context.Background())
	c := &crowd{tb: tb, stop: stop}
	tb.Cleanup(c.close)
	for i := range n {
		s := &subscriber{channel: channels[i%len(channels)], moved: make(chan struct{})}
		c.all = append(c.all, s)
		c.running.Go(func() { c.run(ctx, addrs[i%len(addrs)], s) })
		if (i+1)%connecting == 0 || i == n-1 {
			c.await(2*time.Minute, "no first cursor", func(s *subscriber) bool { return s.begun })
		}
	}
	return c
}

func (c *crowd) run(ctx context.Context, addr string, s *subscriber) {
	gap := false
	err := wsclient.Run(ctx, wsclient.Config{
		URL: "ws://" + addr + "/graphql", Query: "subscription { " + s.channel + " { n } }", Resume: true,
		BackoffBase: 50 * time.Millisecond, BackoffMax: time.Second, ConnectTimeout: time.Minute,
		Connected: func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.tally.Connects++
		},
	}, func(text json.RawMessage) error { return s.receive(text, &gap) })
	if ctx.Err() == nil {
		c.tb.Errorf("a subscriber of %s ended: %v", s.channel, err)
	}
}

func (c *crowd) close() {
	c.stop()
	c.running.Wait()
}

// await waits until every subscriber is ready, for as long as ever more comes: it fails when nothing has come to any of
// them for the length of patience.
func (c *crowd) await(patience time.Duration, problem string, ready func(*subscriber) bool) {
	c.tb.Helper()
	for before := -1; ; {
		waiting, first := c.missing(patience, ready)
		if waiting == 0 {
			return
		}
		now := c.progress()
		if now == before {
			first.mu.Lock()
			defer first.mu.Unlock()
			c.tb.Fatalf("%d of %d subscribers: %s, and nothing new for %v; one of %s: last %d, %+v", waiting, len(c.all), problem, patience, first.channel, first.last, first.tally)
		}
		before = now
	}
}

// missing waits for a while until every subscriber is ready, and returns how many are not, and the first of them.
func (c *crowd) missing(patience time.Duration, ready func(*subscriber) bool) (waiting int, first *subscriber) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, s := range c.all {
		if s.await(ctx, ready) != nil {
			waiting++
			if first == nil {
				first = s
			}
		}
	}
	return waiting, first
}

// progress grows with every event that comes, and not with connections or repetitions, which may go on for ever.
func (c *crowd) progress() (n int) {
	for _, s := range c.all {
		s.mu.Lock()
		n += s.tally.Received
		if s.begun {
			n++
		}
		s.mu.Unlock()
	}
	return n
}

// finish waits until every subscriber has the last event of its channel, and returns what they counted.
func (c *crowd) finish(published map[string]int, patience time.Duration) tally {
	c.tb.Helper()
	c.await(patience, "not all events", func(s *subscriber) bool { return s.last >= published[s.channel] })
	var sum tally
	for _, s := range c.all {
		s.mu.Lock()
		sum = sum.plus(s.tally)
		s.mu.Unlock()
	}
	return sum
}
