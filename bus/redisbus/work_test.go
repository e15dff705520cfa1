package redisbus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// working is a call of Work.
type working struct {
	numbers chan int
	stop    func() error // ends it and returns its error
}

// number is the number of an event.
func number(m *bus.Message) int {
	c := newCollector(m.Event.Channel)
	c.Deliver(m)
	return c.numbers[0]
}

// work starts a worker that tells the numbers of the events, and waits until its group is there.
func work(t *testing.T, b bus.Bus, group, channel string) *working {
	t.Helper()
	return workWith(t, b, group, channel, func(context.Context, *bus.Message) error { return nil })
}

func workWith(t *testing.T, b bus.Bus, group, channel string, fn func(context.Context, *bus.Message) error) *working {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &working{numbers: make(chan int, 10_000)}
	ended := make(chan error, 1)
	go func() {
		ended <- b.(bus.Worker).Work(ctx, group, channel, func(ctx context.Context, m *bus.Message) error {
			err := fn(ctx, m)
			if err == nil {
				w.numbers <- number(m)
			}
			return err
		})
	}()
	w.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = w.stop() })
	awaitGroup(t, b.(*node), group, channel)
	return w
}

// awaitGroup waits until a group is known to Redis.
func awaitGroup(t *testing.T, b *node, group, channel string) {
	t.Helper()
	if group == "" {
		group = b.cfg.group
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := b.opened(ctx, channel); err != nil {
		t.Fatal(err)
	}
	c := *b.client.Load()
	for {
		groups, err := c.Do(ctx, c.B().XinfoGroups().Key(b.home(channel).stream).Build()).ToArray()
		if err != nil && ctx.Err() != nil {
			t.Fatal(err)
		}
		if err != nil { // a user who may not ask: the group is there once it can be made again
			return
		}
		for i := range groups {
			if m, _ := groups[i].AsStrMap(); m["name"] == group+"/"+channel {
				return
			}
		}
	}
}

func TestWorkIsDividedAmongNodes(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{})
	base := "redis://" + server.Addr
	publisher := open(t, base)
	send(t, publisher, numbered("orders", 0)) // before the group is named
	const n = 200
	a, b := work(t, open(t, base), "mail", "orders"), work(t, open(t, base), "mail", "orders")
	other := work(t, open(t, base), "audit", "orders")
	for i := 1; i <= n; i++ {
		send(t, publisher, numbered("orders", i), numbered("else", i))
	}
	seen := map[int]int{}
	for range n {
		select {
		case i := <-a.numbers:
			seen[i]++
		case i := <-b.numbers:
			seen[i]++
		}
	}
	for i := 1; i <= n; i++ {
		if seen[i] != 1 {
			t.Errorf("event %d was worked on %d times", i, seen[i])
		}
		if got := <-other.numbers; got != i {
			t.Fatalf("the other group got %d, want %d", got, i)
		}
	}
	for _, w := range []*working{a, b, other} {
		if err := w.stop(); !errors.Is(err, context.Canceled) {
			t.Errorf("work ended with %v", err)
		}
		if len(w.numbers) > 0 {
			t.Errorf("%d events too many", len(w.numbers))
		}
	}
	home := publisher.home("orders").stream
	if got := server.Do("XINFO", "CONSUMERS", home, "mail/orders"); got != "" {
		t.Errorf("consumers are left: %s", got)
	}
}

// TestWorkIsDoneAgain lets one node fail and another die: both events are done by somebody in the end.
func TestWorkIsDoneAgain(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{})
	base := "redis://" + server.Addr + "?claim=200ms"
	publisher := open(t, base)

	// A node that takes an event and is never heard of again.
	dead := open(t, base)
	taken := make(chan struct{})
	proxy := testkit.NewProxy(t, server.Addr)
	_ = dead.Close(t.Context())
	dead = open(t, "redis://"+proxy.Addr+"?claim=200ms")
	held := make(chan struct{})
	stuck := workWith(t, dead, "", "orders", func(context.Context, *bus.Message) error {
		close(taken)
		<-held
		return errors.New("too late")
	})
	send(t, publisher, numbered("orders", 1))
	<-taken
	proxy.Cut()

	failed := false
	alive := workWith(t, open(t, base), "", "orders", func(_ context.Context, m *bus.Message) error {
		if number(m) == 2 && !failed {
			failed = true
			return errors.New("try again")
		}
		return nil
	})
	send(t, publisher, numbered("orders", 2), numbered("orders", 3))
	got := map[int]int{}
	for range 3 {
		got[<-alive.numbers]++
	}
	for i := 1; i <= 3; i++ {
		if got[i] != 1 {
			t.Errorf("event %d was done %d times", i, got[i])
		}
	}
	if !failed {
		t.Error("nothing failed")
	}
	close(held)
	_ = stuck.stop()
}

// TestWorkThatTakesLongIsNotTaken works for longer than a claim: no other node begins the same event.
func TestWorkThatTakesLongIsNotTaken(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{})
	base := "redis://" + server.Addr + "?claim=300ms"
	publisher := open(t, base)
	leave, taken := make(chan struct{}), make(chan struct{})
	long := workWith(t, open(t, base), "g", "orders", func(_ context.Context, m *bus.Message) error {
		if number(m) == 1 {
			close(taken)
			<-leave
		}
		return nil
	})
	send(t, publisher, numbered("orders", 1))
	<-taken
	other := work(t, open(t, base), "g", "orders")
	for i := 2; i <= 100; i++ { // many claims pass
		send(t, publisher, numbered("orders", i))
		if got := <-other.numbers; got != i {
			t.Fatalf("the other node worked on %d, want %d", got, i)
		}
		server.Do("PING")
	}
	close(leave)
	if got := <-long.numbers; got != 1 {
		t.Errorf("got %d", got)
	}
}

// TestWorkThatWaitsIsNotTaken has a node hold thirteen events at once, which it works on for three claims: no other node begins
// those that wait.
func TestWorkThatWaitsIsNotTaken(t *testing.T) {
	const turns, held = 150, 13 // of 10 ms each
	for name, each := range map[string]int{"behind a long call": turns, "behind short ones": turns / (held - 1)} {
		t.Run(name, func(t *testing.T) {
			server := testkit.StartRedis(t, testkit.RedisOptions{})
			base := "redis://" + server.Addr + "?claim=500ms"
			publisher := open(t, base)
			entered, leave := make(chan int, held+1), make(chan struct{}, held+1)
			slow := workWith(t, open(t, base), "g", "orders", func(ctx context.Context, m *bus.Message) error {
				entered <- number(m)
				select {
				case <-leave:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
			send(t, publisher, numbered("orders", 0))
			<-entered
			sendAll(t, publisher, neighbour(publisher, "orders"), 1, 1+2+8) // after others' entries a node takes more at a time
			sendAll(t, publisher, "orders", 1, held)
			leave <- struct{}{}
			<-entered
			quick := work(t, open(t, base), "g", "orders")
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for i := 1; i <= turns; i++ {
				<-tick.C
				if i%each == 0 {
					leave <- struct{}{}
				}
				send(t, publisher, numbered("orders", held+i))
				if got := <-quick.numbers; got != held+i {
					t.Fatalf("the other node worked on %d, want %d", got, held+i)
				}
			}
			close(leave)
			for n := range held + 1 {
				if got := <-slow.numbers; got != n {
					t.Fatalf("worked on %d, want %d", got, n)
				}
			}
		})
	}
}

// neighbour is another channel of a channel's partition.
func neighbour(b *node, channel string) string {
	for i := 0; ; i++ {
		if name := fmt.Sprint("else", i); b.home(name) == b.home(channel) {
			return name
		}
	}
}

func TestWorkOverARestart(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{Fsync: "always"})
	base := "redis://" + server.Addr + "?claim=500ms"
	b := open(t, base)
	w := work(t, b, "g", "orders")
	const n = 60
	for i := 1; i <= n; i++ {
		send(t, b, numbered("orders", i))
		if i == n/2 {
			server.Kill()
			server.Start()
		}
	}
	seen := map[int]bool{}
	for len(seen) < n {
		seen[<-w.numbers] = true
	}
}

func TestWorkRefuses(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{})
	b := open(t, "redis://"+server.Addr)
	plain := open(t, "redis://"+server.Addr+"?mode=pubsub")
	fn := func(context.Context, *bus.Message) error { return nil }
	for name, err := range map[string]error{
		"pubsub": plain.Work(t.Context(), "g", "orders", fn), "group": b.Work(t.Context(), "a b", "orders", fn), "channel": b.Work(t.Context(), "g", "a*", fn),
	} {
		if err == nil || errors.Is(err, bus.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Work(t.Context(), "g", "orders", fn); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
