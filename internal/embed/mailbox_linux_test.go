package embed

import (
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"
)

// pollfd is what poll(2) takes.
type pollfd struct {
	fd              int32
	events, revents int16
}

const pollIn = 1

// readable asks whether a descriptor is readable, and waits up to so many milliseconds for it.
func readable(t testing.TB, fd, wait int) bool {
	t.Helper()
	for {
		p := pollfd{fd: int32(fd), events: pollIn}
		n, _, errno := syscall.Syscall(syscall.SYS_POLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(wait))
		if errno == syscall.EINTR {
			continue
		}
		if errno != 0 {
			t.Fatalf("poll: %v", errno)
		}
		return n == 1 && p.revents == pollIn
	}
}

// patience is how long a test waits for what must come, in milliseconds.
const patience = 20_000

func openMailbox(t testing.TB) *mailbox {
	t.Helper()
	b, err := newMailbox()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.close)
	return b
}

func TestMailboxGivesEachTokenOnce(t *testing.T) {
	b := openMailbox(t)
	one, two := &note{box: b, token: 1}, &note{box: b, token: 2}
	if readable(t, b.fd, 0) {
		t.Error("readable when new")
	}
	one.tell()
	two.tell()
	one.tell()
	if !readable(t, b.fd, 0) {
		t.Error("not readable with tokens in it")
	}
	tokens := make([]int64, 10)
	if got := tokens[:b.take(tokens)]; !slices.Equal(got, []int64{1, 2}) {
		t.Errorf("took %v", got)
	}
	if readable(t, b.fd, 0) {
		t.Error("readable when empty")
	}
	one.tell()
	if got := tokens[:b.take(tokens)]; !slices.Equal(got, []int64{1}) {
		t.Errorf("took %v after it was told again", got)
	}
}

func TestMailboxStaysReadable(t *testing.T) {
	b := openMailbox(t)
	for i := range 5 {
		(&note{box: b, token: int64(i)}).tell()
	}
	var got []int64
	for range 3 {
		if !readable(t, b.fd, 0) {
			t.Fatal("not readable with tokens in it")
		}
		tokens := make([]int64, 2)
		got = append(got, tokens[:b.take(tokens)]...)
	}
	if !slices.Equal(got, []int64{0, 1, 2, 3, 4}) || readable(t, b.fd, 0) {
		t.Errorf("took %v", got)
	}
	if n := b.take(make([]int64, 2)); n != 0 {
		t.Errorf("took %d of an empty mailbox", n)
	}
}

func TestClosedMailboxTakesNothing(t *testing.T) {
	b := openMailbox(t)
	n := &note{box: b, token: 1}
	n.tell()
	b.close()
	n.tell()
	if got := b.take(make([]int64, 1)); got != 0 {
		t.Errorf("took %d", got)
	}
	b.close()
}

func TestMailboxIsClosedOnExecAndDoesNotBlock(t *testing.T) {
	b := openMailbox(t)
	flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(b.fd), syscall.F_GETFD, 0)
	if errno != 0 || flags&syscall.FD_CLOEXEC == 0 {
		t.Errorf("descriptor flags %#x, %v", flags, errno)
	}
	flags, _, errno = syscall.Syscall(syscall.SYS_FCNTL, uintptr(b.fd), syscall.F_GETFL, 0)
	if errno != 0 || flags&syscall.O_NONBLOCK == 0 {
		t.Errorf("file flags %#x, %v", flags, errno)
	}
}

// TestNoWakeUpIsLost lets many threads set what they are told about and tell it; whoever takes sleeps whenever the
// mailbox is empty. A lost wake-up leaves it asleep.
func TestNoWakeUpIsLost(t *testing.T) {
	const writers, rounds = 6, 4000
	b := openMailbox(t)
	var news [writers]atomic.Int64
	var wg sync.WaitGroup
	for w := range writers {
		n := &note{box: b, token: int64(w)}
		wg.Go(func() {
			for range rounds {
				news[w].Add(1)
				n.tell()
			}
		})
	}
	seen := 0
	tokens := make([]int64, 4)
	for seen < writers*rounds {
		if !readable(t, b.fd, patience) {
			t.Fatalf("asleep with %d of %d", seen, writers*rounds)
		}
		for _, token := range tokens[:b.take(tokens)] {
			seen += int(news[token].Swap(0))
		}
	}
	wg.Wait()
}

func TestMailboxDoesNotAllocate(t *testing.T) {
	b := openMailbox(t)
	n := &note{box: b, token: 1}
	tokens := make([]int64, 4)
	if got := testing.AllocsPerRun(1000, func() { n.tell(); b.take(tokens) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func BenchmarkMailbox(b *testing.B) {
	box := openMailbox(b)
	n := &note{box: box, token: 1}
	tokens := make([]int64, 4)
	for b.Loop() {
		n.tell()
		box.take(tokens)
	}
}
