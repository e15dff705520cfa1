package queue

import (
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
	roomy  chan struct{} // closed when full is empty; nil: nobody has waited since it was
	waits  int           // who waits
	looked time.Time     // when it was looked who writes, or takes nothing
	taken  time.Time     // when something was last taken while somebody waited
	vain   vain          // for how long it was waited in vain, whoever was waited for
}

// waited is how a queue is waited for.
type waited struct {
	until   time.Time
	last    time.Time     // until is not after it
	since   time.Time     // nothing was taken since
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
		r.giveUp(now, d, roomy)
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
	r.waits++
	return r.roomy
}

// giveUp forgets the queues that have been waited for long enough: until their time is over, or while their connection
// was found writing for as long as patience. d is how long the caller has waited, for roomy.
func (r *Relief) giveUp(now time.Time, d time.Duration, roomy chan struct{}) {
	r.mu.Lock()
	if r.roomy == roomy {
		r.waits--
	}
	d = min(d, now.Sub(r.looked))
	r.looked = now
	r.vain.add(now, min(d, now.Sub(r.taken)))
	idle := make(map[*Conn]time.Duration) // for how long of that nothing was taken
	for q, w := range r.full {
		idle[q.conn] = max(idle[q.conn], min(d, now.Sub(w.since)))
	}
	r.mu.Unlock()
	writing := make(map[*Conn]bool, len(idle))
	for c, idle := range idle {
		writing[c] = c.awaited(now, idle)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for q, w := range r.full {
		if w.writing += d; !writing[q.conn] {
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
		r.roomy, r.waits = nil, 0
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
	r.full[q] = &waited{until: now.Add(d), last: now.Add(max(d, mostPatience)), since: now}
}

// extend has a queue waited for anew, because something was taken from it. It reports whether somebody waits.
func (r *Relief) extend(q *Queue) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w := r.full[q]; w != nil {
		w.since = time.Now()
		if w.until = w.since.Add(patience); w.until.After(w.last) {
			w.until = w.last
		}
	}
	return r.takenLocked()
}

// takenLocked is called when something was taken from a queue that is waited for. It reports whether somebody waits.
func (r *Relief) takenLocked() bool {
	if r.waits == 0 {
		return false
	}
	r.taken, r.vain = time.Now(), 0
	return true
}

// inVain reports whether it was waited in vain for long enough in this second.
func (r *Relief) inVain(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.vain.over(now)
}

func (r *Relief) has(q *Queue) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.full[q]
	return ok
}

// remove has a queue waited for no more. It reports whether somebody did.
func (r *Relief) remove(q *Queue) (waited bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.full, q)
	waited = r.takenLocked()
	r.tellLocked()
	return waited
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

// awaited notes that the connection was waited for d, until now, and nothing was taken. It reports whether it writes.
func (c *Conn) awaited(now time.Time, d time.Duration) (writes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flags&connTells == 0 {
		c.vain.add(now, d)
	}
	return c.flags&connWriting != 0
}

// vain is for how long a connection, or all of them, were waited for in vain in one second: the lower bits are ms, the others of the
// second. Who reads in the goroutine that publishes reads again and again, but never while it is waited for: that is to cost no more
// than patience each second, of however many connections.
type vain uint16

const (
	vainBits = 7
	vainMost = 1<<vainBits - 1
)

func vainSecond(now time.Time) vain { return vain(now.Unix()) << vainBits }

func (v *vain) add(now time.Time, d time.Duration) {
	ms := vain(min(d.Milliseconds(), vainMost))
	if second := vainSecond(now); *v&^vainMost != second {
		*v = second
	}
	*v = *v&^vainMost | min(*v&vainMost+ms, vainMost)
}

// over reports whether it is as long as patience in the present second.
func (v vain) over(now time.Time) bool {
	return v&^vainMost == vainSecond(now) && time.Duration(v&vainMost)*time.Millisecond >= patience
}

// vainLocked reports whether waiting for the connection would be in vain, as it was before in this second.
func (c *Conn) vainLocked(now time.Time) bool {
	return c.vain != 0 && c.vain.over(now) || c.limits.Relief.inVain(now)
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
		if c.flags&connTells == 0 && c.vainLocked(time.Now()) {
			q.flags |= flagSlow
			return false
		}
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
	case q.conn.flags&connTells == 0 && q.conn.limits.Relief.extend(q):
		q.conn.vain = 0
	}
}

func (q *Queue) relieveLocked() {
	if q.flags&flagFull != 0 {
		q.flags &^= flagFull
		if q.conn.limits.Relief.remove(q) {
			q.conn.vain = 0
		}
	}
}
