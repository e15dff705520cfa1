package poll

import (
	"testing"
	"unsafe"
)

// A connection's memory is budgeted: this part, the protocol's (session.Driver) and 20 bytes in the table.
func TestConnSize(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); n > 152 {
		t.Errorf("Conn is %d bytes, at most 152", n)
	}
	if n := unsafe.Sizeof(chunk{}); n > 16*chunkSlots {
		t.Errorf("table: %d bytes for %d slots", n, chunkSlots)
	}
}
