package poll

import (
	"sync/atomic"
	"unsafe"

	"github.com/fraiseql/fraiseql-go/internal/prefetch"
)

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
	helpers  *atomic.Int64 // the poller's: who has announced to look at the list soon
	waiting  atomic.Int32  // about how many were left to helpers since the list was taken, up to fewConns
	sleeping atomic.Bool
	wake     chan struct{} // 1 slot
}

func (l *dirtyList) init(helpers *atomic.Int64) {
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
		select {
		case l.wake <- struct{}{}:
		default: // a writer that was stopped has left one
		}
	}
}

// take returns the whole list in the order of linking, and how many there are.
func (l *dirtyList) take() (list chain, n int) {
	if l.head.Load() == nil {
		return chain{}, 0
	}
	l.waiting.Store(0)
	list.last = l.head.Swap(nil)
	for c := list.last; c != nil; n++ {
		next := c.next
		c.next = list.first
		list.first, c = c, next
	}
	return list, n
}

// chain is connections that were in the dirty list, in the order of coming.
type chain struct{ first, last *Conn }

func (l *chain) add(c *Conn) { l.join(chain{c, c}) }

// join appends others.
func (l *chain) join(more chain) {
	switch {
	case more.first == nil:
	case l.first == nil:
		*l = more
	default:
		l.last.next, l.last = more.first, more.last
	}
}

// take takes the first connection of some, and has what the one behind it needs on its way to the cache.
func (l *chain) take() *Conn {
	c := l.first
	next := c.next
	if l.first, c.next = next, nil; next == nil {
		l.last = nil
		return c
	}
	next.ExpectTake()
	prefetch.Four(unsafe.Pointer(next.next))
	return c
}
