//go:build !fqmemory

package fraiseql

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
	"github.com/fraiseql/fraiseql-go/internal/wsframe"
)

// OutgoingKind is what is to be sent.
type OutgoingKind uint8

const (
	// OutgoingText is a text message.
	OutgoingText OutgoingKind = iota
	// OutgoingClose is a close frame, the last of a session.
	OutgoingClose
)

// Outgoing is one thing to send to the client. The bytes must not be modified.
type Outgoing struct {
	Kind OutgoingKind
	Code uint16 // of a close
	Data []byte // the message, or the reason of a close
}

// Session is one client. Receive must be called by one goroutine at a time, in the order of the messages, and Take by
// one at a time; otherwise all methods are safe for concurrent use. None of them waits for the engine or the client.
type Session struct {
	out     queue.Conn
	driver  session.Driver
	owner   *Sessions
	wake    func()
	opened  time.Time
	address uint32        // of gates.Enter
	heard   atomic.Int64  // when the client last sent something, since opened
	closed  atomic.Uint32 // code of the close that was taken

	mu    sync.Mutex
	told  bool // wake was called, and no Take has returned everything since
	ended bool // no timer any more
	watch deadlines
}

// peer is a Session as its Driver and its queue see it.
type peer Session

// Outbound implements session.Peer.
func (p *peer) Outbound() *queue.Conn { return &p.out }

// Acknowledged implements session.Peer.
func (p *peer) Acknowledged(who *identity.Identity) {
	s := (*Session)(p)
	s.admitted(who.ExpiresAt)
	if s.driver.Legacy() {
		s.keepAlive()
	}
}

// Name implements session.Peer.
func (p *peer) Name() string { return p.owner.streams.Name(p) }

// Unname implements session.Peer.
func (p *peer) Unname() { p.owner.streams.Forget(p) }

// Identity implements session.Renewable.
func (p *peer) Identity() *identity.Identity { return p.driver.Identity() }

// Renew implements session.Renewable.
func (p *peer) Renew(who *identity.Identity) error { return p.driver.Renew(who) }

// Shut implements session.Renewable.
func (p *peer) Shut(code uint16, reason string) { p.driver.Shut(code, reason) }

// Wake implements queue.Sink.
func (p *peer) Wake(*queue.Queue) {
	p.mu.Lock()
	first := !p.told
	p.told = true
	p.mu.Unlock()
	if first {
		p.wake()
	}
}

// earlyBytes bounds a message of a client that nobody knows yet.
const earlyBytes = 64 << 10

// Receive takes a whole text message of the client. The bytes are the caller's again when it returns. For binary
// messages call Shut with 1003.
func (s *Session) Receive(message []byte) {
	defer s.owner.host.Guard(s.abort)
	s.heard.Store(int64(time.Since(s.opened)))
	if n := len(message); int64(n) > s.owner.gate.message.Load() || n > earlyBytes && s.driver.Identity() == nil {
		s.owner.engine.limited("message_bytes")
		s.driver.Shut(wsframe.CodeTooBig, "message too big")
		return
	}
	s.driver.Receive(message)
}

// takeBytes is what a Take without a bound returns about.
const takeBytes = 64 << 10

// taken is the scratch of one Take of a session.
type taken struct{ items []queue.Item }

var takens = sync.Pool{New: func() any { return new(taken) }}

// Take appends what is to be sent, in order, about maxBytes of it (64 KiB if that is 0), control messages before
// results and subscriptions in turn. more is true when something is left: call it again, wake is not called for
// that. A close is the last thing that comes: send it and call Close when the connection is gone. The bytes are the
// caller's, and may be shared with other sessions.
func (s *Session) Take(dst []Outgoing, maxBytes int) (out []Outgoing, more bool) {
	if maxBytes <= 0 {
		maxBytes = takeBytes
	}
	t := takens.Get().(*taken)
	s.mu.Lock()
	t.items, more = s.out.Take(t.items[:0], maxBytes)
	s.told = more
	s.mu.Unlock()
	dst = s.appendOutgoing(dst, t.items)
	clear(t.items)
	takens.Put(t)
	return dst, more
}

// appendOutgoing renders items; results lie in one allocation.
func (s *Session) appendOutgoing(dst []Outgoing, items []queue.Item) []Outgoing {
	size := 0
	for i := range items {
		size += sizeOf(&items[i])
	}
	var buf []byte
	if size > 0 {
		buf = make([]byte, 0, size)
	}
	for i := range items {
		it := &items[i]
		switch {
		case it.Queue != nil:
			if it.Message.End {
				s.driver.Ended(it.Queue)
			}
			from := len(buf)
			buf = s.appendItem(buf, it)
			dst = append(dst, Outgoing{Data: buf[from:len(buf):len(buf)]})
		case it.Control.Kind == queue.Close:
			dst = append(dst, Outgoing{Kind: OutgoingClose, Code: it.Control.Code, Data: it.Control.Data})
			s.closed.Store(uint32(it.Control.Code))
			s.end()
		case it.Control.Kind == queue.Text:
			dst = append(dst, Outgoing{Data: it.Control.Data})
		}
	}
	return dst
}

// appendItem appends a result in the words of the session's protocol.
func (s *Session) appendItem(dst []byte, it *queue.Item) []byte {
	if !s.driver.Legacy() {
		return session.AppendItem(dst, it)
	}
	dst = session.AppendLegacyPrefix(dst, it)
	return session.AppendLegacySuffix(append(dst, it.Message.Payload...), it)
}

// sizeOf is at least the length of a result's message, bar extensions of more than a line.
func sizeOf(it *queue.Item) int {
	if it.Queue == nil {
		return 0
	}
	const around = len(`{"id":"","type":"next","payload":}}`) + 8
	n := around + it.Queue.IDLen() + len(it.Message.Payload)
	if it.Extensions {
		n += len(`,"extensions":{"cursor":"","recovered":false,"dropped":4294967295}`) + len(it.Message.Cursor())
	}
	return n
}

// Shut closes the session from this side, with a code and a reason that the client sees (cut to 123 bytes): the close
// is taken like every message, and what waited as a result is dropped.
func (s *Session) Shut(code uint16, reason string) { s.driver.Shut(code, reason) }

// ShutAfter closes the session from this side once everything that waits was taken; nothing goes in after it. It is for
// hosts that stop: what was published before reaches the client, who comes again for the rest.
func (s *Session) ShutAfter(code uint16, reason string) {
	s.out.CloseAfter(code, session.CutReason(reason))
}

// Close says that the client is gone: everything of the session ends, nothing can be taken any more. Idempotent.
func (s *Session) Close() {
	s.end()
	s.out.Shut()
	s.owner.count(s)
}

// end completes every subscription and stops the clock; what waits can still be taken.
func (s *Session) end() {
	s.mu.Lock()
	s.ended = true
	s.watch.stop()
	s.mu.Unlock()
	s.driver.Closed()
	(*peer)(s).Unname()
}

// closeLabel is the label of the session's end in metrics.
func (s *Session) closeLabel() string {
	if code := s.closed.Load(); code != 0 {
		return strconv.Itoa(int(code))
	}
	return "1000"
}
