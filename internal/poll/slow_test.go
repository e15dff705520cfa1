package poll

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// overflow stalls a connection with a message beyond what sockets buffer and fills its queue until the policy closes it.
func overflow(t testing.TB, o *owner) (huge string) {
	t.Helper()
	q := o.subscribe("a", &queue.Policy{Messages: 10, Bytes: 1 << 20})
	huge = strings.Repeat("h", 16<<20)
	q.Enqueue(message(huge))
	await(t, "taken", func() bool { return q.Len() == 0 })
	// The writer may hold some of them for the moment in which it finds the socket full again: the bound is exact
	// in package queue's tests, here it is enough that it is met.
	for i := 0; ; i++ {
		r := q.Enqueue(message("waits"))
		if r == queue.Closed {
			break
		}
		if r != queue.Enqueued || i > 100_000 {
			t.Fatalf("message %d: %v", i, r)
		}
	}
	return huge
}

// A stalled subscriber with policy CLOSE is closed with 4290: after its half-sent frame, if it reads again.
func TestSlowConsumerReadsAgain(t *testing.T) {
	backends(t, Options{}, func(t *testing.T, p *Poller) {
		o := newOwner()
		c := connect(t, p, o, Registration{})
		huge := overflow(t, o)
		r := bufio.NewReaderSize(c, 1<<20)
		if got := readLine(t, r); got != "a:"+huge {
			t.Fatalf("half-sent frame: %d bytes", len(got))
		}
		if got := readLine(t, r); got != "close 4290 slow consumer: queue full" {
			t.Fatalf("got %.80q", got)
		}
		c.Close()
		if err := <-o.closed; err != nil {
			t.Errorf("OnClose(%v)", err)
		}
		if o.CloseCode() != queue.CodeSlowConsumer {
			t.Errorf("close code %d", o.CloseCode())
		}
	})
}

// A stalled subscriber that never reads again is reset after the linger, and what waited is freed.
func TestSlowConsumerReset(t *testing.T) {
	backends(t, Options{Tick: time.Millisecond, Linger: 5 * time.Millisecond}, func(t *testing.T, p *Poller) {
		o := newOwner()
		connect(t, p, o, Registration{})
		overflow(t, o)
		if err := <-o.closed; err != ErrReset {
			t.Errorf("OnClose(%v)", err)
		}
		if o.CloseCode() != queue.CodeSlowConsumer || o.Bytes() != 0 {
			t.Errorf("close code %d, %d bytes wait", o.CloseCode(), o.Bytes())
		}
	})
}

// While one connection is stalled, another one of the same shard gets everything.
func TestStalledNeighbour(t *testing.T) {
	backends(t, Options{Shards: 1}, func(t *testing.T, p *Poller) {
		slow, quick := newOwner(), newOwner()
		connect(t, p, slow, Registration{})
		r := bufio.NewReader(connect(t, p, quick, Registration{}))
		sq := slow.subscribe("s", &queue.Policy{Overflow: queue.DropOldest, Messages: 20, Bytes: 1 << 20})
		qq := quick.subscribe("q", roomy)
		m := message(strings.Repeat("y", 20_000))
		for i := range 500 {
			sq.Enqueue(m)
			qq.Enqueue(message(fmt.Sprint(i)))
			if got := readLine(t, r); got != fmt.Sprintf("q:%d", i) {
				t.Fatalf("got %q", got)
			}
		}
		if n := sq.Len(); n > 20 {
			t.Errorf("%d messages wait for the slow one", n)
		}
	})
}

// A half-sent frame is finished although its subscription was completed meanwhile; nothing else of it follows.
func TestHalfSentFrame(t *testing.T) {
	backends(t, Options{}, func(t *testing.T, p *Poller) {
		o := newOwner()
		c := connect(t, p, o, Registration{})
		a := o.subscribe("a", roomy)
		huge := strings.Repeat("h", 16<<20)
		a.Enqueue(message(huge))
		await(t, "taken", func() bool { return a.Len() == 0 })
		a.Enqueue(message("stale"))
		a.Complete()
		b := o.subscribe("a", roomy) // the same id again
		b.Enqueue(message("fresh"))
		r := bufio.NewReaderSize(c, 1<<20)
		if got := readLine(t, r); got != "a:"+huge {
			t.Fatalf("half-sent frame: %d bytes, %.40q", len(got), got)
		}
		if got := readLine(t, r); got != "a:fresh" {
			t.Errorf("got %.40q", got)
		}
	})
}

// Every byte arrives, in order, however the socket fills: random sizes around the limits of batch and copy.
func TestStreamIntegrity(t *testing.T) {
	backends(t, Options{}, func(t *testing.T, p *Poller) {
		r := rand.New(rand.NewPCG(5, 6))
		o := newOwner()
		c := connect(t, p, o, Registration{})
		q := o.subscribe("a", roomy)
		const n = 400
		sizes := make([]int, n)
		for i := range sizes {
			sizes[i] = []int{r.IntN(200), bigPayload - 2 + r.IntN(4), r.IntN(100_000)}[r.IntN(3)]
		}
		go func() {
			for i, size := range sizes {
				q.Enqueue(message(strings.Repeat(string(rune('a'+i%26)), size)))
			}
		}()
		in := bufio.NewReaderSize(chunked{c, r}, 64<<10)
		for i, size := range sizes {
			want := "a:" + strings.Repeat(string(rune('a'+i%26)), size)
			if got := readLine(t, in); got != want {
				t.Fatalf("message %d of %d bytes: got %d bytes", i, len(want), len(got))
			}
		}
	})
}

// chunked reads random small pieces.
type chunked struct {
	r io.Reader
	n *rand.Rand
}

func (c chunked) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), 1+c.n.IntN(30_000))]) }

// Messages that gather while the socket is full go out many to a write.
func TestCoalescing(t *testing.T) {
	backends(t, Options{}, func(t *testing.T, p *Poller) {
		o := newOwner()
		c := connect(t, p, o, Registration{})
		big, small := o.subscribe("big", roomy), o.subscribe("small", roomy)
		big.Enqueue(message(strings.Repeat("h", 16<<20)))
		await(t, "taken", func() bool { return big.Len() == 0 })
		before := p.Stats()
		const n = 5000
		for i := range n {
			small.Enqueue(message(fmt.Sprint(i)))
		}
		r := bufio.NewReaderSize(c, 1<<20)
		readLine(t, r)
		blocked := p.Stats()
		for i := range n {
			if got := readLine(t, r); got != fmt.Sprintf("small:%d", i) {
				t.Fatalf("got %q", got)
			}
		}
		await(t, "count", func() bool { return p.Stats().Frames == n+1 })
		if w := p.Stats().Writes - blocked.Writes; w > n/20 {
			t.Errorf("%d messages in %d writes", n, w)
		}
		if before.Open != 1 {
			t.Errorf("stats %+v", before)
		}
	})
}

// When idle, a message is written at once, alone.
func TestWritesAtOnce(t *testing.T) {
	backends(t, Options{}, func(t *testing.T, p *Poller) {
		o := newOwner()
		r := bufio.NewReader(connect(t, p, o, Registration{}))
		q := o.subscribe("a", roomy)
		for i := range 100 {
			q.Enqueue(message(fmt.Sprint(i)))
			if got := readLine(t, r); got != fmt.Sprintf("a:%d", i) {
				t.Fatalf("got %q", got)
			}
		}
		await(t, "count", func() bool { return p.Stats().Frames == 100 })
		if s := p.Stats(); s.Writes != 100 {
			t.Errorf("%d writes", s.Writes)
		}
	})
}
