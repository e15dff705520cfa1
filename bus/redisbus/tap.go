package redisbus

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
)

// tap is a connection of the driver. It passes everything on as it is, except for the answer to an XREAD of a reader: the
// entries go to the reader straight from the wire, and the driver is told that there were none. The driver makes a dozen
// pieces of memory of each entry, with pointers that the collector follows; that was a fifth of what an event cost.
//
// An answer that is no list (an error, a redirection, nothing new) goes to the driver. So does all of it on a connection
// that the driver reads ahead of what it asks: then an answer cannot be told from others, and the reader takes what the
// driver makes of it.
type tap struct {
	net.Conn
	bus *Bus
	// awaited is the reader whose XREAD was written since anything was read, or reading while somebody reads.
	awaited atomic.Pointer[reader]

	// Of the goroutine that reads.
	in  source
	out []byte // for the driver, before what is in in
}

var reading = new(reader) // a mark

// nothing is what Redis answers to an XREAD that found nothing.
var nothing = []byte("_\r\n")

// tapped dials for the driver.
func (b *Bus) tapped(ctx context.Context, addr string, d *net.Dialer, secure *tls.Config) (net.Conn, error) {
	network := "tcp"
	if b.cfg.unix {
		network, secure = "unix", nil
	}
	var c net.Conn
	var err error
	if secure == nil {
		c, err = d.DialContext(ctx, network, addr)
	} else {
		c, err = (&tls.Dialer{NetDialer: d, Config: secure}).DialContext(ctx, network, addr)
	}
	if err != nil {
		return nil, err
	}
	return &tap{Conn: c, bus: b, in: source{from: c}}, nil
}

// Write passes p on.
func (t *tap) Write(p []byte) (int, error) {
	if r := t.bus.asking(p); r != nil {
		t.awaited.CompareAndSwap(nil, r)
	}
	return t.Conn.Write(p)
}

// Read returns what Redis sends, or a word of our own instead.
func (t *tap) Read(p []byte) (int, error) {
	r := t.awaited.Swap(reading)
	defer t.awaited.Store(nil)
	if r != nil && r != reading && len(t.out) == 0 && t.in.buffered() == 0 {
		taken, err := r.take(&t.in)
		if err != nil {
			return 0, err
		}
		if taken {
			t.out = nothing
		}
	}
	switch {
	case len(t.out) > 0:
		n := copy(p, t.out)
		t.out = t.out[n:]
		return n, nil
	case t.in.buffered() > 0:
		return t.in.move(p), nil
	}
	return t.Conn.Read(p)
}

// asking returns the reader that a command belongs to if it is an XREAD of one.
func (b *Bus) asking(command []byte) *reader {
	if len(command) == 0 || command[0] != '*' {
		return nil
	}
	_, rest, _ := bytes.Cut(command[:min(len(command), 32)], []byte("\r\n"))
	if !bytes.HasPrefix(rest, []byte("$5\r\nXREAD\r\n")) {
		return nil
	}
	_, rest, found := bytes.Cut(command[:min(len(command), 512)], []byte("\r\nSTREAMS\r\n$"))
	if !found {
		return nil
	}
	_, rest, _ = bytes.Cut(rest, []byte("\r\n"))
	stream, _, found := bytes.Cut(rest, []byte("\r\n"))
	if !found {
		return nil
	}
	if t := b.table.Load(); t != nil && t.byStream[string(stream)] != nil {
		return t.byStream[string(stream)].reader
	}
	return nil
}
