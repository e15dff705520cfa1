//go:build linux

package main

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// ring submits writes by io_uring: as many as fit with one system call. It is what a writer that used io_uring would do.
type ring struct {
	fd, batch        int
	entries          []sqe
	tail             *uint32
	head, completed  *uint32
	completions      []cqe
	mask, completeAt uint32
	fixed            bool
	n                int
}

type sqe struct {
	opcode, flags uint8
	_             uint16
	fd            int32
	_             uint64
	addr          uint64
	length, how   uint32
	data          uint64
	_             [3]uint64
}

type cqe struct {
	data   uint64
	result int32
	_      uint32
}

// params is io_uring_params.
type params struct {
	sqEntries, cqEntries, flags, _, _, features, _ uint32
	_                                              [3]uint32
	sq                                             struct {
		head, tail, mask, entries, flags, dropped, array, _ uint32
		_                                                   uint64
	}
	cq struct {
		head, tail, mask, entries, overflow, cqes, flags, _ uint32
		_                                                   uint64
	}
}

const (
	sysSetup, sysEnter, sysRegister = 425, 426, 427
	setupCoop, setupSingle          = 1 << 8, 1 << 12
	offsetEntries                   = 0x10000000
	opSend                          = 26
	fixedFile, skipSuccess          = 1 << 0, 1 << 6
	registerFiles                   = 2
)

// newRing makes a ring for so many writes at once; with fixed the descriptors are registered and named by their number.
func newRing(batch int, fds []int, fixed bool) (*ring, error) {
	var p params
	p.flags = setupCoop | setupSingle
	fd, _, errno := syscall.Syscall(sysSetup, uintptr(batch), uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("io_uring_setup: %w", errno)
	}
	size := max(int(p.sq.array)+4*int(p.sqEntries), int(p.cq.cqes)+16*int(p.cqEntries))
	rings, err := syscall.Mmap(int(fd), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED|syscall.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("mmap of the rings: %w", err)
	}
	entries, err := syscall.Mmap(int(fd), offsetEntries, 64*int(p.sqEntries), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED|syscall.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("mmap of the entries: %w", err)
	}
	at := func(offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&rings[offset])) }
	r := &ring{fd: int(fd), batch: batch, fixed: fixed, mask: *at(p.sq.mask), tail: at(p.sq.tail), head: at(p.cq.head), completed: at(p.cq.tail)}
	r.entries = unsafe.Slice((*sqe)(unsafe.Pointer(&entries[0])), p.sqEntries)
	r.completions = unsafe.Slice((*cqe)(unsafe.Pointer(&rings[p.cq.cqes])), p.cqEntries)
	r.completeAt = *at(p.cq.mask)
	for i, array := uint32(0), unsafe.Slice(at(p.sq.array), p.sqEntries); i < p.sqEntries; i++ {
		array[i] = i
	}
	if !fixed {
		return r, nil
	}
	list := make([]int32, len(fds))
	for i, f := range fds {
		list[i] = int32(f)
	}
	if _, _, errno := syscall.Syscall6(sysRegister, fd, registerFiles, uintptr(unsafe.Pointer(&list[0])), uintptr(len(list)), 0, 0); errno != 0 {
		return nil, fmt.Errorf("io_uring_register: %w", errno)
	}
	return r, nil
}

// write adds a write, and submits when the ring is full. What succeeds says nothing.
func (r *ring) write(fd, number int, message []byte) error {
	e := &r.entries[(atomic.LoadUint32(r.tail)+uint32(r.n))&r.mask]
	*e = sqe{opcode: opSend, flags: skipSuccess, fd: int32(fd), addr: uint64(uintptr(unsafe.Pointer(&message[0]))), length: uint32(len(message)),
		how: syscall.MSG_DONTWAIT | syscall.MSG_NOSIGNAL}
	if r.fixed {
		e.flags, e.fd = skipSuccess|fixedFile, int32(number)
	}
	if r.n++; r.n == r.batch {
		return r.submit()
	}
	return nil
}

// submit makes the system call.
func (r *ring) submit() error {
	if r.n == 0 {
		return nil
	}
	atomic.AddUint32(r.tail, uint32(r.n))
	done, _, errno := syscall.RawSyscall6(sysEnter, uintptr(r.fd), uintptr(r.n), 0, 0, 0, 0)
	if errno != 0 || int(done) != r.n {
		return fmt.Errorf("io_uring_enter: %d of %d, %w", done, r.n, errno)
	}
	r.n = 0
	if head := atomic.LoadUint32(r.head); head != atomic.LoadUint32(r.completed) {
		return fmt.Errorf("a write failed: %w", syscall.Errno(-r.completions[head&r.completeAt].result))
	}
	return nil
}
