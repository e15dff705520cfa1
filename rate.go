package fraiseql

import (
	"hash/maphash"
	"math"
	"sync"
	"time"
)

const (
	rateShards = 16
	// rateBuckets is how many buckets a generation of a shard holds: 131,072 over all, twice that while the
	// generation before is kept.
	rateBuckets = 1 << 13
)

// rates are token buckets by key. A bucket is the time at which it is full again (the generic cell rate algorithm):
// one that is full is like one that is not there. Each shard has two generations, and a new one begins when a bucket
// that nobody touches would have filled: what is left behind in the last but one is full, and forgotten with it. When
// more keys come than a generation holds, the next begins early: those that were not seen for the longest time start
// with a full bucket again.
type rates[K comparable] struct {
	interval int64 // ns per token
	capacity int64 // ns until an empty bucket is full
	burst    int
	start    time.Time
	seed     maphash.Seed
	shards   [rateShards]rateShard[K]
}

type rateShard[K comparable] struct {
	mu         sync.Mutex
	young, old map[K]int64 // guarded by mu
	turned     int64       // when young began; guarded by mu
}

// newRates makes buckets of burst tokens that get perSecond; nil if that is 0, for no bound. Without a burst it is
// ten times the rate.
func newRates[K comparable](perSecond, burst int) *rates[K] {
	if perSecond <= 0 {
		return nil
	}
	if burst <= 0 {
		burst = min(perSecond, math.MaxInt32) * burstSeconds
	}
	interval := max(int64(time.Second)/int64(perSecond), 1)
	burst = int(min(int64(burst), math.MaxInt64/4/interval))
	return &rates[K]{interval: interval, capacity: interval * int64(burst), burst: burst, start: time.Now(), seed: maphash.MakeSeed()}
}

// burstSeconds is what a burst amounts to that is not configured.
const burstSeconds = 10

// take takes n tokens of a key, or none and returns the time after which there would be enough. n must not be more
// than burst.
func (r *rates[K]) take(key K, n int) (wait time.Duration) {
	now, cost := int64(time.Since(r.start)), r.interval*int64(n)
	s := r.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn(now, r.capacity)
	full := max(s.get(key), now)
	if over := full + cost - now - r.capacity; over > 0 {
		return time.Duration(over)
	}
	s.put(key, full+cost, now)
	return 0
}

// giveBack undoes a take.
func (r *rates[K]) giveBack(key K, n int) {
	s := r.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if full := s.get(key); full != 0 {
		s.put(key, full-r.interval*int64(n), int64(time.Since(r.start)))
	}
}

func (r *rates[K]) shard(key K) *rateShard[K] {
	return &r.shards[maphash.Comparable(r.seed, key)%rateShards]
}

// turn begins a new generation when the one before last is full.
func (s *rateShard[K]) turn(now, capacity int64) {
	switch age := now - s.turned; {
	case age < capacity:
		return
	case age >= 2*capacity:
		s.young, s.old = nil, nil
	default:
		s.young, s.old = nil, s.young
	}
	s.turned = now
}

func (s *rateShard[K]) get(key K) int64 {
	if full, ok := s.young[key]; ok {
		return full
	}
	return s.old[key]
}

func (s *rateShard[K]) put(key K, full, now int64) {
	if _, known := s.young[key]; !known {
		if len(s.young) >= rateBuckets {
			s.young, s.old, s.turned = nil, s.young, now
		}
		if s.young == nil {
			s.young = make(map[K]int64)
		}
	}
	s.young[key] = full
}

// len is the number of buckets.
func (r *rates[K]) len() (n int) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		n += len(s.young) + len(s.old)
		s.mu.Unlock()
	}
	return n
}
