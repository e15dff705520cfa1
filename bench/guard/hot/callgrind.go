package main

import "unsafe"

// The client requests of callgrind (callgrind.h); outside of valgrind they do nothing.
const (
	requestBase  = 'C'<<24 | 'T'<<16
	dumpAt       = requestBase + 3
	toggle       = requestBase + 2
	instrument   = requestBase + 4
	uninstrument = requestBase + 5
)

// startInstrumentation ends the fast way, on which nothing can be collected.
func startInstrumentation() { request(&[6]uint64{instrument}) }

func stopInstrumentation() { request(&[6]uint64{uninstrument}) }

// toggleCollect starts or ends collecting on this thread.
func toggleCollect() { request(&[6]uint64{toggle}) }

// dumpStats writes what was collected to a file of its own, with that name in it, and begins anew.
func dumpStats(name string) {
	text := append([]byte(name), 0)
	request(&[6]uint64{dumpAt, uint64(uintptr(unsafe.Pointer(&text[0])))})
}
