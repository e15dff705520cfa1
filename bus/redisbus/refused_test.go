package redisbus

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/spool"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// wantUnavailable publishes what is refused for now.
func wantUnavailable(t *testing.T, b bus.Bus, cause bus.Cause) {
	t.Helper()
	r, err := b.Publish(t.Context(), []bus.Message{numbered("refused", 1)})
	if r.Accepted != 0 || !errors.Is(err, bus.ErrUnavailable) || bus.CauseOf(err) != cause {
		t.Errorf("published %d: %v (%s)", r.Accepted, err, bus.CauseOf(err))
	}
}

// TestAnotherPassword has a server whose password is another one for a while: what is published meanwhile waits.
func TestAnotherPassword(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{Password: "first"})
	inner := open(t, "redis://:first@"+server.Addr)
	b := spool.New(inner, 1<<20, nil)
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	c := newCollector("orders")
	attach(t, b, c)
	sendAll(t, b, "orders", 1, 1)
	c.last(t, 1)
	server.Do("CONFIG", "SET", "requirepass", "second")
	server.Do("-a", "second", "CLIENT", "KILL", "TYPE", "normal")
	wantUnavailable(t, inner, bus.BadLogin)
	for n := 2; n <= 11; n++ {
		if _, err := b.Publish(t.Context(), []bus.Message{numbered("orders", n)}); err != nil {
			t.Fatal(err)
		}
	}
	wantUnavailable(t, inner, bus.BadLogin)
	server.Do("-a", "second", "CONFIG", "SET", "requirepass", "first")
	c.last(t, 11)
	c.wantAll(t, 1, 11)
}

// TestPermittedLater gives a user a permission after it was needed: who published may try again, and who works goes on.
func TestPermittedLater(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{Users: []string{"app on >secret ~* &* +@all -xreadgroup"}})
	b := open(t, "redis://app:secret@"+server.Addr)
	w := work(t, b, "g", "orders")
	server.Do("ACL", "SETUSER", "app", "-xadd")
	wantUnavailable(t, b, bus.Denied)
	wantUnavailable(t, open(t, "redis://app:secret@"+server.Addr+"?prefix=new"), bus.Denied) // what may not be founded
	server.Do("ACL", "SETUSER", "app", "+xadd", "+xreadgroup")
	send(t, b, numbered("orders", 7))
	select {
	case n := <-w.numbers:
		if n != 7 {
			t.Errorf("worked on %d", n)
		}
	case <-time.After(patience):
		t.Error("no work is given out")
	}
}

// refusals is how often Redis has refused a command lately.
func refusals(t *testing.T, server *testkit.Redis, command string) (n int) {
	t.Helper()
	lines := strings.Split(server.Do("ACL", "LOG"), "\n")
	for i, line := range lines {
		if line != "count" || !slices.Contains(lines[i:min(i+8, len(lines))], command) { // of one entry, up to its object
			continue
		}
		count, err := strconv.Atoi(lines[i+1])
		if err != nil {
			t.Fatal(err)
		}
		n += count
	}
	return n
}

// awaitRefusals waits until Redis has refused a command so often.
func awaitRefusals(t *testing.T, server *testkit.Redis, command string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for refusals(t, server, command) < n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s was refused %d times, want %d", command, refusals(t, server, command), n)
		}
	}
}

// TestWorkThatCannotBeAcknowledged has a user who may take work and may not say that it is done: nobody works on anything until it may. That the
// permission is taken away again costs one event that is worked on in vain, and not one after each claim.
func TestWorkThatCannotBeAcknowledged(t *testing.T) {
	server := testkit.StartRedis(t, testkit.RedisOptions{Users: []string{"app on >secret ~* &* +@all -xack"}})
	b := open(t, "redis://app:secret@"+server.Addr+"?claim=200ms")
	var calls atomic.Int64
	w := workWith(t, b, "g", "orders", func(_ context.Context, m *bus.Message) error {
		calls.Add(1)
		if number(m) == 8 {
			_, _ = server.Try("ACL", "SETUSER", "app", "-xack")
		}
		return nil
	})
	send(t, b, numbered("orders", 7))
	awaitRefusals(t, server, "xack", 5)
	if n := calls.Load(); n > 0 {
		t.Errorf("%d calls for what cannot be acknowledged", n)
	}
	server.Do("ACL", "SETUSER", "app", "+xack")
	if n := <-w.numbers; n != 7 {
		t.Errorf("worked on %d", n)
	}
	refused := refusals(t, server, "xack")
	send(t, b, numbered("orders", 8))
	awaitRefusals(t, server, "xack", refused+12) // many claims later
	if n := calls.Load(); n != 2 {
		t.Errorf("%d calls for two events", n)
	}
}
