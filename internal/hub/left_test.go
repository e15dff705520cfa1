package hub

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// Whoever counts subscriptions hears once of each that has ended, whenever that was, and of none that never began.
func TestLeftIsToldOnce(t *testing.T) {
	w := newWorld(t, Addressing{})
	var left atomic.Int32
	w.hub.cfg.Left = func(*Subscription) { left.Add(1) }
	expect := func(what string, want int32) {
		t.Helper()
		if got := left.Swap(0); got != want {
			t.Errorf("%s: told %d times, want %d", what, got, want)
		}
	}
	p := w.plan(`subscription($i: ID) { order(id: $i) { id } }`)
	join := func(begin func(*Subscription) bool) *Subscription {
		s, errs := w.hub.Join(w.request(newConn(), p, `{"i":"1"}`, user("u")), begin)
		if errs != nil {
			t.Error(errs[0])
		}
		return s
	}
	s := join(nil)
	expect("it lives", 0)
	s.Complete()
	s.Complete()
	expect("completed", 1)
	if join(func(*Subscription) bool { return false }) != nil {
		t.Error("joined")
	}
	expect("not wanted", 0)
	join(func(s *Subscription) bool {
		s.Complete()
		return true
	}).Complete()
	expect("completed before it was in the index", 1)
	s = join(nil)
	s.Overflow()
	expect("overflowed, and not let go of", 0)
	s.Complete()
	expect("let go of", 1)

	var work sync.WaitGroup
	for i := range 50 {
		s, errs := w.hub.Join(w.request(newConn(), p, fmt.Sprintf(`{"i":"%d"}`, i%3), user("u")), nil)
		if errs != nil {
			t.Fatal(errs[0])
		}
		for range 3 {
			work.Go(s.Complete)
		}
	}
	work.Wait()
	expect("by several at once", 50)
}
