package server

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/fraiseql/fraiseql-go/internal/shift"
)

const (
	// lookEvery is the least time between two looks.
	lookEvery = 200 * time.Microsecond
	// lookedAt is for how many connections one look wakes readers.
	lookedAt = 32

	edge = 1 << 31 // EPOLLET, which package syscall has as a negative number
)

// lookout wakes those that wait for bytes of a proven client while the processors are busy. The Go scheduler (1.26) asks the network what has
// come only when no goroutine is ready, else every 10 ms or more: with goroutines that are always ready, because ten thousand clients speak,
// nobody learns in between that a publisher's request has come. So the goroutines that work for many clients look at the publishers'
// connections whenever they let others run (shift.Yield), by one system call that does not wait.
//
// All methods are safe for concurrent use. A nil lookout watches nothing.
type lookout struct {
	epoll *os.File
	raw   syscall.RawConn
	ask   func(fd uintptr) // askLocked
	began time.Time
	last  atomic.Int64 // when somebody looked, since began
	some  atomic.Int64 // connections watched

	mu     sync.Mutex
	byID   map[int32]*newcomer
	lastID int32
	events [lookedAt]syscall.EpollEvent
	n      int // events of the last look
}

// newLookout makes one; nil if the system gives no descriptor.
func newLookout() *lookout {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil
	}
	l := &lookout{epoll: os.NewFile(uintptr(fd), "epoll"), began: time.Now(), byID: make(map[int32]*newcomer)}
	if l.raw, err = l.epoll.SyscallConn(); err != nil {
		_ = l.epoll.Close() // nothing was written to it
		return nil
	}
	l.ask = l.askLocked
	return l
}

// watch begins to look for what comes on a connection. One that has no descriptor is left to the scheduler.
func (l *lookout) watch(c *newcomer) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.watched != 0 || c.gone {
		return
	}
	l.lastID++
	for l.byID[l.lastID] != nil || l.lastID <= 0 {
		l.lastID = max(l.lastID+1, 1)
	}
	event := syscall.EpollEvent{Events: syscall.EPOLLIN | edge, Fd: l.lastID}
	if l.control(syscall.EPOLL_CTL_ADD, c, &event) == nil {
		c.watched = l.lastID
		l.byID[c.watched] = c
		l.some.Add(1)
	}
}

// forget ends it, for good.
func (l *lookout) forget(c *newcomer) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c.gone = true
	if c.watched == 0 {
		return
	}
	_ = l.control(syscall.EPOLL_CTL_DEL, c, nil) // fails if the descriptor was closed, which did the same
	delete(l.byID, c.watched)
	c.watched = 0
	l.some.Add(-1)
	c.settle()
}

// control changes what epoll knows of the connection's descriptor.
func (l *lookout) control(op int, c *newcomer, event *syscall.EpollEvent) error {
	s, ok := c.Conn.(syscall.Conn)
	if !ok {
		return errors.ErrUnsupported
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var inner, failed error
	err = l.raw.Control(func(epoll uintptr) {
		inner = raw.Control(func(fd uintptr) {
			failed = syscall.EpollCtl(int(epoll), op, int(fd), event)
		})
	})
	return errors.Join(err, inner, failed)
}

// look wakes the readers of connections on which something has come. It does not wait, also not for another that looks.
func (l *lookout) look() {
	if l.some.Load() == 0 {
		return
	}
	now, last := int64(time.Since(l.began)), l.last.Load()
	if now-last < int64(lookEvery) || !l.last.CompareAndSwap(last, now) || !l.mu.TryLock() {
		return
	}
	defer l.mu.Unlock()
	l.n = 0
	_ = l.raw.Control(l.ask) // fails when it is closed
	for _, e := range l.events[:l.n] {
		if c := l.byID[e.Fd]; c != nil {
			c.nudge()
		}
	}
}

func (l *lookout) askLocked(fd uintptr) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(&l.events[0])), lookedAt, 0, 0, 0)
	if errno == 0 {
		l.n = int(n)
	}
}

// begin has everybody look who lets others run, until end is called.
func (l *lookout) begin() (end func()) {
	if l == nil {
		return func() {}
	}
	stop := shift.BeforeYield(l.look)
	return func() {
		stop()
		_ = l.epoll.Close() // nothing was written to it
	}
}
