//go:build amd64 || arm64

package poll

import (
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/fraiseql/fraiseql-go/internal/shift"
)

const (
	// maxRounds is how many batches one connection may write before the others get their turn.
	maxRounds = 4
	// yieldSends is after how many writes the writer lets others run: about 100 µs of system calls.
	yieldSends = 16
	// muchBytes is from how much on a connection has much to write: it waits apart from those that have little, and each sort
	// gets its turn when the other has taken as long. Without that an event of 16 KiB to thousands of connections holds up
	// every other one for as long as it takes to copy it that often.
	muchBytes = 8 << 10
	// callCost is what a system call takes besides its bytes, in bytes, and visitCost what it takes to find that there is nothing to do.
	callCost, visitCost = 4 << 10, 256
	// maxAhead bounds what one sort can owe the other.
	maxAhead = yieldSends * (muchBytes + callCost)
	// maxSorted is how many connections are put aside at a time.
	maxSorted = 64
)

// writer is the role of a shard's writer: whoever holds writing writes. That is the goroutine of writeLoop unless it
// sleeps or lets others run, or a helper for the moment.
type writer struct {
	urged atomic.Bool // a helper has found the role taken, and has left a few connections to whoever has it

	writing  sync.Mutex // guards what follows
	out      sender
	together *together // nil: a system call for each connection
	rest     chain     // taken from the dirty list
	left     int       // how many
	much     chain     // taken from rest, because they have much to write
	ahead    int       // how much more those with little have taken than those with much, in bytes; within maxAhead
	current  *Conn     // being written to

	behind     chain // what was rest, while others are written to before it
	behindLeft int
}

// sender is the scratch of a writer.
type sender struct {
	batch
	iov   []syscall.Iovec
	msg   syscall.Msghdr
	sends int
	cost  int // of all that was done, in bytes
}

// writeLoop writes what the connections of the dirty list have, until the poller stops.
func (s *shard) writeLoop() {
	s.writing.Lock()
	defer s.writing.Unlock()
	defer s.endTogether()
	for s.await() {
		for s.more() {
			if s.writeTurn(); s.out.sends >= yieldSends {
				s.pause()
			}
		}
	}
}

// pause lets others run. It may be long until they have: what a helper has found the writer at work with is written before that and after,
// and who comes meanwhile may write himself.
func (s *shard) pause() {
	s.writeUrged()
	s.writing.Unlock()
	shift.Yield()
	s.writing.Lock()
	s.out.sends = 0 // helpers have counted theirs, too
	s.writeUrged()
}

// writeUrged writes to what helpers have left to the writer.
func (s *shard) writeUrged() {
	budget := fewConns
	for n := 0; n < maxRounds && budget > 0 && s.urged.Load(); n++ {
		s.urged.Store(false)
		budget = s.writeNew(budget)
	}
}

// writeNew writes to at most budget connections that have come since the rest was taken, before the rest, and returns what is left of the
// budget. Beside a rest those with much are put aside; else it ends where one has more than a helper writes. What is left then comes after the rest.
func (s *shard) writeNew(budget int) int {
	idle, before := s.rest.first == nil && s.much.first == nil, s.out.cost
	most := muchBytes - 1
	if idle {
		most = fewBytes
	}
	s.behind, s.behindLeft, s.rest, s.left = s.rest, s.left, chain{}, 0
	defer func() {
		if s.much.first != nil {
			s.charge(s.out.cost - before)
		}
		s.rejoin()
	}()
	for moved := 0; budget > 0 && s.more() && s.rest.first != nil; {
		switch {
		case s.rest.first.waiting() <= most:
			s.writeTo(s.next())
			budget--
		case !idle && moved < maxSorted:
			s.much.add(s.next())
			moved++
		default:
			return budget
		}
	}
	return budget
}

// charge notes what those with little have taken while others waited.
func (s *shard) charge(cost int) { s.ahead = max(-maxAhead, min(s.ahead+cost, maxAhead)) }

// waiting is how many bytes wait on a connection.
func (c *Conn) waiting() int { return c.Bytes() + c.HeldBytes() }

// rejoin puts what is left of the new ones behind the rest.
func (s *shard) rejoin() {
	s.behind.join(s.rest)
	s.rest, s.left = s.behind, s.left+s.behindLeft
	s.behind, s.behindLeft = chain{}, 0
}

// await gives the role of the writer away until there is something to write; false: the poller stops.
func (s *shard) await() bool {
	l := &s.dirty
	for !s.more() {
		l.sleeping.Store(true) // before the role is free: whoever has it next and leaves something sees that
		s.writing.Unlock()
		if l.head.Load() == nil || !l.sleeping.CompareAndSwap(true, false) {
			select {
			case <-l.wake:
			case <-s.poller.stop:
				s.writing.Lock()
				return s.more()
			}
		}
		s.writing.Lock()
		s.out.sends = 0
	}
	return true
}

// more reports whether there is something to write; writeTurn may then be called.
func (s *shard) more() bool {
	if s.rest.first == nil {
		s.rest, s.left = s.dirty.take()
	}
	return s.rest.first != nil || s.much.first != nil
}

// writeTurn writes to the first connections of those that were taken from the dirty list, or puts some of them aside and writes to
// the first one there, if it is the turn of those.
func (s *shard) writeTurn() {
	sorted := s.sort()
	before := s.out.cost
	switch {
	case s.much.first != nil && (s.rest.first == nil || s.ahead >= 0):
		s.writeTo(s.much.take())
		s.charge(before - s.out.cost)
	case !sorted:
		s.out.sends++ // it took as long as one
	case s.together != nil && s.left >= togetherLeast:
		s.writeTogether()
		s.charge(s.out.cost - before)
	case s.rest.first != nil:
		s.writeTo(s.next())
		s.charge(s.out.cost - before)
	}
	if s.rest.first == nil {
		s.ahead = 0
	} else if s.much.first == nil {
		s.ahead = min(s.ahead, 0)
	}
}

// sort puts aside the first of those that were taken from the dirty list while they have much to write; false: there may be more of them.
func (s *shard) sort() bool {
	for range maxSorted {
		if s.rest.first == nil || s.rest.first.waiting() < muchBytes {
			return true
		}
		s.much.add(s.next())
	}
	return false
}

// writeTo writes to a connection that was in the dirty list.
func (s *shard) writeTo(c *Conn) {
	c.linked.Store(false)
	s.current = c
	s.flush(c, &s.out)
	s.current = nil
}

// next takes the first connection of those that were taken from the dirty list. Its mark is still to be removed.
func (s *shard) next() *Conn {
	s.left--
	return s.rest.take()
}

// flush writes what waits on a connection until nothing is left, its socket is full or its turn is over.
func (s *shard) flush(c *Conn, w *sender) {
	c.io.Lock()
	defer c.io.Unlock()
	defer w.clear()
	w.cost += visitCost
	if c.flags.has(flagBlocked) {
		if c.Closing() {
			c.startClosing()
		}
		return
	}
	for range maxRounds {
		if c.fd < 0 && !c.flags.has(flagNull) || c.flags.has(flagFailed|flagSent) {
			return
		}
		if !s.writeLocked(c, w) {
			return
		}
	}
	s.dirty.link(c)
}

// writeLocked makes one batch and writes it. It reports whether to go on.
func (s *shard) writeLocked(c *Conn, w *sender) bool {
	if !c.prepareLocked(&w.batch) {
		return false
	}
	n, errno := 0, syscall.Errno(0)
	switch left := w.total - w.skip; {
	case c.flags.has(flagNull):
		n = left
	case left > 0:
		n, errno = w.send(c.fd, w.vectors(w.skip))
		s.stats.writes.Add(1)
		s.stats.bytesOut.Add(int64(n))
	}
	w.cost += callCost + n
	return s.settleLocked(c, &w.batch, n, errno)
}

// prepareLocked makes one batch of what waits on a connection; false: nothing does.
func (c *Conn) prepareLocked(b *batch) bool {
	b.more = b.fill(c)
	if len(b.items) == 0 {
		return false
	}
	b.skip = 0
	if h := c.held.Load(); h != nil {
		b.skip = h.off
	}
	b.total = b.encode(c.owner)
	if b.closing {
		c.code = b.items[len(b.items)-1].Control.Code
		c.startClosing()
	}
	return true
}

// settleLocked notes what became of a batch: n bytes of it were written. It reports whether to go on.
func (s *shard) settleLocked(c *Conn, b *batch, n int, errno syscall.Errno) bool {
	if errno != 0 && errno != syscall.EAGAIN && errno != syscall.EINTR {
		c.failLocked(false)
		return false
	}
	if b.skip+n < b.total {
		s.stats.frames.Add(int64(c.keepLocked(b, b.skip+n)))
		return !s.fullLocked(c, errno)
	}
	s.stats.frames.Add(int64(len(b.items)))
	b.tell(c.owner, len(b.items))
	if b.skip > 0 {
		c.held.Store(nil)
	}
	if b.closing {
		s.endLocked(c)
		return false
	}
	if !b.more && c.flags.has(flagStalled) {
		c.flags &^= flagStalled
		c.Block(false)
	}
	return b.more
}

// endLocked ends this side of a connection whose close is written.
func (s *shard) endLocked(c *Conn) {
	c.flags |= flagSent
	how := syscall.SHUT_WR
	if c.flags.has(flagParted) {
		how = syscall.SHUT_RDWR // the reader sees the hang-up and ends it
	}
	if c.flags.has(flagNull) {
		s.table.setDeadline(c.slot, 1) // the next sweep ends it
		return
	}
	_ = syscall.Shutdown(int(c.fd), how)
}

// keepLocked gives back what was not written when the first n bytes of a batch are out: the cut frame is held,
// the others return to their queues. It returns how many items were wholly written.
func (c *Conn) keepLocked(b *batch, n int) int {
	whole, off := b.written(n)
	b.tell(c.owner, whole)
	rest := b.items[whole:]
	var cut *held
	if off > 0 {
		cut = &held{item: rest[0], off: off}
		rest = rest[1:]
	}
	if cut != nil || c.held.Load() != nil {
		c.held.Store(cut)
	}
	c.Untake(rest)
	return whole
}

// fullLocked notes a full socket: EPOLLOUT brings the connection back. A short write is tried again until the
// system says so, because only then it reports the room that comes.
func (s *shard) fullLocked(c *Conn, errno syscall.Errno) bool {
	if errno != syscall.EAGAIN {
		return false
	}
	c.flags |= flagBlocked | flagStalled
	s.stats.blocked.Add(1)
	c.Block(true)
	if c.Closing() {
		c.startClosing()
	}
	return true
}

// send writes pieces with one system call that never blocks.
func (w *sender) send(fd int32, vecs [][]byte) (int, syscall.Errno) {
	const flags = syscall.MSG_DONTWAIT | syscall.MSG_NOSIGNAL
	w.sends++
	if len(vecs) == 1 {
		p := vecs[0]
		n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), flags, 0, 0)
		return count(n, errno)
	}
	w.iov = w.iov[:0]
	for _, p := range vecs {
		v := syscall.Iovec{Base: &p[0]}
		v.SetLen(len(p))
		w.iov = append(w.iov, v)
	}
	w.msg.Iov = &w.iov[0]
	setLen(&w.msg.Iovlen, len(w.iov))
	n, _, errno := syscall.RawSyscall(syscall.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&w.msg)), flags)
	clear(w.iov)
	return count(n, errno)
}

func count(n uintptr, errno syscall.Errno) (int, syscall.Errno) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// setLen sets a length whose type depends on the architecture.
func setLen[T uint32 | uint64](dst *T, n int) { *dst = T(n) }
