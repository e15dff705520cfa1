package shift

import "sync"

// Few lets a few goroutines work at a time; others wait for their turn in the order in which they came. It is for work that nobody has
// vouched for yet, such as reading what a client sends that has not said who it is. The run queues of the Go scheduler are served in turn
// whoever waits in them: a hundred goroutines that are ready at once, for 50 µs each, delay all others by milliseconds. Those that wait here
// are not in them, and who has had to wait lets all go first that are ready when its turn comes.
//
// Work must not wait for anything between Enter and Leave. The zero value is not usable; all methods are safe for concurrent use.
type Few struct {
	mu    sync.Mutex
	free  int
	first *waiter
	last  *waiter
}

type waiter struct {
	turn chan struct{} // 1 slot
	next *waiter
}

// NewFew makes one for n goroutines at a time, at least one.
func NewFew(n int) *Few { return &Few{free: max(1, n)} }

// Enter waits for the caller's turn. Leave ends it.
func (f *Few) Enter() {
	f.mu.Lock()
	if f.free > 0 {
		f.free--
		f.mu.Unlock()
		return
	}
	w := &waiter{turn: make(chan struct{}, 1)}
	if f.last == nil {
		f.first = w
	} else {
		f.last.next = w
	}
	f.last = w
	f.mu.Unlock()
	<-w.turn
	// Whom the one before has made ready would run next, and whom it makes ready after that, until their common time slice of 10 ms is over.
	Yield()
}

// Leave gives the turn to the one that waits longest.
func (f *Few) Leave() {
	f.mu.Lock()
	w := f.first
	if w == nil {
		f.free++
	} else if f.first, w.next = w.next, nil; f.first == nil {
		f.last = nil
	}
	f.mu.Unlock()
	if w != nil {
		w.turn <- struct{}{}
	}
}
