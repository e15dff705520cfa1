//go:build !amd64 && !arm64

package prefetch

import "unsafe"

// Four does nothing here.
func Four(unsafe.Pointer) {}

// Through does nothing here.
func Through(unsafe.Pointer) {}

// Both does nothing here.
func Both(object, p unsafe.Pointer) {}
