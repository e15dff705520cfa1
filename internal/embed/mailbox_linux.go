package embed

import (
	"fmt"
	"sync"
	"syscall"
	"unsafe"
)

// eventfd flags of linux: the same on every architecture that Go has.
const (
	efdCloexec  = syscall.O_CLOEXEC
	efdNonblock = syscall.O_NONBLOCK
)

// note is one reason to tell a mailbox: a watch, a session, the calls of an engine.
type note struct {
	box    *mailbox
	token  int64
	queued bool // it waits in the mailbox; guarded by mailbox.mu
}

// tell puts the note's token into its mailbox unless it waits there already. It does not block.
func (n *note) tell() {
	b := n.box
	b.mu.Lock()
	defer b.mu.Unlock()
	if n.queued || b.closed {
		return
	}
	n.queued = true
	b.waiting = append(b.waiting, n)
	if !b.readable {
		b.readable = true
		b.signalLocked()
	}
}

// mailbox is a list of tokens behind an eventfd. Lost wake-ups cannot be: the descriptor is readable exactly while
// the list is not empty, both under one lock. The two system calls under it do not block (EFD_NONBLOCK) and are
// made when the list stops or begins to be empty only.
type mailbox struct {
	engine *Engine
	handle int64
	fd     int

	mu       sync.Mutex
	waiting  []*note // guarded by mu, like the rest
	head     int
	readable bool
	closed   bool
}

func newMailbox() (*mailbox, error) {
	fd, _, errno := syscall.RawSyscall(syscall.SYS_EVENTFD2, 0, efdCloexec|efdNonblock, 0)
	if errno != 0 {
		return nil, fmt.Errorf("make an eventfd: %w", errno)
	}
	return &mailbox{fd: int(fd)}, nil
}

func (b *mailbox) signalLocked() {
	one := uint64(1)
	// It cannot fail: the counter is 0, the descriptor ours.
	_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, uintptr(b.fd), uintptr(unsafe.Pointer(&one)), 8)
}

func (b *mailbox) resetLocked() {
	var count uint64
	_, _, _ = syscall.RawSyscall(syscall.SYS_READ, uintptr(b.fd), uintptr(unsafe.Pointer(&count)), 8)
}

// take moves tokens into dst, as many as fit.
func (b *mailbox) take(dst []int64) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(len(dst), len(b.waiting)-b.head)
	for i := range n {
		w := b.waiting[b.head+i]
		b.waiting[b.head+i] = nil
		w.queued = false
		dst[i] = w.token
	}
	b.head += n
	if b.head < len(b.waiting) {
		return n
	}
	b.waiting, b.head = b.waiting[:0], 0
	if cap(b.waiting) > keptNotes {
		b.waiting = nil
	}
	if b.readable {
		b.readable = false
		b.resetLocked()
	}
	return n
}

// keptNotes is the longest list of tokens whose memory an empty mailbox keeps (512 KiB).
const keptNotes = 1 << 16

// close gives the descriptor back. Idempotent.
func (b *mailbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.closed, b.waiting, b.head = true, nil, 0
	_ = syscall.Close(b.fd) // an eventfd has nothing to flush
}
