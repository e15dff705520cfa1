//go:build linux

package embed

import (
	"math"
	"sync"
	"sync/atomic"
)

// A handle is generation<<32 | kind<<28 | index of the slot. A slot is used again with the next generation, so a
// handle never is.
const (
	indexBits   = 28
	kindBits    = 4
	indexMask   = 1<<indexBits - 1
	kindMask    = 1<<kindBits - 1
	generations = math.MaxInt32
	chunkSlots  = 1 << 10
)

// The kinds of handles.
const (
	kindEngine = 1 + iota
	kindSubscription
	kindConnection
	kindMailbox
	kindCall
	kindSessions
	kindSession
	kindServer
	kindOperation
)

// table maps handles to what they stand for. The zero value with its kind set is ready. get takes no lock and
// allocates nothing; put and remove take a short one.
type table[T any] struct {
	kind   int64
	chunks atomic.Pointer[[]*[chunkSlots]slot[T]]
	mu     sync.Mutex
	free   []uint32 // indexes of empty slots; guarded by mu
	used   uint32   // slots ever used; guarded by mu
}

type slot[T any] struct {
	entry      atomic.Pointer[entry[T]]
	generation uint32 // of the last entry; guarded by table.mu
}

type entry[T any] struct {
	handle int64
	value  T
}

// put enters a value and returns its handle, 0 when there is no room for another.
func (t *table[T]) put(v T) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	index, ok := t.indexLocked()
	if !ok {
		return 0
	}
	s := &(*t.chunks.Load())[index/chunkSlots][index%chunkSlots]
	s.generation++
	h := int64(s.generation)<<(indexBits+kindBits) | t.kind<<indexBits | int64(index)
	s.entry.Store(&entry[T]{h, v})
	return h
}

// indexLocked finds an empty slot.
func (t *table[T]) indexLocked() (uint32, bool) {
	if n := len(t.free); n > 0 {
		index := t.free[n-1]
		t.free = t.free[:n-1]
		return index, true
	}
	if t.used > indexMask {
		return 0, false
	}
	index := t.used
	if index%chunkSlots == 0 {
		var chunks []*[chunkSlots]slot[T]
		if p := t.chunks.Load(); p != nil {
			chunks = *p
		}
		// Readers keep the slice they loaded: what they can reach in it does not change.
		chunks = append(chunks[:len(chunks):len(chunks)], new([chunkSlots]slot[T]))
		t.chunks.Store(&chunks)
	}
	t.used++
	return index, true
}

// slot returns the place of a handle, nil when it cannot be one of this table.
func (t *table[T]) slot(h int64) *slot[T] {
	chunks := t.chunks.Load()
	if h <= 0 || h>>indexBits&kindMask != t.kind || chunks == nil {
		return nil
	}
	index := uint(h & indexMask)
	if index/chunkSlots >= uint(len(*chunks)) {
		return nil
	}
	return &(*chunks)[index/chunkSlots][index%chunkSlots]
}

// get returns what a handle stands for.
func (t *table[T]) get(h int64) (v T, ok bool) {
	s := t.slot(h)
	if s == nil {
		return v, false
	}
	if e := s.entry.Load(); e != nil && e.handle == h {
		return e.value, true
	}
	return v, false
}

// remove takes a handle out; of several callers one gets the value.
func (t *table[T]) remove(h int64) (v T, ok bool) {
	s := t.slot(h)
	if s == nil {
		return v, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	e := s.entry.Load()
	if e == nil || e.handle != h {
		return v, false
	}
	s.entry.Store(nil)
	if s.generation < generations {
		t.free = append(t.free, uint32(h&indexMask))
	}
	return e.value, true
}

// gone reports whether a handle was given out and taken out again.
func (t *table[T]) gone(h int64) bool {
	s := t.slot(h)
	if s == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	g := uint32(h >> (indexBits + kindBits))
	e := s.entry.Load()
	return g > 0 && g <= s.generation && (e == nil || e.handle != h)
}
