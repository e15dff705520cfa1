//go:build amd64 || arm64

package poll

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// takeOver duplicates the descriptor of a socket and closes the net.Conn, whose memory is then free. ok is
// false for connections that are no socket of the system: they are left as they are. None at all is -1.
func takeOver(nc net.Conn) (fd int, ok bool, err error) {
	var sc syscall.Conn
	switch c := nc.(type) {
	case nil:
		return -1, true, nil
	case *net.TCPConn:
		sc = c
	case *net.UnixConn:
		sc = c
	default:
		return 0, false, nil
	}
	fd, err = duplicate(sc)
	if closing := nc.Close(); err == nil && closing != nil {
		err = errors.Join(closing, syscall.Close(fd))
	}
	return fd, err == nil, err
}

// duplicate returns another descriptor of the same socket.
func duplicate(sc syscall.Conn) (fd int, err error) {
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, err
	}
	var errno syscall.Errno
	if err := raw.Control(func(old uintptr) {
		var r uintptr
		r, _, errno = syscall.RawSyscall(syscall.SYS_FCNTL, old, syscall.F_DUPFD_CLOEXEC, 0)
		fd = int(r)
	}); err != nil {
		return -1, err
	}
	if errno != 0 {
		return -1, os.NewSyscallError("fcntl", errno)
	}
	return fd, nil
}

// registerFD makes a descriptor part of a shard.
func (p *Poller) registerFD(c *Conn, fd int, r Registration) {
	s := p.shards[p.turn.Add(1)%uint32(len(p.shards))]
	if c.fd = int32(fd); fd < 0 {
		c.flags = flagNull
	}
	c.TellsBlocked()
	s.enter(c, r.Deadline)
	if len(r.Buffered) > 0 {
		s.stats.bytesIn.Add(int64(len(r.Buffered)))
		c.owner.OnBytes(r.Buffered)
	}
	c.io.Lock()
	defer c.io.Unlock()
	e := syscall.EpollEvent{Events: interest, Fd: int32(c.slot), Pad: int32(c.gen)}
	if c.fd < 0 {
		return
	}
	if err := syscall.EpollCtl(s.sys.epfd, syscall.EPOLL_CTL_ADD, fd, &e); err != nil {
		c.flags |= flagFailed
		s.table.setDeadline(c.slot, 1) // the next sweep ends it
		c.state.CompareAndSwap(stateOpen, stateClosing)
	}
}
