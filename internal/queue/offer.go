package queue

// What a subscription is given besides live events: history, at the pace of its client, and notes of its own.

// Offer appends m only while less than half of what the bounds allow waits, whatever the policy: history waits for its
// reader, it never overflows. The first message of an empty queue always fits, unless others have filled the
// connection. wait says that m was not taken and that Limits.Room will be told once messages of the connection were.
// Live events must not be enqueued meanwhile.
func (q *Queue) Offer(m *Message) (r Result, wait bool) {
	c := q.conn
	c.mu.Lock()
	if q.goneLocked() {
		c.mu.Unlock()
		return Gone, false
	}
	if !q.roomLocked(m) {
		c.flags |= connAwaited
		c.mu.Unlock()
		return Gone, true
	}
	q.pushLocked(m)
	wake := c.rouseLocked()
	c.mu.Unlock()
	if wake {
		c.sink.Wake(q)
	}
	return Enqueued, false
}

// Room reports whether Offer would take a message of no length; if not, Limits.Room will be told as after Offer.
func (q *Queue) Room() bool {
	c := q.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if q.goneLocked() || q.roomLocked(&Message{}) {
		return true
	}
	c.flags |= connAwaited
	return false
}

func (q *Queue) goneLocked() bool {
	return q.flags&(flagEnded|flagEnding|flagOverflowed) != 0 || q.conn.flags&(connShut|connClosing) != 0
}

func (q *Queue) roomLocked(m *Message) bool {
	limit := q.conn.maxBytes()
	if q.first == nil {
		return q.conn.resultBytes() <= limit
	}
	n := m.size()
	return q.lenLocked() < (q.policy.MaxMessages()+1)/2 && int(q.bytes)+n <= q.policy.maxBytes()/2 && q.conn.resultBytes()+int64(n) <= limit/2
}

// Note appends m, a short message of the subscription itself, whatever the bounds.
func (q *Queue) Note(m *Message) Result {
	c := q.conn
	c.mu.Lock()
	if q.goneLocked() {
		c.mu.Unlock()
		return Gone
	}
	q.pushLocked(m)
	wake := c.rouseLocked()
	c.mu.Unlock()
	if wake {
		c.sink.Wake(q)
	}
	return Enqueued
}

// NoteIdle is Note if nothing else waits; Refused says that something does.
func (q *Queue) NoteIdle(m *Message) Result {
	c := q.conn
	c.mu.Lock()
	if r := q.idleLocked(); r != Enqueued {
		c.mu.Unlock()
		return r
	}
	q.pushLocked(m)
	wake := c.rouseLocked()
	c.mu.Unlock()
	if wake {
		c.sink.Wake(q)
	}
	return Enqueued
}

func (q *Queue) idleLocked() Result {
	switch {
	case q.goneLocked():
		return Gone
	case q.first != nil:
		return Refused
	}
	return Enqueued
}

// tellRoomLocked tells whoever waits for room that there may be some. connAwaited is set.
func (c *Conn) tellRoomLocked() {
	c.flags &^= connAwaited
	if c.limits != nil && c.limits.Room != nil {
		c.limits.Room(c)
	}
}
