package poll

import "sync/atomic"

const (
	// fewConns is how many connections wait for a helper (see Poller.Announce) before the writer is woken for them,
	// and how many a helper writes to: with 6–10 µs for a write it works less than 320 µs.
	fewConns = 32
	// fewBytes is how much may wait on a connection that a helper writes to.
	fewBytes = 32 << 10
)

// dirtyList hands connections with something to write to the writer of a shard. Any goroutine may link; a
// connection is in the list at most once; the writer is woken only if it sleeps.
type dirtyList struct {
	head     atomic.Pointer[Conn]
	helpers  *atomic.Int32 // the poller's: who has announced to look at the list soon
	waiting  atomic.Int32  // about how many were left to helpers since the list was taken, up to fewConns
	sleeping atomic.Bool
	wake     chan struct{} // 1 slot
}

func (l *dirtyList) init(helpers *atomic.Int32) {
	l.helpers = helpers
	l.wake = make(chan struct{}, 1)
}

// link adds c and sees to it that somebody takes the list.
func (l *dirtyList) link(c *Conn) {
	if l.push(c) {
		l.rouse()
	}
}

// linkForHelp is link, except that a few connections are left to a helper if one is announced. No wake-up is lost:
// a helper withdraws its announcement first and looks at the list then, so the one that was seen here sees c.
func (l *dirtyList) linkForHelp(c *Conn) {
	if !l.push(c) {
		return
	}
	if l.helpers.Load() > 0 && l.waiting.Load() < fewConns && l.waiting.Add(1) < fewConns {
		return
	}
	l.rouse()
}

// push adds c unless it is in the list, and reports whether it did.
func (l *dirtyList) push(c *Conn) bool {
	if c.linked.Swap(true) {
		return false
	}
	for {
		first := l.head.Load()
		c.next = first
		if l.head.CompareAndSwap(first, c) {
			return true
		}
	}
}

// rouse wakes the writer if it sleeps; one that is awake looks at the list before it sleeps.
func (l *dirtyList) rouse() {
	if l.sleeping.Load() && l.sleeping.CompareAndSwap(true, false) {
		l.wake <- struct{}{} // one token per sleep: never blocks
	}
}

// take returns the whole list in the order of linking, and how many there are.
func (l *dirtyList) take() (first *Conn, n int) {
	if l.head.Load() == nil {
		return nil, 0
	}
	l.waiting.Store(0)
	for c := l.head.Swap(nil); c != nil; n++ {
		next := c.next
		c.next = first
		first, c = c, next
	}
	return first, n
}
