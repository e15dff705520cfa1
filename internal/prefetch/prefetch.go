//go:build amd64 || arm64

// Package prefetch asks the processor for memory that will be needed soon, so that it comes while something else is done. It
// is for lists whose members lie anywhere: between two events the kernel's work on sockets has displaced them from the
// caches, and each member would be waited for in turn. Asking is a hint: it reads nothing that Go could see, any address
// will do, and what another goroutine writes there meanwhile does not matter.
package prefetch

import "unsafe"

// Four asks for the four cache lines from p on.
//
//go:noescape
func Four(p unsafe.Pointer)

// Through asks for the three cache lines from the pointer on that is stored at p. If p is in no cache, it is waited for.
//
//go:noescape
func Through(p unsafe.Pointer)

// Both asks for the two cache lines from object on, and for what Through(p) asks for.
//
//go:noescape
func Both(object, p unsafe.Pointer)
