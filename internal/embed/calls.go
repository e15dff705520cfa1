//go:build linux

package embed

import (
	"sync"
	"sync/atomic"

	fraiseql "github.com/fraiseql/fraiseql-go"
)

// Kinds of calls.
const (
	CallResolve      = 1
	CallAuthenticate = 2
	CallWork         = 3
	CallHook         = 4
)

// call is something that the host is asked for: once taken, by number; answered once, whenever it likes.
type call struct {
	engine *Engine
	handle int64
	kind   int64
	token  int64

	request          *fraiseql.ResolveRequest // resolve
	payload, session []byte                   // authenticate: JSON objects; nil: absent. hook: its question, nil
	event            *fraiseql.Event          // work
	reply            chan reply               // authenticate, work, hook; room for one

	list       *callList
	prev, next *call // guarded by callQueue.mu, like the rest
	taken      bool
}

// callList holds calls of one kind that are not answered, oldest first. Those that are not taken are its end.
type callList struct {
	first, last *call
	untaken     *call // the oldest that is not taken, nil: all are
}

func (l *callList) add(c *call) {
	c.list, c.prev = l, l.last
	if l.last != nil {
		l.last.next = c
	} else {
		l.first = c
	}
	l.last = c
	if l.untaken == nil {
		l.untaken = c
	}
}

func (l *callList) remove(c *call) {
	if l.untaken == c {
		l.untaken = c.next
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		l.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		l.last = c.prev
	}
	c.list, c.prev, c.next = nil, nil, nil
}

// callQueue holds the calls of an engine. Bounded: by the lanes of the resolvers and their timeout, by the
// sessions that are being opened, by the workers and by what waits for a hook: one call each.
type callQueue struct {
	lib *Library

	mu       sync.Mutex
	word     *uint32 // how many calls wait to be taken, for the host; guarded by mu, like the rest
	waiting  uint32  // the same
	resolves callList
	auths    callList
	works    callList
	note     *note // nil: no mailbox is told
	closed   bool
}

func (q *callQueue) init(l *Library) { q.lib, q.word = l, l.words.get() }

// add lists a call and gives it its number; false when the engine is closed. told says that a mailbox must hear of it:
// who publishes takes the resolve calls of its own publishing.
func (q *callQueue) add(c *call, told bool) bool {
	c.handle = q.lib.calls.put(c)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		q.lib.calls.remove(c.handle)
		return false
	}
	q.purgeLocked()
	list := &q.resolves
	switch c.kind {
	case CallAuthenticate, CallHook:
		list = &q.auths
	case CallWork:
		list = &q.works
	}
	list.add(c)
	q.countLocked(1)
	if told && q.note != nil {
		q.note.tell()
	}
	return true
}

func (q *callQueue) countLocked(by int) {
	q.waiting += uint32(by)
	atomic.StoreUint32(q.word, q.waiting)
}

// purgeLocked forgets the oldest resolve calls, as far as nobody waits for them: their time was over, and the engine has
// answered them itself.
func (q *callQueue) purgeLocked() {
	for c := q.resolves.first; c != nil && !c.request.Waits(); c = q.resolves.first {
		q.lib.calls.remove(c.handle)
		q.dropLocked(c)
	}
}

// dropLocked takes a call off its list.
func (q *callQueue) dropLocked(c *call) {
	c.list.remove(c)
	if !c.taken {
		c.taken = true
		q.countLocked(-1)
	}
}

// next marks the oldest call that was not taken, authentication and hooks before resolvers before work, if works says so, and returns it;
// nil: none waits.
func (q *callQueue) next(works bool) *call {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil
	}
	q.purgeLocked()
	for _, list := range [...]*callList{&q.auths, &q.resolves, &q.works} {
		for c := list.untaken; c != nil && (works || list != &q.works); c = list.untaken {
			if c.kind == CallResolve && !c.request.Waits() {
				q.lib.calls.remove(c.handle)
				q.dropLocked(c)
				continue
			}
			list.untaken, c.taken = c.next, true
			q.countLocked(-1)
			return c
		}
	}
	return nil
}

// forget takes a call that was answered, or that nobody waits for, off the lists; false when somebody else did.
func (q *callQueue) forget(c *call) bool {
	if _, ok := q.lib.calls.remove(c.handle); !ok {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if c.list != nil {
		q.dropLocked(c)
	}
	return true
}

// stir tells the mailbox when calls are left.
func (q *callQueue) stir() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.note != nil && q.waiting > 0 {
		q.note.tell()
	}
}

// tellTo says which mailbox is told of calls; nil: none.
func (q *callQueue) tellTo(n *note) {
	q.mu.Lock()
	q.note = n
	q.mu.Unlock()
	q.stir()
}

// close forgets every call. Who waits for an answer hears so through its context.
func (q *callQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.closed = true
	for _, list := range [...]*callList{&q.auths, &q.resolves, &q.works} {
		for c := list.first; c != nil; c = list.first {
			q.lib.calls.remove(c.handle)
			list.remove(c)
		}
	}
	q.note, q.waiting = nil, 0
	atomic.StoreUint32(q.word, 0)
	q.lib.words.put(q.word)
}
