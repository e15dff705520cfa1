package redisbus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/bustest"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// wantWorks publishes at one node, receives at two, and reads history.
func wantWorks(t *testing.T, rawURL string) {
	t.Helper()
	a, b := open(t, rawURL), open(t, rawURL)
	ca, cb := newCollector("orders"), newCollector("orders")
	attach(t, a, ca)
	attach(t, b, cb)
	sendAll(t, a, "orders", 1, 10)
	ca.last(t, 10)
	cb.last(t, 10)
	ca.wantAll(t, 1, 10)
	cb.wantAll(t, 1, 10)
	p, err := b.History(t.Context(), "orders", event.Position{}, 100)
	if err != nil || bus.Describe(a).Durable && len(p.Messages) != 10 {
		t.Errorf("%d events in the history: %v", len(p.Messages), err)
	}
}

// wantProblem opens a bus that cannot connect and checks what it says, without telling secrets.
func wantProblem(t *testing.T, rawURL, text string, secrets ...string) {
	t.Helper()
	b, err := Open(rawURL, bus.Options{PublishTimeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close(context.Background()) }()
	if err := b.Attach(t.Context(), newCollector("c")); err != nil {
		t.Fatalf("attach must not fail: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(b.Status().Problem, text) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("status %+v, want a problem with %q", b.Status(), text)
		}
	}
	_, err = b.Publish(t.Context(), []bus.Message{numbered("c", 1)})
	if !errors.Is(err, bus.ErrUnavailable) || !strings.Contains(err.Error(), text) {
		t.Errorf("publish: %v", err)
	}
	for _, secret := range secrets {
		if strings.Contains(err.Error()+b.Status().Problem, secret) {
			t.Errorf("the error tells %q: %v", secret, err)
		}
	}
}

func TestTLS(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{TLS: true, Password: "s3cret/?#@:%"})
	password := url.QueryEscape("s3cret/?#@:%")
	wantWorks(t, "rediss://:"+password+"@"+server.Addr+"?ca="+url.QueryEscape(server.CA))
	wantWorks(t, "rediss://:"+password+"@"+server.Addr+"?skip_verify=true&mode=pubsub")
	wantProblem(t, "rediss://:"+password+"@"+server.Addr, "certificate", "s3cret")
	wantProblem(t, "rediss://:wrong-one@"+server.Addr+"?ca="+url.QueryEscape(server.CA), "refuses the user name or password", "wrong-one")
	wantProblem(t, "rediss://"+server.Addr+"?skip_verify=true", "wants a password")
	wantProblem(t, "redis://:"+password+"@"+server.Addr, "redis", "s3cret")
}

// TestAccessControl gives a user no more than the documentation says.
func TestAccessControl(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{Users: []string{
		"app on >secret resetkeys resetchannels ~{app}* ~{app:* &app:* -@all +ping +hello +info +client|id +client|unblock +client|setname " +
			"+eval +evalsha +exists +hset +hget +hmget +time +xadd +xread +xrange +xinfo +xtrim +xlen +rpush +lpop +lindex " +
			"+xgroup +xreadgroup +xack +xclaim +xautoclaim +publish +subscribe +unsubscribe",
	}})
	base := "redis://app:secret@" + server.Addr + "?prefix=app"
	wantWorks(t, base)
	wantWorks(t, base+"&mode=pubsub")
	b := open(t, base)
	done := work(t, b, "", "orders")
	send(t, b, numbered("orders", 99))
	if n := <-done.numbers; n != 99 {
		t.Errorf("worked on %d", n)
	}
	wantProblem(t, "redis://app:secret@"+server.Addr+"?prefix=other", "permit", "secret")
}

func TestUnixSocketAndDatabase(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{Socket: true, Password: "p"})
	wantWorks(t, "unix://:p@"+server.Socket+"?db=3")
	if got := server.Do("-n", "3", "EXISTS", "{fraiseql}:meta"); got != "1" {
		t.Errorf("not in database 3: %s", got)
	}
	wantWorks(t, "redis://:p@"+server.Addr+"/4")
	if got := server.Do("-n", "4", "EXISTS", "{fraiseql}:meta"); got != "1" {
		t.Errorf("not in database 4: %s", got)
	}
	if got := server.Do("-n", "0", "DBSIZE"); got != "0" {
		t.Errorf("database 0 has %s keys", got)
	}
}

func TestNobodyListens(t *testing.T) {
	wantProblem(t, "redis://user:topsecret@"+testkit.FreeAddr(t), "connection refused", "topsecret", "user")
	wantProblem(t, "redis+sentinel://user:topsecret@"+testkit.FreeAddr(t)+"/m", "redis", "topsecret")
	wantProblem(t, "redis+cluster://user:topsecret@"+testkit.FreeAddr(t), "connection refused", "topsecret")
}

func TestCauses(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{Password: "topsecret", Users: []string{"blind on >secret resetkeys -@all +ping +hello +client"}})
	bustest.Causes(t, func(u string, o bus.Options) (bus.Bus, error) { return Open(u, o) }, map[string]bus.Cause{
		"redis://user:topsecret@" + testkit.FreeAddr(t):         bus.Refused,
		"redis+cluster://user:topsecret@" + testkit.FreeAddr(t): bus.Refused,
		"redis://:topsecret@no-such-host.invalid":               bus.NoHost,
		"redis://:topsecret-not@" + server.Addr:                 bus.BadLogin,
		"redis://" + server.Addr:                                bus.BadLogin,
		"redis://:topsecret@" + server.Addr + "/99":             bus.NoDatabase,
		"redis://blind:secret@" + server.Addr:                   bus.Denied,
		"redis+cluster://:topsecret@" + server.Addr:             bus.NotSet,
		"rediss://:topsecret@" + server.Addr:                    bus.Silent, // it waits for more
	}, "topsecret", "blind")
}

func TestConformanceOfACluster(t *testing.T) {
	nodes := testkit.StartRedisCluster(t, 3, testkit.RedisOptions{})
	seeds := "redis+cluster://" + nodes[0].Addr + "," + nodes[1].Addr
	bustest.Run(t, bustest.Options{
		Recalls: true,

		New:  func(t *testing.T) bus.Bus { return open(t, with(seeds, "prefix", freshPrefix())) },
		Join: func(t *testing.T, first bus.Bus) bus.Bus { return open(t, first.(*node).url) },
		Small: func(t *testing.T, n int) bus.Bus {
			return open(t, with(with(seeds, "prefix", freshPrefix()), "maxlen", fmt.Sprint(n)))
		},
		Interrupt: func(*testing.T, bus.Bus) {
			for _, n := range nodes {
				n.Do("CLIENT", "KILL", "TYPE", "normal")
			}
		},
	})
	t.Run("pubsub", func(t *testing.T) { wantWorks(t, with(seeds, "mode", "pubsub")) })
	t.Run("work", func(t *testing.T) {
		b := open(t, with(seeds, "prefix", freshPrefix()))
		done := work(t, b, "g", "orders")
		send(t, b, numbered("orders", 7))
		if n := <-done.numbers; n != 7 {
			t.Errorf("worked on %d", n)
		}
	})
	wantProblem(t, "redis://"+nodes[0].Addr, "redis+cluster://")
}

// TestAClusterReadsOneSlotAtATime is why each partition has a connection of its own there: even a server that has both slots
// refuses to read two of them at once.
func TestAClusterReadsOneSlotAtATime(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{Cluster: true})
	server.Do("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	server.Await("cluster_state:ok", "CLUSTER", "INFO")
	answer, err := server.Try("XREAD", "STREAMS", "{fraiseql:0}:e", "{fraiseql:1}:e", "0", "0")
	if !strings.Contains(fmt.Sprint(answer, err), "CROSSSLOT") {
		t.Errorf("two partitions were read with one command: %q, %v", answer, err)
	}
}

// TestWantedAgainAfterACut ends the interest in a partition of a cluster, which has a reader of its own, while its connection is
// broken: who wants it afterwards gets what is published from then on.
func TestWantedAgainAfterACut(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{Cluster: true})
	proxy := testkit.NewProxy(t, server.Addr)
	_, port, err := net.SplitHostPort(proxy.Addr)
	if err != nil {
		t.Fatal(err)
	}
	server.Do("CONFIG", "SET", "cluster-announce-port", port)
	server.Do("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
	server.Await("cluster_state:ok", "CLUSTER", "INFO")
	a, b := open(t, "redis+cluster://"+proxy.Addr), open(t, "redis+cluster://"+proxy.Addr)
	c := newCollector("orders")
	attach(t, a, c)
	sendAll(t, b, "orders", 1, 1)
	c.last(t, 1)
	proxy.Cut()
	a.Interest("orders", false)
	awaitRest(t, a.home("orders"))
	proxy.Restore()
	a.Interest("orders", true)
	if err := a.Established(t.Context(), "orders"); err != nil {
		t.Fatal(err)
	}
	sendAll(t, b, "orders", 2, 2)
	c.last(t, 2)
}

// awaitRest waits until a partition is not read any more.
func awaitRest(t *testing.T, p *partition) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for _, captured := p.place(); captured; _, captured = p.place() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("it is still held to be read")
		}
	}
}

// TestSentinel fails over while events are published: none is lost without being told.
func TestSentinel(t *testing.T) {
	master := testkit.StartRedis(t, testkit.RedisOptions{})
	replica := testkit.StartReplica(t, master)
	guard := testkit.StartSentinel(t, master, "main")
	guard.Await("1", "SENTINEL", "CKQUORUM", "main")
	guard.Await(replica.Port(), "SENTINEL", "REPLICAS", "main")
	rawURL := "redis+sentinel://" + guard.Addr + "/main"
	wantWorks(t, with(rawURL, "prefix", "first"))
	a, b := open(t, rawURL), open(t, rawURL)
	ca, cb := newCollector("orders"), newCollector("orders")
	attach(t, a, ca)
	attach(t, b, cb)
	sendAll(t, a, "orders", 1, 100)
	cb.last(t, 100)
	master.Kill()
	sendAll(t, a, "orders", 101, 200)
	ca.last(t, 200)
	cb.last(t, 200)
	for _, c := range []*collector{ca, cb} {
		c.wantNoSilentHole(t, 1)
	}
	wantProblem(t, "redis+sentinel://"+guard.Addr+"/other", "redis")
}
