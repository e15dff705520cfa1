package pgbus

import (
	"syscall"
	"time"
)

// nap waits, at most a pace, by the kernel's clock: timers of the runtime are up to a millisecond late where nothing else is to be done,
// since it waits for the network in whole milliseconds.
func nap(d time.Duration) {
	left := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&left, nil) // interrupted by a signal: read earlier
}
