package pgbus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// publishEach publishes the events from number first to last, and fails if one is not acknowledged.
func publishEach(t *testing.T, b *Bus, first, last int) {
	t.Helper()
	refused := 0
	for n := first; n <= last; n++ {
		insist(t, b, n, &refused)
	}
}

// receive takes the events from number first to last, in order, and returns their positions.
func receive(t *testing.T, c *collector, first, last int) (at []event.Position) {
	t.Helper()
	for n := first; n <= last; {
		m := c.next(t)
		switch m.Event.ID {
		case fmt.Sprint(n):
			at = append(at, m.Position)
			n++
		case fmt.Sprint(n - 1): // again, after a reconnect
		default:
			t.Fatalf("event %s, want %d", m.Event.ID, n)
		}
	}
	return at
}

// wantGap waits for a gap.
func wantGap(t *testing.T, c *collector) {
	t.Helper()
	select {
	case <-c.gaps:
	case <-time.After(30 * time.Second):
		t.Fatal("no gap was told")
	}
}

// wantNoGap fails if a gap was told.
func wantNoGap(t *testing.T, c *collector) {
	t.Helper()
	select {
	case channel := <-c.gaps:
		t.Errorf("a gap in %s", channel)
	default:
	}
}

// wantForeign fails unless a position means nothing to a bus any more.
func wantForeign(t *testing.T, b *Bus, at event.Position) {
	t.Helper()
	page, err := b.History(t.Context(), "c", at, 10)
	if err != nil || page.Complete || len(page.Messages) > 0 {
		t.Errorf("a cursor from before the loss, %+v: %d events, complete %v, %v", at, len(page.Messages), page.Complete, err)
	}
}

// TestDumpRestoredElsewhere moves a database to another server by pg_dump and pg_restore: what was in the outbox is not
// delivered there a second time, no cursor is taken for one of the new server, and events flow.
func TestDumpRestoredElsewhere(t *testing.T) {
	name := server.Database(t)
	old, c := listening(t, server.URL("postgres", name), "c")
	publishEach(t, old, 1, 10)
	before := receive(t, c, 1, 10)
	path := server.Dump(t, name)

	other := testkit.NewPostgres(t)
	other.SQL(t, "postgres", "CREATE ROLE fraiseql_publisher; CREATE ROLE fraiseql_reader; CREATE ROLE fraiseql_node")
	// Transactions of the new server have other numbers: some that are greater than those in the dump, as well.
	for _, target := range []string{other.Database(t), other.Database(t)} {
		other.Restore(t, target, path)
		b, c := listening(t, other.URL("postgres", target), "c")
		wantForeign(t, b, before[4])
		wantForeign(t, b, before[9])
		if page, err := b.History(t.Context(), "c", event.Position{}, 100); err != nil || len(page.Messages) > 0 {
			t.Errorf("%d events were restored, %v", len(page.Messages), err)
		}
		publishEach(t, b, 11, 20)
		for _, at := range receive(t, c, 11, 20) {
			if at.Epoch <= before[9].Epoch {
				t.Errorf("%+v after %+v", at, before[9])
			}
		}
		other.SQL(t, target, `SELECT fraiseql.publish('c', 't', '{}', id => '21')`)
		receive(t, c, 21, 21)
		wantNoGap(t, c)
	}
}

// TestDumpRestoredInPlace puts an older state back under a node that runs: what it delivered since is gone, which is told.
func TestDumpRestoredInPlace(t *testing.T) {
	name := server.Database(t)
	b, c := listening(t, server.URL("postgres", name), "c")
	publishEach(t, b, 1, 10)
	path := server.Dump(t, name)
	publishEach(t, b, 11, 20)
	before := receive(t, c, 1, 20)
	server.Restore(t, name, path, "--clean", "--if-exists")
	wantGap(t, c)
	wantForeign(t, b, before[14])
	refused := 0
	insist(t, b, 21, &refused)
	if at := receive(t, c, 21, 21)[0]; at.Epoch <= before[19].Epoch {
		t.Errorf("%+v after %+v", at, before[19])
	}
	wantForeign(t, b, before[14])
	if b.Status().Gaps == 0 {
		t.Errorf("%+v", b.Status())
	}
}

// hosts is a URL of several servers, of which the one that takes writes is used.
func hosts(servers ...*testkit.Postgres) string {
	var list []string
	for _, s := range servers {
		list = append(list, s.Addr)
	}
	return "postgres://postgres@" + strings.Join(list, ",") + "/postgres?sslmode=disable&target_session_attrs=read-write"
}

// TestPromotionSynchronous kills the primary in mid-stream and promotes a follower that has everything which was
// acknowledged: two nodes whose URL names both servers get each event, in order, and their cursors go on.
func TestPromotionSynchronous(t *testing.T) {
	primary := testkit.NewPostgres(t)
	follower := primary.Follow(t, primary.Addr, "follower")
	primary.SQL(t, "postgres", "ALTER SYSTEM SET synchronous_standby_names = 'follower'; SELECT pg_reload_conf()")
	until(t, "the follower is synchronous", func() bool {
		return primary.SQL(t, "postgres", "SELECT sync_state FROM pg_stat_replication") == "sync"
	})
	url := hosts(primary, follower)
	a, ca := listening(t, url, "c")
	_, cb := listening(t, url, "c")
	publishEach(t, a, 0, 0)
	first := receive(t, ca, 0, 0)[0]
	receive(t, cb, 0, 0)
	const n = 2000
	refused, half := 0, make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-half
		primary.Kill(t)
		follower.Promote(t)
	}()
	for i := 1; i < n; i++ {
		if i == n/2 {
			close(half)
		}
		insistLong(t, a, i, &refused)
	}
	<-done
	for _, c := range []*collector{ca, cb} {
		for next := 1; next < n; {
			switch m := c.next(t); {
			case m.Event.ID == fmt.Sprint(next):
				next++
			case m.Position.Epoch != first.Epoch:
				t.Fatalf("event %s is of another epoch", m.Event.ID)
			}
		}
		wantNoGap(t, c)
	}
	page, err := a.History(t.Context(), "c", first, 10)
	if err != nil || !page.Complete || len(page.Messages) != 10 || page.Messages[0].Event.ID != "1" {
		t.Errorf("a cursor from before the promotion: %d events, complete %v, %v", len(page.Messages), page.Complete, err)
	}
	t.Logf("publishing was refused %d times; node a connected again %d times", refused, a.Status().Reconnects)
}

// insistLong is insist for as long as a promotion may take.
func insistLong(t *testing.T, b *Bus, n int, refused *int) {
	t.Helper()
	m := []bus.Message{{Event: event.Event{Channel: "c", Type: "t", ID: fmt.Sprint(n), Data: []byte(`{}`)}}}
	until(t, "the event is acknowledged", func() bool {
		_, err := b.Publish(t.Context(), m)
		if err != nil && !errors.Is(err, bus.ErrUnavailable) {
			t.Fatal(err)
		}
		if err != nil {
			*refused++
		}
		return err == nil
	})
}

// TestPromotionBehind promotes a follower that lacks events which were delivered: that is told, and cursors of them are
// none of the new primary's.
func TestPromotionBehind(t *testing.T) {
	primary := testkit.NewPostgres(t)
	proxy := testkit.NewProxy(t, primary.Addr)
	if _, err := Install(t.Context(), primary.URL("postgres", "postgres")); err != nil {
		t.Fatal(err)
	}
	follower := primary.Follow(t, proxy.Addr, "follower")
	url := hosts(primary, follower)
	b, c := listening(t, url, "c")
	publishEach(t, b, 1, 10)
	before := receive(t, c, 1, 10)
	until(t, "the follower has ten events", func() bool {
		return follower.SQL(t, "postgres", "SELECT count(*) FROM fraiseql.outbox") == "10"
	})
	proxy.Cut()
	publishEach(t, b, 11, 20)
	before = append(before, receive(t, c, 11, 20)...)
	primary.Kill(t)
	follower.Promote(t)
	wantGap(t, c)
	refused := 0
	insistLong(t, b, 21, &refused)
	after := receive(t, c, 21, 21)[0]
	if after.Epoch <= before[19].Epoch {
		t.Errorf("%+v after %+v", after, before[19])
	}
	wantForeign(t, b, before[14])
	wantForeign(t, b, before[19])
	// A node that only starts now finds the same epoch.
	late, err := Open(url, bus.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = late.Close(context.Background()) }()
	wantForeign(t, late, before[14])
	page, err := late.History(t.Context(), "c", after, 10)
	if err != nil || !page.Complete {
		t.Errorf("a cursor of the new primary: %+v, %v", page, err)
	}
}
