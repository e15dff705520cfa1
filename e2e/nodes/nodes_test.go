package nodes

import (
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// TestEveryNode spreads 3,000 subscribers over three nodes and publishes to any of them.
func TestEveryNode(t *testing.T) {
	for _, c := range carriers {
		t.Run(c.name, func(t *testing.T) {
			const subscribers, rooms, each = 3000, 100, 30
			server := c.start(t)
			url := server.url(server.addr())
			nodes := start(t, url, url, url)
			channels := channelNames(rooms)
			crowd := follow(t, nodes.addrs, channels, subscribers)
			p := nodes.publisher()
			p.run(channels, each, 8, 0)
			got := crowd.finish(p.sent, time.Minute)
			if got.Received != subscribers*each || got.Duplicates+got.Lost+got.Gaps+got.Backwards > 0 || got.Connects != subscribers {
				t.Errorf("%d events to be received, counted %+v", subscribers*each, got)
			}
		})
	}
}

// fault is something that fails while events are published.
type fault struct {
	name   string
	happen func(t *testing.T, w *world)
	kills  bool // the bus
}

// world is everything that may fail.
type world struct {
	bus     busServer
	proxies []*testkit.Proxy // one between each node and the bus
	nodes   *cluster
}

var faults = []fault{
	{name: "the bus is killed and comes back", happen: func(t *testing.T, w *world) {
		w.bus.kill()
		pause(time.Second)
		w.bus.restart()
	}, kills: true},
	{name: "connections to the bus are reset", happen: func(t *testing.T, w *world) {
		for range 5 {
			for _, p := range w.proxies {
				p.Drop()
				pause(150 * time.Millisecond)
			}
		}
	}},
	{name: "the network loses everything for a while", happen: func(t *testing.T, w *world) {
		w.proxies[0].Hold()
		pause(2 * time.Second)
		w.proxies[0].Drop()
		w.proxies[0].Release()
	}},
	{name: "the network is slow", happen: func(t *testing.T, w *world) {
		w.proxies[1].Delay(100 * time.Millisecond)
		pause(2 * time.Second)
		w.proxies[1].Delay(0)
	}},
	{name: "a node is killed and comes back", happen: func(t *testing.T, w *world) {
		w.nodes.nodes[2].Kill()
		pause(time.Second)
		w.nodes.nodes[2].Start()
	}},
}

func pause(d time.Duration) { <-time.After(d) }

// TestFaults lets one thing after the other fail under a durable bus: nothing is lost, and nothing silently.
func TestFaults(t *testing.T) {
	for _, c := range carriers {
		for _, f := range append(faults, c.faults...) {
			t.Run(c.name+"/"+f.name, func(t *testing.T) { withFault(t, c, f) })
		}
	}
}

func withFault(t *testing.T, c carrier, f fault) {
	const subscribers, rooms, each, publishing = 120, 12, 150, 6
	w := &world{bus: c.start(t)}
	var urls []string
	for range 3 {
		p := testkit.NewProxy(t, w.bus.addr())
		w.proxies = append(w.proxies, p)
		urls = append(urls, w.bus.url(p.Addr))
	}
	w.nodes = start(t, urls...)
	channels := channelNames(rooms)
	crowd := follow(t, []string{w.nodes.balancer.Addr}, channels, subscribers)
	p := w.nodes.publisher()
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.run(channels, each, publishing, 5*time.Millisecond)
	}()
	pause(500 * time.Millisecond)
	f.happen(t, w)
	<-done
	got := crowd.finish(p.sent, time.Minute)
	t.Logf("%+v, %d publishes repeated", got, p.retries.Load())
	if got.Duplicates+got.Lost+got.Backwards > 0 || got.Received+got.InGaps != subscribers*each {
		t.Errorf("%d events to be received, counted %+v", subscribers*each, got)
	}
	if got.Gaps > 0 && !(c.forgets && f.kills) {
		t.Errorf("gaps: %+v", got)
	}
}
