//go:build linux

package embed

import (
	"sync"
	"testing"
)

func newTable() *table[*int] { return &table[*int]{kind: 3} }

func TestHandlesAreUniqueAndNotUsedAgain(t *testing.T) {
	tab := newTable()
	seen := map[int64]bool{}
	var live []int64
	for i := range 5000 {
		h := tab.put(&i)
		if h <= 0 || seen[h] {
			t.Fatalf("handle %d of value %d", h, i)
		}
		seen[h] = true
		if v, ok := tab.get(h); !ok || *v != i {
			t.Fatalf("get(%d): %v, %v", h, v, ok)
		}
		if live = append(live, h); i%3 == 0 {
			h, live = live[0], live[1:]
			if _, ok := tab.remove(h); !ok {
				t.Fatalf("remove(%d) of a live handle", h)
			}
			if _, ok := tab.remove(h); ok {
				t.Fatalf("remove(%d) twice", h)
			}
			if _, ok := tab.get(h); ok || !tab.gone(h) {
				t.Fatalf("%d is there after it was removed", h)
			}
		}
	}
	for _, h := range live {
		if _, ok := tab.get(h); !ok || tab.gone(h) {
			t.Errorf("live handle %d: not found", h)
		}
	}
}

func TestForeignHandlesAreUnknown(t *testing.T) {
	tab, other := newTable(), &table[*int]{kind: 4}
	if _, ok := tab.get(1); ok || tab.gone(1) {
		t.Error("an empty table knows a handle")
	}
	v := 1
	h, foreign := tab.put(&v), other.put(&v)
	for _, x := range []int64{0, -1, 1, foreign, h + 1, h + 1<<32, -h, 1 << 62, 3<<indexBits | 5000, h &^ (1 << 32)} {
		if _, ok := tab.get(x); ok {
			t.Errorf("get(%#x) finds something", x)
		}
		if _, ok := tab.remove(x); ok {
			t.Errorf("remove(%#x) finds something", x)
		}
		if tab.gone(x) {
			t.Errorf("gone(%#x)", x)
		}
	}
}

// TestSlotIsRetired ends the life of a slot whose generations are used up.
func TestSlotIsRetired(t *testing.T) {
	tab := newTable()
	v := 1
	h := tab.put(&v)
	tab.remove(h)
	tab.slot(h).generation = generations - 1
	last := tab.put(&v)
	if last <= 0 || last&indexMask != h&indexMask {
		t.Fatalf("handle %#x, want the last of the slot of %#x", last, h)
	}
	tab.remove(last)
	if next := tab.put(&v); next&indexMask == h&indexMask || next <= 0 {
		t.Errorf("handle %#x: the slot has no generation left", next)
	}
}

func TestTableOfManyThreads(t *testing.T) {
	tab := newTable()
	var all sync.Map
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			var mine []int64
			for i := range 3000 {
				v := w<<16 | i
				h := tab.put(&v)
				if _, twice := all.LoadOrStore(h, v); twice {
					t.Errorf("handle %d twice", h)
				}
				mine = append(mine, h)
				if got, ok := tab.get(h); !ok || *got != v {
					t.Errorf("get(%d): another value", h)
				}
				if i%2 == 1 {
					old := mine[0]
					mine = mine[1:]
					if _, ok := tab.remove(old); !ok {
						t.Errorf("remove(%d): gone", old)
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestLookupDoesNotAllocate(t *testing.T) {
	tab := newTable()
	v := 1
	h := tab.put(&v)
	if n := testing.AllocsPerRun(1000, func() { tab.get(h) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkLookup(b *testing.B) {
	tab := newTable()
	var handles []int64
	for i := range 4096 {
		handles = append(handles, tab.put(&i))
	}
	i := 0
	for b.Loop() {
		if _, ok := tab.get(handles[i&4095]); !ok {
			b.Fatal("not found")
		}
		i++
	}
}
