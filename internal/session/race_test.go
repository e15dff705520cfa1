package session

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// storm publishes to a channel from another goroutine until stop is called.
func storm(w *world, channel string) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			default:
				w.publish(channel, n)
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// TestRaceReuse has connections that use one id again and again while events come and subscribes are still being
// prepared: a result must belong to the operation that has the id, nothing comes after complete, and no event is
// left out between two results of an operation. The generation is the alias in the document.
func TestRaceReuse(t *testing.T) {
	w := newWorld(t)
	w.prepared = func(string) bool { return rand.N(2) == 0 }
	h := newHost(t, w, HostConfig{Workers: 4})
	stop := storm(w, "a")
	defer stop()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			c := &reuser{t: t, peer: connect(h)}
			c.send(initText)
			for len(c.read()) == 0 {
				runtime.Gosched()
			}
			for i := 0; i < 300 && !t.Failed(); i++ {
				c.generation(i%64, i%8 == 0)
			}
			c.Closed()
		})
	}
	wg.Wait()
	settle(t, w)
}

// reuser is a client that uses the id 1 only.
type reuser struct {
	*peer
	t        *testing.T
	received int // in this generation
	last     int // the event of the last result
}

// generation subscribes and completes; between them it waits for some results, if it is told to.
func (c *reuser) generation(g int, wait bool) {
	c.received = 0
	c.send(subscribeText("1", fmt.Sprintf("subscription { g%d: a { n } }", g)))
	for c.check(g); wait && c.received < 3 && !c.t.Failed(); runtime.Gosched() {
		c.check(g)
	}
	c.send(completeText("1"))
	c.check(-1)
}

// check reads what has come and compares it with the generation; there is none after complete.
func (c *reuser) check(generation int) {
	for _, text := range c.read() {
		format := fmt.Sprintf(`{"id":"1","type":"next","payload":{"data":{"g%d":{"n":%%d}}}}`, generation)
		n := 0
		if _, err := fmt.Sscanf(text, format, &n); err != nil {
			c.t.Errorf("in generation %d: %s", generation, text)
		}
		if c.received > 0 && n != c.last+1 {
			c.t.Errorf("in generation %d: event %d after %d", generation, n, c.last)
		}
		c.received, c.last = c.received+1, n
	}
}

// settle waits until late subscribes have let go of their subscriptions.
func settle(t *testing.T, w *world) {
	t.Helper()
	for w.subscriptions() > 0 && t.Context().Err() == nil {
		runtime.Gosched()
	}
}

// TestRaceComplete has client and server end the same operation at the same time.
func TestRaceComplete(t *testing.T) {
	w := newWorld(t)
	h := newHost(t, w, HostConfig{})
	for range 2000 {
		p := connect(h)
		p.machine.state, p.machine.who = acknowledged, anybody
		p.send(subscribeText("1", "subscription { a { n } }"))
		sub := p.machine.ops.first.sub
		var wg sync.WaitGroup
		wg.Go(func() { sub.End(nil) })
		wg.Go(func() { p.send(completeText("1")) })
		wg.Go(func() { w.publish("a", 1) })
		completes := 0
		wg.Go(func() {
			for _, text := range p.read() {
				if text == `{"id":"1","type":"complete"}` {
					completes++
				}
			}
		})
		wg.Wait()
		for _, text := range p.read() {
			if text == `{"id":"1","type":"complete"}` {
				completes++
			}
		}
		if completes > 1 {
			t.Fatalf("%d times complete", completes)
		}
		if n := p.Operations(); n != 0 {
			t.Fatalf("%d operations are left", n)
		}
		sub.Complete()
		p.Closed()
	}
	settle(t, w)
}

// TestRaceClose closes connections while subscribes are on their way, from both sides.
func TestRaceClose(t *testing.T) {
	w := newWorld(t)
	w.prepared = func(string) bool { return rand.N(2) == 0 }
	h := newHost(t, w, HostConfig{Workers: 4})
	stop := storm(w, "a")
	defer stop()
	for i := range 1000 {
		p := connect(h)
		p.machine.state, p.machine.who = acknowledged, anybody
		var wg sync.WaitGroup
		wg.Go(func() {
			for id := range 4 {
				p.send(subscribeText(fmt.Sprint(id), "subscription { a { n } }"))
			}
		})
		wg.Go(func() {
			if i%2 == 0 {
				p.Shut(1012, "restart")
			}
			p.Closed()
			p.out.Shut()
		})
		wg.Wait()
		if n := p.Operations(); n != 0 {
			t.Fatalf("%d operations after the close", n)
		}
	}
	settle(t, w)
}

// TestAcknowledgedBeforeItIsSaid: whoever has read connection_ack may subscribe at once.
func TestAcknowledgedBeforeItIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		p := connect(newHost(t, w, HostConfig{}))
		said := false
		p.woken = func() {
			said = true
			if !p.machine.Acknowledged() {
				t.Error("connection_ack is on its way, and a subscribe would be refused")
			}
		}
		p.send(initText)
		synctest.Wait()
		if !said {
			t.Error("no connection_ack")
		}
		p.Closed()
	})
}

// TestRaceInit closes connections while they are authenticated.
func TestRaceInit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := newHost(t, w, HostConfig{})
		for range 500 {
			p := connect(h)
			var wg sync.WaitGroup
			wg.Go(func() { p.send(initText) })
			wg.Go(p.InitTimeout)
			wg.Go(func() { p.Shut(1001, "going away") })
			synctest.Wait()
			wg.Wait()
			texts := p.read()
			if last := texts[len(texts)-1]; !strings.HasPrefix(last, "close ") || len(texts) > 2 {
				t.Fatalf("%q", texts)
			}
		}
	})
}
