package outbound

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
)

// names is a name server that answers every question about IPv4 with the addresses of its function.
type names struct {
	conn   net.PacketConn
	asked  atomic.Int32
	answer func(question int32) []netip.Addr
	done   chan struct{}
}

func startNames(t *testing.T, answer func(int32) []netip.Addr) (*names, *net.Resolver) {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &names{conn: conn, answer: answer, done: make(chan struct{})}
	go n.run()
	t.Cleanup(func() {
		conn.Close()
		<-n.done
	})
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp4", conn.LocalAddr().String())
	}
	return n, &net.Resolver{PreferGo: true, Dial: dial}
}

func (n *names) run() {
	defer close(n.done)
	b := make([]byte, 1500)
	for {
		size, peer, err := n.conn.ReadFrom(b)
		if err != nil {
			return
		}
		if size > 12 {
			_, _ = n.conn.WriteTo(n.reply(b[:size]), peer) // who asks again does so by itself
		}
	}
}

// reply answers one question (RFC 1035, 4.1).
func (n *names) reply(query []byte) []byte {
	end := 12
	for query[end] != 0 {
		end += int(query[end]) + 1
	}
	question := query[12 : end+5]
	out := append([]byte(nil), query[:2]...)
	out = append(out, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0)
	out = append(out, question...)
	if binary.BigEndian.Uint16(question[len(question)-4:]) != 1 { // no IPv6
		return out
	}
	for _, ip := range n.answer(n.asked.Add(1)) {
		out[7]++
		out = append(out, 0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4) // time to live: 0
		out = append(out, ip.AsSlice()...)
	}
	return out
}

// A name that changes its address between two calls, or has a good one beside a bad one, reaches nothing that is
// not allowed.
func TestRebinding(t *testing.T) {
	var called atomic.Int32
	s := serve(t, func(http.ResponseWriter, *http.Request) { called.Add(1) })
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	url := "http://rebind.example.com:" + port + "/"
	mine, here := netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.1")
	allowed := []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")} // stands for a public address; nobody listens there

	_, resolver := startNames(t, func(question int32) []netip.Addr {
		if question == 1 {
			return []netip.Addr{mine}
		}
		return []netip.Addr{here}
	})
	c := client(t, Config{URLs: []string{url}, Networks: allowed, Resolver: resolver})
	if err := c.Check(url); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Post(t.Context(), url, nil, nil); err == nil || errors.Is(err, ErrAddress) {
		t.Errorf("first call: %v, want a refused connection", err)
	}
	for range 3 {
		if _, err := c.Post(t.Context(), url, nil, nil); !errors.Is(err, ErrAddress) {
			t.Errorf("after the name was rebound: %v", err)
		}
	}

	_, resolver = startNames(t, func(int32) []netip.Addr { return []netip.Addr{mine, here} })
	c = client(t, Config{URLs: []string{url}, Networks: allowed, Resolver: resolver})
	if _, err := c.Post(t.Context(), url, nil, nil); err == nil {
		t.Error("the bad one of two addresses was called")
	}
	if called.Load() > 0 {
		t.Errorf("%d calls arrived", called.Load())
	}
}
