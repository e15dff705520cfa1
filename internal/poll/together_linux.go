//go:build amd64 || arm64

package poll

import (
	"errors"
	"syscall"

	"github.com/fraiseql/fraiseql-go/internal/uring"
)

const (
	// togetherConns is how many connections are written to with one system call, and locked as long as it takes: about
	// 150 µs. With 128 of them it was 5 % less CPU time.
	togetherConns = 32
	// togetherBytes is how much may wait on each of them: for more the system call is a small part of the cost. It bounds
	// the scratch as well, 32 × 4 KiB for each writer.
	togetherBytes = 4 << 10
	// togetherLeast is how many must be waiting: with 10 of them it took 8 % more CPU time than a system call for each.
	togetherLeast = 16
)

var errPlain = errors.New("io_uring is turned off")

// submitter is a uring.Ring, or what tests put in its place.
type submitter interface {
	Add(fd int32, message []byte)
	Submit() []int32
	Discard()
	Err() error
	Close() error
}

// together is the scratch of a writer that submits the writes of several connections with one system call. All of these
// are under their I/O locks from the first byte of their batch until it is known what became of it, so that none of their
// descriptors is closed, and used for another connection, in between.
type together struct {
	ring  submitter
	slots [togetherConns]slot
	n     int // slots in use
}

// slot is one connection with its batch.
type slot struct {
	batch
	conn  *Conn
	piece []byte // what the ring is to send; nil: it takes more than that
}

// openTogether makes a ring for a shard's writer. Where there can be none it goes on as it does without.
func (s *shard) openTogether() {
	if s.poller.opts.PlainSends {
		s.poller.noRing(errPlain)
		return
	}
	ring, err := uring.New(togetherConns)
	if err != nil {
		s.poller.noRing(err)
		return
	}
	s.together = &together{ring: ring}
	s.stats.rings.Store(1)
}

// endTogether gives the ring back.
func (s *shard) endTogether() {
	if s.together != nil {
		_ = s.together.ring.Close() // nothing is under way
		s.together = nil
		s.stats.rings.Store(0)
	}
}

// writeTogether writes to the first connections of those that were taken from the dirty list, at once to as many as
// have little to write and nothing else to be done. It is for the writer, not for helpers.
func (s *shard) writeTogether() {
	t := s.together
	defer t.giveUp() // what a panic of framing has left
	odd := s.gather(t)
	if t.n > 0 {
		s.submit(t)
	}
	if err := t.ring.Err(); err != nil {
		s.poller.noRing(err)
		s.endTogether()
	}
	if odd != nil {
		s.flush(odd, &s.out)
	}
}

// gather fills slots. It ends with a connection that is not for the ring; odd is one that has no slot either.
func (s *shard) gather(t *together) (odd *Conn) {
	for moved := 0; t.n < len(t.slots) && moved < len(t.slots) && s.rest.first != nil; {
		c := s.next()
		if n := c.waiting(); n >= muchBytes {
			s.much.add(c)
			moved++
			continue
		} else if c.linked.Store(false); n > togetherBytes {
			return c
		}
		c.io.Lock()
		if c.fd < 0 || c.flags != 0 || c.held.Load() != nil {
			c.io.Unlock()
			return c
		}
		at := &t.slots[t.n]
		at.conn = c
		t.n++ // from here on giveUp knows it
		if !c.prepareLocked(&at.batch) {
			at.release()
			t.n--
			continue
		}
		vecs := at.vectors(0)
		if at.closing || len(vecs) != 1 {
			return nil
		}
		at.piece = vecs[0]
	}
	return nil
}

// submit sends what the slots hold and settles each of them.
func (s *shard) submit(t *together) {
	list := t.slots[:t.n]
	if len(list) > 1 {
		for i := range list {
			if at := &list[i]; at.piece != nil {
				t.ring.Add(at.conn.fd, at.piece)
			}
		}
	}
	results := t.ring.Submit() // the last slot may have none
	written := int64(0)
	for i := range list {
		at, result := &list[i], int32(uring.Unsent)
		if i < len(results) {
			result = results[i]
		}
		n, errno := s.made(at, result)
		written += int64(n)
		if s.settleLocked(at.conn, &at.batch, n, errno) {
			s.dirty.link(at.conn)
		}
		at.release()
	}
	s.out.sends += len(list)
	s.stats.writes.Add(int64(len(list)))
	s.stats.bytesOut.Add(written)
	s.out.cost += len(list)*callCost + int(written)
	s.stats.together.Add(int64(len(results)))
	t.n = 0
}

// made is what became of a slot's write; what the ring has not done is done now.
func (s *shard) made(at *slot, result int32) (int, syscall.Errno) {
	switch {
	case result >= 0:
		return int(result), 0
	case result == uring.Lost:
		at.buf = nil // the system may read it still
		return 0, syscall.EIO
	case result == uring.Unsent && at.total > 0:
		return s.out.send(at.conn.fd, at.vecs)
	case result == uring.Unsent:
		return 0, 0
	}
	return 0, syscall.Errno(-result)
}

// release gives a slot's connection and what it held free.
func (at *slot) release() {
	c := at.conn
	at.clear()
	if cap(at.buf) > 2*togetherBytes {
		at.buf = nil
	}
	at.conn, at.piece = nil, nil
	c.io.Unlock()
}

// giveUp resets the connections that were gathered and not settled: what was taken from their queues is lost.
func (t *together) giveUp() {
	if t.n == 0 {
		return
	}
	t.ring.Discard()
	for i := range t.slots[:t.n] {
		if at := &t.slots[i]; at.conn != nil {
			at.conn.failLocked(true)
			at.release()
		}
	}
	t.n = 0
}
