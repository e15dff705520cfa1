package nodes

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// cluster is server processes on one bus behind a balancer.
type cluster struct {
	tb       testing.TB
	nodes    []*testkit.Server
	addrs    []string // of the nodes
	balancer *testkit.Balancer
}

// start runs a node for each URL of the bus. All are one bus; the ways to it may differ.
func start(tb testing.TB, urls ...string) *cluster {
	tb.Helper()
	c := &cluster{tb: tb}
	for _, u := range urls {
		node := testkit.Serve(tb, "--dev", "--schemaless", "--bus", u, "--set", "limits.resume_events=1000000", "--set", "limits.init_timeout=60s")
		c.nodes = append(c.nodes, node)
		c.addrs = append(c.addrs, node.Addr)
	}
	c.balancer = testkit.NewBalancer(tb, c.addrs...)
	return c
}

// channelNames are n names of channels, which are root fields too.
func channelNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("room%d", i)
	}
	return names
}

// publisher publishes numbered events, each until it is acknowledged, always with the same id: the safe retry.
type publisher struct {
	cluster *cluster
	next    atomic.Uint64 // node
	mu      sync.Mutex
	sent    map[string]int // newest number by channel; guarded by mu
	retries atomic.Int64
}

func (c *cluster) publisher() *publisher { return &publisher{cluster: c, sent: map[string]int{}} }

// publish publishes the next event of a channel to one node after the other until one acknowledges it. Channels may
// be published to at the same time, one event of each.
func (p *publisher) publish(ctx context.Context, channel string) error {
	p.mu.Lock()
	p.sent[channel]++
	n := p.sent[channel]
	p.mu.Unlock()
	event := map[string]any{"channel": channel, "type": "message", "id": fmt.Sprintf("%s-%d", channel, n), "data": map[string]any{"n": n}}
	for {
		node := p.cluster.nodes[p.next.Add(1)%uint64(len(p.cluster.nodes))]
		err := node.TryPublish("", event)
		if err == nil {
			return nil
		}
		p.retries.Add(1)
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s %d: %w", channel, n, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// run publishes each events to every channel. Each of the writers has channels of its own, whose next event comes after
// the one before it was acknowledged, and waits between two events.
func (p *publisher) run(channels []string, each, writers int, between time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	var running sync.WaitGroup
	for w := range writers {
		running.Go(func() {
			for range each {
				for i := w; i < len(channels); i += writers {
					if err := p.publish(ctx, channels[i]); err != nil {
						p.cluster.tb.Error(err)
						return
					}
					if between > 0 {
						<-time.After(between)
					}
				}
			}
		})
	}
	running.Wait()
}
