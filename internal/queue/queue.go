// Package queue holds what waits for a subscriber: one bounded queue per subscription, one ready list and one
// control queue per connection. Push transports (a writer) and pull (Python, Engine.Next) use the same objects.
//
// Concurrency: everything of a connection and of its queues is guarded by the connection's mutex, which is held
// for pointer work only, never over encoding or I/O. Every method may be called from any goroutine; Take and
// Untake from one at a time. In the order of docs/locks.md only what Limits.Room takes comes after it.
package queue

import "sync/atomic"

// ControlKind is what a control message is.
type ControlKind uint8

const (
	// Text is a whole protocol message.
	Text ControlKind = iota
	// Ping and Pong are frames of the transport, Data their application data.
	Ping
	Pong
	// Close ends the connection after what was half sent; Code and Data (the reason) go to the peer.
	Close
)

// Control is a message of the connection itself; it overtakes queued results.
type Control struct {
	Kind ControlKind
	Code uint16
	Data []byte
}

// Item is one thing to write, as taken from a connection.
type Item struct {
	Queue   *Queue   // nil for control
	Message *Message // nil for control
	Control Control
	// Dropped is the number of messages dropped before this one, for subscribers that asked to be told.
	Dropped uint32
	// Extensions is set when the subscriber asked for extensions (cursor or drops).
	Extensions bool
}

// Sink is woken when a connection has something to write: once until the Take that empties the connection, and once
// more when a close is asked for. That of a connection that is pulled is woken for every message and every end
// (Complete, overflow) of a queue, after it is there to be popped. q is the queue that it is about, nil for a message
// of the connection. Wake is called without the connection's lock; it must not block and may be called under a
// channel's turn.
type Sink interface{ Wake(q *Queue) }

// Overflow is what happens to a message that finds its queue full (docs/delivery.md).
type Overflow uint8

const (
	// CloseConnection ends the connection with 4290; a pulled subscription ends after what is queued.
	CloseConnection Overflow = iota
	// DropOldest makes room by dropping from the front.
	DropOldest
	// DropNewest drops the message that does not fit.
	DropNewest
	// Latest keeps the newest message of each key: a waiting one of the same key is replaced, and beyond the
	// bounds the oldest goes.
	Latest
)

// Policy bounds a subscription's queue; shared by every subscription of a plan. One message always fits an
// empty queue.
type Policy struct {
	Overflow Overflow
	Messages int
	Bytes    int
	// Shared, if set, says how many messages and bytes where Messages or Bytes is 0; it may change.
	Shared *Bounds
	// Weight is what a subscription counts for in the books of its host; queues do not read it.
	Weight int32
}

// Bounds are bounds of queues that may change while they are in force. Safe for concurrent use.
type Bounds struct{ messages, bytes atomic.Int64 }

// Set changes the bounds, for what comes from now on.
func (b *Bounds) Set(messages, bytes int) {
	b.messages.Store(int64(messages))
	b.bytes.Store(int64(bytes))
}

// MaxMessages is how many messages may wait now.
func (p *Policy) MaxMessages() int {
	if p.Messages > 0 || p.Shared == nil {
		return p.Messages
	}
	return int(p.Shared.messages.Load())
}

func (p *Policy) maxBytes() int {
	if p.Bytes > 0 || p.Shared == nil {
		return p.Bytes
	}
	return int(p.Shared.bytes.Load())
}

// Limits bounds a connection; zero members mean the defaults.
type Limits struct {
	Bytes int // of queued results over all subscriptions; 16 MiB
	// Changing, if set, is in the place of Bytes.
	Changing        *atomic.Int64
	ControlMessages int // 256
	// Room is told, once after an Offer that waits, that messages of the connection were taken. It is called under the
	// connection's lock: it must not block and must not call the connection or its queues. nil: nobody is.
	Room func(*Conn)
	// Relief is where those wait who fill queues; nil: nobody does.
	Relief *Relief
}

const (
	defaultConnBytes = 16 << 20
	defaultControl   = 256
	// CodeSlowConsumer closes a connection whose client does not keep up (clients retry it).
	CodeSlowConsumer = 4290
)

// Result is what became of an enqueued message.
type Result uint8

const (
	// Enqueued: it waits.
	Enqueued Result = iota
	// Filled: it waits, and more than half of what the bounds allow does; see Limits.Relief.
	Filled
	// Dropped: it waits, and older messages were dropped for it.
	Dropped
	// Replaced is Dropped by the policy Latest.
	Replaced
	// Refused: it was dropped itself.
	Refused
	// Closed: the queue was full and its connection (or pulled subscription) is now closed for it.
	Closed
	// Gone: the subscription or connection had ended before.
	Gone
)

// Waits reports whether the message was taken.
func (r Result) Waits() bool { return r <= Replaced }

const (
	flagReady      uint16 = 1 << iota // in the connection's ready list
	flagEnded                         // completed: nothing more goes in or out
	flagEnding                        // its last message waits: nothing more goes in
	flagOverflowed                    // pulled subscription that did not keep up
	flagExtensions                    // asked for extensions
	flagCounted                       // its end is or was one of Conn.ends
	flagTold                          // TellEnd has told it
	flagFull                          // in Limits.Relief, or was given up there
	flagSlow                          // full, and was waited for in vain; until it is empty
	flagTight                         // one message may fill more than half of it, see tight
)

// Queue is one subscription's queue; it is embedded in the subscription and ready after Init.
type Queue struct {
	conn       *Conn
	policy     *Policy
	prev, next *Queue // ready list
	first      *Message
	rest       *ring // what waits behind first; nil most of the time
	bytes      int32
	drops      uint32
	flags      uint16
	idLen      uint8
	id         [inlineID]byte
	long       *string // nil: the id is in id
}

const inlineID = 37

// Init binds the queue to its connection. id is the operation id, JSON-escaped, without quotes.
func (q *Queue) Init(c *Conn, p *Policy, id []byte, extensions bool) {
	q.conn, q.policy = c, p
	if len(id) <= inlineID {
		q.idLen = uint8(copy(q.id[:], id))
	} else {
		s := string(id)
		q.long = &s
	}
	if extensions {
		q.flags |= flagExtensions
	}
	if p.tight() {
		q.flags |= flagTight
	}
}

// AppendID appends the operation id, JSON-escaped, without quotes.
func (q *Queue) AppendID(dst []byte) []byte {
	if q.long != nil {
		return append(dst, *q.long...)
	}
	return append(dst, q.id[:q.idLen]...)
}

// IDLen is the length of what AppendID appends.
func (q *Queue) IDLen() int {
	if q.long != nil {
		return len(*q.long)
	}
	return int(q.idLen)
}

// IDIs reports whether the operation id, JSON-escaped, is id.
func (q *Queue) IDIs(id []byte) bool {
	if q.long != nil {
		return *q.long == string(id)
	}
	return string(q.id[:q.idLen]) == string(id)
}

// Weight returns that of the policy.
func (q *Queue) Weight() int32 { return q.Policy().Weight }

// Policy returns what bounds the queue.
func (q *Queue) Policy() *Policy {
	q.conn.mu.Lock()
	defer q.conn.mu.Unlock()
	return q.policy
}

// SetPolicy puts other bounds in the place of those that there are, for what comes from now on; what waits stays.
func (q *Queue) SetPolicy(p *Policy) {
	q.conn.mu.Lock()
	defer q.conn.mu.Unlock()
	q.policy = p
	if q.flags &^= flagTight; p.tight() {
		q.flags |= flagTight
	}
}

// Conn returns the connection that the queue belongs to.
func (q *Queue) Conn() *Conn { return q.conn }

// Enqueue appends m, within the policy's bounds, and wakes the connection's sink if it slept.
func (q *Queue) Enqueue(m *Message) Result {
	r, _ := q.EnqueueCounted(m)
	return r
}

// EnqueueCounted is Enqueue. It returns also of how many messages the result is true: a long message may drop
// several short ones. 1 where none was dropped.
func (q *Queue) EnqueueCounted(m *Message) (r Result, messages int) {
	c := q.conn
	c.mu.Lock()
	if q.flags&(flagEnded|flagEnding|flagOverflowed) != 0 || c.flags&(connShut|connClosing) != 0 {
		c.mu.Unlock()
		return Gone, 1
	}
	messages = 1
	if q.first == nil && !q.crowdedLocked() || q.first != nil && q.policy.Overflow != Latest && q.fitsLocked(m) {
		q.pushLocked(m)
	} else {
		r, messages = q.squeezeLocked(m)
	}
	if (q.rest != nil || q.bytes > bigMessage || q.flags&flagTight != 0) && q.fillsLocked() && r == Enqueued {
		r = Filled
	}
	wake := r != Refused && c.rouseLocked()
	c.mu.Unlock()
	if wake {
		c.sink.Wake(q)
	}
	return r, messages
}

// squeezeLocked pushes m if the policy finds room for it.
func (q *Queue) squeezeLocked(m *Message) (r Result, messages int) {
	before := q.drops
	switch r = q.makeRoomLocked(m); r {
	case Enqueued, Dropped, Replaced:
		q.pushLocked(m)
	case Closed:
		q.overflowLocked()
	}
	return r, max(1, int(q.drops-before))
}

// Overflow closes the connection, or ends the pulled subscription, as a full queue of policy CloseConnection
// does. It reports whether this call did.
func (q *Queue) Overflow() bool {
	c := q.conn
	c.mu.Lock()
	if q.flags&(flagEnded|flagEnding|flagOverflowed) != 0 || c.flags&(connShut|connClosing) != 0 {
		c.mu.Unlock()
		return false
	}
	q.overflowLocked()
	wake := c.rouseLocked()
	c.mu.Unlock()
	if wake {
		c.sink.Wake(q)
	}
	return true
}

// overflowLocked ends what did not keep up: the connection, or the subscription if it is pulled.
func (q *Queue) overflowLocked() {
	if q.conn.flags&connPull == 0 {
		q.conn.closeLocked(CodeSlowConsumer, "slow consumer: queue full")
		return
	}
	q.flags |= flagOverflowed
	q.endLocked()
}

// Missed counts a message that was dropped on its way here, for subscribers that asked to be told.
func (q *Queue) Missed() {
	q.conn.mu.Lock()
	defer q.conn.mu.Unlock()
	q.drops++
}

// Len returns how many messages wait.
func (q *Queue) Len() int {
	q.conn.mu.Lock()
	defer q.conn.mu.Unlock()
	return q.lenLocked()
}

func (q *Queue) lenLocked() int {
	if q.first == nil {
		return 0
	}
	if q.rest == nil {
		return 1
	}
	return 1 + q.rest.n
}

// makeRoomLocked applies the overflow policy before m is pushed behind waiting messages.
func (q *Queue) makeRoomLocked(m *Message) Result {
	if q.first == nil { // crowded
		return Closed
	}
	r := Enqueued
	if q.policy.Overflow == Latest && q.dropKeyLocked(m) {
		r = Replaced
	}
	if q.fitsLocked(m) {
		return r
	}
	switch q.policy.Overflow {
	case DropOldest, Latest:
		for q.first != nil && !q.fitsLocked(m) {
			q.dropFirstLocked()
		}
		if q.policy.Overflow == Latest {
			return Replaced
		}
		return Dropped
	case DropNewest:
		q.drops++
		return Refused
	default:
		return Closed
	}
}

func (q *Queue) fitsLocked(m *Message) bool {
	if q.first == nil {
		return true
	}
	n := m.size()
	return q.lenLocked() < q.policy.MaxMessages() && int(q.bytes)+n <= q.policy.maxBytes() && q.conn.resultBytes()+int64(n) <= q.conn.maxBytes()
}

func (q *Queue) dropFirstLocked() {
	m := q.popFrontLocked()
	q.accountLocked(-m.size())
	q.drops++
}

// dropKeyLocked removes the waiting message of the key of next, if there is one.
func (q *Queue) dropKeyLocked(next *Message) bool {
	key, ok := next.Key()
	if !ok {
		return false
	}
	if q.first.is(key) {
		q.dropFirstLocked()
		return true
	}
	if q.rest == nil {
		return false
	}
	m := q.rest.removeKey(key)
	if m == nil {
		return false
	}
	q.accountLocked(-m.size())
	q.drops++
	q.releaseRingLocked()
	return true
}

func (q *Queue) pushLocked(m *Message) {
	c := q.conn
	if c.flags&connBlocked != 0 {
		m = m.detached()
	}
	q.accountLocked(m.size())
	switch r := q.rest; {
	case q.first == nil:
		q.first = m
	case r == nil:
		q.rest = newRing(minRing)
		q.rest.push(m)
	case r.full():
		q.rest = r.grown()
		q.rest.push(m)
	default:
		r.push(m)
	}
	if q.flags&flagReady == 0 {
		c.linkLastLocked(q)
	}
}

func (q *Queue) popFrontLocked() *Message {
	m := q.first
	q.first = nil
	if q.rest != nil {
		q.first = q.rest.pop()
		q.releaseRingLocked()
	}
	return m
}

// popLocked takes the first message into it; the ready list is the caller's.
func (q *Queue) popLocked(it *Item) {
	m := q.popFrontLocked()
	q.accountLocked(-m.size())
	it.Queue, it.Message = q, m
	if q.flags&(flagExtensions|flagFull|flagSlow) == 0 {
		return
	}
	if q.flags&flagExtensions != 0 {
		it.Extensions, it.Dropped = true, q.drops
		q.drops = 0
	}
	q.easeLocked()
}

// pushFrontLocked gives an item back.
func (q *Queue) pushFrontLocked(it *Item) {
	q.accountLocked(it.Message.size())
	q.drops += it.Dropped
	if q.first != nil {
		if q.rest == nil {
			q.rest = newRing(minRing)
		}
		q.rest = q.rest.pushFront(q.first)
	}
	q.first = it.Message
}

func (q *Queue) releaseRingLocked() {
	if q.rest != nil && q.rest.n == 0 {
		q.rest.release()
		q.rest = nil
	}
}

func (q *Queue) clearLocked() {
	for q.first != nil {
		m := q.popFrontLocked()
		q.accountLocked(-m.size())
	}
	q.easeLocked()
}

func (q *Queue) accountLocked(n int) {
	q.bytes += int32(n)
	q.conn.bytes += int64(n)
}
