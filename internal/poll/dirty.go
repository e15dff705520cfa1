package poll

import "sync/atomic"

// dirtyList hands connections with something to write to the one writer of a shard. Any goroutine may link;
// a connection is in the list at most once; the writer is woken only if it sleeps.
type dirtyList struct {
	head     atomic.Pointer[Conn]
	sleeping atomic.Bool
	wake     chan struct{} // 1 slot
}

func (l *dirtyList) init() { l.wake = make(chan struct{}, 1) }

func (l *dirtyList) link(c *Conn) {
	if c.linked.Swap(true) {
		return
	}
	for {
		first := l.head.Load()
		c.next = first
		if l.head.CompareAndSwap(first, c) {
			break
		}
	}
	if l.sleeping.Load() && l.sleeping.CompareAndSwap(true, false) {
		l.wake <- struct{}{} // one token per sleep: never blocks
	}
}

// take returns the whole list in the order of linking, nil when stop is closed and the list empty. It waits
// for the first.
func (l *dirtyList) take(stop <-chan struct{}) *Conn {
	for {
		if c := reverse(l.head.Swap(nil)); c != nil {
			return c
		}
		l.sleeping.Store(true)
		if l.head.Load() != nil && l.sleeping.CompareAndSwap(true, false) {
			continue
		}
		select {
		case <-l.wake:
		case <-stop:
			return reverse(l.head.Swap(nil))
		}
	}
}

func reverse(c *Conn) *Conn {
	var first *Conn
	for c != nil {
		next := c.next
		c.next = first
		first, c = c, next
	}
	return first
}
