//go:build amd64 || arm64

package poll

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// order notes in which order connections are written to, and holds the writer up at some of them.
type order struct {
	mu    sync.Mutex
	names []string
	holds map[int]chan struct{} // by how many were written to before
	held  chan struct{}
}

// ordered is a connection whose writes are noted.
type ordered struct {
	*owner
	name string
	*order
}

func (o *ordered) AppendPrefix(dst []byte, it *queue.Item) []byte {
	o.order.mu.Lock()
	hold := o.holds[len(o.names)]
	o.names = append(o.names, o.name)
	o.order.mu.Unlock()
	if hold != nil {
		o.held <- struct{}{}
		<-hold
	}
	return o.owner.AppendPrefix(dst, it)
}

// at is how many were written to before one.
func (o *order) at(name string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Index(o.names, name)
}

// newOrder makes one that holds the writer up after some numbers of writes.
func newOrder(after ...int) *order {
	o := &order{holds: map[int]chan struct{}{}, held: make(chan struct{})}
	for _, n := range after {
		o.holds[n] = make(chan struct{})
	}
	return o
}

// peers registers n connections of one name.
func (o *order) peers(t *testing.T, p *Poller, name string, n int) []peer {
	list := make([]peer, n)
	for i := range list {
		f := &ordered{newOwner(), name, o}
		s, c := pair(t)
		t.Cleanup(func() { c.Close() })
		if err := p.Register(&f.Conn, f, Registration{Conn: s}); err != nil {
			t.Fatal(err)
		}
		list[i] = peer{f.owner, f.subscribe("q", roomy), bufio.NewReader(c)}
	}
	return list
}

// occupy registers a connection and holds the writer up at it.
func (o *order) occupy(t *testing.T, p *Poller) []peer {
	first := o.peers(t, p, "first", 1)
	await(t, "the writer sleeps", func() bool { return asleep(p) })
	first[0].queue.Enqueue(message("m"))
	<-o.held
	return first
}

// all reads the one message of each.
func all(t *testing.T, payload string, lists ...[]peer) {
	t.Helper()
	for _, c := range slices.Concat(lists...) {
		if got := readLine(t, c.in); got != "q:"+payload {
			t.Fatalf("got %.20q", got)
		}
	}
}

func rings(t *testing.T, f func(t *testing.T, p *Poller)) {
	for _, plain := range []bool{false, true} {
		t.Run(fmt.Sprintf("plain %t", plain), func(t *testing.T) {
			p, err := New(Options{Shards: 1, KeepMemory: true, PlainSends: plain})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = p.Close() })
			f(t, p)
		})
	}
}

// Connections with little to write do not wait until many others have been written much, and the others do not wait for them forever.
func TestLittleBesideMuch(t *testing.T) {
	rings(t, func(t *testing.T, p *Poller) {
		o := newOrder(0)
		first := o.occupy(t, p)
		much, little := o.peers(t, p, "much", 150), o.peers(t, p, "little", 40)
		long := strings.Repeat("l", muchBytes)
		for i, c := range much {
			c.queue.Enqueue(message(long))
			if i < len(little) {
				little[i].queue.Enqueue(message("m"))
			}
		}
		close(o.holds[0])
		all(t, long, much)
		all(t, "m", first, little)
		o.mu.Lock()
		defer o.mu.Unlock()
		slices.Reverse(o.names)
		if last := len(o.names) - slices.Index(o.names, "little"); last > 60 {
			t.Errorf("the last of those with little was the %dth of %d", last, len(o.names))
		}
	})
}

// With much of both, each sort gets its turn when the other has taken as long, by bytes and system calls.
func TestTurnsAreFair(t *testing.T) {
	rings(t, func(t *testing.T, p *Poller) {
		o := newOrder(0)
		first := o.occupy(t, p)
		much, little := o.peers(t, p, "much", 40), o.peers(t, p, "little", 400)
		const long, short = 16 << 10, 1000
		for i, c := range little {
			if i < len(much) {
				much[i].queue.Enqueue(message(strings.Repeat("m", long)))
			}
			c.queue.Enqueue(message(strings.Repeat("m", short)))
		}
		close(o.holds[0])
		all(t, strings.Repeat("m", long), much)
		all(t, strings.Repeat("m", short), little)
		all(t, "m", first)
		o.mu.Lock()
		defer o.mu.Unlock()
		took := map[string]int{}
		for n, name := range o.names[:160] {
			took[name] += callCost
			if took[name] += long; name != "much" {
				took[name] += short - long
			}
			if d := took["much"] - took["little"]; n > maxSorted && (d > 4*(long+callCost) || d < -2*togetherConns*(short+callCost)) {
				t.Fatalf("after %d writes those with much are %d ahead", n, d)
			}
		}
	})
}

// A helper writes to the few connections that wait for him before what the writer was at when it let others run.
func TestHelperComesFirst(t *testing.T) {
	p := newPoller(t, 1)
	s := p.shards[0]
	o := newOrder()
	many, few := o.peers(t, p, "many", 100), o.peers(t, p, "few", 3)
	await(t, "the writer sleeps", func() bool { return asleep(p) })
	func() { // as a writer that pauses
		s.writing.Lock()
		defer s.writing.Unlock()
		for _, c := range many {
			c.queue.Enqueue(message("m"))
		}
		if !s.more() || s.left != len(many) {
			t.Fatalf("%d are left", s.left)
		}
		for _, c := range few {
			c.queue.Enqueue(message("m"))
		}
		if left := s.writeNew(10); left != 10-len(few) || s.left != len(many) || s.behind.first != nil {
			t.Errorf("budget %d, %d are left", left, s.left)
		}
		if !slices.Equal(o.names, []string{"few", "few", "few"}) {
			t.Errorf("%q", o.names)
		}
	}()
	all(t, "m", many, few)
}

// Before what the writer was at comes little only.
func TestHelperDoesNotBringMuch(t *testing.T) {
	p := newPoller(t, 1)
	s := p.shards[0]
	o := newOrder()
	many, few := o.peers(t, p, "many", 10), o.peers(t, p, "few", 3)
	long := strings.Repeat("l", muchBytes)
	await(t, "the writer sleeps", func() bool { return asleep(p) })
	func() { // as a writer that pauses
		s.writing.Lock()
		defer s.writing.Unlock()
		for _, c := range many {
			c.queue.Enqueue(message("m"))
		}
		if !s.more() {
			t.Fatal("nothing is left")
		}
		few[0].queue.Enqueue(message("m"))
		few[1].queue.Enqueue(message(long))
		few[2].queue.Enqueue(message("m"))
		if left := s.writeNew(10); left != 8 || s.left != len(many) || s.rest.first != &many[0].Conn || s.much.first != &few[1].Conn || s.much.last != &few[1].Conn {
			t.Errorf("budget %d, %d are left", left, s.left)
		}
		few[0].queue.Enqueue(message("n"))
		few[2].queue.Enqueue(message("n"))
		if left := s.writeNew(1); left != 0 || s.left != len(many)+1 || s.rest.first != &many[0].Conn || s.rest.last != &few[2].Conn {
			t.Errorf("budget %d, %d are left", left, s.left)
		}
	}()
	all(t, "m", many, few[:1], few[2:])
	all(t, "n", few[:1], few[2:])
	all(t, long, few[1:2])
}

// Who finds the writer at work leaves a few connections to it: they are written to before it lets others run, however many it has.
func TestWriterIsUrged(t *testing.T) {
	rings(t, func(t *testing.T, p *Poller) {
		o := newOrder(0, 5)
		first := o.occupy(t, p)
		many, few := o.peers(t, p, "many", 300), o.peers(t, p, "few", 1)
		for _, c := range many {
			c.queue.Enqueue(message("m"))
		}
		close(o.holds[0])
		<-o.held // at one of the many, which it has taken together
		p.Announce()
		few[0].queue.Enqueue(message("m"))
		p.Help()
		close(o.holds[5])
		all(t, "m", first, many, few)
		if n := o.at("few"); n > 1+2*togetherConns {
			t.Errorf("it was the %dth of %d", n, len(o.names))
		}
		if p.Stats().Helped != 0 {
			t.Error("the helper has written")
		}
	})
}

// What helpers have written while nobody had much to write counts for nothing later.
func TestHelpersOweNothing(t *testing.T) {
	p := newPoller(t, 1)
	s := p.shards[0]
	c := peers(t, p, 1)[0]
	for range 100 {
		p.Announce()
		c.queue.Enqueue(message("m"))
		p.Help()
		readLine(t, c.in)
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.ahead != 0 || p.Stats().Helped == 0 {
		t.Errorf("%d bytes ahead", s.ahead)
	}
}

// A frame that a full socket has cut waits as well.
func TestHeldWaits(t *testing.T) {
	o := newOwner()
	o.Conn.Conn.Init(&o.Conn, nil)
	o.held.Store(&held{item: queue.Item{Message: message(strings.Repeat("l", muchBytes))}})
	if n := o.Conn.waiting(); n != muchBytes {
		t.Errorf("%d bytes wait", n)
	}
}
