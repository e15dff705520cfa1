package poll

import (
	"bufio"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/queue"
)

// sealed stands for a TLS connection: it counts what it had to decrypt.
type sealed struct {
	*net.TCPConn
	decrypted *atomic.Int64
}

func (s sealed) NetConn() net.Conn { return s.TCPConn }

// CloseWrite is an alert in TLS, and leaves the socket alone.
func (s sealed) CloseWrite() error { return nil }

func (s sealed) Read(p []byte) (int, error) {
	n, err := s.TCPConn.Read(p)
	s.decrypted.Add(int64(n))
	return n, err
}

// refuse is an owner that closes as soon as anything comes.
func refuse() *owner {
	o := newOwner()
	o.onBytes = func(o *owner, _ []byte) {
		o.Control(queue.Control{Kind: queue.Close, Code: 1009, Data: []byte("too long")})
	}
	return o
}

// What comes after the close is not decrypted, but for a little; the end is still seen.
func TestRestIsNotDecrypted(t *testing.T) {
	p, err := New(Options{Linger: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	server, client := pair(t)
	defer client.Close()
	o := refuse()
	var decrypted atomic.Int64
	if err := p.Register(&o.Conn, o, Registration{Conn: sealed{server, &decrypted}}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Write([]byte("head")); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(client)
	if got := readLine(t, in); got != "close 1009 too long" {
		t.Errorf("got %q", got)
	}
	if _, err := client.Write(make([]byte, 1<<20)); err != nil {
		t.Error(err)
	}
	// Its own goodbye was not decrypted: it waits for the end of the socket.
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("read: %v", err)
	}
	client.Close()
	if err := <-o.closed; err != nil {
		t.Errorf("OnClose(%v)", err)
	}
	if n := decrypted.Load(); n > restBytes+2*streamBytes {
		t.Errorf("%d bytes were decrypted", n)
	}
}

// So it is where the close is still being written when too much has come.
func TestRestBeforeTheClose(t *testing.T) {
	p, err := New(Options{Linger: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	server, client := pair(t)
	defer client.Close()
	o := newOwner()
	var decrypted atomic.Int64
	if err := p.Register(&o.Conn, o, Registration{Conn: sealed{server, &decrypted}}); err != nil {
		t.Fatal(err)
	}
	o.Control(queue.Control{Kind: queue.Text, Data: make([]byte, 32<<20)})
	await(t, "a write that is under way", func() bool { return o.stream.held.Load() > 0 }) // nobody reads
	o.Control(queue.Control{Kind: queue.Close, Code: 1009, Data: []byte("too long")})
	if _, err := client.Write(make([]byte, 1<<20)); err != nil {
		t.Error(err)
	}
	await(t, "too much", func() bool { return o.stream.rested.Load() })
	if _, err := io.Copy(io.Discard, client); err != nil {
		t.Errorf("read: %v", err)
	}
	client.Close()
	if err := <-o.closed; err != nil {
		t.Errorf("OnClose(%v)", err)
	}
}

// What comes late does not make the linger longer.
func TestHasten(t *testing.T) {
	p, err := New(Options{Linger: time.Hour, Tick: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	o := newOwner()
	connect(t, p, o, Registration{})
	for _, tt := range []struct{ asked, hastened, want uint32 }{{5, 9, 5}, {9, 5, 5}, {0, 5, 5}} {
		o.shard.setDeadline(o.slot, tt.asked)
		o.shard.hasten(o.slot, tt.hastened)
		if got := o.shard.table.deadline(o.slot) - p.now.Load() - 1; got != tt.want {
			t.Errorf("%d, then %d at the latest: in %d ticks, want %d", tt.asked, tt.hastened, got, tt.want)
		}
	}
}
