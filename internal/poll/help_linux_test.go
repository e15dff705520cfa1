//go:build amd64 || arm64

package poll

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// peer is a connection with a queue and what its client reads.
type peer struct {
	*owner
	queue *queue.Queue
	in    *bufio.Reader
}

// peers registers n connections.
func peers(t *testing.T, p *Poller, n int) []peer {
	list := make([]peer, n)
	for i := range list {
		o := newOwner()
		in := bufio.NewReader(connect(t, p, o, Registration{}))
		list[i] = peer{o, o.subscribe("q", roomy), in}
	}
	await(t, "the writers sleep", func() bool { return asleep(p) })
	return list
}

// asleep reports whether all writers sleep.
func asleep(p *Poller) bool {
	for _, s := range p.shards {
		if !s.dirty.sleeping.Load() {
			return false
		}
	}
	return true
}

func newPoller(t *testing.T, shards int) *Poller {
	p, err := New(Options{Shards: shards, KeepMemory: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// A few connections wait for the helper, who writes to them; no writer is woken.
func TestHelperWrites(t *testing.T) {
	p := newPoller(t, 2)
	list := peers(t, p, fewConns-1)
	for round := range 50 {
		p.Announce()
		for _, c := range list {
			c.queue.Enqueue(message(fmt.Sprint(round)))
		}
		if n := p.Stats().Frames; n != int64(round*len(list)) || !asleep(p) {
			t.Fatalf("%d frames before the helper", n)
		}
		p.Help()
		if !asleep(p) {
			t.Fatal("a writer was woken")
		}
		for _, c := range list {
			if got := readLine(t, c.in); got != fmt.Sprintf("q:%d", round) {
				t.Fatalf("got %q", got)
			}
		}
	}
	if s := p.Stats(); s.Helped != s.Frames || s.Writes != s.Frames {
		t.Errorf("%+v", s)
	}
}

// What is more than a few is not left to the helper: the writer has it while the announcement stands.
func TestManyWakeTheWriter(t *testing.T) {
	p := newPoller(t, 1)
	list := peers(t, p, fewConns)
	p.Announce()
	defer p.Help()
	for _, c := range list {
		c.queue.Enqueue(message("m"))
	}
	for _, c := range list {
		readLine(t, c.in)
	}
	if n := p.Stats().Helped; n != 0 {
		t.Errorf("helped %d", n)
	}
}

// What is more than a few over all shards together is written by all writers at once, even if it is few for each.
func TestHelpIsBounded(t *testing.T) {
	p := newPoller(t, 3)
	list := peers(t, p, fewConns+1)
	p.Announce()
	for _, c := range list {
		c.queue.Enqueue(message("m"))
	}
	p.Help()
	for _, c := range list {
		readLine(t, c.in)
	}
	if n := p.Stats().Helped; n != 0 {
		t.Errorf("helped %d", n)
	}
}

// A long message is the writer's, like replies, which nobody may delay.
func TestNotForHelpers(t *testing.T) {
	p := newPoller(t, 1)
	c := peers(t, p, 1)[0]
	p.Announce()
	c.Control(queue.Control{Kind: queue.Text, Data: []byte("reply")})
	if got := readLine(t, c.in); got != "reply" {
		t.Fatalf("got %q", got)
	}
	await(t, "the writer sleeps", func() bool { return asleep(p) })
	long := strings.Repeat("l", fewBytes+1)
	c.queue.Enqueue(message(long))
	p.Help()
	if got := readLine(t, c.in); got != "q:"+long {
		t.Fatalf("got %d bytes", len(got))
	}
	if n := p.Stats().Helped; n != 0 {
		t.Errorf("helped %d", n)
	}
}

// A helper that finds another one writing leaves his connection to that one, who has no budget left by then and wakes
// the writer.
func TestHelperMeetsHelper(t *testing.T) {
	p := newPoller(t, 2)
	var byShard [2][]peer
	for _, c := range peers(t, p, 2*fewConns) {
		i := slices.Index(p.shards, c.shard)
		byShard[i] = append(byShard[i], c)
	}
	first, late := byShard[1][0], byShard[1][1]
	p.Announce()
	for _, c := range append(byShard[0][:fewConns-1:fewConns-1], first) {
		c.queue.Enqueue(message("m"))
	}
	first.io.Lock() // the helper has to wait before his last one
	done := make(chan struct{})
	go func() { p.Help(); close(done) }()
	// Trying for the role would take it from the helper: what is seen is that he has it, and waits.
	await(t, "the helper has taken the list", func() bool { return p.shards[1].dirty.head.Load() == nil })
	p.Announce()
	late.queue.Enqueue(message("late"))
	p.Help()
	if n := p.Stats().Frames; n != fewConns-1 {
		t.Fatalf("%d frames", n)
	}
	first.io.Unlock()
	<-done
	if a, b := readLine(t, first.in), readLine(t, late.in); a != "q:m" || b != "q:late" {
		t.Errorf("got %q, %q", a, b)
	}
	if n := p.Stats().Helped; n != fewConns {
		t.Errorf("helped %d", n)
	}
}

// fragile panics when it is written to.
type fragile struct{ *owner }

func (fragile) AppendPrefix([]byte, *queue.Item) []byte { panic("framing") }

// A panic of the publisher, or under the helper's hands, leaves no announcement, and nobody else's message, behind.
func TestHelperPanics(t *testing.T) {
	p := newPoller(t, 1)
	c := peers(t, p, 1)[0]
	bad := fragile{newOwner()}
	connectAs(t, p, bad)
	recovered := func(f func()) (value any) {
		defer func() { value = recover() }()
		p.Announce()
		defer p.Help()
		f()
		return nil
	}
	if v := recovered(func() {
		c.queue.Enqueue(message("kept"))
		panic("publisher")
	}); v != "publisher" {
		t.Fatalf("recovered %v", v)
	}
	if got := readLine(t, c.in); got != "q:kept" {
		t.Fatalf("got %q", got)
	}
	if v := recovered(func() {
		bad.subscribe("b", roomy).Enqueue(message("lost"))
		c.queue.Enqueue(message("behind it"))
	}); v != "framing" {
		t.Fatalf("recovered %v", v)
	}
	if got := readLine(t, c.in); got != "q:behind it" {
		t.Fatalf("got %q", got)
	}
	if err := <-bad.closed; err != ErrReset {
		t.Errorf("OnClose(%v)", err)
	}
	if n := p.helpers.Load(); n != 0 {
		t.Errorf("%d announcements are left", n)
	}
}

func connectAs(t *testing.T, p *Poller, f fragile) {
	s, c := pair(t)
	t.Cleanup(func() { c.Close() })
	if err := p.Register(&f.Conn, f, Registration{Conn: s}); err != nil {
		t.Fatal(err)
	}
}

// While somebody waits before he helps, nothing is left to him.
func TestNothingIsLeftToWhoWaits(t *testing.T) {
	p := newPoller(t, 1)
	c := peers(t, p, 1)[0]
	want := func(text string) {
		t.Helper()
		if got := readLine(t, c.in); got != "q:"+text {
			t.Fatalf("got %q, want %q", got, text)
		}
		await(t, "the writer sleeps", func() bool { return asleep(p) })
	}
	p.Announce()
	c.queue.Enqueue(message("before"))
	p.Suspend()
	want("before")
	c.queue.Enqueue(message("meanwhile"))
	want("meanwhile")
	p.Resume()
	c.queue.Enqueue(message("after"))
	if !asleep(p) {
		t.Error("the writer was woken for what a helper writes")
	}
	p.Help()
	want("after")
}

// TestHelpAllocations: a delivery by a helper allocates nothing.
func TestHelpAllocations(t *testing.T) {
	p := newPoller(t, 1)
	o := newOwner()
	server, far := socketpair(t)
	defer syscall.Close(far)
	if err := p.Register(&o.Conn, o, Registration{Conn: server}); err != nil {
		t.Fatal(err)
	}
	q, m, buf := o.subscribe("id", roomy), message("small"), make([]byte, 1024)
	if n := testing.AllocsPerRun(500, func() {
		p.Announce()
		q.Enqueue(m)
		p.Help()
		if _, err := syscall.Read(far, buf); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// No wake-up is lost, with several publishers of which some help. Nothing is published before everything has arrived,
// so that nothing later can make good for a wake-up that was forgotten.
func TestHelpersLoseNothing(t *testing.T) {
	t.Run("quiet", func(t *testing.T) { loseNothing(t, 1500, func(*testing.T, *Poller) func() { return func() {} }) })
	t.Run("stalls and churn", func(t *testing.T) { loseNothing(t, 150, stallAndChurn) })
}

func loseNothing(t *testing.T, rounds int, beside func(*testing.T, *Poller) (stop func())) {
	const conns, publishers = 24, 4
	p := newPoller(t, 2)
	list := make([]peer, conns)
	queues := make([][publishers]*queue.Queue, conns)
	for i := range list {
		o := newOwner()
		list[i] = peer{owner: o, in: bufio.NewReader(connect(t, p, o, Registration{}))}
		for n := range publishers {
			queues[i][n] = o.subscribe(fmt.Sprint(n), roomy)
		}
	}
	stop := beside(t, p)
	defer stop()
	var sent [conns][publishers]atomic.Int32
	var got [conns][publishers]int32
	for round := range rounds {
		var wg sync.WaitGroup
		for n := range publishers {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(round), uint64(n)))
				for range 1 + r.IntN(6) {
					helps := r.IntN(4) > 0
					if helps {
						p.Announce()
					}
					for range 1 + r.IntN([]int{2, 2, 2 * fewConns}[r.IntN(3)]) {
						i := r.IntN(conns)
						queues[i][n].Enqueue(message(fmt.Sprintf("%d%s", sent[i][n].Add(1), strings.Repeat(" ", r.IntN(3000)))))
					}
					if r.IntN(4) == 0 {
						p.Suspend()
						runtime.Gosched()
						p.Resume()
					}
					if helps {
						p.Help()
					}
				}
			})
		}
		wg.Wait()
		for i := range list {
			for n := range publishers {
				for left := sent[i][n].Load() - got[i][n]; left > 0; left-- {
					list[i].next(t, &got[i])
				}
			}
		}
	}
	stop()
	if s := p.Stats(); s.Helped == 0 || p.helpers.Load() != 0 {
		t.Errorf("%+v, %d announcements", s, p.helpers.Load())
	}
}

// next reads one message and checks that it is the next one of its publisher.
func (c *peer) next(t *testing.T, got *[4]int32) {
	var n, seq int32
	line := readLine(t, c.in)
	if _, err := fmt.Sscanf(line, "%d:%d", &n, &seq); err != nil {
		t.Fatalf("%.20q: %v", line, err)
	}
	if got[n]++; seq != got[n] {
		t.Fatalf("publisher %d: message %d, want %d", n, seq, got[n])
	}
}

// stallAndChurn sends, with help, to connections that never read and to others that vanish, until the function that
// it returns is called.
func stallAndChurn(t *testing.T, p *Poller) (stop func()) {
	var wg sync.WaitGroup
	done := make(chan struct{})
	work := func(f func()) {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					f()
				}
			}
		})
	}
	send := func(q *queue.Queue, m *queue.Message) {
		p.Announce()
		q.Enqueue(m)
		p.Help()
	}
	drops := &queue.Policy{Overflow: queue.DropOldest, Messages: 20, Bytes: 1 << 20}
	stalled := newOwner()
	connect(t, p, stalled, Registration{})
	sq, sm := stalled.subscribe("s", drops), message(strings.Repeat("s", 20_000))
	work(func() { send(sq, sm) })
	work(func() {
		o := newOwner()
		s, c := pair(t)
		if err := p.Register(&o.Conn, o, Registration{Conn: s}); err != nil {
			t.Error(err)
			return
		}
		q := o.subscribe("v", drops)
		for range 5 {
			send(q, message("v"))
		}
		_ = c.SetLinger(0)
		c.Close()
		send(q, message("late"))
		<-o.closed
	})
	return sync.OnceFunc(func() { close(done); wg.Wait() })
}
