package poll

import (
	"sync"
	"sync/atomic"
)

// chunkSlots is how many connections one chunk of a table holds.
const chunkSlots = 1024

// table finds connections by slot and holds their deadlines, densely. Chunks never move, so that lookups and
// deadlines need no lock. A slot is given to another connection only after release.
type table struct {
	chunks atomic.Pointer[[]*chunk]

	mu   sync.Mutex // guards what follows, and writing to chunks
	free []uint32
	used uint32
}

type chunk struct {
	conns     [chunkSlots]atomic.Pointer[Conn]
	deadlines [chunkSlots]atomic.Uint32 // in ticks; 0 = none
	gens      [chunkSlots]uint32        // guarded by mu
}

func (t *table) chunk(slot uint32) *chunk {
	list := t.chunks.Load()
	if list == nil || int(slot/chunkSlots) >= len(*list) {
		return nil
	}
	return (*list)[slot/chunkSlots]
}

// add gives c a slot and a generation.
func (t *table) add(c *Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.free); n > 0 {
		c.slot = t.free[n-1]
		t.free = t.free[:n-1]
	} else {
		c.slot = t.used
		t.used++
		t.growLocked()
	}
	k := t.chunk(c.slot)
	c.gen = k.gens[c.slot%chunkSlots]
	k.conns[c.slot%chunkSlots].Store(c)
}

func (t *table) growLocked() {
	var list []*chunk
	if old := t.chunks.Load(); old != nil {
		list = *old
	}
	if int(t.used) <= len(list)*chunkSlots {
		return
	}
	list = append(list[:len(list):len(list)], new(chunk))
	t.chunks.Store(&list)
}

// get returns the connection of a slot and generation, nil if it has left.
func (t *table) get(slot, gen uint32) *Conn {
	k := t.chunk(slot)
	if k == nil {
		return nil
	}
	c := k.conns[slot%chunkSlots].Load()
	if c == nil || c.gen != gen {
		return nil
	}
	return c
}

// remove takes c out, so that no event or sweep finds it any more; the slot stays reserved.
func (t *table) remove(c *Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.chunk(c.slot)
	k.conns[c.slot%chunkSlots].Store(nil)
	k.gens[c.slot%chunkSlots]++
}

// release frees the slot of a removed connection.
func (t *table) release(slot uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.chunk(slot).deadlines[slot%chunkSlots].Store(0)
	t.free = append(t.free, slot)
}

func (t *table) setDeadline(slot, tick uint32) {
	t.chunk(slot).deadlines[slot%chunkSlots].Store(tick)
}

func (t *table) deadline(slot uint32) uint32 { return t.chunk(slot).deadlines[slot%chunkSlots].Load() }

// expired unsets and reports every deadline at or before now.
func (t *table) expired(now uint32, f func(*Conn)) {
	list := t.chunks.Load()
	if list == nil {
		return
	}
	for _, k := range *list {
		for i := range k.deadlines {
			d := k.deadlines[i].Load()
			if d == 0 || d > now || !k.deadlines[i].CompareAndSwap(d, 0) {
				continue
			}
			if c := k.conns[i].Load(); c != nil {
				f(c)
			}
		}
	}
}

// each calls f for every connection in the table.
func (t *table) each(f func(*Conn)) {
	list := t.chunks.Load()
	if list == nil {
		return
	}
	for _, k := range *list {
		for i := range k.conns {
			if c := k.conns[i].Load(); c != nil {
				f(c)
			}
		}
	}
}
