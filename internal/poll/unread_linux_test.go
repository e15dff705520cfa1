//go:build amd64 || arm64

package poll

import (
	"bufio"
	"bytes"
	"testing"
	"time"
)

// Who is refused in the middle of much that it writes reads the reason. Nothing of the rest is taken, and who does not leave is reset when
// the linger is over.
func TestMuchAfterClose(t *testing.T) {
	const linger = 200 * time.Millisecond
	backends(t, Options{Linger: linger, Tick: 10 * time.Millisecond}, func(t *testing.T, p *Poller) {
		if p.opts.Portable { // goroutines wait for the peer's end by reading
			return
		}
		o := refuse()
		c := connect(t, p, o, Registration{})
		if _, err := c.Write([]byte("head")); err != nil {
			t.Fatal(err)
		}
		if got := readLine(t, bufio.NewReader(c)); got != "close 1009 too long" {
			t.Errorf("got %q", got)
		}
		if n, err := c.Write(make([]byte, 64<<20)); err == nil || n == 64<<20 {
			t.Errorf("%d bytes were written, error %v", n, err)
		}
		if err := <-o.closed; err == nil {
			t.Error("a connection that was reset closed without an error")
		}
		if n := p.Stats().BytesIn; n != int64(len("head")) {
			t.Errorf("%d bytes were taken", n)
		}
	})
}

// Who leaves after the reason has closed properly, whatever it had written before it read that.
func TestSomeAfterClose(t *testing.T) {
	backends(t, Options{Linger: time.Hour}, func(t *testing.T, p *Poller) {
		o := refuse()
		c := connect(t, p, o, Registration{})
		for _, text := range [][]byte{[]byte("head"), bytes.Repeat([]byte("x"), 20_000), []byte("end")} {
			if _, err := c.Write(text); err != nil {
				t.Fatal(err)
			}
		}
		if got := readLine(t, bufio.NewReader(c)); got != "close 1009 too long" {
			t.Errorf("got %q", got)
		}
		c.Close()
		if err := <-o.closed; err != nil {
			t.Errorf("OnClose(%v)", err)
		}
	})
}
