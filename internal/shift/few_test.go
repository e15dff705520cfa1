package shift

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// No more than a few work at a time, and each gets its turn.
func TestFew(t *testing.T) {
	f := NewFew(3)
	var inside, most, done atomic.Int32
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			f.Enter()
			n := inside.Add(1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			inside.Add(-1)
			f.Leave()
			done.Add(1)
		})
	}
	all.Wait()
	if most.Load() > 3 || done.Load() != 200 || f.free != 3 || f.first != nil || f.last != nil {
		t.Errorf("%d at a time, %d of 200 had a turn: %+v", most.Load(), done.Load(), f)
	}
}

// Who comes first has its turn first.
func TestFewInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFew(0) // one all the same
		f.Enter()
		var order []int
		for i := range 5 {
			go func() {
				f.Enter()
				order = append(order, i)
				f.Leave()
			}()
			synctest.Wait()
		}
		if len(order) > 0 {
			t.Fatalf("%v did not wait", order)
		}
		f.Leave()
		synctest.Wait()
		for i, n := range order {
			if i != n {
				t.Fatalf("order %v", order)
			}
		}
		if len(order) != 5 {
			t.Errorf("only %v had their turn", order)
		}
	})
}

// A turn that nobody disputes costs no memory.
func TestFewAllocations(t *testing.T) {
	f := NewFew(1)
	if n := testing.AllocsPerRun(100, func() { f.Enter(); f.Leave() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
