package prefetch

import (
	"testing"
	"unsafe"
)

// TestHints asks for what is there, what is not and what ends with its page: nothing happens that shows.
func TestHints(t *testing.T) {
	object := make([]*int, 64)
	for _, p := range []unsafe.Pointer{nil, unsafe.Pointer(&object[0]), unsafe.Pointer(&object[63])} {
		Four(p)
		Both(p, unsafe.Pointer(&object[0]))
	}
	Through(unsafe.Pointer(&object[0])) // a nil pointer is stored there
	n := 7
	object[1] = &n
	Through(unsafe.Pointer(&object[1]))
	if *object[1] != 7 {
		t.Error("what was asked for has changed")
	}
	if n := testing.AllocsPerRun(10, func() { Four(unsafe.Pointer(&object[2])) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
