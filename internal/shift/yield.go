package shift

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

var (
	hooksMu sync.Mutex // of changes
	hooks   atomic.Pointer[[]*func()]
)

// BeforeYield has f called by whoever lets others run, before it does, until remove is called; f may still run when that returns. It is
// called often, by several goroutines at a time, and must not wait. Goroutines that f makes ready are the next to run.
func BeforeYield(f func()) (remove func()) {
	change(func(all []*func()) []*func() { return append(all, &f) })
	return func() {
		change(func(all []*func()) []*func() {
			return slices.DeleteFunc(all, func(other *func()) bool { return other == &f })
		})
	}
}

func change(how func([]*func()) []*func()) {
	hooksMu.Lock()
	defer hooksMu.Unlock()
	var all []*func()
	if now := hooks.Load(); now != nil {
		all = slices.Clone(*now)
	}
	all = how(all)
	hooks.Store(&all)
}

// Yield lets others run.
func Yield() {
	if all := hooks.Load(); all != nil {
		for _, f := range *all {
			(*f)()
		}
	}
	runtime.Gosched()
}
