package redisbus

import (
	"net/url"
	"testing"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// TestAnswersAreTapped counts the answers that the driver had to take apart: it reads ahead on a connection at times, but
// not as a rule.
func TestAnswersAreTapped(t *testing.T) {
	const events = 100
	plain := testkit.StartRedis(t, testkit.RedisOptions{Socket: true})
	secure := testkit.StartRedis(t, testkit.RedisOptions{TLS: true})
	nodes := testkit.StartRedisCluster(t, 3, testkit.RedisOptions{})
	for _, u := range []string{
		"redis://" + plain.Addr, "unix://" + plain.Socket, "rediss://" + secure.Addr + "?ca=" + url.QueryEscape(secure.CA), "redis+cluster://" + nodes[0].Addr,
	} {
		b := open(t, with(u, "prefix", freshPrefix()))
		got := newCollector("orders")
		attach(t, b, got)
		for n := range events {
			sendAll(t, b, "orders", n, n)
			got.last(t, n)
		}
		if n := b.reports.driven.Load(); n > events/2 {
			t.Errorf("%s: %d answers went through the driver", u, n)
		}
	}
}

// TestANodeReadsWhatItWants: interest alone makes a node read, the partition of the channel and no other.
func TestANodeReadsWhatItWants(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{})
	u := with("redis://"+server.Addr, "prefix", freshPrefix())
	idle, reads := open(t, u), open(t, u)
	if err := idle.Attach(t.Context(), newCollector("")); err != nil {
		t.Fatal(err)
	}
	got := newCollector("orders")
	attach(t, reads, got)
	sendAll(t, idle, "other", 1, 1)
	sendAll(t, idle, "orders", 1, 2)
	got.last(t, 2)
	partitions := func(b *node) float64 {
		for _, g := range b.Status().Gauges {
			if g.Name == "fraiseql_redis_partitions_read" {
				return g.Value
			}
		}
		return -1
	}
	if partitions(idle) != 0 || partitions(reads) != 1 {
		t.Errorf("%v and %v partitions are read", partitions(idle), partitions(reads))
	}
	if place, captured := idle.home("orders").place(); captured {
		t.Errorf("a node without interest reads at %v", place)
	}
	if _, captured := reads.home("other").place(); captured && reads.home("other") != reads.home("orders") {
		t.Error("a node reads a partition of which it wants nothing")
	}
	reads.Interest("orders", false)
	if partitions(reads) != 0 {
		t.Errorf("%v partitions are read without interest", partitions(reads))
	}
}
