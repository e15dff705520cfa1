package nodes

import (
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// TestTrimmedUnderASlowNode lets Redis forget what a node has yet to read: its subscribers are told of a gap, those of
// the other node miss nothing.
func TestTrimmedUnderASlowNode(t *testing.T) {
	const subscribers, rooms, each, kept = 24, 4, 600, 100
	server := testkit.StartRedis(t, testkit.RedisOptions{})
	proxy := testkit.NewProxy(t, server.Addr)
	const short = "?maxlen=100&partitions=1"
	nodes := start(t, "redis://"+proxy.Addr+short, "redis://"+server.Addr+short)
	channels := channelNames(rooms)
	slow := follow(t, nodes.addrs[:1], channels, subscribers)
	fast := follow(t, nodes.addrs[1:], channels, subscribers)
	p := nodes.publisher()
	p.cluster = &cluster{tb: t, nodes: nodes.nodes[1:]}
	proxy.Hold()
	p.run(channels, each, 2, 0)
	proxy.Drop()
	proxy.Release()
	pause(100 * time.Millisecond)
	p.run(channels, 1, 1, 0)

	got := fast.finish(p.sent, time.Minute)
	if got.Received != subscribers*(each+1) || got.Duplicates+got.Lost+got.Gaps+got.Backwards > 0 {
		t.Errorf("beside the slow node: %+v", got)
	}
	got = slow.finish(p.sent, time.Minute)
	t.Logf("%+v", got)
	if got.Lost+got.Duplicates+got.Backwards > 0 || got.Gaps < subscribers {
		t.Errorf("at the slow node: %+v", got)
	}
	if got.Received+got.InGaps != subscribers*(each+1) || got.InGaps < subscribers*(each-2*kept) {
		t.Errorf("at the slow node, %d events in all: %+v", subscribers*(each+1), got)
	}
}
