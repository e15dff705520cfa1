package ws

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/wsframe"
	"github.com/fraiseql/fraiseql-go/observe"
)

func openFiles(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(list)
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// 10,000 connections vanish in every state; goroutines, descriptors, counts and heap return to the start.
func TestAbruptDisconnects(t *testing.T) {
	adjust := func(c *Config) { c.InitTimeout = 3 * time.Second }
	backends(t, poll.Options{KeepMemory: true}, adjust, func(t *testing.T, f *fixture) {
		n := 10_000
		if strings.HasSuffix(t.Name(), "portable") {
			n = 2000
		}
		churn(t, f, 200) // warm: pools, chunks, the HTTP server
		before, files, goroutines := heap(), openFiles(t), runtime.NumGoroutine()
		churn(t, f, n)
		await(t, "descriptors", func() bool { return openFiles(t) <= files })
		await(t, "goroutines", func() bool { return runtime.NumGoroutine() <= goroutines })
		if after := heap(); after > before+1<<20 {
			t.Errorf("heap grew from %d to %d bytes", before, after)
		}
		if n := f.engine.live("known"); n != 0 {
			t.Errorf("%d subscriptions live", n)
		}
		opened := f.tally.count(observe.ConnectionsOpened, "websocket")
		closed := f.tally.count(observe.ConnectionsClosed, "abrupt") + f.tally.count(observe.ConnectionsClosed, "1000") + f.tally.count(observe.ConnectionsClosed, "4290")
		if opened != n+200 || closed != opened {
			t.Errorf("%d opened, %d closed: %v", opened, closed, f.tally.n)
		}
	})
}

func churn(t *testing.T, f *fixture, n int) {
	t.Helper()
	stop := make(chan struct{})
	var publisher, wg sync.WaitGroup
	publisher.Go(func() {
		each(time.Millisecond, stop, func() { f.engine.publish("known", `{"x":1}`) })
	})
	const workers = 20
	for w := range workers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(2, uint64(w)))
			for range n / workers {
				vanish(t, f, r)
			}
		})
	}
	wg.Wait()
	await(t, "all gone", func() bool { return f.handler.Connections() == 0 })
	close(stop)
	publisher.Wait()
	f.engine.publish("known", `{}`) // forgets those that ended
}

// each calls f at intervals until stop is closed.
func each(d time.Duration, stop <-chan struct{}, f func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			f()
		}
	}
}

// vanish opens a connection, gets somewhere and leaves without a word (or with one).
func vanish(t *testing.T, f *fixture, r *rand.Rand) {
	c, err := f.tryDial(protocolLine)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.nc.Close()
	step := r.IntN(5)
	b := text(`{"type":"connection_init"}`)
	switch step {
	case 0: // half a frame
		b = b[:1+r.IntN(len(b)-1)]
	case 1:
	default:
		b = append(b, text(`{"type":"ping"}`)...)
	}
	if _, err := c.nc.Write(b); err != nil {
		t.Error(err)
		return
	}
	if step >= 3 {
		for { // until acknowledged
			m, err := c.next()
			if err != nil {
				t.Error(err)
				return
			}
			if strings.Contains(string(m.Payload), "ack") {
				break
			}
		}
		_, _ = c.nc.Write(text(subscribe("a", "known")))
	}
	if step == 4 {
		if _, err := c.next(); err != nil {
			t.Error(err)
		}
		_, _ = c.nc.Write(wsframe.AppendMaskedClose(nil, 1000, "", 1))
		return
	}
	if r.IntN(2) == 0 {
		_ = c.nc.(*net.TCPConn).SetLinger(0)
	}
}

// A client that stops reading is closed with 4290 while others get everything at once.
func TestSlowClient(t *testing.T) {
	backends(t, poll.Options{Tick: 10 * time.Millisecond, Linger: time.Second}, nil, func(t *testing.T, f *fixture) {
		slow := f.initialised()
		slow.send(subscribe("s", "known"))
		quick := f.initialised()
		quick.send(subscribe("q", "known"))
		await(t, "both", func() bool { return f.engine.live("known") == 2 })
		before := heap()
		data := `"` + strings.Repeat("x", 100_000) + `"`
		for took := 2; took == 2; {
			took = f.engine.publish("known", data)
			quick.want(`{"id":"q","type":"next","payload":{"data":` + data + `}}`)
		}
		if grown := heap() - before; int64(grown) > 8<<20 {
			t.Errorf("a stalled client holds %d bytes", grown)
		}
		for {
			got := slow.describe()
			if strings.HasPrefix(got, `{"id":"s"`) {
				continue
			}
			if got != "close 4290 slow consumer: queue full" {
				t.Errorf("got %.200q", got)
			}
			break
		}
		slow.want("end")
		slow.nc.Close()
		await(t, "closed", func() bool { return f.tally.count(observe.ConnectionsClosed, "4290") == 1 })
		f.engine.publish("known", `1`)
		quick.want(`{"id":"q","type":"next","payload":{"data":1}}`)
	})
}

// Half a message holds what arrived, and 1,000 slow senders do not keep others from being served.
func TestSlowLoris(t *testing.T) {
	f := serve(t, poll.Options{KeepMemory: true}, nil)
	m := text(`{"type":"connection_init","payload":{"x":"` + strings.Repeat("y", 20_000) + `"}}`)
	const n = 300
	conns := make([]*client, n)
	for i := range conns {
		conns[i] = f.dial()
		conns[i].write(m[:20])
	}
	before := heap()
	for at := 20; at < 120; at += 10 {
		for _, c := range conns {
			c.write(m[at : at+10])
		}
	}
	quick := f.initialised()
	quick.send(`{"type":"ping"}`)
	quick.want(`{"type":"pong"}`)
	if after := heap(); after > before+n*4096 {
		t.Errorf("%d bytes per half message", (after-before)/n)
	}
	for _, c := range conns {
		c.write(m[120:])
		c.want(`{"type":"connection_ack"}`)
	}
}

// An id that is used again at once never gets a result of the operation before.
func TestIDReuse(t *testing.T) {
	backends(t, poll.Options{}, nil, func(t *testing.T, f *fixture) {
		f.engine.policy = queue.Policy{Overflow: queue.DropOldest, Messages: 20, Bytes: 1 << 20}
		c := f.initialised()
		stop := make(chan struct{})
		var wg sync.WaitGroup
		defer wg.Wait()
		defer close(stop)
		for i := range 2 {
			wg.Go(func() {
				each(100*time.Microsecond, stop, func() { f.engine.publish(fmt.Sprintf("known%d", i), fmt.Sprint(i)) })
			})
		}
		c.send(subscribe("a", "known0"))
		for i := range 500 {
			// What the old operation sent before the server saw `complete` comes before the pong.
			c.send(complete("a"), fmt.Sprintf(`{"type":"ping","payload":{"n":%d}}`, i))
			for got := ""; got != fmt.Sprintf(`{"type":"pong","payload":{"n":%d}}`, i); {
				if got = c.describe(); got == "end" {
					t.Fatal("the connection ended")
				}
			}
			channel := (i + 1) % 2
			c.send(subscribe("a", fmt.Sprintf("known%d", channel)))
			c.want(fmt.Sprintf(`{"id":"a","type":"next","payload":{"data":%d}}`, channel))
		}
	})
}

// An operation that the server has ended leaves its id free: for what the client sends as soon as it has read the end.
func TestIDReuseAfterTheServersEnd(t *testing.T) {
	backends(t, poll.Options{}, nil, func(t *testing.T, f *fixture) {
		c := f.initialised()
		for i := range 100 {
			c.send(subscribe("a", "known"))
			await(t, "subscribed", func() bool { return f.engine.live("known") == 1 })
			end, want := `[{"message":"source failed"}]`, `{"id":"a","type":"error","payload":[{"message":"source failed"}]}`
			if i%2 == 0 {
				end, want = "", `{"id":"a","type":"complete"}`
			}
			f.engine.end("known", end)
			c.want(want)
			await(t, "ended", func() bool { return f.engine.live("known") == 0 })
		}
		c.nc.Close()
	})
}

// What the server had to send when it ended an operation does not reach another one of the same id, once the client has completed
// the first: also where the end was about to be written, and the socket was full.
func TestIDReuseBeforeTheServersEndIsWritten(t *testing.T) {
	f := serve(t, poll.Options{}, nil)
	c := f.initialised()
	c.send(subscribe("a", "known"))
	await(t, "subscribed", func() bool { return f.engine.live("known") == 1 })
	f.engine.publish("known", `"`+strings.Repeat("x", 16<<20)+`"`)
	var q *conn
	f.handler.cfg.Poller.Each(func(o poll.Owner) { q = o.(*conn) })
	await(t, "the socket is full", func() bool { return q.out.Bytes() == 0 && q.out.HeldBytes() > 0 })
	f.engine.publish("known", `"stale"`)
	f.engine.end("known", "")
	var got []byte
	for q.driver.Operations() == 1 && len(got) < 15<<20 { // until the writer has had the end in its hands
		n, err := c.nc.Read(c.buf)
		if got = append(got, c.buf[:n]...); err != nil {
			t.Fatal(err)
		}
	}
	c.send(complete("a"), subscribe("a", "other"))
	await(t, "subscribed again", func() bool { return f.engine.live("other") == 1 })
	f.engine.publish("other", `"new"`)
	c.rest = got
	if m, err := c.next(); len(m.Payload) < 16<<20 || err != nil {
		t.Fatalf("%d bytes, %v", len(m.Payload), err)
	}
	c.want(`{"id":"a","type":"next","payload":{"data":"new"}}`)
}

// A drain tells every client, in its own moment within the window, refuses new ones and waits for all.
func TestDrain(t *testing.T) {
	backends(t, poll.Options{}, nil, func(t *testing.T, f *fixture) {
		const n = 40
		var wg sync.WaitGroup
		var mu sync.Mutex
		var order []int
		for i := range n {
			c := f.initialised()
			c.send(subscribe("a", "known"))
			await(t, "subscribed", func() bool { return f.engine.live("known") == i+1 })
			wg.Go(func() {
				c.want(`{"id":"a","type":"next","payload":{"data":"last"}}`, "close 1012 restart", "end")
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				c.nc.Close()
			})
		}
		f.engine.publish("known", `"last"`)
		start := time.Now()
		if err := f.handler.Drain(t.Context(), 200*time.Millisecond, 1012, "restart"); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 200*time.Millisecond {
			t.Errorf("drained in %v", took)
		}
		wg.Wait()
		sorted := true
		for i := range order {
			sorted = sorted && order[i] == i
		}
		if sorted || f.handler.Connections() != 0 {
			t.Errorf("closed in the order of their connects: %v; %d left", order, f.handler.Connections())
		}
		if res, _ := f.ask(request(f.addr, protocolLine)); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
			t.Errorf("a new connection while draining: %d", res.StatusCode)
		}
	})
}

// A drain gives up on clients that do not leave when its context ends.
func TestDrainTimeout(t *testing.T) {
	f := serve(t, poll.Options{}, nil)
	f.dial()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- f.handler.Drain(ctx, 0, 1001, "") }()
	cancel()
	if err := <-done; err != context.Canceled {
		t.Errorf("Drain: %v", err)
	}
}

// A client that sends pings and does not read is closed, not buffered for.
func TestPingFlood(t *testing.T) {
	f := serve(t, poll.Options{Tick: time.Millisecond, Linger: 10 * time.Millisecond}, func(c *Config) { c.Queue = &queue.Limits{ControlMessages: 16} })
	c := f.dial()
	var flood []byte
	for range 100 {
		flood = append(flood, text(`{"type":"ping","payload":{"x":"`+strings.Repeat("p", 3000)+`"}}`)...)
	}
	for {
		if _, err := c.nc.Write(flood); err != nil {
			break
		}
	}
	await(t, "closed", func() bool { return f.handler.Connections() == 0 })
	if f.tally.count(observe.ConnectionsClosed, "4290") != 1 {
		t.Errorf("counted %v", f.tally.n)
	}
}

// Strangers may send less than clients that are known, and all incomplete messages together hold a bounded sum.
func TestPartialBytes(t *testing.T) {
	f := serve(t, poll.Options{}, func(c *Config) { c.PartialBytes = 100_000 })
	stranger := f.dial(text(`{"type":"ping","payload":{"x":"` + strings.Repeat("y", earlyBytes) + `"}}`))
	stranger.want("close 1009 message too big", "end")

	c := f.initialised()
	big := text(`{"type":"ping","payload":{"x":"` + strings.Repeat("y", earlyBytes+1000) + `"}}`)
	c.write(big)
	c.want(`{"type":"pong"}`)
	await(t, "nothing held", func() bool { return f.handler.partial.Load() == 0 })

	c.write(big[:60_000])
	await(t, "held", func() bool { return f.handler.partial.Load() > 59_000 })
	second := f.initialised()
	second.write(big[:60_000])
	second.want("close 1013 The server is busy, try again later", "end")
	small := f.initialised()
	small.write(text(`{"type":"ping"}`)[:10])
	c.write(big[60_000:])
	c.want(`{"type":"pong"}`)
	small.write(text(`{"type":"ping"}`)[10:])
	small.want(`{"type":"pong"}`)
	c.write(big[:50_000])
	await(t, "held", func() bool { return f.handler.partial.Load() > 49_000 })
	c.nc.Close()
	await(t, "nothing held", func() bool { return f.handler.partial.Load() == 0 })
}

// Ten thousand subscribes in one burst are all served, once each, while another connection is answered meanwhile.
func TestSubscribeBurst(t *testing.T) {
	const n = 10_000
	f := serve(t, poll.Options{}, nil)
	c, other := f.initialised(), f.initialised()
	var burst []byte
	for i := range n {
		burst = append(burst, text(subscribe(fmt.Sprint(i), "known"))...)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := c.nc.Write(burst)
		sent <- err
	}()
	for range 100 {
		other.send(`{"type":"ping"}`)
		other.want(`{"type":"pong"}`)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	await(t, "all", func() bool { return f.engine.live("known") == n })
	f.engine.publish("known", `1`)
	seen := make(map[string]bool, n)
	for range n {
		seen[c.describe()] = true
	}
	for i := range n {
		if want := fmt.Sprintf(`{"id":"%d","type":"next","payload":{"data":1}}`, i); !seen[want] {
			t.Fatalf("nothing for subscription %d", i)
		}
	}
}
