package poll

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// Conn is one connection. It is embedded in its Owner and set up by Poller.Register. Messages for the peer go
// through the embedded queue.Conn; its Close control (or an overflow policy) begins the close: what waits
// before it is written, the peer gets Linger to read it, then the connection is reset.
type Conn struct {
	queue.Conn
	owner  Owner
	shard  *shard
	stream *stream     // set when goroutines serve the connection
	next   *Conn       // dirty list
	linked atomic.Bool // in the dirty list: beside what enqueueing looks at
	state  atomic.Uint32

	io    sync.Mutex // the I/O lock: guards what follows, to the blank line
	fd    int32      // -1 once closed
	flags flags
	rest  uint8  // what was dropped while closing, in 4 KiB, up to maxRest
	code  uint16 // of the close, once it is taken from the queue

	held atomic.Pointer[held] // frame that was cut by a full socket; written under the I/O lock
	slot uint32
	gen  uint32
}

// flags of a connection.
type flags uint8

const (
	flagBlocked flags = 1 << iota // the socket is full: wait for EPOLLOUT
	flagStalled                   // it was full, and what waited then is not out yet
	flagFailed                    // no more I/O: the reader is about to close it
	flagSent                      // the close is written, nothing comes after it
	flagAborted                   // failed on purpose
	flagParted                    // the peer has said its last word: no linger after the close
	flagNull                      // there is no socket: writes are discarded
)

func (f flags) has(one flags) bool { return f&one != 0 }

// states of a connection; they only grow.
const (
	stateOpen    uint32 = iota
	stateClosing        // a close is on its way or written: input is dropped, the deadline is the linger
	stateClosed
)

// held is the head of what a full socket left: the item, and how many bytes of its frame are written.
type held struct {
	item queue.Item
	off  int
}

// HeldBytes returns how many bytes of results and replies were taken from the queue and wait to be written: those of a frame that a full
// socket has cut, or of a batch that a goroutine writes. Any goroutine may ask.
func (c *Conn) HeldBytes() int {
	if c.stream != nil {
		return int(c.stream.held.Load())
	}
	switch h := c.held.Load(); {
	case h == nil:
		return 0
	case h.item.Message == nil:
		return len(h.item.Control.Data)
	default:
		return len(h.item.Message.Payload)
	}
}

// Outbound returns the queue of what goes to the peer.
func (c *Conn) Outbound() *queue.Conn { return &c.Conn }

// Wake implements queue.Sink: the connection has something to write. Results may wait for a helper.
func (c *Conn) Wake(q *queue.Queue) {
	switch {
	case c.stream != nil:
		c.stream.wakeUp()
	case q != nil:
		c.shard.dirty.linkForHelp(c)
	default:
		c.shard.dirty.link(c)
	}
}

// SetDeadline asks for one OnDeadline after d, at the next sweep; it replaces an earlier one; 0 unsets it. It
// is for the owner's callbacks, and for others only as long as OnClose has not returned. It does nothing once
// the connection is closing.
func (c *Conn) SetDeadline(d time.Duration) { c.SetDeadlineTicks(c.shard.poller.Ticks(d)) }

// SetDeadlineTicks is SetDeadline with a time in ticks.
func (c *Conn) SetDeadlineTicks(n uint32) {
	if c.state.Load() != stateOpen {
		return
	}
	c.shard.setDeadline(c.slot, n)
	if c.state.Load() == stateClosing {
		c.shard.setDeadline(c.slot, c.shard.poller.linger)
	}
}

// setDeadline is never early: the present tick has begun already.
func (s *shard) setDeadline(slot, ticks uint32) {
	if ticks > 0 {
		ticks += s.poller.now.Load() + 1
	}
	s.table.setDeadline(slot, ticks)
}

// hasten has the deadline of a slot at the latest after so many ticks.
func (s *shard) hasten(slot, ticks uint32) {
	if at := s.table.deadline(slot); at == 0 || at > s.poller.now.Load()+1+ticks {
		s.setDeadline(slot, ticks)
	}
}

// Abort resets the connection now, from any goroutine; OnClose(ErrReset) follows.
func (c *Conn) Abort() {
	if c.stream != nil {
		c.stream.kill(ErrReset)
		return
	}
	c.io.Lock()
	defer c.io.Unlock()
	c.failLocked(true)
}

// PeerClosed says that the peer has closed on the level of the protocol and sends nothing more: once our close
// is written the connection ends without waiting for the peer. Call it before queueing the close.
func (c *Conn) PeerClosed() {
	c.io.Lock()
	defer c.io.Unlock()
	c.flags |= flagParted
}

// owesClose reports whether the peer, which has ended its side, still waits for our answer to its close.
func (c *Conn) owesClose() bool {
	c.io.Lock()
	defer c.io.Unlock()
	return c.flags&(flagParted|flagSent|flagFailed) == flagParted
}

// startClosing begins the linger, once.
func (c *Conn) startClosing() {
	if c.state.CompareAndSwap(stateOpen, stateClosing) {
		c.shard.setDeadline(c.slot, c.shard.poller.linger)
	}
}

// outcomeLocked is what OnClose is told when reading or a sweep ended with err.
func (c *Conn) outcomeLocked(err error) error {
	switch {
	case err == ErrClosed:
		return err
	case c.flags.has(flagAborted):
		return ErrReset
	case c.flags.has(flagSent) && (err == io.EOF || c.flags.has(flagParted)):
		return nil
	default:
		return err
	}
}

// CloseCode is the code of the close that this side asked for, 0 if none. It is for OnClose.
func (c *Conn) CloseCode() uint16 {
	c.io.Lock()
	defer c.io.Unlock()
	return c.code
}

// Tick is Poller.Now.
func (c *Conn) Tick() uint32 { return c.shard.poller.now.Load() }

// left is the end of a connection: it is out of the table, its descriptor closed.
func (c *Conn) left(err error) {
	if c.Closing() {
		c.noteClose()
	}
	c.Conn.Shut()
	c.owner.OnClose(err)
	c.shard.table.release(c.slot)
	c.shard.stats.open.Add(-1)
}

// noteClose remembers the code of a close that the peer gave no chance to write.
func (c *Conn) noteClose() {
	items, _ := c.Take(nil, 0)
	c.io.Lock()
	defer c.io.Unlock()
	for i := range items {
		if c.code == 0 && isClose(&items[i]) {
			c.code = items[i].Control.Code
		}
	}
}
