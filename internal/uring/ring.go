//go:build linux && (amd64 || arm64)

// Package uring submits sends on sockets by io_uring: many with one system call, which completes them before it returns.
//
// A Ring is for one goroutine at a time. Add queues a send, Submit makes the system call and says what became of each. All of
// them are sends that do not block (MSG_DONTWAIT), so the system completes them while it takes them, and none is left to go on
// behind the caller's back: descriptors and bytes are the kernel's from Add to the return of Submit only.
//
// New refuses where the system has no io_uring, forbids it (containers, kernel.io_uring_disabled, locked memory), or does not
// keep to that: it tries what Submit relies on with sockets of its own. Callers then send by themselves, as they do with what
// Submit returns as Unsent, and for good once Err says that the ring is broken.
package uring

import (
	"errors"
	"fmt"
	"math"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"
)

const (
	// Unsent is the result of a send that the system has not taken: it never was, or will be, made.
	Unsent = math.MinInt32
	// Lost is the result of a send of which nothing is known: its bytes must not be used again, its socket is to be given up.
	Lost = Unsent + 1
)

// Ring submits sends. The zero Ring cannot be used.
type Ring struct {
	fd      int
	memory  []byte // the rings, mapped
	entries []entry
	done    []completion

	head, tail             *uint32 // of submissions: head is the kernel's
	completed, completions *uint32 // of completions: completions, where they end, is the kernel's
	mask, doneMask         uint32

	entriesMemory []byte
	n             int
	results       []int32
	// buffers keeps what the kernel is to read from reachable.
	buffers []*byte
	lost    []*byte
	err     error
	enter   func(fd, submit, wait, flags uintptr) (int, syscall.Errno) // replaced by tests
}

// New makes a ring for so many sends at once, a power of two. The error says why there is none.
func New(size int) (*Ring, error) {
	var p params
	fd, _, errno := syscall.Syscall(sysSetup, uintptr(size), uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, os.NewSyscallError("io_uring_setup", errno)
	}
	r := &Ring{fd: int(fd), results: make([]int32, size), buffers: make([]*byte, size), enter: enter}
	err := r.open(&p, size)
	if err == nil {
		err = r.try()
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// open maps what the kernel shares with the program.
func (r *Ring) open(p *params, size int) (err error) {
	const needed = featureSingleMap | featureNoDrop | featureSubmitStable
	if p.features&needed != needed || int(p.sqEntries) < size || p.cqEntries < p.sqEntries {
		return fmt.Errorf("io_uring_setup: features %#x, %d entries: the kernel is too old", p.features, p.sqEntries)
	}
	length := max(int(p.sq.array)+4*int(p.sqEntries), int(p.cq.entries)+int(unsafe.Sizeof(completion{}))*int(p.cqEntries))
	if r.memory, err = share(r.fd, offsetRings, length); err != nil {
		return err
	}
	if r.entriesMemory, err = share(r.fd, offsetEntries, int(unsafe.Sizeof(entry{}))*int(p.sqEntries)); err != nil {
		return err
	}
	at := func(offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.memory[offset])) }
	r.head, r.tail, r.mask = at(p.sq.head), at(p.sq.tail), *at(p.sq.mask)
	r.completed, r.completions, r.doneMask = at(p.cq.head), at(p.cq.tail), *at(p.cq.mask)
	r.entries = unsafe.Slice((*entry)(unsafe.Pointer(&r.entriesMemory[0])), p.sqEntries)
	r.done = unsafe.Slice((*completion)(unsafe.Pointer(&r.memory[p.cq.entries])), p.cqEntries)
	order := unsafe.Slice(at(p.sq.array), p.sqEntries)
	for i := range order {
		order[i] = uint32(i)
	}
	return nil
}

// share maps memory of the ring, which a forked process does not get.
func share(fd int, offset int64, length int) ([]byte, error) {
	memory, err := syscall.Mmap(fd, offset, length, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED|syscall.MAP_POPULATE)
	if err != nil {
		return nil, os.NewSyscallError("mmap of io_uring", err)
	}
	if err := syscall.Madvise(memory, syscall.MADV_DONTFORK); err != nil {
		return memory, os.NewSyscallError("madvise of io_uring", err)
	}
	return memory, nil
}

// Size is how many sends fit in.
func (r *Ring) Size() int { return len(r.results) }

// Len is how many were added since the last Submit.
func (r *Ring) Len() int { return r.n }

// Err is not nil once the ring is broken: nothing more is sent by it.
func (r *Ring) Err() error { return r.err }

// Add queues a send of message, which is not empty. Neither it nor the descriptor may change until Submit has returned.
func (r *Ring) Add(fd int32, message []byte) {
	e := &r.entries[(*r.tail+uint32(r.n))&r.mask] // the tail is ours
	*e = entry{opcode: opSend, fd: fd, address: uint64(uintptr(unsafe.Pointer(&message[0]))), length: uint32(len(message)),
		flags: syscall.MSG_DONTWAIT | syscall.MSG_NOSIGNAL, data: uint64(r.n)}
	r.buffers[r.n] = &message[0]
	r.n++
}

// Discard forgets what was added.
func (r *Ring) Discard() {
	clear(r.buffers[:r.n])
	r.n = 0
}

// Submit makes the sends that were added, in their order, and returns the result of each: bytes sent, an error number below
// zero, Unsent or Lost. They are valid until the next Add.
func (r *Ring) Submit() []int32 {
	results := r.results[:r.n]
	for i := range results {
		results[i] = Unsent
	}
	if r.err == nil && r.n > 0 {
		r.submit(results)
	}
	r.Discard()
	return results
}

func (r *Ring) submit(results []int32) {
	start, n := *r.tail, len(results)
	atomic.StoreUint32(r.tail, start+uint32(n))
	_, errno := r.enter(uintptr(r.fd), uintptr(n), 0, 0)
	// What it returns says less than how far it came.
	taken := int(atomic.LoadUint32(r.head) - start)
	atomic.StoreUint32(r.tail, start+uint32(taken)) // takes the others back: only that system call looks at them
	switch errno {
	case 0, syscall.EINTR, syscall.EAGAIN, syscall.EBUSY, syscall.ENOMEM: // the rest is Unsent, the next may succeed
	default:
		r.err = os.NewSyscallError("io_uring_enter", errno)
	}
	for left := taken - r.reap(results); left > 0; left -= r.reap(results) {
		// Not to be expected of sends that do not block.
		_, errno := r.enter(uintptr(r.fd), 0, uintptr(left), enterGetEvents)
		if errno != 0 && errno != syscall.EINTR {
			r.lose(results[:taken], errno)
			return
		}
	}
}

// reap takes completions and returns how many there were.
func (r *Ring) reap(results []int32) (n int) {
	head, end := *r.completed, atomic.LoadUint32(r.completions) // the head is ours
	for ; head != end; head++ {
		c := &r.done[head&r.doneMask]
		if c.data < uint64(len(results)) {
			results[c.data] = c.result
			n++
		}
	}
	atomic.StoreUint32(r.completed, head)
	return n
}

// lose gives up those of which no completion came: their bytes stay reachable for as long as the ring is.
func (r *Ring) lose(taken []int32, errno syscall.Errno) {
	r.err = os.NewSyscallError("io_uring_enter, waiting", errno)
	for i, result := range taken {
		if result == Unsent {
			taken[i] = Lost
			r.lost = append(r.lost, r.buffers[i])
		}
	}
}

// Close gives everything back. A ring that has lost sends keeps their memory.
func (r *Ring) Close() error {
	if r.err == nil {
		r.err = os.ErrClosed
	}
	var errs []error
	for _, memory := range [][]byte{r.memory, r.entriesMemory} {
		if memory != nil {
			errs = append(errs, os.NewSyscallError("munmap", syscall.Munmap(memory)))
		}
	}
	r.memory, r.entriesMemory, r.entries, r.done = nil, nil, nil, nil
	if r.fd >= 0 {
		errs = append(errs, os.NewSyscallError("close", syscall.Close(r.fd)))
		r.fd = -1
	}
	if len(r.lost) > 0 {
		abandon(r.lost)
	}
	return errors.Join(errs...)
}
