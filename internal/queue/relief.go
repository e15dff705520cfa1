package queue

import (
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// patience is how long a queue is waited for whose reader takes nothing, or whose connection is found writing;
	// mostPatience bounds it for one who takes little. After that it is slow until it is empty once.
	patience     = 50 * time.Millisecond
	mostPatience = time.Second
	// socketPatience is that of connections which tell when their peer does not read: what is not blocked is taken soon.
	socketPatience = 10 * time.Second
)

// Relief lets those who fill queues wait until what fills has been read. It knows the queues more than half of whose
// bounds is taken, of connections that are not blocked. One serves all connections of an engine; the zero value is
// ready.
type Relief struct {
	mu     sync.Mutex
	full   map[*Queue]*waited
	roomy  chan struct{} // closed when full is empty; nil: nobody waits
	looked time.Time     // when it was looked who writes
}

// waited is how a queue is waited for.
type waited struct {
	until   time.Time
	last    time.Time     // until is not after it
	writing time.Duration // how long its connection was found writing, whenever it was looked
}

// Wait returns once no queue is waited for any more, after d at the latest. It must not be called with a lock held, nor
// by whoever empties queues.
func (r *Relief) Wait(d time.Duration) {
	roomy := r.waiting()
	if roomy == nil {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-roomy:
	case now := <-timer.C:
		r.giveUp(now, d)
	}
}

// waiting returns what is closed when no queue is waited for any more; nil: none is.
func (r *Relief) waiting() chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.full) == 0 {
		return nil
	}
	if r.roomy == nil {
		r.roomy = make(chan struct{})
	}
	return r.roomy
}

// giveUp forgets the queues that have been waited for long enough: until their time is over, or while their connection
// was found writing for as long as patience. d is how long the caller has waited.
func (r *Relief) giveUp(now time.Time, d time.Duration) {
	r.mu.Lock()
	list := slices.Collect(maps.Keys(r.full))
	d = min(d, now.Sub(r.looked))
	r.looked = now
	r.mu.Unlock()
	writing := make(map[*Queue]bool, len(list))
	for _, q := range list {
		writing[q] = q.conn.writes()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for q, w := range r.full {
		if w.writing += d; !writing[q] {
			w.writing = 0
		}
		if !now.Before(w.until) || w.writing >= patience {
			delete(r.full, q)
		}
	}
	r.tellLocked()
}

func (r *Relief) tellLocked() {
	if len(r.full) == 0 && r.roomy != nil {
		close(r.roomy)
		r.roomy = nil
	}
}

// add has a queue waited for, for d.
func (r *Relief) add(q *Queue, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.full == nil {
		r.full = make(map[*Queue]*waited)
	}
	now := time.Now()
	r.full[q] = &waited{until: now.Add(d), last: now.Add(max(d, mostPatience))}
}

// extend has a queue waited for anew, because something was taken from it.
func (r *Relief) extend(q *Queue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.full[q]; w != nil {
		if w.until = time.Now().Add(patience); w.until.After(w.last) {
			w.until = w.last
		}
	}
}

func (r *Relief) has(q *Queue) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.full[q]
	return ok
}

func (r *Relief) remove(q *Queue) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.full, q)
	r.tellLocked()
}

// TellsBlocked says that Block is called when the peer does not read, or Writing before what may wait for that.
func (c *Conn) TellsBlocked() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flags |= connTells
}

// Writing says that the connection writes, and may have to wait for its peer, or does so no more.
func (c *Conn) Writing(now bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flags &^= connWriting; now {
		c.flags |= connWriting
	}
}

func (c *Conn) writes() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flags&connWriting != 0
}

func (c *Conn) patienceLocked() time.Duration {
	if c.flags&connTells != 0 {
		return socketPatience
	}
	return patience
}

// bigMessage is from how many bytes on a message is looked at that finds its queue empty.
const bigMessage = 64 << 10

// tight reports whether a shorter message may be more than half of what the bounds allow.
func (p *Policy) tight() bool { return p.MaxMessages() == 1 || p.maxBytes() < 2*bigMessage }

// overLocked reports whether more than a part of what the bounds allow waits; 2 is half of it, 4 a quarter.
func (q *Queue) overLocked(part int) bool {
	c := q.conn
	return part*q.lenLocked() > q.policy.MaxMessages() || part*int(q.bytes) > q.policy.maxBytes() || int64(part)*c.resultBytes() > c.maxBytes()
}

// fillsLocked notes a queue that is more than half full. It reports whether whoever filled it should wait.
func (q *Queue) fillsLocked() bool {
	c := q.conn
	if q.flags&flagSlow != 0 || c.flags&connBlocked != 0 || c.limits == nil || c.limits.Relief == nil || !q.overLocked(2) {
		return false
	}
	if q.flags&flagFull == 0 {
		q.flags |= flagFull
		c.limits.Relief.add(q, c.patienceLocked())
		return true
	}
	if !c.limits.Relief.has(q) { // it was waited for in vain
		q.flags = q.flags&^flagFull | flagSlow
		return false
	}
	return true
}

// easeLocked is called when something was taken from a queue that was full: until less than a quarter waits it counts as
// such, and one that is slow until nothing does.
func (q *Queue) easeLocked() {
	switch {
	case q.first == nil:
		q.relieveLocked()
		q.flags &^= flagSlow
	case q.flags&flagFull == 0:
	case !q.overLocked(4):
		q.relieveLocked()
	case q.conn.flags&connTells == 0:
		q.conn.limits.Relief.extend(q)
	}
}

func (q *Queue) relieveLocked() {
	if q.flags&flagFull != 0 {
		q.flags &^= flagFull
		q.conn.limits.Relief.remove(q)
	}
}
