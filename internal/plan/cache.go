package plan

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
)

// Cache keeps plans by schema generation, document text and operation name. Its size in bytes is bounded;
// what was not used lately leaves first (clock). Safe for concurrent use; no call blocks on anything but a
// short lock.
//
// Only valid documents enter, by Put. A document that differs from a known one in white space, commas and
// comments only shares its plan, so that its subscribers share groups (docs/architecture.md): Get knows exact texts,
// Find compares tokens. Texts are compared in full, the hash has a seed of this process.
type Cache struct {
	seed   maphash.Seed
	limit  atomic.Int64 // bytes of a shard
	shards [cacheShards]shard
}

// DefaultCacheBytes is the size of a cache that is made with 0.
const DefaultCacheBytes = 64 << 20

const cacheShards = 16

// shard holds the entries whose hash ends in its number.
type shard struct {
	mu      sync.Mutex
	entries map[uint64]*entry // nil until there is one
	ring    []*entry          // clock order
	hand    int
	bytes   int
}

// entry is a plan under its tokens, or the text of a document that has these tokens.
type entry struct {
	key  cacheKey
	hash uint64
	size int
	used atomic.Bool
	plan atomic.Pointer[Plan] // nil in a text, and once the entry has left
	of   *entry               // of a text: the entry of its tokens
}

// use returns the entry's plan, nil if it has left, and keeps both for another round of the clock.
func (e *entry) use() *Plan {
	if !e.used.Load() {
		e.used.Store(true)
	}
	if e.of != nil {
		return e.of.use()
	}
	return e.plan.Load()
}

// peek is use without leaving a trace: new entries must prove that they are used.
func (e *entry) peek() *Plan {
	if e.of != nil {
		return e.of.plan.Load()
	}
	return e.plan.Load()
}

type cacheKey struct {
	generation uint64
	tokens     bool // text is the normalised one
	text       string
	operation  string
}

// NewCache makes a cache of at most so many bytes (an estimate of what plans and texts hold), 0 for
// DefaultCacheBytes.
func NewCache(bytes int) *Cache {
	c := &Cache{seed: maphash.MakeSeed()}
	c.SetBytes(bytes)
	return c
}

// SetBytes changes how many bytes the cache may have, 0 meaning DefaultCacheBytes: what is beyond leaves.
func (c *Cache) SetBytes(bytes int) {
	if bytes <= 0 {
		bytes = DefaultCacheBytes
	}
	c.limit.Store(int64(bytes / cacheShards))
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.makeRoomLocked(0, c.shardBytes())
		s.mu.Unlock()
	}
}

func (c *Cache) shardBytes() int { return int(c.limit.Load()) }

// Get returns the plan of exactly this text. It allocates nothing.
func (c *Cache) Get(generation uint64, text, operation string) (*Plan, bool) {
	e := c.lookup(cacheKey{generation, false, text, operation})
	if e == nil {
		return nil, false
	}
	p := e.use()
	return p, p != nil
}

// Find is Get for texts that were not seen before: it compares tokens, and remembers the text for Get if the
// document is a known one.
func (c *Cache) Find(generation uint64, text, operation string) (*Plan, bool) {
	tokens, ok := normalise(text)
	if !ok {
		return nil, false
	}
	e := c.lookup(cacheKey{generation, true, tokens, operation})
	if e == nil {
		return nil, false
	}
	p := e.use()
	if p != nil {
		c.insert(&entry{key: cacheKey{generation, false, strings.Clone(text), strings.Clone(operation)}, of: e})
	}
	return p, p != nil
}

// Put enters the plan of a valid document and returns the one to use: an earlier plan of equal tokens if there
// is one.
func (c *Cache) Put(generation uint64, text, operation string, p *Plan) *Plan {
	tokens, ok := normalise(text)
	if !ok {
		return p
	}
	operation = strings.Clone(operation)
	made := &entry{key: cacheKey{generation, true, tokens, operation}, size: p.size()}
	made.plan.Store(p)
	e := c.insert(made)
	if e.size > c.shardBytes() {
		return p
	}
	c.insert(&entry{key: cacheKey{generation, false, strings.Clone(text), operation}, of: e})
	if shared := e.peek(); shared != nil {
		return shared
	}
	return p
}

// Bytes returns the estimated size of what the cache holds.
func (c *Cache) Bytes() (n int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += s.bytes
		s.mu.Unlock()
	}
	return n
}

func (c *Cache) hash(k *cacheKey) uint64 {
	h := maphash.String(c.seed, k.text) ^ k.generation*0x9e3779b97f4a7c15
	if k.operation != "" {
		h = h*31 + maphash.String(c.seed, k.operation)
	}
	if k.tokens {
		h = ^h
	}
	return h
}

func (c *Cache) lookup(k cacheKey) *entry {
	h := c.hash(&k)
	s := &c.shards[h%cacheShards]
	s.mu.Lock()
	e := s.entries[h]
	s.mu.Unlock()
	if e == nil || e.key != k {
		return nil
	}
	return e
}

// insert returns the entry that counts for the key: the one that was there, or e. What is too large for the
// cache does not stay in it; another key of the same hash is replaced.
func (c *Cache) insert(e *entry) *entry {
	e.hash = c.hash(&e.key)
	e.size += len(e.key.text) + len(e.key.operation) + entryBytes
	s := &c.shards[e.hash%cacheShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if have := s.entries[e.hash]; have != nil {
		if have.key == e.key && have.peek() != nil {
			return have
		}
		s.removeLocked(have)
	}
	limit := c.shardBytes()
	if e.size > limit {
		return e
	}
	s.makeRoomLocked(e.size, limit)
	if s.entries == nil {
		s.entries = make(map[uint64]*entry)
	}
	s.entries[e.hash] = e
	s.ring = append(s.ring, e)
	s.bytes += e.size
	return e
}

// makeRoomLocked moves the hand over the ring: what was used since it last came by stays this time.
func (s *shard) makeRoomLocked(size, limit int) {
	for s.bytes+size > limit && len(s.ring) > 0 {
		if s.hand >= len(s.ring) {
			s.hand = 0
		}
		if e := s.ring[s.hand]; e.used.Swap(false) {
			s.hand++
		} else {
			s.dropLocked(s.hand)
		}
	}
}

func (s *shard) removeLocked(e *entry) {
	for i := range s.ring {
		if s.ring[i] == e {
			s.dropLocked(i)
			return
		}
	}
}

// dropLocked takes the entry at a place of the ring out; the last one takes its place.
func (s *shard) dropLocked(at int) {
	e, last := s.ring[at], len(s.ring)-1
	s.ring[at] = s.ring[last]
	s.ring[last] = nil
	s.ring = s.ring[:last]
	delete(s.entries, e.hash)
	e.plan.Store(nil)
	s.bytes -= e.size
}

// entryBytes is what an entry takes besides its texts: itself, its place in ring and map.
const entryBytes = 192

// size estimates what a plan holds: document, selection and program. Measured with documents of 60 to 150
// bytes: 3 to 8 KB each, of which half is the parsed document.
func (p *Plan) size() int {
	text := len(p.Operation.Document.Text)
	n := 2048 + 24*text + 128*len(p.Equality)
	if p.bare != nil {
		return n + 200*p.bare.size
	}
	return n + 2*16*text // variants come as they are asked for, two are normal
}
