//go:build amd64 || arm64

package poll

import (
	"bufio"
	"errors"
	"fmt"
	"testing"
	"time"
)

// Who is refused and sends more than a little after that reads the reason, and is reset soon; what it sends is not taken.
func TestMuchAfterClose(t *testing.T) {
	backends(t, Options{Linger: time.Hour, Tick: 10 * time.Millisecond}, func(t *testing.T, p *Poller) {
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
		if err := <-o.closed; !errors.Is(err, ErrReset) {
			t.Errorf("OnClose(%v)", err)
		}
		if n := p.Stats().BytesIn; n > 2*maxRest<<12+readBytes { // a read counts in whole 4 KiB
			t.Errorf("%d bytes were taken", n)
		}
	})
}

// Who leaves after the reason has closed properly, though it had written much before it read that.
func TestSomeAfterClose(t *testing.T) {
	for _, rest := range []int{1, 20_000, 900_000} {
		t.Run(fmt.Sprint(rest), func(t *testing.T) {
			backends(t, Options{Linger: time.Hour}, func(t *testing.T, p *Poller) {
				o := refuse()
				c := connect(t, p, o, Registration{})
				for _, text := range [][]byte{[]byte("head"), make([]byte, rest)} {
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
		})
	}
}

// Who says little after the reason, however often, has all of the linger.
func TestLittleAfterClose(t *testing.T) {
	backends(t, Options{Linger: time.Hour}, func(t *testing.T, p *Poller) {
		if p.opts.Portable { // nothing is counted there
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
		for i := range int64(300) {
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			await(t, "a byte", func() bool { return p.Stats().BytesIn == int64(len("head"))+i+1 })
		}
		o.io.Lock()
		if o.rest != 0 {
			t.Errorf("%d bytes count for %d", 300, o.rest)
		}
		o.io.Unlock()
		c.Close()
		if err := <-o.closed; err != nil {
			t.Errorf("OnClose(%v)", err)
		}
	})
}
