package loadgen

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// newSource returns the epoll loop.
func newSource(rd *reader) (source, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		syscall.Close(fd)
		return nil, err
	}
	e := &epoll{reader: rd, fd: fd, file: os.NewFile(uintptr(fd), "epoll"), buffer: make([]byte, 256<<10)}
	e.wg.Go(e.loop)
	return e, nil
}

// epoll reads raw sockets in one goroutine. The epoll descriptor itself is parked in the runtime's poller, so
// that no thread blocks in epoll_wait.
type epoll struct {
	reader *reader
	fd     int
	file   *os.File
	buffer []byte
	wg     sync.WaitGroup

	mu      sync.Mutex
	clients []*client // by the number in the event; nil once closed
	closed  bool
}

// add takes a copy of the descriptor and lets go of the net.Conn, which costs memory.
func (e *epoll) add(c *client, conn *net.TCPConn) error {
	defer conn.Close()
	fd, err := duplicate(conn)
	if err != nil {
		return err
	}
	c.fd = fd
	e.reader.mu.Lock()
	c.write = func(b []byte) error {
		_, err := syscall.Write(fd, b)
		return err
	}
	e.reader.mu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return syscall.Close(fd)
	}
	e.clients = append(e.clients, c)
	event := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP, Fd: int32(len(e.clients) - 1)}
	return os.NewSyscallError("epoll_ctl", syscall.EpollCtl(e.fd, syscall.EPOLL_CTL_ADD, fd, &event))
}

// duplicate returns a non-blocking copy of a connection's descriptor.
func duplicate(conn *net.TCPConn) (fd int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd = -1
	control := raw.Control(func(original uintptr) {
		n, _, errno := syscall.Syscall(syscall.SYS_FCNTL, original, syscall.F_DUPFD_CLOEXEC, 0)
		if errno != 0 {
			err = os.NewSyscallError("fcntl", errno)
			return
		}
		fd = int(n)
		err = syscall.SetNonblock(fd, true)
	})
	return fd, errors.Join(control, err)
}

func (e *epoll) loop() {
	raw, err := e.file.SyscallConn()
	if err != nil {
		return
	}
	events := make([]syscall.EpollEvent, 256)
	for {
		n := 0
		err := raw.Read(func(fd uintptr) bool {
			n, _ = syscall.EpollWait(int(fd), events, 0)
			return n > 0
		})
		if err != nil || !e.handle(events[:max(n, 0)]) {
			return
		}
	}
}

// handle reads from each connection that is ready; false when the loop is closed.
func (e *epoll) handle(events []syscall.EpollEvent) bool {
	for i := range events {
		e.mu.Lock()
		c, closed := e.clients[events[i].Fd], e.closed
		e.mu.Unlock()
		if closed {
			return false
		}
		if c != nil && !e.read(c) {
			e.drop(int(events[i].Fd))
		}
	}
	return true
}

// read takes what has arrived, at most one buffer, so that no connection starves others.
func (e *epoll) read(c *client) bool {
	n, err := syscall.Read(c.fd, e.buffer)
	switch {
	case err == syscall.EAGAIN || err == syscall.EINTR:
		return true
	case err == nil && n == 0:
		err = io.EOF
	case err != nil:
		n = 0
	}
	e.reader.mu.Lock()
	defer e.reader.mu.Unlock()
	return e.reader.receiveLocked(c, e.buffer[:n], err, time.Since(e.reader.run.start))
}

func (e *epoll) drop(i int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.clients[i]; c != nil {
		e.clients[i] = nil
		syscall.Close(c.fd)
	}
}

func (e *epoll) close() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.file.Close() // wakes the loop
	e.wg.Wait()
	for i := range e.clients {
		e.drop(i)
	}
}

// sleep waits at most about d, precisely: the runtime's timers are rounded to a millisecond when nothing else
// happens.
func sleep(d time.Duration) {
	ts := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&ts, nil)
}
