//go:build amd64 || arm64

package poll

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
	"github.com/fraiseql/fraiseql-go/internal/uring"
)

// fake is a ring that makes its sends one by one and lets a test decide what becomes of each.
type fake struct {
	fds      []int32
	messages [][]byte
	results  []int32
	err      error
	before   func(fds []int32)                     // may be nil
	send     func(fd int32, message []byte) []byte // what of it is sent; nil: Unsent
	closed   int
}

func (f *fake) Add(fd int32, message []byte) {
	f.fds, f.messages = append(f.fds, fd), append(f.messages, message)
}

func (f *fake) Submit() []int32 {
	if f.before != nil && len(f.fds) > 0 {
		f.before(f.fds)
	}
	f.results = f.results[:0]
	for i, fd := range f.fds {
		f.results = append(f.results, f.one(fd, f.messages[i]))
	}
	f.Discard()
	return f.results
}

func (f *fake) one(fd int32, message []byte) int32 {
	part := f.send(fd, message)
	switch {
	case f.err != nil || part == nil:
		return uring.Unsent
	case len(part) == 0:
		return uring.Lost
	}
	n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&part[0])), uintptr(len(part)), syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return -int32(errno)
	}
	return int32(n)
}

func (f *fake) Discard()     { f.fds, f.messages = f.fds[:0], f.messages[:0] }
func (f *fake) Err() error   { return f.err }
func (f *fake) Close() error { f.closed++; return nil }

// withRing puts a ring in the place of the only writer's, which sleeps.
func withRing(t *testing.T, p *Poller, ring submitter) {
	await(t, "the writer sleeps", func() bool { return asleep(p) })
	s := p.shards[0]
	s.writing.Lock()
	defer s.writing.Unlock()
	s.endTogether()
	s.together = &together{ring: ring}
	s.stats.rings.Store(1)
}

// publish gives every connection its message while the writers are kept from their work, so that they find all of them.
func publish(p *Poller, list []peer, text func(i int) string) {
	for _, s := range p.shards {
		s.writing.Lock()
	}
	for i, c := range list {
		c.queue.Enqueue(message(text(i)))
	}
	for _, s := range p.shards {
		s.writing.Unlock()
	}
}

// Messages to many connections go out together, in order, complete, and so do those that are too long for that.
func TestTogether(t *testing.T) {
	p := newPoller(t, 1)
	list := peers(t, p, 3*togetherConns)
	r := rand.New(rand.NewPCG(3, 4))
	for range 30 {
		texts := make([]string, len(list))
		for i := range texts {
			texts[i] = strings.Repeat(string(rune('a'+i%26)), []int{r.IntN(300), togetherBytes - 100 + r.IntN(200), r.IntN(20_000)}[max(0, r.IntN(12)-9)])
		}
		publish(p, list, func(i int) string { return texts[i] })
		for i, c := range list {
			if got := readLine(t, c.in); got != "q:"+texts[i] {
				t.Fatalf("connection %d: %d bytes, want %d", i, len(got), len(texts[i])+2)
			}
		}
	}
	s := p.Stats()
	if why := p.Ringless(); why != nil {
		t.Logf("without io_uring: %v", why)
		if s.Rings != 0 || s.Together != 0 {
			t.Errorf("%+v", s)
		}
		return
	}
	if s.Rings != 1 || s.Together == 0 {
		t.Errorf("%+v", s)
	}
}

// Whatever a ring does with a send, the bytes that arrive are those that were meant: parts, nothing, or that it breaks.
func TestRingFails(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	whole := func(_ int32, m []byte) []byte { return m }
	for name, f := range map[string]*fake{
		"nothing": {send: func(int32, []byte) []byte { return nil }},
		"parts":   {send: func(_ int32, m []byte) []byte { return m[:1+r.IntN(len(m))] }},
		"some":    {send: func(_ int32, m []byte) []byte { return [][]byte{nil, m, m[:1]}[r.IntN(3)] }},
		"breaks":  {send: whole},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPoller(t, 1)
			list := peers(t, p, 40)
			if name == "breaks" {
				n := 0
				f.send = func(_ int32, m []byte) []byte {
					if n++; n == 100 { // in the midst of a batch
						f.err = errors.New("broken")
					}
					return m
				}
			}
			withRing(t, p, f)
			for round := range 20 {
				publish(p, list, func(i int) string { return fmt.Sprintf("%d/%d", round, i) })
				for i, c := range list {
					if got, want := readLine(t, c.in), fmt.Sprintf("q:%d/%d", round, i); got != want {
						t.Fatalf("got %q, want %q", got, want)
					}
				}
			}
			await(t, "the writer sleeps", func() bool { return asleep(p) })
			if broken := name == "breaks"; broken != (f.closed == 1) || broken != (p.Stats().Rings == 0) || broken && p.Ringless().Error() != "broken" {
				t.Errorf("closed %d, %v, %+v", f.closed, p.Ringless(), p.Stats())
			}
		})
	}
}

// A connection of whose send nothing is known is reset; the others of its batch are not touched.
func TestLostSend(t *testing.T) {
	p := newPoller(t, 1)
	list := peers(t, p, 2*togetherLeast)
	bad := list[3].fd
	withRing(t, p, &fake{send: func(fd int32, m []byte) []byte {
		if fd == bad {
			return []byte{}
		}
		return m
	}})
	publish(p, list, func(int) string { return "m" })
	for i, c := range list {
		if i == 3 {
			<-c.closed
			continue
		}
		if got := readLine(t, c.in); got != "q:m" {
			t.Errorf("connection %d: %q", i, got)
		}
	}
}

// While a batch is with the system its descriptors stay what they are, whoever wants to end a connection; then it ends.
func TestNoDescriptorIsUsedAgain(t *testing.T) {
	p := newPoller(t, 1)
	list := peers(t, p, 2*togetherLeast)
	var ending sync.WaitGroup
	inode := func(fd int32) uint64 {
		var st syscall.Stat_t
		if err := syscall.Fstat(int(fd), &st); err != nil {
			t.Error(err)
		}
		return st.Ino
	}
	begun := make(chan struct{})
	once := sync.OnceFunc(func() {
		defer close(begun)
		for i := range 3 {
			ending.Go(list[i].Abort)
		}
		for i := 3; i < 6; i++ { // the reader learns of it and closes
			ending.Go(func() { p.shards[0].finish(&list[i].Conn, ErrReset, true) })
		}
	})
	f := &fake{send: func(_ int32, m []byte) []byte { return m }}
	f.before = func(fds []int32) {
		was := make([]uint64, len(fds))
		for i, fd := range fds {
			was[i] = inode(fd)
		}
		once()
		for range 200 { // they have every chance, and descriptors that were free would be taken
			runtime.Gosched()
			if fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0); err == nil {
				defer syscall.Close(fd)
			}
		}
		for i, fd := range fds {
			if inode(fd) != was[i] {
				t.Errorf("descriptor %d is another socket", fd)
			}
		}
	}
	withRing(t, p, f)
	publish(p, list, func(int) string { return "m" })
	for _, c := range list[6:] {
		if got := readLine(t, c.in); got != "q:m" {
			t.Errorf("got %q", got)
		}
	}
	<-begun
	ending.Wait()
	for _, c := range list[:6] {
		if err := <-c.closed; err != ErrReset {
			t.Errorf("OnClose(%v)", err)
		}
	}
}

// A panic of framing in the midst of a batch leaves no lock, and nobody with a gap: those whose messages were taken are reset.
func TestGatherPanics(t *testing.T) {
	p := newPoller(t, 1)
	s := p.shards[0]
	list := peers(t, p, 6)
	bad := fragile{newOwner()}
	connectAs(t, p, bad)
	withRing(t, p, &fake{send: func(_ int32, m []byte) []byte { return m }})
	p.Announce() // the writer sleeps on
	s.writing.Lock()
	for _, c := range list[:3] {
		c.queue.Enqueue(message("taken"))
	}
	bad.subscribe("b", roomy).Enqueue(message("breaks"))
	for _, c := range list[3:] {
		c.queue.Enqueue(message("kept"))
	}
	func() {
		defer func() {
			if v := recover(); v != "framing" {
				t.Errorf("recovered %v", v)
			}
		}()
		if s.more() {
			s.writeTogether()
		}
	}()
	s.writing.Unlock()
	p.Help()
	s.dirty.rouse() // for the rest that was taken with them
	for _, c := range list[3:] {
		if got := readLine(t, c.in); got != "q:kept" {
			t.Errorf("got %q", got)
		}
	}
	for _, c := range []*owner{list[0].owner, list[1].owner, list[2].owner, bad.owner} {
		if err := <-c.closed; err != ErrReset {
			t.Errorf("OnClose(%v)", err)
		}
	}
}

// narrow returns both ends of a connection that holds little.
func narrow(t *testing.T) (server, client net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.SetsockoptInt(fds[0], syscall.SOL_SOCKET, syscall.SO_SNDBUF, 8<<10); err != nil {
		t.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "end")
		if ends[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	t.Cleanup(func() { ends[1].Close() })
	return ends[0], ends[1]
}

// Clients that are slow, that never read and that vanish, among others: those that read get every byte in order.
func TestTogetherSlow(t *testing.T) {
	for _, plain := range []bool{false, true} {
		t.Run(map[bool]string{false: "native", true: "plain"}[plain], func(t *testing.T) {
			p, err := New(Options{Shards: 1, KeepMemory: true, PlainSends: plain})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			const rounds = 200
			text := strings.Repeat("s", 3000)
			var clients sync.WaitGroup
			queues := make([]*queue.Queue, 40)
			for i := range queues {
				o := newOwner()
				server, c := narrow(t)
				if err := p.Register(&o.Conn, o, Registration{Conn: server}); err != nil {
					t.Fatal(err)
				}
				policy := roomy
				switch i % 4 {
				case 0, 1:
					clients.Go(func() { readAll(t, c, i, rounds, text) })
				case 2: // never reads
					policy = &queue.Policy{Overflow: queue.DropOldest, Messages: 20, Bytes: 1 << 20}
				case 3: // vanishes
					clients.Go(func() {
						if _, err := c.Read(make([]byte, 100)); err != nil {
							t.Error(err)
						}
						c.Close()
						<-o.closed
					})
				}
				queues[i] = o.subscribe("q", policy)
			}
			for n := range rounds {
				for i, q := range queues {
					q.Enqueue(message(fmt.Sprintf("%d/%d/%s", i, n, text[:(n*97)%3000])))
				}
			}
			clients.Wait()
			if s := p.Stats(); s.Blocked < 10 || s.Rings == 0 != (p.Ringless() != nil) {
				t.Errorf("%+v, %v", s, p.Ringless())
			}
		})
	}
}

// readAll reads what a connection is to get, little at a time.
func readAll(t *testing.T, c net.Conn, i, rounds int, text string) {
	in := bufio.NewReaderSize(c, 512)
	for n := range rounds {
		if got, want := readLine(t, in), fmt.Sprintf("q:%d/%d/%s", i, n, text[:(n*97)%3000]); got != want {
			t.Errorf("connection %d, message %d: %.30q of %d bytes", i, n, got, len(got))
			return
		}
	}
}

// Where a filter forbids io_uring everything is as it is without.
func TestRingForbidden(t *testing.T) {
	if !testkit.Forbidden(t, syscall.EPERM, 425) {
		return
	}
	p := newPoller(t, 2)
	list := peers(t, p, 50)
	for round := range 5 {
		publish(p, list, func(int) string { return fmt.Sprint(round) })
		for _, c := range list {
			if got := readLine(t, c.in); got != fmt.Sprintf("q:%d", round) {
				t.Fatalf("got %q", got)
			}
		}
	}
	await(t, "count", func() bool { return p.Stats().Frames == 250 })
	if s := p.Stats(); s.Rings != 0 || s.Together != 0 || !errors.Is(p.Ringless(), syscall.EPERM) {
		t.Errorf("%+v, %v", s, p.Ringless())
	}
}

// Processors come and go under a poller that runs.
func TestProcessorsChange(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	p := newPoller(t, 2)
	list := peers(t, p, 50)
	for round := range 20 {
		runtime.GOMAXPROCS(1 + round%4)
		publish(p, list, func(int) string { return fmt.Sprint(round) })
		for _, c := range list {
			if got := readLine(t, c.in); got != fmt.Sprintf("q:%d", round) {
				t.Fatalf("got %q", got)
			}
		}
	}
}

// TestTogetherAllocations: deliveries by a ring allocate nothing.
func TestTogetherAllocations(t *testing.T) {
	p := newPoller(t, 1)
	var queues [2 * togetherLeast]*queue.Queue
	var far [2 * togetherLeast]int
	for i := range queues {
		o := newOwner()
		server, end := socketpair(t)
		defer syscall.Close(end)
		if err := p.Register(&o.Conn, o, Registration{Conn: server}); err != nil {
			t.Fatal(err)
		}
		queues[i], far[i] = o.subscribe("id", roomy), end
	}
	m, in := message("small"), make([]byte, 1<<10)
	if n := testing.AllocsPerRun(300, func() {
		for _, q := range queues {
			q.Enqueue(m)
		}
		for _, fd := range far {
			if _, err := syscall.Read(fd, in); err != nil {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
