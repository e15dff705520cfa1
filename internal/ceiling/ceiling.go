// Package ceiling says whether a process uses more memory than it may. The kernel ends one that does; a server that takes
// nothing new in time goes on.
package ceiling

import (
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// period is for how long one look is believed.
	period = 100 * time.Millisecond
	// pause is between two attempts to make room: what was dropped must be collected before it shows.
	pause = 500 * time.Millisecond
)

// Ceiling is a bound on memory. Its method is safe for concurrent use and cheap.
type Ceiling struct {
	limit    int64
	used     func() int64
	makeRoom func(excess int64)
	start    time.Time
	next     atomic.Int64 // when to look again, in ns since start
	room     atomic.Int64 // when to make room again
	over     atomic.Bool
}

// New makes a ceiling of so many bytes. Where hardly any are left, a thirty-second, makeRoom, which may be nil, is told how
// many are to be given back until a tenth is free, by whoever asks just then, and at most twice a second.
func New(limit int64, makeRoom func(excess int64)) *Ceiling {
	return &Ceiling{limit: limit, used: Used, makeRoom: makeRoom, start: time.Now()}
}

// Exceeded reports whether the process uses more than it may, as of a moment ago.
func (c *Ceiling) Exceeded() bool {
	now, due := int64(time.Since(c.start)), c.next.Load()
	if now >= due && c.next.CompareAndSwap(due, now+int64(period)) {
		used := c.used()
		c.over.Store(used > c.limit)
		if used > c.limit-c.limit/32 {
			c.tell(now, used-c.limit/10*9)
		}
	}
	return c.over.Load()
}

// tell has room made, unless that was a moment ago.
func (c *Ceiling) tell(now, excess int64) {
	due := c.room.Load()
	if c.makeRoom != nil && now >= due && c.room.CompareAndSwap(due, now+int64(pause)) {
		c.makeRoom(excess)
	}
}

// Limit is the bound in bytes.
func (c *Ceiling) Limit() int64 { return c.limit }

// Used is what the Go runtime has of the system: everything but what it has given back.
func Used() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64() - sample[1].Value.Uint64())
}

// share is how much of what the system allows is the ceiling, in percent: the rest is for the kernel's buffers, and for
// what is allocated between two looks.
const share = 85

// asked is GOMEMLIMIT, as it was before Collect; math.MaxInt64: not set.
var asked = sync.OnceValue(func() int64 { return debug.SetMemoryLimit(-1) })

// Find returns the ceiling that the surroundings ask for: GOMEMLIMIT, and a share of the control group's limit. 0: they
// ask for none.
func Find() int64 {
	limit := int64(0)
	if n := asked(); n < math.MaxInt64 {
		limit = n
	}
	if n := group("/sys/fs/cgroup"); n > 0 && (limit == 0 || n/100*share < limit) {
		limit = n / 100 * share
	}
	return limit
}

// Collect makes the garbage collector keep the process below the ceiling as long as that is possible, unless GOMEMLIMIT
// asks for less: what exceeds it then is in use.
func Collect(limit int64) {
	if goal := limit / 100 * 95; goal > 0 {
		debug.SetMemoryLimit(min(goal, asked()))
	}
}

// group returns the memory limit of the process's control group, of either version; 0: none.
func group(root string) int64 {
	for _, name := range []string{"/memory.max", "/memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(root + name)
		if err != nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil || n <= 0 || n > 1<<50 { // "max", or a number that stands for it
			return 0
		}
		return n
	}
	return 0
}
