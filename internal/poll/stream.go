package poll

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// streamBytes is the read buffer of a connection that goroutines serve.
const streamBytes = 4 << 10

// stream serves one connection by two goroutines: for TLS, for connections that are no socket, and on systems
// without epoll.
type stream struct {
	c    *Conn
	nc   net.Conn
	wake chan struct{} // 1 slot
	done chan struct{} // closed when the reader has ended
	quit chan struct{} // closed when the writer has ended

	held   atomic.Int64 // bytes that are being written
	rested atomic.Bool  // nothing is decrypted any more
	serial sync.Mutex   // one callback of the owner at a time

	mu    sync.Mutex // guards cause
	cause error      // why this side has ended the connection
}

func (p *Poller) registerStream(c *Conn, r Registration) {
	c.TellsBlocked()
	st := &stream{c: c, nc: r.Conn, wake: make(chan struct{}, 1), done: make(chan struct{}), quit: make(chan struct{})}
	c.stream = st
	p.portableOnce.Do(func() { p.wg.Go(p.sweepLoop) })
	p.portable.enter(c, r.Deadline)
	p.wg.Go(func() { st.readLoop(r.Buffered) })
	p.wg.Go(st.writeLoop)
}

// sweepLoop handles the deadlines of connections that goroutines serve.
func (p *Poller) sweepLoop() {
	t := time.NewTicker(p.opts.Tick)
	defer t.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-t.C:
		}
		p.portable.sweep()
		if len(p.shards) == 0 {
			p.settle()
		}
	}
}

func (st *stream) wakeUp() {
	if st.c.Closing() {
		st.c.startClosing()
	}
	select {
	case st.wake <- struct{}{}:
	default:
	}
}

// kill ends the connection from this side.
func (st *stream) kill(cause error) {
	st.mu.Lock()
	if st.cause == nil {
		st.cause = cause
	}
	st.mu.Unlock()
	nc := st.bare() // of TLS no farewell, which could block
	if t, ok := nc.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = nc.Close()
}

// bare is the socket below the connection, if there is one.
func (st *stream) bare() net.Conn {
	nc := st.nc
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok { // TLS
		nc = t.NetConn()
	}
	if t, ok := nc.(interface{ Socket() net.Conn }); ok {
		nc = t.Socket()
	}
	return nc
}

// part ends this side of the socket, where the close is written: a peer that has said goodbye in TLS may wait for that.
func (st *stream) part() {
	select {
	case <-st.quit:
		if w, ok := st.bare().(interface{ CloseWrite() error }); ok {
			_ = w.CloseWrite() // if it fails the reader finds out why
		}
	default:
	}
}

// restBytes is how much is still decrypted of what comes once a connection is closing: enough for the peer's own close. Behind that only
// the end of the socket counts.
const restBytes = 64 << 10

// readLoop hands over what the peer sends, and ends the connection.
func (st *stream) readLoop(first []byte) {
	c, nc, rest := st.c, st.nc, 0
	st.deliver(first)
	buf := make([]byte, streamBytes)
	for {
		n, err := nc.Read(buf)
		if c.state.Load() != stateOpen {
			if rest += n; rest > restBytes && !st.rested.Load() {
				nc = st.bare()
				st.rested.Store(true)
				st.part()
			}
		}
		st.deliver(buf[:n])
		if err != nil {
			if err == io.EOF && c.owesClose() {
				<-st.quit // the linger ends it if the peer does not read
			}
			st.finish(err)
			return
		}
		if n > 0 {
			c.shard.stats.reads.Add(1)
		}
	}
}

func (st *stream) deliver(p []byte) {
	if len(p) == 0 {
		return
	}
	st.c.shard.stats.bytesIn.Add(int64(len(p)))
	st.serial.Lock()
	defer st.serial.Unlock()
	if st.c.state.Load() == stateOpen {
		st.c.owner.OnBytes(p)
	}
}

// deadline calls OnDeadline, one callback at a time.
func (st *stream) deadline() {
	st.serial.Lock()
	defer st.serial.Unlock()
	if st.c.state.Load() == stateOpen {
		st.c.owner.OnDeadline()
	}
}

func (st *stream) finish(err error) {
	c := st.c
	c.state.Store(stateClosed)
	c.shard.table.remove(c)
	_ = st.nc.Close()
	close(st.done)
	st.mu.Lock()
	if st.cause != nil {
		err = st.cause
	}
	st.mu.Unlock()
	c.io.Lock()
	err = c.outcomeLocked(err)
	c.io.Unlock()
	st.serial.Lock()
	defer st.serial.Unlock()
	c.left(err)
}

// writeLoop writes what waits, until the connection has ended or the close is out.
func (st *stream) writeLoop() {
	defer func() {
		close(st.quit)
		if st.rested.Load() {
			st.part()
		}
	}()
	var b batch
	for {
		select {
		case <-st.done:
			return
		case <-st.wake:
		}
		for {
			more, err := st.write(&b)
			if err == errCloseSent {
				return
			}
			if err != nil {
				_ = st.nc.Close() // the reader ends it
				return
			}
			if !more {
				break
			}
		}
	}
}

// write makes one batch and writes it, waiting for the peer as long as that takes.
func (st *stream) write(b *batch) (more bool, err error) {
	c := st.c
	more = b.fill(c)
	defer b.clear()
	if len(b.items) == 0 {
		return false, nil
	}
	total := b.encode(c.owner)
	if b.closing {
		c.io.Lock()
		c.code = b.items[len(b.items)-1].Control.Code
		c.io.Unlock()
		c.startClosing()
	}
	if total > 0 {
		vecs := net.Buffers(b.vectors(0))
		st.held.Store(int64(total))
		c.Writing(true)
		n, err := vecs.WriteTo(st.nc)
		c.Writing(false)
		st.held.Store(0)
		c.shard.stats.writes.Add(1)
		c.shard.stats.bytesOut.Add(n)
		if err != nil {
			return false, err
		}
	}
	c.shard.stats.frames.Add(int64(len(b.items)))
	b.tell(c.owner, len(b.items))
	if b.closing {
		return false, st.end()
	}
	return more, nil
}

// errCloseSent ends the writer of a connection whose close is out.
var errCloseSent = errors.New("close sent")

// end ends this side of a connection whose close is written.
func (st *stream) end() error {
	c := st.c
	c.io.Lock()
	c.flags |= flagSent
	parted := c.flags.has(flagParted)
	c.io.Unlock()
	if parted {
		_ = st.nc.Close()
		return errCloseSent
	}
	if err := closeWrite(st.nc); err != nil {
		return err
	}
	return errCloseSent
}

// closeWrite ends this side of a connection, so that the peer reads everything and then an end.
func closeWrite(nc net.Conn) error {
	if half, ok := nc.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}
