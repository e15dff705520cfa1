package ws

import (
	"bytes"
	"compress/flate"
	"fmt"
	"strings"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/wsframe"
)

const deflateLine = protocolLine + "\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"

func (f *fixture) dialDeflate(t *testing.T) *client {
	t.Helper()
	c, err := f.tryDial(deflateLine)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.nc.Close() })
	return c
}

// packedText is a text message as a client sends it compressed.
func packedText(t *testing.T, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	frame := wsframe.AppendMasked(nil, true, wsframe.Text, 0x01020304, b.Bytes()[:b.Len()-4])
	frame[0] |= 0x40
	return frame
}

// Both directions are compressed where that was agreed; members of a group read the same, compressed or not.
func TestDeflate(t *testing.T) {
	backends(t, poll.Options{}, func(c *Config) { c.Deflate = true }, func(t *testing.T, f *fixture) {
		packed, plain := f.dialDeflate(t), f.dial()
		if got := packed.head.Get("Sec-WebSocket-Extensions"); got != wsframe.DeflateAnswer {
			t.Errorf("agreed on %q", got)
		}
		if got := plain.head.Get("Sec-WebSocket-Extensions"); got != "" {
			t.Errorf("agreed on %q with who did not ask", got)
		}
		packed.write(packedText(t, `{"type":"connection_init"}`))
		plain.send(`{"type":"connection_init"}`)
		packed.want(`{"type":"connection_ack"}`)
		plain.want(`{"type":"connection_ack"}`)
		packed.write(packedText(t, subscribe(strings.Repeat("long-id", 30), "known")))
		plain.send(subscribe("p", "known"))
		await(t, "subscribed", func() bool { return f.engine.live("known") == 2 })
		for _, n := range []int{1, 100, 240, 250, 300, 4000, 70_000, 1_000_000} {
			data := `"` + strings.Repeat("abcdé ", n/6+1) + `"`
			f.engine.publish("known", data)
			packed.want(`{"id":"` + strings.Repeat("long-id", 30) + `","type":"next","payload":{"data":` + data + `}}`)
			plain.want(`{"id":"p","type":"next","payload":{"data":` + data + `}}`)
		}
		if packed.packed != 6 || packed.wire > plain.wire/20 {
			t.Errorf("%d messages were compressed, %d bytes of %d", packed.packed, packed.wire, plain.wire)
		}
		f.engine.end("known", `[{"message":"`+strings.Repeat("m", 1000)+`"}]`)
		packed.want(`{"id":"` + strings.Repeat("long-id", 30) + `","type":"error","payload":[{"message":"` + strings.Repeat("m", 1000) + `"}]}`)
	})
}

// A client that keeps a smaller window may compress, and is sent nothing compressed.
func TestDeflateOfASmallWindow(t *testing.T) {
	f := serve(t, poll.Options{}, func(c *Config) { c.Deflate = true })
	c, err := f.tryDial(protocolLine + "\r\nSec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9")
	if err != nil {
		t.Fatal(err)
	}
	defer c.nc.Close()
	c.write(packedText(t, `{"type":"connection_init"}`))
	c.want(`{"type":"connection_ack"}`)
	c.write(packedText(t, subscribe("a", "known")))
	await(t, "subscribed", func() bool { return f.engine.live("known") == 1 })
	data := `"` + strings.Repeat("long ", 1000) + `"`
	f.engine.publish("known", data)
	c.want(`{"id":"a","type":"next","payload":{"data":` + data + `}}`)
	if c.packed != 0 {
		t.Error("a compressed message was sent")
	}
}

// Compression that is off, or offered otherwise than it is done here, is not agreed to.
func TestDeflateIsNotAgreed(t *testing.T) {
	f := serve(t, poll.Options{}, nil)
	c := f.dialDeflate(t)
	if got := c.head.Get("Sec-WebSocket-Extensions"); got != "" {
		t.Errorf("agreed on %q", got)
	}
	c.write(packedText(t, `{"type":"connection_init"}`))
	c.want("close 1002 reserved bits set", "end")
}

// A message that grows beyond the bound closes with 1009, what cannot be inflated or is no UTF-8 with 1007. Before the
// acknowledgement the bound is smaller.
func TestDeflateAttacks(t *testing.T) {
	backends(t, poll.Options{}, func(c *Config) { c.Deflate, c.MessageBytes = true, 1<<20 }, func(t *testing.T, f *fixture) {
		spaces := strings.Repeat(" ", 32<<20)
		garbage := wsframe.AppendMasked(nil, true, wsframe.Text, 1, []byte{0xff, 0xff, 0xff})
		garbage[0] |= 0x40
		for _, attack := range []struct {
			known bool
			bytes []byte
			want  string
		}{
			{false, packedText(t, spaces), "close 1009 message too big"},
			{false, packedText(t, spaces[:65<<10]), "close 1009 message too big"},
			{true, packedText(t, spaces[:2<<20]), "close 1009 message too big"},
			{true, packedText(t, spaces[:900<<10]), "close 4400 "},
			{false, packedText(t, "\xff"), "close 1007 invalid UTF-8"},
			{false, garbage, "close 1007 compressed message is not valid"},
		} {
			c := f.dialDeflate(t)
			if attack.known {
				c.send(`{"type":"connection_init"}`)
				c.want(`{"type":"connection_ack"}`)
			}
			c.write(attack.bytes)
			if got := c.describe(); !strings.HasPrefix(got, attack.want) {
				t.Errorf("got %q, want %q", got, attack.want)
			}
			c.nc.Close()
		}
	})
}

// BenchmarkDeflateFraming makes the frames of one event for a group of 1,000 connections.
func BenchmarkDeflateFraming(b *testing.B) {
	for _, n := range []int{512, 4 << 10, 64 << 10} {
		payload := []byte(`{"data":{"orders":[`)
		for i := 0; len(payload) < n; i++ {
			payload = fmt.Appendf(payload, `{"id":"%d","status":"paid","total":%d.5,"note":"order %x"},`, i*7919, i*31, i*i)
		}
		for _, on := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dB/deflate=%v", n, on), func(b *testing.B) {
				f := serve(b, poll.Options{}, func(c *Config) { c.Deflate = true })
				c := &conn{handler: f.handler, deflate: on}
				c.driver.Init(f.handler.cfg.Host, c, nil)
				var q queue.Queue
				q.Init(c.Outbound(), &queue.Policy{}, []byte("operation-id"), false)
				var buf []byte
				const members = 1000
				for b.Loop() {
					it := &queue.Item{Queue: &q, Message: &queue.Message{Payload: payload}}
					for range members {
						buf = c.AppendPrefix(buf[:0], it)
						buf = append(buf, c.FramedPayload(it)...)
						buf = c.AppendSuffix(buf, it)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*members), "ns/delivery")
				b.ReportMetric(float64(len(buf)), "bytes/delivery")
			})
		}
	}
}
