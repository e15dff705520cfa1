//go:build linux && (amd64 || arm64)

package uring

import (
	"fmt"
	"sync/atomic"
	"syscall"
)

// try does with a pair of sockets what Submit relies on: a send is made, one that finds a full socket or no descriptor says so, and all
// of that before the system call returns. A kernel that knows io_uring but not sends, or a filter that allows to make a
// ring and nothing else, is found out here.
func (r *Ring) try() error {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("socketpair: %w", err)
	}
	defer syscall.Close(pair[0])
	defer syscall.Close(pair[1])
	_ = syscall.SetsockoptInt(pair[0], syscall.SOL_SOCKET, syscall.SO_SNDBUF, 4096) // sooner full; larger does as well
	message := []byte("ready")
	if got := r.once(int32(pair[0]), message); got != int32(len(message)) {
		return fmt.Errorf("io_uring: a send says %s", r.text(got))
	}
	for filler := make([]byte, 4096); ; {
		if _, err := syscall.Write(pair[0], filler); err == syscall.EAGAIN {
			break
		} else if err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	if got := r.once(int32(pair[0]), message); got != -int32(syscall.EAGAIN) {
		return fmt.Errorf("io_uring: a send to a full socket says %s", r.text(got))
	}
	if got := r.once(-1, message); got != -int32(syscall.EBADF) {
		return fmt.Errorf("io_uring: a send to no descriptor says %s", r.text(got))
	}
	return r.err
}

// once makes one send. It is Unsent if its completion is not there at once.
func (r *Ring) once(fd int32, message []byte) int32 {
	waited := false
	enter := r.enter
	r.enter = func(fd, submit, wait, flags uintptr) (int, syscall.Errno) {
		if submit == 0 {
			waited = true
			return 0, syscall.ETIME // gives it up instead
		}
		return enter(fd, submit, wait, flags)
	}
	defer func() { r.enter = enter }()
	r.Add(fd, message)
	result := r.Submit()[0]
	if waited {
		return Lost
	}
	return result
}

// text says what a result means.
func (r *Ring) text(result int32) string {
	switch {
	case result == Unsent && r.err != nil:
		return r.err.Error()
	case result == Unsent:
		return "nothing"
	case result == Lost:
		return "nothing in time"
	case result < 0:
		return syscall.Errno(-result).Error()
	}
	return fmt.Sprintf("%d bytes", result)
}

// abandoned keeps the bytes of sends that were lost with their ring: the kernel may still read them.
var abandoned atomic.Pointer[remains]

type remains struct {
	buffers []*byte
	next    *remains
}

func abandon(buffers []*byte) {
	r := &remains{buffers: buffers}
	for {
		r.next = abandoned.Load()
		if abandoned.CompareAndSwap(r.next, r) {
			return
		}
	}
}
