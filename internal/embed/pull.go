//go:build linux

package embed

import (
	"encoding/binary"
	"errors"
	"sync/atomic"

	fraiseql "github.com/fraiseql/fraiseql-go"
)

// Next appends the oldest message of a subscription. n is 1, 0 when none waits, Ended, Slow or Unknown.
func (e *Engine) Next(dst []byte, handle int64) (message []byte, n int64) {
	s, ok := e.lib.subscriptions.get(handle)
	if !ok || s.conn.engine != e {
		return dst, e.lib.gone(handle)
	}
	pull := s.pull.Load()
	if pull == nil {
		return dst, 0
	}
	message, ok, err := pull.Next(dst)
	switch {
	case ok:
		return message, 1
	case err != nil:
		s.conn.noteEnd(s)
		return dst, endOf(err)
	}
	s.conn.rest(pull)
	return dst, 0
}

func (l *Library) gone(handle int64) int64 {
	if l.subscriptions.gone(handle) {
		return Ended
	}
	return Unknown
}

func endOf(err error) int64 {
	if errors.Is(err, fraiseql.ErrSlowConsumer) {
		return Slow
	}
	return Ended
}

// Take appends up to limit messages, each uint32 length + bytes. n is their number; Ended and Slow when there is none.
func (e *Engine) Take(dst []byte, handle int64, limit int64) (messages []byte, n int64) {
	for n < limit {
		head := len(dst)
		out, one := e.Next(append(dst, 0, 0, 0, 0), handle)
		if one != 1 {
			if n == 0 {
				n = one
			}
			break
		}
		binary.NativeEndian.PutUint32(out[head:], uint32(len(out)-head-4))
		dst = out
		n++
	}
	return dst, n
}

// TakeConnection appends up to limit messages of any subscription of a connection, each int64 subscription + uint32
// length + bytes. n is their number, or Unknown.
func (e *Engine) TakeConnection(dst []byte, handle int64, limit int64) (messages []byte, n int64) {
	c, ok := e.lib.connections.get(handle)
	if !ok || c.engine != e {
		if e.lib.connections.gone(handle) {
			return dst, 0
		}
		return dst, Unknown
	}
	e.facade.Take(c.name, int(min(max(limit, 0), maxTake)), func(pull *fraiseql.Subscription, message []byte) {
		subscription := c.handleOf(pull)
		if subscription == 0 { // completed this moment
			return
		}
		dst = binary.NativeEndian.AppendUint64(dst, uint64(subscription))
		dst = binary.NativeEndian.AppendUint32(dst, uint32(len(message)))
		dst = append(dst, message...)
		n++
	})
	if n == 0 {
		c.rest(nil)
	}
	return dst, n
}

// maxTake is the most that one call takes.
const maxTake = 1 << 30

// handleOf returns the handle of a subscription of the connection, 0 when it has been completed. It may be one whose
// Subscribe is about to return.
func (c *connection) handleOf(pull *fraiseql.Subscription) int64 {
	s := pull.Value().(*subscription)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subs[s.id] == s {
		return s.handle
	}
	return 0
}

// arrived is told of every message and end on the connection, under locks of the engine.
func (c *connection) arrived() {
	// The message is there before this line, and rest looks for one after it has cleared the word: whoever reads 1
	// here is seen by a rest that comes later.
	if atomic.LoadUint32(c.word) != 0 {
		return
	}
	c.mu.Lock()
	if !c.closed {
		atomic.StoreUint32(c.word, 1)
	}
	c.mu.Unlock()
}

// rest clears the word of a connection in which nothing was found, unless something is there or came meanwhile, or one
// of its subscriptions has ended and was not completed yet. pull is any of its subscriptions, nil: found here.
func (c *connection) rest(pull *fraiseql.Subscription) {
	if atomic.LoadUint32(c.word) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if pull == nil {
		for _, s := range c.subs {
			if pull = s.pull.Load(); pull != nil {
				break
			}
		}
	}
	if c.closed || c.ended > 0 || pull == nil {
		return
	}
	atomic.StoreUint32(c.word, 0)
	if pull.Waiting() {
		atomic.StoreUint32(c.word, 1)
	}
}

// noteEnd keeps the word from being cleared until a subscription that has ended is completed, so that everybody who
// asks for its messages hears that there are none any more.
func (c *connection) noteEnd(s *subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !s.ended && !c.closed && c.subs[s.id] == s {
		s.ended = true
		c.ended++
		atomic.StoreUint32(c.word, 1)
	}
}
