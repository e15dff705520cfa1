package queue

import (
	"slices"
	"sync"
)

const (
	connBusy    uint16 = 1 << iota // woken, and not emptied since
	connShut                       // discards everything
	connClosing                    // a close waits or was sent: no results any more
	connFlush                      // the close waits behind the results
	connPull                       // no transport: results wait to be popped
	connBlocked                    // the peer does not read: messages are kept as copies outside the slabs
	connTold                       // the sink was woken for the close
	connAwaited                    // an Offer found no room: Limits.Room is to be told of some
	connTells                      // Block or Writing says when the peer may not read
	connWriting                    // it writes, and may wait for its peer
)

// Conn is the outbound side of one connection. It is embedded in the transport's connection; the zero value
// must be Init'ed before use.
type Conn struct {
	mu          sync.Mutex
	sink        Sink
	limits      *Limits
	first, last *Queue   // ready list: subscriptions with messages
	control     *control // nil most of the time
	bytes       int64    // of queued results and replies
	ends        int32    // of pulled queues that have ended, until TellEnd has told so
	flags       uint16
	vain        vain
}

// control is what waits in front of the results.
type control struct {
	items []Control
	bytes int64 // of items
	// final closes the connection once the results are out.
	final Control
}

// Init prepares an embedded Conn. limits may be shared and nil.
func (c *Conn) Init(sink Sink, limits *Limits) { c.sink, c.limits = sink, limits }

func (c *Conn) maxBytes() int64 {
	if c.limits != nil && c.limits.Changing != nil {
		return c.limits.Changing.Load()
	}
	if c.limits == nil || c.limits.Bytes <= 0 {
		return defaultConnBytes
	}
	return int64(c.limits.Bytes)
}

// crowdedLocked reports whether the connection is beyond its bound, so that not even the first message of a queue goes
// in: a client with many subscriptions could else make as many messages wait. Policies that drop keep theirs, and so
// do hosts that pull, whose connections hold what belongs to many.
func (q *Queue) crowdedLocked() bool {
	c := q.conn
	return c.resultBytes() > c.maxBytes() && q.policy.Overflow == CloseConnection && c.flags&connPull == 0
}

func (c *Conn) maxControl() int {
	if c.limits == nil || c.limits.ControlMessages <= 0 {
		return defaultControl
	}
	return c.limits.ControlMessages
}

// rouseLocked marks the connection busy and reports whether its sink must be woken.
func (c *Conn) rouseLocked() bool {
	if c.flags&connPull != 0 { // waiters look at single subscriptions: each message may be theirs
		return c.flags&connShut == 0
	}
	closing := c.flags&(connClosing|connTold) == connClosing // told at once, also a sink that waits for the peer
	if c.flags&connShut != 0 || c.flags&connBusy != 0 && !closing {
		return false
	}
	c.flags |= connBusy
	if closing {
		c.flags |= connTold
	}
	return true
}

// Closing reports whether a close was asked for, by Control, CloseAfter or an overflow policy.
func (c *Conn) Closing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flags&connClosing != 0
}

// Control queues a control message. After a Close, or Shut, it is discarded. A client that makes more of them
// than the bounds of number and bytes without reading is closed with 4290; one always fits if nothing else waits.
func (c *Conn) Control(m Control) {
	c.mu.Lock()
	if c.flags&(connShut|connClosing) != 0 {
		c.mu.Unlock()
		return
	}
	switch {
	case m.Kind == Close:
		c.closeLocked(m.Code, string(m.Data))
	case c.control.full(&m, c.maxControl(), c.maxBytes()):
		c.closeLocked(CodeSlowConsumer, "slow consumer: too many unread replies")
	default:
		c.controlLocked(m)
	}
	wake := c.rouseLocked()
	c.mu.Unlock()
	if wake {
		c.sink.Wake(nil)
	}
}

// CloseAfter closes the connection once everything that waits has been written; nothing goes in after it.
func (c *Conn) CloseAfter(code uint16, reason string) {
	c.mu.Lock()
	if c.flags&(connShut|connClosing) != 0 {
		c.mu.Unlock()
		return
	}
	c.flags |= connClosing | connFlush
	if c.control == nil {
		c.control = &control{}
	}
	c.control.final = Control{Kind: Close, Code: code, Data: []byte(reason)}
	wake := c.rouseLocked()
	c.mu.Unlock()
	if wake {
		c.sink.Wake(nil)
	}
}

// closeLocked drops every queued result and queues the close behind waiting control messages.
func (c *Conn) closeLocked(code uint16, reason string) {
	c.flags = c.flags&^connFlush | connClosing
	c.dropResultsLocked()
	c.controlLocked(Control{Kind: Close, Code: code, Data: []byte(reason)})
}

func (c *Conn) controlLocked(m Control) {
	if c.control == nil {
		c.control = &control{}
	}
	c.control.items = append(c.control.items, m)
	c.accountControlLocked(len(m.Data))
}

// full reports whether m must not wait beside what waits already.
func (t *control) full(m *Control, messages int, bytes int64) bool {
	if t == nil || len(t.items) == 0 {
		return false
	}
	return len(t.items) >= messages || t.bytes+int64(len(m.Data)) > bytes
}

// resultBytes is bytes without those of replies.
func (c *Conn) resultBytes() int64 {
	if c.control == nil {
		return c.bytes
	}
	return c.bytes - c.control.bytes
}

func (c *Conn) accountControlLocked(n int) {
	c.control.bytes += int64(n)
	c.bytes += int64(n)
}

// dropControlLocked forgets the control messages that wait.
func (c *Conn) dropControlLocked() {
	if c.control != nil {
		c.bytes -= c.control.bytes
		c.control = nil
	}
}

// takeControlLocked appends the control messages that wait, until about maxBytes (0: all), and returns how many bytes they
// have. all is false when some are left.
func (c *Conn) takeControlLocked(dst []Item, maxBytes int) (items []Item, sum int, all bool) {
	for i := range c.control.items {
		if maxBytes > 0 && sum >= maxBytes {
			rest := c.control.items[i:]
			c.control.items = append(make([]Control, 0, len(rest)), rest...)
			return dst, sum, false
		}
		m := c.control.items[i]
		c.accountControlLocked(-len(m.Data))
		sum += len(m.Data) + itemOverhead
		dst = append(dst, Item{Control: m})
	}
	c.control.items = nil
	return dst, sum, true
}

func (c *Conn) dropResultsLocked() {
	for q := c.first; q != nil; q = c.first {
		q.clearLocked()
		c.unlinkLocked(q)
	}
}

// Take appends what waits to dst, control messages first, then one message of each ready subscription in
// turn, until about maxBytes of payload; 0: all control messages and no other. more is true when something is left. When
// nothing is left the connection is idle again: the next message wakes the sink.
func (c *Conn) Take(dst []Item, maxBytes int) (items []Item, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flags&connShut != 0 {
		return dst, false
	}
	sum := 0
	if c.control != nil {
		all := false
		if dst, sum, all = c.takeControlLocked(dst, maxBytes); !all {
			return dst, true
		}
	}
	for c.first != nil {
		if sum >= maxBytes {
			if c.flags&connAwaited != 0 {
				c.tellRoomLocked()
			}
			return dst, true
		}
		q := c.first
		dst = append(dst, Item{})
		it := &dst[len(dst)-1]
		q.popLocked(it)
		sum += it.Message.size() + itemOverhead
		if q.first == nil {
			c.unlinkLocked(q)
		} else if q.next != nil { // others wait: theirs come first
			c.unlinkLocked(q)
			c.linkLastLocked(q)
		}
	}
	if c.flags&connFlush != 0 {
		c.flags &^= connFlush
		dst = append(dst, Item{Control: c.control.final})
	}
	c.control = nil
	c.flags &^= connBusy
	if c.flags&connAwaited != 0 {
		c.tellRoomLocked()
	}
	return dst, false
}

// itemOverhead is about what a transport adds to a payload.
const itemOverhead = 64

// Untake gives back items that were taken and not written, in their order, to the front; those of
// subscriptions completed meanwhile, and of connections closed meanwhile, are discarded. The connection is
// busy afterwards: it does not wake its sink until a Take has emptied it.
func (c *Conn) Untake(items []Item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flags&connShut != 0 || len(items) == 0 {
		return
	}
	c.flags |= connBusy
	if n := len(items) - 1; n > 0 && items[n].Control.Kind == Close && items[n-1].Queue != nil {
		c.flags |= connFlush // CloseAfter: the close waits behind the results again
		c.control = &control{final: items[n].Control}
		items = items[:n]
	}
	var controls []Control
	for i := len(items) - 1; i >= 0; i-- {
		it := &items[i]
		if q := it.Queue; q != nil {
			c.untakeResultLocked(q, it)
			continue
		}
		controls = append(controls, it.Control)
	}
	if len(controls) == 0 {
		return
	}
	if c.control == nil {
		c.control = &control{}
	}
	slices.Reverse(controls)
	for i := range controls {
		c.accountControlLocked(len(controls[i].Data))
	}
	c.control.items = append(controls, c.control.items...)
}

func (c *Conn) untakeResultLocked(q *Queue, it *Item) {
	closing := c.flags&connClosing != 0 && c.flags&connFlush == 0
	if q.flags&flagEnded != 0 || closing {
		return
	}
	q.pushFrontLocked(it)
	if q.flags&flagReady != 0 {
		c.unlinkLocked(q)
	}
	c.linkFirstLocked(q)
}

// Block tells whether the peer has stopped reading. While it has, the messages that wait are copies that only blocked connections
// share, so that they pin no memory of those that read.
func (c *Conn) Block(blocked bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !blocked {
		c.flags &^= connBlocked
		return
	}
	if c.flags&connBlocked != 0 {
		return
	}
	c.flags |= connBlocked
	for q := c.first; q != nil; q = q.next {
		q.relieveLocked()
		q.first = q.first.detached()
		if q.rest != nil {
			q.rest.replace((*Message).detached)
		}
	}
}

// Shut discards everything and refuses what comes later. Idempotent.
func (c *Conn) Shut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flags |= connShut
	c.dropResultsLocked()
	c.dropControlLocked()
}

// Bytes returns how many bytes of results and replies wait.
func (c *Conn) Bytes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int(c.bytes)
}

func (c *Conn) linkLastLocked(q *Queue) {
	q.flags |= flagReady
	q.prev, q.next = c.last, nil
	if c.last != nil {
		c.last.next = q
	} else {
		c.first = q
	}
	c.last = q
}

func (c *Conn) linkFirstLocked(q *Queue) {
	q.flags |= flagReady
	q.prev, q.next = nil, c.first
	if c.first != nil {
		c.first.prev = q
	} else {
		c.last = q
	}
	c.first = q
}

func (c *Conn) unlinkLocked(q *Queue) {
	if q.flags&flagReady == 0 {
		return
	}
	q.flags &^= flagReady
	if q.prev != nil {
		q.prev.next = q.next
	} else {
		c.first = q.next
	}
	if q.next != nil {
		q.next.prev = q.prev
	} else {
		c.last = q.prev
	}
	q.prev, q.next = nil, nil
}
