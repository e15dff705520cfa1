//go:build linux && fqfault

package main

// #include <stdint.h>
import "C"

import "sync/atomic"

// plan is what fails next.
type plan struct {
	export string
	kind   int
}

var planned atomic.Pointer[plan]

// fq_fault makes the next call of an export fail: kind 1 panics, 2 reads through a nil pointer. It is in builds with
// the tag fqfault only, which tests make.
//
//export fq_fault
func fq_fault(name *C.char, kind C.int64_t) C.int64_t {
	planned.Store(&plan{C.GoString(name), int(kind)})
	return 0
}

func fault(export string) {
	p := planned.Load()
	if p == nil || p.export != export || !planned.CompareAndSwap(p, nil) {
		return
	}
	if p.kind == 1 {
		panic("a secret of the inside")
	}
	var nothing *plan
	nothing.kind++
}
