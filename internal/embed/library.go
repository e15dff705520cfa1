//go:build linux

package embed

import (
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"unsafe"
)

// Library is everything of one process. The zero value, made by New, is empty; a host has one.
type Library struct {
	words         words
	newest        atomic.Pointer[Engine] // nil once it is closed; most hosts have no other
	engines       table[*Engine]
	subscriptions table[*subscription]
	connections   table[*connection]
	mailboxes     table[*mailbox]
	calls         table[*call]
	operations    table[*operation]
	doors
}

// New returns an empty library. allocate makes the memory of the words that the host reads: that many zeroed bytes,
// aligned to 16, which the garbage collector neither moves nor frees; nil takes it from Go, for hosts that are Go.
func New(allocate func(bytes int) unsafe.Pointer) *Library {
	l := &Library{}
	l.words.allocate = allocate
	l.engines.kind = kindEngine
	l.subscriptions.kind = kindSubscription
	l.connections.kind = kindConnection
	l.mailboxes.kind = kindMailbox
	l.calls.kind = kindCall
	l.operations.kind = kindOperation
	l.doors.init()
	return l
}

// Engine returns the engine of a handle, nil when there is none.
func (l *Library) Engine(handle int64) *Engine {
	if e := l.newest.Load(); e != nil && e.handle == handle {
		return e
	}
	e, _ := l.engines.get(handle)
	return e
}

// Processors and garbage of a process that is not ours.
const (
	// processors is also for machines with fewer cores: a thread that calls in while others deliver, or call, must
	// find one free, or it waits until one is taken from them, up to 10 ms. On 2 cores, with 3 threads that publish all
	// the time, p99 of a call that finds nothing was 3,789 µs with 3 of them and 85 µs with 4; with 2 threads 27 µs and 5 µs.
	// More would take the host's threads their cores.
	processors = 4
	heapGrowth = 300
)

// Tune sets the scheduler and the collector for life inside a host, unless the environment does: four processors, and
// a heap, which is small here, that may grow fourfold.
func Tune(getenv func(string) string) {
	if getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) != processors {
		runtime.GOMAXPROCS(processors)
	}
	if getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
}
