package natsbus

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// startCluster starts three servers that are one cluster, and returns the URL of all.
func startCluster(t *testing.T) string {
	t.Helper()
	var routes, servers []string
	for range 3 {
		routes = append(routes, testkit.FreeAddr(t))
	}
	for i, own := range routes {
		s := testkit.StartNATS(t, fmt.Sprintf("server_name: n%d\ncluster { name: c, listen: %q, routes: [\"nats://%s\"] }", i, own, strings.Join(routes, `","nats://`)))
		servers = append(servers, s.Addr)
	}
	url := "nats://" + strings.Join(servers, ",")
	await(t, "the cluster has a leader", func() bool {
		nc, err := nats.Connect(url)
		if err != nil {
			return false
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			return false
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = js.AccountInfo(ctx)
		return err == nil
	})
	return url
}

// stepDown makes the leader of the stream of events step down, again and again, until done is closed, and returns how
// often. Between two times something is published, as accepted tells: a machine that is too busy to elect a leader within
// a pause shows nothing.
func stepDown(t *testing.T, url string, done <-chan struct{}, accepted *atomic.Int64) (n int) {
	nc, err := nats.Connect(url)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer nc.Close()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for before := int64(-1); ; {
		select {
		case <-done:
			return n
		case <-tick.C:
		}
		if now := accepted.Load(); now == before {
			continue
		} else {
			before = now
		}
		if m, err := nc.Request("$JS.API.STREAM.LEADER.STEPDOWN.fraiseql", nil, time.Second); err == nil && strings.Contains(string(m.Data), `"success":true`) {
			n++
		}
	}
}

// TestALeaderIsElectedWithinBatches changes the leader of the stream again and again while batches are published: no batch ends
// half stored, none is stored in another order, nothing is missing.
func TestALeaderIsElectedWithinBatches(t *testing.T) {
	const batches, each = 150, 200
	url := startCluster(t)
	from, to := open(t, url+"?replicas=3", bus.Options{PublishTimeout: patience}), open(t, url+"?replicas=3", bus.Options{})
	attach(t, from, "unrelated")
	k := attach(t, to, "c")
	if s, err := from.bounded(t.Context()); err != nil || !s.asWhole(numbered("c", 0, 2)) {
		t.Fatalf("the stream takes no wholes: %v", err)
	}
	done := make(chan struct{})
	elected := 0
	var accepted atomic.Int64
	var wait sync.WaitGroup
	wait.Go(func() { elected = stepDown(t, url, done, &accepted) })
	for i := range batches {
		if r, err := from.Publish(t.Context(), numbered("c", i*each, each)); err != nil {
			t.Errorf("batch %d: %d of %d events, %v", i, r.Accepted, each, err)
		}
		accepted.Add(1)
	}
	close(done)
	wait.Wait()
	if elected < 3 {
		t.Errorf("the leader changed %d times", elected)
	}
	arrived(t, to, k, url, batches*each)
	wantAll(t, k, batches*each)
	if n := from.unordered.Load(); n != 0 {
		t.Errorf("%d batches were stored in part", n)
	}
	t.Logf("the leader changed %d times", elected)
}

// TestWholesThatAreStoredAlready publishes events again, alone and together with new ones.
func TestWholesThatAreStoredAlready(t *testing.T) {
	url := startCluster(t)
	b := open(t, url+"?replicas=3", bus.Options{})
	k := attach(t, b, "c")
	publishAll(t, b, numbered("c", 0, 100))
	publishAll(t, b, numbered("c", 0, 100))
	publishAll(t, b, numbered("c", 50, 100))
	large := numbered("c", 150, 2*wholeEvents)
	large[10].Event.Data = []byte(`{"text":"` + strings.Repeat("x", 2<<20) + `"}`)
	if r, err := b.Publish(t.Context(), large); r.Accepted != 0 || err == nil {
		t.Errorf("%d events, %v", r.Accepted, err)
	}
	publishAll(t, b, numbered("c", 150, 2*wholeEvents))
	n := 150 + 2*wholeEvents
	arrived(t, b, k, url, n)
	wantAll(t, k, n)
	mixed := append(numbered("c", n, 3), bus.Message{Event: event.Event{Channel: bus.ControlChannel, Type: "t", ID: "x", Data: []byte("{}")}})
	publishAll(t, b, append(mixed, numbered("c", n+3, 3)...))
	arrived(t, b, k, url, n+6)
	wantAll(t, k, n+6)
}
