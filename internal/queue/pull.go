package queue

// InitPull prepares a Conn without a transport: its queues are popped.
func (c *Conn) InitPull(sink Sink, limits *Limits) {
	c.Init(sink, limits)
	c.flags |= connPull
}

// Pop takes the oldest message of this subscription, for pull; others that have some come before its next one in
// the order of Ready. overflowed is set when there is none and the subscription ended because it did not keep up.
func (q *Queue) Pop() (item Item, ok, overflowed bool) {
	c := q.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if q.first == nil {
		return Item{}, false, q.flags&flagOverflowed != 0
	}
	q.popLocked(&item)
	if q.first == nil {
		c.unlinkLocked(q)
	} else if q.next != nil {
		c.unlinkLocked(q)
		c.linkLastLocked(q)
	}
	if c.first == nil && c.control == nil {
		c.flags &^= connBusy
	}
	if c.flags&connAwaited != 0 {
		c.tellRoomLocked()
	}
	return item, true, false
}

// Ending is whether and how a subscription has ended.
type Ending uint8

const (
	// Live: messages may wait, or come.
	Live Ending = iota
	// Completed: by Complete.
	Completed
	// Overflowed: it was pulled and did not keep up; what waited has been popped.
	Overflowed
)

// TellEnd returns whether the subscription has ended and nothing waits any more. Its end is known then: it does not
// count for Conn.Waiting any more.
func (q *Queue) TellEnd() Ending {
	c := q.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if q.first != nil || q.flags&(flagEnded|flagOverflowed) == 0 {
		return Live
	}
	if q.flags&(flagCounted|flagTold) == flagCounted {
		q.flags |= flagTold
		c.ends--
	}
	if q.flags&flagOverflowed != 0 {
		return Overflowed
	}
	return Completed
}

// Waits reports whether Pop would give something: a message, or that nothing comes any more.
func (q *Queue) Waits() bool {
	q.conn.mu.Lock()
	defer q.conn.mu.Unlock()
	return q.first != nil || q.flags&(flagEnded|flagOverflowed) != 0
}

// Ready appends the queues that have a message, in the order of their turns, at most limit. Only for pull.
func (c *Conn) Ready(dst []*Queue, limit int) []*Queue {
	c.mu.Lock()
	defer c.mu.Unlock()
	for q := c.first; q != nil && limit > 0; q = q.next {
		dst = append(dst, q)
		limit--
	}
	return dst
}

// Waiting reports whether a queue of a connection that is pulled has something to tell: a message, or an end that
// TellEnd has not told yet.
func (c *Conn) Waiting() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.first != nil || c.ends > 0
}

// endLocked counts the end of a queue that is pulled, once.
func (q *Queue) endLocked() {
	if q.conn.flags&connPull != 0 && q.flags&flagCounted == 0 {
		q.flags |= flagCounted
		q.conn.ends++
	}
}
