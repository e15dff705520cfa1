package clients

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// numbered publishes orders 1, 2, 3 … to whichever of the nodes takes them, each with an id of its own until one has
// acknowledged it, which is the safe way to try again.
type numbered struct {
	nodes []*testkit.Server
	last  int
}

func (p *numbered) publish(ctx context.Context) error {
	event := order(p.last+1, "acme", "paid")
	event["id"] = fmt.Sprint("order-", p.last+1)
	for try := 0; ; try++ {
		if p.nodes[(p.last+try)%len(p.nodes)].TryPublish(publishToken, event) == nil {
			p.last++
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// follower is a client that resumes. It must see every number once, in order, from the first that is published.
type follower struct {
	*testkit.Script
	t       *testing.T
	last    int
	started bool
}

// follow reads until the order with that number has come; 0: until the subscription has begun.
func (f *follower) follow(number int) {
	f.t.Helper()
	for deadline := time.After(patience); f.last < number || !f.started; {
		select {
		case line, ok := <-f.Lines:
			if !ok || line.Next == nil || len(line.Next.Errors) > 0 {
				f.t.Fatalf("after order %d: %+v\n%s", f.last, line, f.Stderr())
			}
			if f.started = true; line.Next.Extensions["recovered"] == false {
				f.t.Fatalf("after order %d the server has lost the place", f.last)
			}
			var got struct{ Orders *struct{ Number int } }
			if err := json.Unmarshal(line.Next.Data, &got); err != nil {
				f.t.Fatal(err)
			}
			if got.Orders == nil {
				continue
			}
			if got.Orders.Number != f.last+1 {
				f.t.Fatalf("received order %d after %d", got.Orders.Number, f.last)
			}
			f.last++
		case <-deadline:
			f.t.Fatalf("order %d did not come, the last was %d\n%s", number, f.last, f.Stderr())
		}
	}
}

// TestSingleConnectionResumesOnTheOtherNode puts two nodes on a durable bus behind a TCP balancer and kills one after the other, with
// SIGKILL, while orders are published: the clients of npm graphql-sse, whose single connections span both nodes, connect again wherever
// the balancer leads them and go on with the next order, without one lost and without one twice.
func TestSingleConnectionResumesOnTheOtherNode(t *testing.T) {
	for name, url := range map[string]func() string{
		"Redis":     func() string { return "redis://" + testkit.StartRedis(t, testkit.RedisOptions{Fsync: "always"}).Addr },
		"JetStream": func() string { return "nats://" + testkit.StartNATS(t).Addr },
	} {
		t.Run(name, func(t *testing.T) {
			nodes := twoNodes(t, "--bus", url())
			balancer := testkit.NewProxy(t, nodes[0].Addr, nodes[1].Addr)
			var clients []*follower
			for range 6 {
				script := run(t, client{command: node("graphql-sse.mjs", "single", "resume")}, balancer.Addr, document, map[string]any{"status": "paid"})
				clients = append(clients, &follower{Script: script, t: t})
			}
			for _, f := range clients {
				f.follow(0)
			}
			publisher := &numbered{nodes: nodes[:]}
			for round := range 4 {
				publishOrders(t, publisher, batch)
				for _, f := range clients { // halfway, so that what follows is in the middle of a stream
					f.follow(publisher.last - batch/2)
				}
				nodes[round%2].Kill()
				publishOrders(t, publisher, batch)
				for _, f := range clients {
					f.follow(publisher.last)
				}
				nodes[round%2].Start()
			}
			for _, f := range clients {
				f.Stop()
			}
		})
	}
}

func publishOrders(t *testing.T, p *numbered, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range n {
		if err := p.publish(ctx); err != nil {
			t.Fatalf("order %d: %v", p.last+1, err)
		}
	}
}

// twoNodes starts two servers that forward to each other.
func twoNodes(t *testing.T, arguments ...string) (nodes [2]*testkit.Server) {
	t.Helper()
	file := configFile(t)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(text, "node:\n  secret: the-secret-that-the-nodes-of-this-test-share\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range nodes {
		addr := testkit.FreeAddr(t)
		nodes[i] = testkit.ServeAt(t, addr, append([]string{"--config", file, "--set", fmt.Sprint("node.name=n", i), "--set", "node.address=http://" + addr}, arguments...)...)
	}
	return nodes
}
