package session

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/fraiseql/fraiseql-go/internal/queue"
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

// TestRaceReuse uses one id again and again while events come and subscribes are still being prepared: a result
// must belong to the operation that has the id, and nothing comes after complete. The generation is the alias
// in the document.
func TestRaceReuse(t *testing.T) {
	w := newWorld(t)
	w.prepared = func(string) bool { return rand.N(2) == 0 }
	p := connect(newHost(t, w, HostConfig{Workers: 4}))
	p.send(initText)
	for len(p.read()) == 0 {
		runtime.Gosched()
	}
	stop := storm(w, "a")
	defer stop()
	const generations = 64
	received := 0
	check := func(current int) {
		for _, text := range p.read() {
			received++
			if want := fmt.Sprintf(`{"id":"1","type":"next","payload":{"data":{"g%d":`, current); !strings.HasPrefix(text, want) {
				t.Fatalf("in generation %d: %s", current, text)
			}
		}
	}
	for i := range 2000 {
		g := i % generations
		p.send(subscribeText("1", fmt.Sprintf("subscription { g%d: a { n } }", g)))
		for before := received; i%8 == 0 && received == before; runtime.Gosched() {
			check(g)
		}
		p.send(completeText("1"))
		check(-1)
	}
	p.Closed()
	settle(t, w)
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
		wg.Go(func() { sub.End(&queue.Message{End: true}) })
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
