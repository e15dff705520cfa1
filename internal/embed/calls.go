//go:build linux

package embed

import (
	"sync"
	"sync/atomic"
)

// Kinds of calls.
const (
	CallResolve      = 1
	CallAuthenticate = 2
)

// How a call was answered.
const (
	AnswerValue   = 0
	AnswerSkip    = 1
	AnswerFailed  = 2
	AnswerRefused = 3
)

// call is something that the host is asked for.
type call struct {
	engine *Engine
	id     int64
	kind   int64
	token  int64
}

// callQueue holds the calls of an engine that wait to be taken.
type callQueue struct {
	mu      sync.Mutex
	waiting *uint32 // how many calls wait, for the host; stored under mu
	list    []*call // guarded by mu
	box     *note   // guarded by mu
	closed  bool
}

// watch says which mailbox is told of calls, nil: none.
func (q *callQueue) watch(n *note) {
	q.mu.Lock()
	q.box = n
	tell := n != nil && len(q.list) > 0
	q.mu.Unlock()
	if tell {
		n.tell()
	}
}

func (q *callQueue) close(l *Library) {
	q.mu.Lock()
	list := q.list
	q.list, q.box, q.closed = nil, nil, true
	atomic.StoreUint32(q.waiting, 0)
	l.words.put(q.waiting)
	q.mu.Unlock()
	for _, c := range list {
		l.calls.remove(c.id)
	}
}
