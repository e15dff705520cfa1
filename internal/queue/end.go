package queue

// End appends the last message of the subscription, whatever the bounds; nothing goes in after it. It reports whether
// this call ended it: not after Complete or another End, nor on a connection that closes.
func (q *Queue) End(m *Message) bool {
	c := q.conn
	c.mu.Lock()
	if q.flags&(flagEnded|flagEnding) != 0 || c.flags&(connShut|connClosing) != 0 {
		c.mu.Unlock()
		return false
	}
	q.pushLocked(m)
	q.flags |= flagEnding
	wake := c.rouseLocked()
	c.mu.Unlock()
	if wake {
		c.sink.Wake(q)
	}
	return true
}

// Complete ends the subscription now: what waits is dropped, nothing more goes in or out. It reports whether
// this call ended it: not if Complete or End did before. Whoever pulls is told.
func (q *Queue) Complete() bool {
	c := q.conn
	c.mu.Lock()
	if q.flags&flagEnded != 0 {
		c.mu.Unlock()
		return false
	}
	first := q.flags&flagEnding == 0
	q.flags |= flagEnded
	q.clearLocked()
	c.unlinkLocked(q)
	q.endLocked()
	if c.flags&connAwaited != 0 {
		c.tellRoomLocked()
	}
	pulled := c.flags&connPull != 0
	c.mu.Unlock()
	if pulled { // also after Shut
		c.sink.Wake(q)
	}
	return first
}

// Ended reports whether Complete was called, or End.
func (q *Queue) Ended() bool {
	q.conn.mu.Lock()
	defer q.conn.mu.Unlock()
	return q.flags&(flagEnded|flagEnding) != 0
}
