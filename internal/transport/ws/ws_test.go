package ws

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/internal/wsframe"
	"github.com/fraiseql/fraiseql-go/observe"
)

func TestConversation(t *testing.T) {
	backends(t, poll.Options{}, nil, func(t *testing.T, f *fixture) {
		c := f.dial()
		if got := c.head.Get("Sec-WebSocket-Accept"); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // RFC 6455, 1.3
			t.Errorf("accept %q", got)
		}
		c.send(`{"type":"ping"}`)
		c.want(`{"type":"pong"}`)
		c.send(`{"type":"connection_init"}`)
		c.want(`{"type":"connection_ack"}`)
		c.send(subscribe("q", "{ __typename }"))
		c.want(`{"id":"q","type":"next","payload":{"data":{"__typename":"Query"}}}`, `{"id":"q","type":"complete"}`)
		c.send(subscribe("e", "bad"))
		c.want(`{"id":"e","type":"error","payload":[{"message":"bad"}]}`)
		c.send(subscribe("a", "known"), subscribe("b", "other"))
		await(t, "both", func() bool { return f.engine.live("known")+f.engine.live("other") == 2 })
		f.engine.publish("known", `{"x":1}`)
		c.want(`{"id":"a","type":"next","payload":{"data":{"x":1}}}`)
		f.engine.publish("other", `{"x":2}`)
		f.engine.end("other", "")
		c.want(`{"id":"b","type":"next","payload":{"data":{"x":2}}}`, `{"id":"b","type":"complete"}`)
		c.send(subscribe("b", "other")) // the id is free again
		await(t, "again", func() bool { return f.engine.live("other") == 1 })
		f.engine.end("other", `[{"message":"source failed"}]`)
		c.want(`{"id":"b","type":"error","payload":[{"message":"source failed"}]}`)
		c.send(complete("a"))
		await(t, "completed", func() bool { return f.engine.live("known") == 0 })
		c.write(wsframe.AppendMaskedClose(nil, 1000, "", 1))
		c.want("close 1000", "end")
		await(t, "gone", func() bool { return f.handler.Connections() == 0 })
		if f.tally.count(observe.ConnectionsClosed, "1000") != 1 {
			t.Errorf("counted %v", f.tally.n)
		}
	})
}

// A panic over what a client sends ends that client; those that the same goroutine serves go on.
func TestPanicEndsOneClient(t *testing.T) {
	backends(t, poll.Options{Shards: 1}, nil, func(t *testing.T, f *fixture) {
		broken, other := f.initialised(), f.initialised()
		broken.send(subscribe("a", "known"))
		await(t, "subscribed", func() bool { return f.engine.live("known") == 1 })
		broken.send(subscribe("p", "panic"))
		broken.want("end")
		if v := <-f.panicked; v != "panic" {
			t.Errorf("reported %v", v)
		}
		await(t, "gone", func() bool { return f.handler.Connections() == 1 && f.engine.live("known") == 0 })
		other.send(`{"type":"ping"}`)
		other.want(`{"type":"pong"}`)
	})
}

// Frames of every size class of header carry the payload unharmed.
func TestFrameSizes(t *testing.T) {
	backends(t, poll.Options{}, nil, func(t *testing.T, f *fixture) {
		c := f.initialised()
		c.send(subscribe("id", "known"))
		await(t, "subscribed", func() bool { return f.engine.live("known") == 1 })
		for _, n := range []int{0, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71, 72, 80, 90, 100, 125, 126, 4000, 4096, 5000, 65440, 65450, 65460, 65470, 65480, 65490, 65500, 65535, 65536, 300_000} {
			data := `"` + strings.Repeat("x", n) + `"`
			f.engine.publish("known", data)
			c.want(`{"id":"id","type":"next","payload":{"data":` + data + `}}`)
		}
	})
}

// Violations of WebSocket and of graphql-transport-ws close with the code that docs/reference/protocol.md names.
func TestCloseCodes(t *testing.T) {
	big := strings.Repeat("x", 2000)
	cases := []struct {
		name  string
		bytes []byte
		want  string
	}{
		{"unmasked frame", wsframe.AppendFrame(nil, wsframe.Text, []byte(`{"type":"ping"}`)), "close 1002 unmasked frame"},
		{"reserved bit", []byte{0xC1, 0x80, 0, 0, 0, 0}, "close 1002 reserved bits set"},
		{"reserved opcode", []byte{0x83, 0x80, 0, 0, 0, 0}, "close 1002 reserved opcode"},
		{"fragmented ping", []byte{0x09, 0x80, 0, 0, 0, 0}, "close 1002 control frame fragmented or too long"},
		{"continuation alone", []byte{0x80, 0x80, 0, 0, 0, 0}, "close 1002 continuation without a message"},
		{"close of one byte", wsframe.AppendMasked(nil, true, wsframe.Close, 1, []byte("x")), "close 1002 invalid close frame"},
		{"close 1005", wsframe.AppendMasked(nil, true, wsframe.Close, 1, []byte{0x03, 0xED}), "close 1002 invalid close frame"},
		{"close 5000", wsframe.AppendMasked(nil, true, wsframe.Close, 1, []byte{0x13, 0x88}), "close 1002 invalid close frame"},
		{"binary", wsframe.AppendMasked(nil, true, wsframe.Binary, 1, []byte("{}")), "close 1003 messages are text"},
		{"invalid UTF-8", text("\xff"), "close 1007 invalid UTF-8"},
		{"too big", text(big), "close 1009 message too big"},
		{"too big in fragments", append(wsframe.AppendMasked(nil, false, wsframe.Text, 1, []byte(big[:900])), wsframe.AppendMasked(nil, true, wsframe.Continuation, 1, []byte(big[:900]))...), "close 1009 message too big"},
		{"peer closes", wsframe.AppendMaskedClose(nil, 4999, "bye", 1), "close 4999"},
		{"peer closes without code", wsframe.AppendMasked(nil, true, wsframe.Close, 1, nil), "close 1005"},
		{"bad JSON", text("{"), "close 4400"},
		{"subscribe before init", text(subscribe("a", "known")), "close 4401 Unauthorized"},
		{"second init", append(text(`{"type":"connection_init"}`), text(`{"type":"connection_init"}`)...), "close 4429 Too many initialisation requests"},
		{"refused", text(`{"type":"connection_init","payload":{"authorization":"wrong"}}`), "close 4403 Forbidden"},
	}
	backends(t, poll.Options{}, func(c *Config) { c.MessageBytes = 1000 }, func(t *testing.T, f *fixture) {
		for _, tc := range cases {
			for _, chunk := range []int{0, 1} {
				c := f.dial()
				if chunk == 0 {
					c.write(tc.bytes)
				} else {
					go drip(c, tc.bytes)
				}
				got := c.describe()
				if got == `{"type":"connection_ack"}` {
					got = c.describe()
				}
				if !strings.HasPrefix(got, tc.want) {
					t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
				}
				c.want("end")
				c.nc.Close()
			}
		}
	})
}

// drip writes byte by byte and ignores a reset.
func drip(c *client, b []byte) {
	for i := range b {
		if _, err := c.nc.Write(b[i : i+1]); err != nil {
			return
		}
	}
}

func TestNoSubprotocol(t *testing.T) {
	backends(t, poll.Options{}, nil, func(t *testing.T, f *fixture) {
		for _, line := range []string{"X-None: 1", "Sec-WebSocket-Protocol: graphql-ws, soap", "Sec-WebSocket-Protocol: GRAPHQL-transport-ws"} {
			c, err := f.tryDial(line, text(`{"type":"connection_init"}`))
			if err != nil {
				t.Fatal(err)
			}
			if p, ok := c.head["Sec-Websocket-Protocol"]; ok {
				t.Errorf("%s: answered with %q", line, p)
			}
			c.want("close 4406 Subprotocol not acceptable", "end")
			c.nc.Close()
		}
		c, err := f.tryDial("Sec-WebSocket-Protocol: soap\r\nSec-WebSocket-Protocol: graphql-ws,graphql-transport-ws")
		if err != nil {
			t.Fatal(err)
		}
		defer c.nc.Close()
		if got := c.head.Get("Sec-WebSocket-Protocol"); got != Subprotocol {
			t.Errorf("agreed on %q", got)
		}
	})
}

// Bytes that came with the handshake are read first, in any pieces.
func TestEarlyBytes(t *testing.T) {
	backends(t, poll.Options{}, nil, func(t *testing.T, f *fixture) {
		m := text(`{"type":"connection_init"}`)
		for cut := range len(m) + 1 {
			c := f.dial(m[:cut])
			c.write(m[cut:])
			c.want(`{"type":"connection_ack"}`)
			c.nc.Close()
		}
	})
}

// A conversation in random pieces, with control frames between fragments, is understood as a whole.
func TestRandomPieces(t *testing.T) {
	backends(t, poll.Options{}, nil, func(t *testing.T, f *fixture) {
		r := rand.New(rand.NewPCG(1, 1))
		c := f.initialised()
		var stream []byte
		var want []string
		for i := range 200 {
			payload := fmt.Sprintf(`{"n":%d,"s":%q}`, i, strings.Repeat("é", r.IntN(300)))
			stream = appendFragmented(stream, r, []byte(`{"type":"ping","payload":`+payload+`}`))
			want = append(want, `{"type":"pong","payload":`+payload+`}`)
		}
		go func() {
			for len(stream) > 0 {
				n := min(1+r.IntN(700), len(stream))
				if _, err := c.nc.Write(stream[:n]); err != nil {
					return
				}
				stream = stream[n:]
			}
		}()
		c.want(want...)
	})
}

// appendFragmented appends a message in random fragments with unsolicited pongs in between.
func appendFragmented(dst []byte, r *rand.Rand, p []byte) []byte {
	op := wsframe.Text
	for r.IntN(3) > 0 && len(p) > 1 {
		n := r.IntN(len(p))
		dst = wsframe.AppendMasked(dst, false, op, r.Uint32(), p[:n])
		dst = wsframe.AppendMasked(dst, true, wsframe.Pong, r.Uint32(), nil)
		op, p = wsframe.Continuation, p[n:]
	}
	return wsframe.AppendMasked(dst, true, op, r.Uint32(), p)
}

func TestFramePing(t *testing.T) {
	backends(t, poll.Options{}, nil, func(t *testing.T, f *fixture) {
		c := f.dial()
		c.write(wsframe.AppendMasked(nil, true, wsframe.Ping, 7, []byte("data")))
		c.want("pong data")
		c.write(wsframe.AppendMasked(nil, true, wsframe.Pong, 7, []byte("unsolicited")))
		c.write(wsframe.AppendMasked(nil, true, wsframe.Ping, 7, bytes.Repeat([]byte("x"), 125)))
		c.want("pong " + strings.Repeat("x", 125))
	})
}

func TestInitTimeout(t *testing.T) {
	opts := poll.Options{Tick: time.Millisecond}
	backends(t, opts, func(c *Config) { c.InitTimeout = 20 * time.Millisecond }, func(t *testing.T, f *fixture) {
		slow := f.dial(text(`{"type":"connection_init"}`)[:9]) // slow loris: half a frame does not help
		slow.want("close 4408 Connection initialisation timeout", "end")
		if n := f.tally.count(observe.ConnectionsOpened, "websocket"); n != 1 {
			t.Errorf("%d connections counted", n)
		}
	})
}

// A silent peer is pinged; one that answers stays, one that does not is closed.
func TestPing(t *testing.T) {
	opts := poll.Options{Tick: time.Millisecond}
	adjust := func(c *Config) {
		c.InitTimeout, c.PingInterval, c.PongTimeout = 200*time.Millisecond, 10*time.Millisecond, 200*time.Millisecond
	}
	backends(t, opts, adjust, func(t *testing.T, f *fixture) {
		c := f.dial(text(`{"type":"connection_init"}`))
		c.want(`{"type":"connection_ack"}`)
		for range 5 {
			c.want("ping")
			c.write(wsframe.AppendMasked(nil, true, wsframe.Pong, 1, nil))
		}
		c.want("ping", "close 1001 no answer to ping", "end")
	})
}

// Silence counts from the last that a client has sent, however long it might have taken for connection_init; before that it is not
// pinged.
func TestFirstPing(t *testing.T) {
	adjust := func(c *Config) { c.InitTimeout, c.PingInterval, c.PongTimeout = far, 10*time.Millisecond, far }
	backends(t, poll.Options{Tick: time.Millisecond}, adjust, func(t *testing.T, f *fixture) {
		f.engine.hold = make(chan struct{})
		slow := f.dial(text(`{"type":"connection_init"}`)) // whose credentials are judged for some time
		close(f.engine.hold)
		slow.want(`{"type":"connection_ack"}`, "ping")
		c := f.dial(text(`{"type":"connection_init"}`))
		c.want(`{"type":"connection_ack"}`, "ping")
		f.handler.SetTimes(30*time.Millisecond, time.Millisecond, far)
		f.dial().want("close 4408 Connection initialisation timeout", "end")
	})
}

// Credentials that end close the connection with 4403.
func TestExpiry(t *testing.T) {
	opts := poll.Options{Tick: time.Millisecond}
	backends(t, opts, nil, func(t *testing.T, f *fixture) {
		f.engine.who.ExpiresAt = time.Now()
		c := f.dial(text(`{"type":"connection_init"}`))
		c.want(`{"type":"connection_ack"}`, "close 4403 Forbidden: credentials have expired", "end")
	})
}

// So do those that took longer to be judged than a client may take for connection_init, also where nobody is pinged.
func TestExpiryAfterASlowCheck(t *testing.T) {
	opts := poll.Options{Tick: time.Millisecond}
	backends(t, opts, func(c *Config) { c.InitTimeout = 10 * time.Millisecond }, func(t *testing.T, f *fixture) {
		f.engine.hold = make(chan struct{})
		c, late := f.dial(text(`{"type":"connection_init"}`)), f.dial()
		late.want("close 4408 Connection initialisation timeout", "end")
		f.engine.who.ExpiresAt = time.Now().Add(500 * time.Millisecond)
		close(f.engine.hold)
		if err := c.nc.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		c.want(`{"type":"connection_ack"}`, "close 4403 Forbidden: credentials have expired", "end")
	})
}

// With TLS in the process goroutines serve the connection; a stalled one is reset all the same.
func TestTLS(t *testing.T) {
	f := start(t, poll.Options{Tick: time.Millisecond, Linger: 10 * time.Millisecond}, nil, true)
	c := f.initialised()
	c.send(subscribe("a", "known"))
	await(t, "subscribed", func() bool { return f.engine.live("known") == 1 })
	f.engine.publish("known", `1`)
	c.want(`{"id":"a","type":"next","payload":{"data":1}}`)
	for f.engine.publish("known", `"`+strings.Repeat("x", 100_000)+`"`) == 1 { // reads no more
	}
	await(t, "reset", func() bool { return f.handler.Connections() == 0 })
	if f.tally.count(observe.ConnectionsClosed, "4290") != 1 {
		t.Errorf("counted %v", f.tally.n)
	}
	c = f.initialised()
	c.write(wsframe.AppendMaskedClose(nil, 1000, "", 1))
	c.want("close 1000", "end")
}
