//go:build !linux

package pgbus

import "time"

// nap waits, at most a pace.
func nap(d time.Duration) { time.Sleep(d) }
