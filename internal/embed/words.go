//go:build linux

package embed

import (
	"sync"
	"sync/atomic"
	"unsafe"
)

const (
	// wordSpace keeps words of different connections apart: two share a cache line with two others at most.
	wordSpace = 16
	slabBytes = 4096
)

// words hands out zeroed words of memory that the host reads. They are used again, never freed: a reader that is
// late reads a word of somebody else, not of nobody.
type words struct {
	allocate func(bytes int) unsafe.Pointer // see New

	mu   sync.Mutex
	free []*uint32 // used in turn, so that a word rests before somebody else gets it
	head int
}

// get returns a word that is 0.
func (w *words) get() *uint32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.head == len(w.free) {
		w.growLocked()
	}
	p := w.free[w.head]
	w.free[w.head] = nil
	if w.head++; w.head*2 > len(w.free) {
		w.free = append(w.free[:0], w.free[w.head:]...)
		w.head = 0
	}
	atomic.StoreUint32(p, 0)
	return p
}

func (w *words) growLocked() {
	var base unsafe.Pointer
	if w.allocate != nil {
		base = w.allocate(slabBytes)
	} else {
		base = unsafe.Pointer(new([slabBytes / 8]uint64))
	}
	for at := 0; at < slabBytes; at += wordSpace {
		w.free = append(w.free, (*uint32)(unsafe.Add(base, at)))
	}
}

// put gives a word back. Nobody stores into it any more.
func (w *words) put(p *uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.free = append(w.free, p)
}
