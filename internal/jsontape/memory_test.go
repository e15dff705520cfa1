package jsontape

import (
	"strings"
	"testing"
	"unsafe"
)

// TestNodeSize: a node is 16 bytes, so that the tape of an event is about three times its text.
func TestNodeSize(t *testing.T) {
	if size := unsafe.Sizeof(node{}); size != 16 {
		t.Errorf("a node has %d bytes", size)
	}
}

// TestALargeTextDoesNotStay: what one large text needed is not kept for the small ones after it.
func TestALargeTextDoesNotStay(t *testing.T) {
	var tape Tape
	large, small := []byte("["+strings.Repeat("0,", 200_000)+"0]"), []byte(`{"a":1}`)
	for _, src := range [][]byte{large, small} {
		if err := tape.Parse(src, Limits{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := cap(tape.nodes); n > keepNodes {
		t.Errorf("%d nodes are kept", n)
	}
	if err := tape.Parse([]byte(`{`), Limits{}); err == nil || tape.src != nil {
		t.Error("a text that is refused is kept")
	}
}

// TestForget: a tape that is put by keeps no text, and its room.
func TestForget(t *testing.T) {
	var tape Tape
	if err := tape.Parse([]byte(`{"a":1}`), Limits{}); err != nil {
		t.Fatal(err)
	}
	if tape.Forget(); tape.src != nil || tape.Kind(Root) != Invalid || cap(tape.nodes) == 0 {
		t.Error("it has not forgotten, or has lost its room")
	}
}
