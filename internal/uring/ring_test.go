//go:build linux && (amd64 || arm64)

package uring

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.NoLeaks(m)) }

// newRing makes a ring. A system that has none is told from one where there ought to be one by what it says.
func newRing(t testing.TB, size int) *Ring {
	t.Helper()
	r, err := New(size)
	if err != nil {
		if errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EPERM) {
			t.Logf("there is no io_uring here: %v", err)
			return nil
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// pair returns two ends of a stream inside the kernel.
func pair(t testing.TB) (near, far int) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fds[0]); _ = syscall.Close(fds[1]) })
	return fds[0], fds[1]
}

func received(t testing.TB, fd int) string {
	t.Helper()
	p := make([]byte, 1<<20)
	n, err := syscall.Read(fd, p)
	if err != nil && err != syscall.EAGAIN {
		t.Fatal(err)
	}
	return string(p[:max(n, 0)])
}

func TestSends(t *testing.T) {
	r := newRing(t, 8)
	if r == nil {
		return
	}
	var near, far [8]int
	for i := range near {
		near[i], far[i] = pair(t)
	}
	for round := range 100 {
		n := 1 + round%8
		for i := range n {
			r.Add(int32(near[i]), bytes.Repeat([]byte{byte('a' + round%26)}, 1+i))
		}
		if r.Len() != n || r.Size() != 8 {
			t.Fatalf("%d of %d", r.Len(), r.Size())
		}
		results := r.Submit()
		if len(results) != n || r.Len() != 0 {
			t.Fatalf("%d results, %d left", len(results), r.Len())
		}
		for i, got := range results {
			if text := received(t, far[i]); int(got) != 1+i || text != strings.Repeat(string(rune('a'+round%26)), 1+i) {
				t.Fatalf("send %d of round %d: %d, %q", i, round, got, text)
			}
		}
	}
	if results := r.Submit(); len(results) != 0 {
		t.Errorf("%d results of nothing", len(results))
	}
	r.Add(int32(near[0]), []byte("forgotten"))
	r.Discard()
	if results := r.Submit(); len(results) != 0 || received(t, far[0]) != "" {
		t.Error("what was discarded was sent")
	}
}

// What goes wrong with one send is told with that one; the ring never waits and goes on.
func TestResults(t *testing.T) {
	r := newRing(t, 8)
	if r == nil {
		return
	}
	good, far := pair(t)
	short, _ := pair(t)
	deserted, gone := pair(t)
	if err := syscall.Close(gone); err != nil {
		t.Fatal(err)
	}
	large := make([]byte, 8<<20)
	r.Add(int32(short), large)
	r.Add(int32(short), large)
	r.Add(int32(deserted), []byte("nobody"))
	r.Add(1<<20, []byte("nowhere"))
	r.Add(int32(good), []byte("arrives"))
	results := r.Submit()
	if n := results[0]; n <= 0 || int(n) >= len(large) {
		t.Errorf("a send that does not fit: %d", n)
	}
	for i, want := range []syscall.Errno{syscall.EAGAIN, syscall.EPIPE, syscall.EBADF} {
		if got := results[1+i]; got != -int32(want) {
			t.Errorf("send %d: %d, want %d", 1+i, got, -int32(want))
		}
	}
	if results[4] != 7 || received(t, far) != "arrives" || r.Err() != nil {
		t.Errorf("%d, %v", results[4], r.Err())
	}
}

// A system call that comes only so far: the others are not made, now or later, and the caller is told.
func TestPartial(t *testing.T) {
	r := newRing(t, 4)
	if r == nil {
		return
	}
	near, far := pair(t)
	for _, c := range []struct {
		errno  syscall.Errno
		broken bool
	}{{0, false}, {syscall.EINTR, false}, {syscall.EAGAIN, false}, {syscall.EBUSY, false}, {syscall.EPERM, true}} {
		r.enter = func(fd, submit, wait, flags uintptr) (int, syscall.Errno) {
			n, errno := enter(fd, submit/2, wait, flags)
			if errno == 0 {
				errno = c.errno
			}
			return n, errno
		}
		for _, m := range []string{"1", "2", "3"} {
			r.Add(int32(near), []byte(m))
		}
		if got := r.Submit(); got[0] != 1 || got[1] != Unsent || got[2] != Unsent {
			t.Errorf("%v: %v", c.errno, got)
		}
		if (r.Err() != nil) != c.broken {
			t.Errorf("%v: %v", c.errno, r.Err())
		}
		r.enter = enter
		r.Add(int32(near), []byte("4"))
		if got := r.Submit(); (got[0] == Unsent) != c.broken || !c.broken && got[0] != 1 {
			t.Errorf("after %v: %v", c.errno, got)
		}
		if got, want := received(t, far), map[bool]string{false: "14", true: "1"}[c.broken]; got != want {
			t.Errorf("%v: received %q, want %q", c.errno, got, want)
		}
	}
}

// kernel is one that takes everything and completes later, or never.
type kernel struct {
	r     *Ring
	taken uint32
	waits []syscall.Errno
}

func (k *kernel) enter(_, submit, wait, flags uintptr) (int, syscall.Errno) {
	if submit > 0 {
		k.taken = uint32(submit)
		atomic.AddUint32(k.r.head, uint32(submit))
		return int(submit), 0
	}
	if len(k.waits) > 0 {
		errno := k.waits[0]
		k.waits = k.waits[1:]
		return 0, errno
	}
	end := *k.r.completions
	for i := range k.taken { // the last one first
		k.r.done[(end+i)&k.r.doneMask] = completion{data: uint64(k.taken - 1 - i), result: int32(100 + k.taken - 1 - i)}
	}
	atomic.StoreUint32(k.r.completions, end+k.taken)
	return 0, 0
}

// Completions that are late, and not in order, are waited for; those that never come are lost and their bytes kept.
func TestLate(t *testing.T) {
	r := newRing(t, 4)
	if r == nil {
		return
	}
	k := &kernel{r: r, waits: []syscall.Errno{syscall.EINTR, syscall.EINTR}}
	r.enter = k.enter
	send := func() []int32 {
		r.Add(0, []byte("a"))
		r.Add(0, []byte("b"))
		return r.Submit()
	}
	if got := send(); got[0] != 100 || got[1] != 101 || r.Err() != nil {
		t.Fatalf("%v, %v", got, r.Err())
	}
	k.waits = []syscall.Errno{syscall.EBADR}
	if got := send(); got[0] != Lost || got[1] != Lost || !errors.Is(r.Err(), syscall.EBADR) || len(r.lost) != 2 {
		t.Fatalf("%v, %v, %d kept", got, r.Err(), len(r.lost))
	}
	if got := send(); got[0] != Unsent || got[1] != Unsent {
		t.Fatalf("by a broken ring: %v", got)
	}
}

// Rings belong to no thread: goroutines that take turns use one from whatever thread they are on.
func TestThreads(t *testing.T) {
	r := newRing(t, 4)
	if r == nil {
		return
	}
	near, far := pair(t)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			runtime.LockOSThread() // and the thread ends with the goroutine
			for range 10 {
				mu.Lock()
				r.Add(int32(near), []byte("x"))
				if got := r.Submit(); got[0] != 1 {
					t.Errorf("%v, %v", got, r.Err())
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if got := received(t, far); got != strings.Repeat("x", 160) {
		t.Errorf("received %d", len(got))
	}
}

// descriptors counts those of the process that are of rings.
func descriptors(t *testing.T) (n int) {
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if name, err := os.Readlink(l); err == nil && strings.Contains(name, "io_uring") {
			n++
		}
	}
	return n
}

// maps counts the mappings of the process that are of rings.
func maps(t *testing.T) int {
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), "io_uring")
}

func TestCloseGivesEverythingBack(t *testing.T) {
	for range 200 {
		r, err := New(32)
		if err != nil {
			t.Logf("there is no io_uring here: %v", err)
			return
		}
		if d, m := descriptors(t), maps(t); d != 1 || m != 2 {
			t.Fatalf("%d descriptors, %d mappings", d, m)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil || !errors.Is(r.Err(), fs.ErrClosed) {
			t.Fatalf("closed again: %v, %v", err, r.Err())
		}
	}
	if d, m := descriptors(t), maps(t); d != 0 || m != 0 {
		t.Errorf("%d descriptors, %d mappings are left", d, m)
	}
}

// A filter that knows no io_uring, or forbids the one call or the other: there is no ring, nor anything left of one.
func TestRefused(t *testing.T) {
	for name, call := range map[string]uint32{"setup": sysSetup, "enter": sysEnter} {
		for _, errno := range []syscall.Errno{syscall.EPERM, syscall.ENOSYS} {
			t.Run(name+" "+map[bool]string{true: "forbidden", false: "unknown"}[errno == syscall.EPERM], func(t *testing.T) {
				if !testkit.Forbidden(t, errno, call) {
					return
				}
				r, err := New(32)
				if r != nil || !(errors.Is(err, errno) || strings.Contains(err.Error(), errno.Error())) {
					t.Errorf("%v, %v", r, err)
				}
				if d, m := descriptors(t), maps(t); d != 0 || m != 0 {
					t.Errorf("%d descriptors, %d mappings are left", d, m)
				}
			})
		}
	}
}

// A process that may not open more files has no ring.
func TestNoDescriptor(t *testing.T) {
	if r, err := New(0); r != nil || err == nil {
		t.Errorf("a ring of nothing: %v, %v", r, err)
	}
}

func TestAllocations(t *testing.T) {
	r := newRing(t, 4)
	if r == nil {
		return
	}
	near, far := pair(t)
	message, in := []byte("message"), make([]byte, 64)
	if n := testing.AllocsPerRun(100, func() {
		r.Add(int32(near), message)
		r.Add(int32(near), message)
		if got := r.Submit(); got[0] != 7 || got[1] != 7 {
			t.Fatal(got)
		}
		if _, err := syscall.Read(far, in); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
