package poll

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// openFiles counts the descriptors of the process.
func openFiles(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0 // another system: goroutines and tables are still compared
	}
	return len(list)
}

// Connections come and vanish while others write to them: nobody ever reads what was meant for another one,
// though descriptors and slots are used again at once, and nothing is left behind.
func TestChurn(t *testing.T) {
	backends(t, Options{Shards: 2}, func(t *testing.T, p *Poller) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		files, goroutines := openFiles(t), runtime.NumGoroutine()
		accepted := make(chan struct{})
		go func() {
			defer close(accepted)
			for {
				nc, err := l.Accept()
				if err != nil {
					return
				}
				o := newOwner()
				o.onBytes = (*owner).flood
				if err := p.Register(&o.Conn, o, Registration{Conn: nc}); err != nil {
					t.Error(err)
				}
			}
		}()
		var wg sync.WaitGroup
		for w := range 16 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(9, uint64(w)))
				for i := range 60 {
					visit(t, l.Addr().String(), fmt.Sprintf("%d-%d", w, i), r)
				}
			})
		}
		wg.Wait()
		await(t, "all gone", func() bool { return p.Stats().Open == 0 })
		await(t, "descriptors", func() bool { return openFiles(t) <= files })
		l.Close()
		<-accepted
		await(t, "goroutines", func() bool { return runtime.NumGoroutine() <= goroutines+1 }) // + sweeps of streams
		for _, s := range append(p.shards, p.portable) {
			s.table.each(func(*Conn) { t.Error("a connection is left in a table") })
			if free, used := len(s.table.free), int(s.table.used); free != used {
				t.Errorf("%d of %d slots are free", free, used)
			}
		}
	})
}

// flood answers the peer's name with many messages that carry it, from another goroutine that goes on while
// the connection dies.
func (o *owner) flood(name []byte) {
	q := o.subscribe(string(name), roomy)
	m := message(strings.Repeat("f", 3000))
	go func() {
		for range 200 {
			if q.Enqueue(m) == queue.Gone {
				return
			}
		}
	}()
}

// visit connects, sends its name, reads a while and vanishes in one of several ways.
func visit(t *testing.T, addr, name string, r *rand.Rand) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer nc.Close()
	if _, err := nc.Write([]byte(name)); err != nil {
		t.Error(err)
		return
	}
	in := bufio.NewReader(nc)
	for range r.IntN(30) {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		if !strings.HasPrefix(line, name+":") {
			t.Errorf("%s: got a line that begins %.20q", name, line)
			return
		}
	}
	if r.IntN(2) == 0 {
		_ = nc.(*net.TCPConn).SetLinger(0) // reset instead of an orderly end
	}
}

// An event that is late finds neither the old connection nor the new one in its slot.
func TestStaleSlot(t *testing.T) {
	var tab table
	a, b := &Conn{}, &Conn{}
	tab.add(a)
	tab.setDeadline(a.slot, 1)
	slot, gen := a.slot, a.gen
	if tab.get(slot, gen) != a {
		t.Fatal("not found")
	}
	tab.remove(a)
	tab.expired(5, func(*Conn) { t.Error("the deadline of a removed connection") })
	if tab.get(slot, gen) != nil {
		t.Error("found after remove")
	}
	tab.add(b)
	if b.slot == slot {
		t.Error("the slot was given away before release")
	}
	tab.release(slot)
	c := &Conn{}
	tab.add(c)
	if c.slot != slot || tab.get(slot, gen) != nil || tab.get(slot, c.gen) != c {
		t.Error("a stale generation finds the new connection")
	}
	if tab.get(1<<20, 0) != nil {
		t.Error("found beyond the table")
	}
	tab.expired(1<<31, func(*Conn) { t.Error("a deadline was inherited") })
}

func TestTableGrows(t *testing.T) {
	var tab table
	conns := make([]*Conn, 3*chunkSlots+1)
	for i := range conns {
		conns[i] = &Conn{}
		tab.add(conns[i])
		tab.setDeadline(conns[i].slot, uint32(1+i%3))
	}
	for _, c := range conns {
		if tab.get(c.slot, c.gen) != c {
			t.Fatal("lost")
		}
	}
	for now, want := range []int{0, chunkSlots + 1, chunkSlots, chunkSlots} {
		n := 0
		tab.expired(uint32(now), func(*Conn) { n++ })
		if n != want {
			t.Errorf("tick %d: %d deadlines, want %d", now, n, want)
		}
	}
}
