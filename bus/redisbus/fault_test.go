package redisbus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// stream publishes on and on, one event at a time, until it is stopped; it returns the number of the last one.
func stream(t *testing.T, b bus.Bus, channel string, from int, each func(n int)) (stop func() (last int)) {
	t.Helper()
	var end atomic.Bool
	var wait sync.WaitGroup
	last := from - 1
	wait.Go(func() {
		for n := from; !end.Load(); n++ {
			send(t, b, numbered(channel, n))
			last = n
			if each != nil {
				each(n)
			}
		}
	})
	return func() int { end.Store(true); wait.Wait(); return last }
}

// TestKillWithEverythingWritten kills Redis in mid-stream: with appendfsync always nothing that was acknowledged is
// lost, nothing shows as a gap, and history is whole.
func TestKillWithEverythingWritten(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{Fsync: "always"})
	rawURL := "redis://" + server.Addr
	a, b := open(t, rawURL), open(t, rawURL)
	ca, cb := newCollector("orders"), newCollector("orders")
	attach(t, a, ca)
	attach(t, b, cb)
	reached := make(chan int, 1_000_000)
	stop := stream(t, a, "orders", 1, func(n int) { reached <- n })
	for range 3 {
		for range 50 {
			<-reached
		}
		server.Kill()
		server.Start()
	}
	for range 50 {
		<-reached
	}
	last := stop()
	for _, c := range []*collector{ca, cb} {
		c.last(t, last)
		c.wantAll(t, 1, last)
	}
	p, err := b.History(t.Context(), "orders", event.Position{}, 2*last)
	if err != nil || !p.Complete || len(p.Messages) < last {
		t.Errorf("history of %d events: %d, complete %v, %v", last, len(p.Messages), p.Complete, err)
	}
	awaitConnected(t, b)
	if s := b.Status(); s.Reconnects == 0 || s.Gaps != 0 || s.Problem != "" {
		t.Errorf("status %+v", s)
	}
}

// awaitConnected waits until the bus says that it is connected.
func awaitConnected(t *testing.T, b bus.Bus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !bus.StatusOf(b).Connected {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("status %+v", bus.StatusOf(b))
		}
	}
}

// TestKillWithTheEndLost takes the end of the append-only file away, as a crash of the machine does with everysec: what
// was seen and is gone, or was acknowledged and is gone, begins a new epoch, and a cursor from before is not recovered.
func TestKillWithTheEndLost(t *testing.T) {
	for _, seenByReader := range []bool{true, false} {
		t.Run(fmt.Sprint("read ", seenByReader), func(t *testing.T) {
			server := testkit.StartRedis(t, testkit.RedisOptions{Fsync: "everysec"})
			rawURL := "redis://" + server.Addr
			a, b := open(t, rawURL), open(t, rawURL)
			ca, cb := newCollector("orders"), newCollector("orders")
			attach(t, b, cb)
			if seenByReader {
				attach(t, a, ca)
			}
			sendAll(t, a, "orders", 1, 50)
			cb.last(t, 50)
			kept := server.SaveAppendOnlyFile()
			if !seenByReader { // only the publisher knows of what comes now
				b.Interest("orders", false)
				if err := b.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			sendAll(t, a, "orders", 51, 100)
			var at event.Position
			if seenByReader {
				ca.last(t, 100)
				cb.last(t, 100)
				at = cb.places[99]
			}
			server.Kill()
			kept()
			server.Start()
			b = open(t, rawURL)
			cb = newCollector("orders")
			attach(t, b, cb)
			sendAll(t, a, "orders", 101, 160)
			cb.last(t, 160)
			if seenByReader {
				ca.last(t, 160)
				if missing := ca.wantNoSilentHole(t, 1); missing != 0 {
					t.Errorf("%d events are missing at a node that had seen everything", missing)
				}
				if len(ca.gaps) == 0 {
					t.Error("no gap was told, though the end was lost")
				}
				if p, err := b.History(t.Context(), "orders", at, 1000); err != nil || p.Complete {
					t.Errorf("a cursor into the lost end: complete %v, %v", p.Complete, err)
				}
			}
			p, err := b.History(t.Context(), "orders", event.Position{}, 1000)
			if err != nil || p.Complete {
				t.Errorf("history over the hole: complete %v, %v", p.Complete, err)
			}
		})
	}
}

// TestNumbersThatComeAgain lets another program write the numbers that were lost before any node of ours looks: what it
// wrote at numbers that the node had read is a gap, told before the events that follow.
func TestNumbersThatComeAgain(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{Fsync: "everysec"})
	proxy := testkit.NewProxy(t, server.Addr)
	b := open(t, "redis://"+proxy.Addr)
	c := newCollector("orders")
	attach(t, b, c)
	sendAll(t, b, "orders", 1, 10)
	c.last(t, 10)
	kept := server.SaveAppendOnlyFile()
	sendAll(t, b, "orders", 11, 20)
	c.last(t, 20)
	proxy.Cut()
	server.Kill()
	kept()
	server.Start()
	p := b.home("orders")
	epoch, _ := p.known()
	for n := 21; n <= 40; n++ {
		server.Do("XADD", p.stream, "NOMKSTREAM", fmt.Sprintf("%d-*", epoch), "v", "1", "channel", "orders", "type", "t", "id", fmt.Sprintf("e%d", n), "data", "{}")
	}
	proxy.Restore()
	sendAll(t, b, "orders", 41, 45)
	c.last(t, 45)
	if missing := c.wantNoSilentHole(t, 1); missing == 0 {
		t.Error("this test lost nothing")
	}
}

// TestAFlushedServer loses everything while nodes are connected.
func TestAFlushedServer(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{})
	b := open(t, "redis://"+server.Addr)
	c := newCollector("orders")
	attach(t, b, c)
	sendAll(t, b, "orders", 1, 10)
	c.last(t, 10)
	server.Do("FLUSHALL")
	sendAll(t, b, "orders", 11, 20)
	c.last(t, 20)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.gaps) == 0 {
		t.Error("no gap was told")
	}
	if c.places[19].Epoch <= c.places[0].Epoch {
		t.Errorf("positions %v and %v", c.places[0], c.places[19])
	}
}

// TestStraysDoNotStopTheStream writes an entry whose id was not made by the rules.
func TestStraysDoNotStopTheStream(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{})
	b := open(t, "redis://"+server.Addr)
	c := newCollector("orders")
	attach(t, b, c)
	sendAll(t, b, "orders", 1, 3)
	server.Do("XADD", b.home("orders").stream, "*", "v", "1", "channel", "orders", "type", "t", "id", "e4", "data", "{}")
	sendAll(t, b, "orders", 5, 8)
	c.last(t, 8)
	c.wantNoSilentHole(t, 1)
}

// TestConnectionsAreCut cuts them in several ways while two nodes publish; nothing is lost.
func TestConnectionsAreCut(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{})
	proxy := testkit.NewProxy(t, server.Addr)
	a, b := open(t, "redis://"+proxy.Addr), open(t, "redis://"+server.Addr)
	ca, cb := newCollector("orders"), newCollector("orders")
	attach(t, a, ca)
	attach(t, b, cb)
	reached := make(chan int, 1_000_000)
	stop := stream(t, a, "orders", 1, func(n int) { reached <- n })
	for i := range 12 {
		for range 30 {
			<-reached
		}
		proxy.Delay(0)
		switch i % 6 {
		case 0:
			proxy.Drop()
		case 1:
			server.Do("CLIENT", "KILL", "TYPE", "normal")
		case 2:
			proxy.Cut()
			server.Do("PING")
			proxy.Restore()
		case 3:
			proxy.Hold()
			server.Do("PING")
			proxy.Release()
		case 4:
			proxy.Delay(5 * time.Millisecond)
		case 5:
			server.Do("CLIENT", "UNBLOCK", strings.Fields(strings.TrimPrefix(server.Do("CLIENT", "LIST"), "id="))[0])
		}
	}
	last := stop()
	for _, c := range []*collector{ca, cb} {
		c.last(t, last)
		c.wantAll(t, 1, last)
	}
}

// TestAFrozenServer answers nothing for longer than a publisher waits, without a closed connection.
func TestAFrozenServer(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{})
	b := open(t, "redis://"+server.Addr)
	c := newCollector("orders")
	attach(t, b, c)
	sendAll(t, b, "orders", 1, 3)
	c.last(t, 3)
	server.Freeze()
	began := time.Now()
	_, err := b.Publish(context.Background(), []bus.Message{numbered("orders", 4)})
	if !errors.Is(err, bus.ErrUnavailable) {
		t.Errorf("published to a frozen server: %v", err)
	}
	if took := time.Since(began); took < b.o.PublishTimeout/2 {
		t.Errorf("gave up after %v", took)
	}
	server.Thaw()
	sendAll(t, b, "orders", 4, 10)
	c.last(t, 10)
	c.wantAll(t, 1, 10)
}

// TestTrimmedUnderASlowNode keeps a node away while more is published than is kept.
func TestTrimmedUnderASlowNode(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{})
	proxy := testkit.NewProxy(t, server.Addr)
	fast, slow := open(t, "redis://"+server.Addr+"?maxlen=20"), open(t, "redis://"+proxy.Addr+"?maxlen=20")
	c := newCollector("orders")
	attach(t, slow, c)
	sendAll(t, fast, "orders", 1, 5)
	c.last(t, 5)
	proxy.Cut()
	sendAll(t, fast, "orders", 6, 200)
	proxy.Restore()
	c.last(t, 200)
	if missing := c.wantNoSilentHole(t, 1); missing != 175 {
		t.Errorf("%d events are missing, want 175: 20 are kept", missing)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.gaps) != 1 || slow.Status().Gaps != 1 {
		t.Errorf("gaps %v, counted %d, want one", c.gaps, slow.Status().Gaps)
	}
	if head := c.gaps[5]; head.Compare(c.places[5]) >= 0 {
		t.Errorf("the gap ends at %v, which is not before the event that follows, %v", head, c.places[5])
	}
	p, err := slow.History(t.Context(), "orders", c.places[4], 1000)
	if err != nil || p.Complete {
		t.Errorf("a cursor from before the gap: complete %v, %v", p.Complete, err)
	}
	p, err = slow.History(t.Context(), "orders", c.places[5], 1000)
	if err != nil || !p.Complete || len(p.Messages) != 19 {
		t.Errorf("a cursor from behind the gap: %d events, complete %v, %v", len(p.Messages), p.Complete, err)
	}
}

// TestTooOld forgets by age: what is older than maxage is a gap, what is younger is kept.
func TestTooOld(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{})
	b := open(t, "redis://"+server.Addr+"?maxage=1s")
	b.cfg.tendEach = 50 * time.Millisecond
	c := newCollector("orders")
	attach(t, b, c)
	sendAll(t, b, "orders", 1, 10)
	c.last(t, 10)
	stream := b.home("orders").stream
	server.Await("length 1.", "EVAL", "return 'length ' .. redis.call('XLEN', KEYS[1]) .. '.'", "1", stream) // the newest entry stays, to be compared with
	p, err := b.History(t.Context(), "orders", c.places[3], 100)
	if err != nil || p.Complete || p.Head != c.places[9] {
		t.Errorf("a cursor that is too old: complete %v, head %v, %v", p.Complete, p.Head, err)
	}
	if p, err = b.History(t.Context(), "orders", c.places[9], 100); err != nil || !p.Complete {
		t.Errorf("a cursor at the head: complete %v, %v", p.Complete, err)
	}
	sendAll(t, b, "orders", 11, 12)
	c.last(t, 12)
	c.wantAll(t, 1, 12)
}

// TestControlOutlivesRestarts keeps control events by their own time, and says so when some were lost.
func TestControlOutlivesRestarts(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{Fsync: "everysec"})
	b := open(t, "redis://"+server.Addr+"?maxage=1s&maxlen=1")
	b.RetainControl(time.Hour)
	b.cfg.tendEach = 50 * time.Millisecond
	c := newCollector(bus.ControlChannel)
	attach(t, b, c)
	sendAll(t, b, bus.ControlChannel, 1, 300)
	c.last(t, 300)
	later := open(t, "redis://"+server.Addr)
	if p, err := later.History(t.Context(), bus.ControlChannel, event.Position{}, 1000); err != nil || !p.Complete || len(p.Messages) != 300 {
		t.Fatalf("%d control events, complete %v, %v", len(p.Messages), p.Complete, err)
	}
	kept := server.SaveAppendOnlyFile()
	sendAll(t, b, bus.ControlChannel, 301, 310)
	c.last(t, 310)
	server.Kill()
	kept()
	server.Start()
	sendAll(t, b, bus.ControlChannel, 311, 311)
	c.last(t, 311)
	if p, err := later.History(t.Context(), bus.ControlChannel, event.Position{}, 1000); err != nil || p.Complete || len(p.Messages) < 301 {
		t.Errorf("after a loss: %d control events, complete %v, %v", len(p.Messages), p.Complete, err)
	}
}
