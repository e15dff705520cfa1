package redisbus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

const patience = 30 * time.Second

// collector is a Handler that keeps the numbers of the events of one channel, and where gaps were told.
type collector struct {
	channel string
	enter   func(*bus.Message) // called first, outside the lock

	mu      sync.Mutex
	numbers []int
	places  []event.Position
	gaps    map[int]event.Position // before which index
	changed chan struct{}
}

func newCollector(channel string) *collector {
	return &collector{channel: channel, gaps: map[int]event.Position{}, changed: make(chan struct{})}
}

func (c *collector) Deliver(m *bus.Message) int {
	if c.enter != nil {
		c.enter(m)
	}
	if m.Event.Channel != c.channel {
		return 0
	}
	var n int
	if _, err := fmt.Sscanf(m.Event.ID, "e%d", &n); err != nil {
		n = -1
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.numbers = append(c.numbers, n)
	c.places = append(c.places, m.Position)
	c.tellLocked()
	return 1
}

func (c *collector) Gap(channel string, head event.Position) {
	if channel != c.channel {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gaps[len(c.numbers)] = head
	c.tellLocked()
}

func (c *collector) tellLocked() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// until waits until the collector is as wanted.
func (c *collector) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		c.mu.Lock()
		changed, done := c.changed, ok()
		c.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			c.mu.Lock()
			defer c.mu.Unlock()
			t.Fatalf("waited for %s; %d events, the last ones %v, gaps %v", what, len(c.numbers), c.numbers[max(0, len(c.numbers)-5):], c.gaps)
		}
	}
}

// last waits for the event of that number.
func (c *collector) last(t *testing.T, n int) {
	t.Helper()
	c.until(t, fmt.Sprintf("event %d", n), func() bool { return len(c.numbers) > 0 && c.numbers[len(c.numbers)-1] == n })
}

// distinct returns the numbers without repetitions, and the numbers before which a gap was told.
func (c *collector) distinct() (list []int, gaps map[int]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	gaps = map[int]bool{}
	seen := map[int]bool{}
	gap := false
	for i, n := range c.numbers {
		if _, told := c.gaps[i]; told {
			gap = true
		}
		if !seen[n] {
			seen[n] = true
			list = append(list, n)
			gaps[n] = gap
			gap = false
		}
	}
	return list, gaps
}

// wantAll fails unless the events from…to came, in order, without a gap.
func (c *collector) wantAll(t *testing.T, from, to int) {
	t.Helper()
	list, gaps := c.distinct()
	for i, n := range list {
		if n != from+i || gaps[n] {
			t.Fatalf("event %d at index %d (gap %v), want %d", n, i, gaps[n], from+i)
		}
	}
	if len(list) != to-from+1 {
		t.Fatalf("%d events, want %d", len(list), to-from+1)
	}
}

// wantNoSilentHole fails if numbers are missing without a gap told in their place. It returns how many are missing.
func (c *collector) wantNoSilentHole(t *testing.T, from int) (missing int) {
	t.Helper()
	list, gaps := c.distinct()
	next := from
	for _, n := range list {
		if n > next {
			missing += n - next
			if !gaps[n] {
				t.Errorf("events %d to %d are missing, and nobody was told", next, n-1)
			}
		}
		next = n + 1
	}
	return missing
}

func numbered(channel string, n int) bus.Message {
	return bus.Message{Event: event.Event{Channel: channel, Type: "t", ID: fmt.Sprintf("e%d", n), Timestamp: time.Unix(1_700_000_000, 0).UTC(), Data: fmt.Appendf(nil, `{"n":%d}`, n)}}
}

// send publishes until it is accepted, as a publisher does who was told to try again.
func send(t testing.TB, b bus.Bus, messages ...bus.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for len(messages) > 0 {
		r, err := b.Publish(ctx, messages)
		messages = messages[r.Accepted:]
		if err != nil && (!errors.Is(err, bus.ErrUnavailable) || ctx.Err() != nil) {
			t.Error(err)
			return
		}
	}
}

func attach(t *testing.T, b bus.Bus, c *collector) {
	t.Helper()
	if err := b.Attach(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	b.Interest(c.channel, true)
	if err := bus.Established(t.Context(), b, c.channel); err != nil {
		t.Fatal(err)
	}
}

// sendAll sends events one by one.
func sendAll(t testing.TB, b bus.Bus, channel string, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		send(t, b, numbered(channel, n))
	}
}
