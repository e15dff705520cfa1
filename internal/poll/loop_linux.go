//go:build amd64 || arm64

package poll

import (
	"errors"
	"io"
	"math"
	"os"
	"syscall"
	"time"
	"unsafe"

	"github.com/fraiseql/fraiseql-go/internal/shift"
)

const (
	readBytes  = 16 << 10 // scratch of a reader: what one connection may keep it busy with at a time
	maxReads   = 4        // full reads of one connection before the others get their turn
	eventBatch = 256
	pauseReads = 8 // events that are handled before the reader asks whether others should run

	epollEdge = 1 << 31
	interest  = syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | epollEdge
	gone      = syscall.EPOLLRDHUP | syscall.EPOLLHUP | syscall.EPOLLERR
)

// sysShard is what a shard has for epoll. The epoll descriptor is itself watched by the runtime's poller, so
// that its reader parks like any goroutine that waits for the network.
type sysShard struct {
	epfd   int
	file   *os.File // owns epfd
	raw    syscall.RawConn
	events [eventBatch]syscall.EpollEvent
	n      int      // events of the last wait
	again  []unread // connections with more to read than their turn allowed
	spare  []unread
}

// unread is a connection of which not all was read.
type unread struct {
	conn  *Conn
	ended bool // the peer has ended its side
}

func (p *Poller) startShards() error {
	for range p.opts.Shards {
		s := newShard(p)
		if err := s.open(); err != nil {
			for _, opened := range p.shards {
				err = errors.Join(err, opened.sys.file.Close())
			}
			p.shards = nil
			return err
		}
		p.shards = append(p.shards, s)
	}
	for _, s := range p.shards {
		s.openTogether()
		p.wg.Go(s.readLoop)
		p.wg.Go(s.writeLoop)
	}
	return nil
}

func (s *shard) open() error {
	epfd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(epfd, true); err != nil {
		syscall.Close(epfd)
		return os.NewSyscallError("fcntl", err)
	}
	s.sys.epfd = epfd
	s.sys.file = os.NewFile(uintptr(epfd), "epoll")
	if err = s.sys.file.SetReadDeadline(time.Now().Add(s.poller.opts.Tick)); err == nil {
		s.sys.raw, err = s.sys.file.SyscallConn()
	}
	if err != nil {
		return errors.Join(err, s.sys.file.Close())
	}
	return nil
}

// interrupt ends the wait of the reader.
func (s *shard) interrupt() { _ = s.sys.file.SetReadDeadline(time.Unix(1, 0)) }

// readLoop waits for events and handles them until the poller stops; then it ends every connection.
func (s *shard) readLoop() {
	defer s.sys.file.Close()
	buf := make([]byte, readBytes)
	poll := func(uintptr) bool { return s.pollEvents() }
	var turn shift.Shift
	for {
		s.sys.n = 0
		if err := s.sys.raw.Read(poll); err != nil {
			select {
			case <-s.poller.stop:
				s.table.each(func(c *Conn) { s.finish(c, ErrClosed, true) })
				return
			default:
			}
			s.sweep()
			if s == s.poller.shards[0] {
				s.poller.settle()
			}
			_ = s.sys.file.SetReadDeadline(time.Now().Add(s.poller.opts.Tick))
			select {
			case <-s.poller.stop: // Close may have interrupted before the deadline was set
				s.interrupt()
			default:
			}
			continue
		}
		turn.Rested()
		for i := range s.sys.n {
			if i%pauseReads == pauseReads-1 {
				turn.Pause()
			}
			s.handle(&s.sys.events[i], buf)
		}
		again := s.sys.again
		s.sys.again = s.sys.spare[:0]
		for i, u := range again {
			turn.Pause()
			again[i] = unread{}
			s.read(u.conn, buf, u.ended)
		}
		s.sys.spare = again
	}
}

// pollEvents fetches events without waiting; false parks the reader until there are some.
func (s *shard) pollEvents() bool {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(s.sys.epfd),
		uintptr(unsafe.Pointer(&s.sys.events[0])), eventBatch, 0, 0, 0)
	if errno != 0 {
		n = 0
	}
	s.sys.n = int(n)
	return n > 0 || errno == syscall.EINTR || len(s.sys.again) > 0
}

// handle acts on one event. It may be stale: then the slot is empty or has a newer generation.
func (s *shard) handle(e *syscall.EpollEvent, buf []byte) {
	c := s.table.get(uint32(e.Fd), uint32(e.Pad))
	if c == nil {
		return
	}
	if e.Events&syscall.EPOLLOUT != 0 {
		s.writable(c)
	}
	if e.Events&(syscall.EPOLLIN|gone) != 0 {
		s.read(c, buf, e.Events&gone != 0)
	}
}

// writable hands a connection whose socket was full back to the writer.
func (s *shard) writable(c *Conn) {
	c.io.Lock()
	was := c.flags.has(flagBlocked)
	c.flags &^= flagBlocked
	c.io.Unlock()
	if was {
		s.dirty.link(c)
	}
}

// read takes what has arrived. A read that does not fill the buffer has emptied the socket, unless the peer has ended its side: an end or
// an error waits behind the bytes.
func (s *shard) read(c *Conn, buf []byte, ended bool) {
	for range maxReads {
		n, errno := c.recv(buf, ended)
		switch {
		case errno == syscall.EINTR:
		case errno == syscall.EAGAIN:
			return
		case errno != 0:
			s.finish(c, errno, false)
			return
		case n == 0:
			if !c.owesClose() { // else the hang-up that follows it ends the connection
				s.finish(c, io.EOF, false)
			}
			return
		default:
			s.stats.bytesIn.Add(int64(n))
			s.stats.reads.Add(1)
			if c.state.Load() == stateOpen {
				c.owner.OnBytes(buf[:n])
			}
			if n < len(buf) && !ended {
				return
			}
		}
	}
	s.sys.again = append(s.sys.again, unread{c, ended})
}

// What comes once a connection is closing is dropped, up to maxRest times 4 KiB: 1 MiB. Who is refused in the middle of a message reads the
// reason, and its end is seen at once, as it has no more than that on its way. From others nothing more is taken: their window is full soon,
// and they are reset after restTime at the latest. Reads of less than 4 KiB do not count, for they delay nobody: who goes on speaking as
// before has all of the linger.
const (
	maxRest  = math.MaxUint8
	restTime = time.Second
)

// recv reads once, if the descriptor is open. What comes once the connection is closing is dropped: tcp(7) has MSG_TRUNC for that.
func (c *Conn) recv(buf []byte, ended bool) (int, syscall.Errno) {
	c.io.Lock()
	defer c.io.Unlock()
	flags := 0
	if c.state.Load() != stateOpen {
		flags = syscall.MSG_TRUNC
	}
	if c.fd < 0 || flags != 0 && c.rest == maxRest && !ended {
		return 0, syscall.EAGAIN
	}
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(c.fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), uintptr(flags), 0, 0)
	if errno != 0 || n == 0 {
		return int(n), errno
	}
	if c.flags.has(flagFailed) {
		return 0, syscall.ECONNRESET
	}
	if flags != 0 {
		c.dropLocked(int(n))
	}
	return int(n), 0
}

// dropLocked counts bytes that were dropped.
func (c *Conn) dropLocked(n int) {
	if c.rest == maxRest {
		return
	}
	if c.rest = uint8(min(int(c.rest)+n>>12, maxRest)); c.rest == maxRest {
		c.shard.hasten(c.slot, c.shard.poller.Ticks(restTime))
	}
}

// finish ends a connection. It runs on the shard's reader only, so OnClose comes after every other callback.
func (s *shard) finish(c *Conn, err error, reset bool) {
	if c.state.Swap(stateClosed) == stateClosed {
		return
	}
	s.table.remove(c)
	c.io.Lock()
	err = c.outcomeLocked(err)
	if c.fd >= 0 {
		if reset {
			setReset(c.fd)
		}
		_ = syscall.Close(int(c.fd))
	}
	c.fd, c.flags = -1, c.flags&^flagNull
	c.held.Store(nil)
	c.io.Unlock()
	c.left(err)
}

// reset ends a connection from a sweep.
func (c *Conn) reset() {
	if c.stream != nil {
		c.stream.kill(ErrReset)
		return
	}
	c.shard.finish(c, ErrReset, true)
}

// failLocked makes the reader end the connection: a socket that is shut both ways reports a hang-up.
func (c *Conn) failLocked(reset bool) {
	if c.flags.has(flagNull) && c.state.CompareAndSwap(stateOpen, stateClosing) {
		c.shard.table.setDeadline(c.slot, 1) // the next sweep ends it
	}
	if c.fd < 0 || c.flags.has(flagFailed) {
		return
	}
	c.flags |= flagFailed
	if reset {
		c.flags |= flagAborted
		setReset(c.fd)
	}
	_ = syscall.Shutdown(int(c.fd), syscall.SHUT_RDWR)
}

// setReset makes the close of a socket discard what is unsent and reset the connection.
func setReset(fd int32) {
	_ = syscall.SetsockoptLinger(int(fd), syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
}
