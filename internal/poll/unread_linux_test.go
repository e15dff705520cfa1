//go:build amd64 || arm64

package poll

import (
	"bufio"
	"bytes"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// Who is refused in the middle of much that it writes reads the reason and can write all of it; nobody reads or copies that.
func TestMuchAfterClose(t *testing.T) {
	backends(t, Options{}, func(t *testing.T, p *Poller) {
		o := newOwner()
		o.onBytes = func(o *owner, _ []byte) {
			o.Control(queue.Control{Kind: queue.Close, Code: 1009, Data: []byte("too long")})
		}
		c := connect(t, p, o, Registration{})
		if _, err := c.Write([]byte("head")); err != nil {
			t.Fatal(err)
		}
		if got := readLine(t, bufio.NewReader(c)); got != "close 1009 too long" {
			t.Errorf("got %q", got)
		}
		const rest = 8 << 20
		if _, err := c.Write(bytes.Repeat([]byte("x"), rest)); err != nil {
			t.Errorf("the rest could not be written: %v", err)
		}
		c.Close()
		if err := <-o.closed; err != nil {
			t.Errorf("OnClose(%v)", err)
		}
		if got := o.received(); got != "head" {
			t.Errorf("%d bytes were handed on", len(got))
		}
	})
	if bytes.ContainsFunc(unread[:], func(r rune) bool { return r != 0 }) {
		t.Error("the kernel copied what nobody reads")
	}
}
