package pgbus

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/bustest"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// server is the one that all tests share that do not stop theirs.
var server *testkit.Postgres

// TestMain fails when goroutines are left after all tests.
func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if server, err = testkit.StartPostgres(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return testkit.NoLeaks(m, server.Close)
}

// schemas counts what fresh has made.
var schemas atomic.Int64

// fresh installs a schema of its own, which costs less than a database, and returns its URL.
func fresh(t testing.TB) string {
	t.Helper()
	url := fmt.Sprintf("%s&schema=s%d", server.URL("postgres", "postgres"), schemas.Add(1))
	if _, err := Install(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	return url
}

// open opens a bus and closes it with the test.
func open(t testing.TB, url string) *Bus {
	t.Helper()
	b, err := Open(url, bus.Options{PublishTimeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return b
}

// proxied is a bus behind a proxy of its own.
type proxied struct {
	*Bus
	url   string // of the server itself
	proxy *testkit.Proxy
}

// Describe and the other extra abilities are those of the bus within.
var _ bus.Describer = proxied{}

// small is a bus whose partitions are full after a few events.
type small struct {
	*Bus
	t *testing.T
	n int
}

// Publish writes in pieces. Once this node has read a piece, or does not read on, the next partition is begun and those
// before the piece's are emptied.
func (s small) Publish(ctx context.Context, batch []bus.Message) (bus.Receipt, error) {
	total := bus.Receipt{Delivered: -1}
	for len(batch) > 0 {
		piece := batch[:min(s.n, len(batch))]
		receipt, err := s.Bus.Publish(ctx, piece)
		total.Accepted += receipt.Accepted
		if err != nil {
			return total, err
		}
		batch = batch[len(piece):]
		s.caughtUp(piece[0].Event.Channel)
		if err := s.with(ctx, func(ctx context.Context, session *session) error {
			_, err := query(ctx, session.conn, fill(`SELECT {schema}.maintain(force => true)`, s.schema))
			return err
		}); err != nil {
			return total, err
		}
	}
	return total, nil
}

// caughtUp waits until the reader is at the newest event of a channel, or waits for a handler.
func (s small) caughtUp(channel string) {
	page, err := s.History(s.t.Context(), channel, event.Position{}, 0)
	if err != nil {
		s.t.Error(err)
		return
	}
	pages := s.pages[shardOf(channel)]
	until(s.t, "the reader has caught up", func() bool {
		stand, _ := s.relay.state()
		return len(pages) == cap(pages) || !stand.at.before(place{page.Head.Major, page.Head.Minor})
	})
}

// until polls.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); !condition(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not so after 30 s: %s", what)
		}
	}
}

func TestConformance(t *testing.T) {
	conform(t, "")
}

// TestConformanceWithoutNotify runs the suite where nobody is notified.
func TestConformanceWithoutNotify(t *testing.T) {
	conform(t, "&notify=off&poll=5ms")
}

func conform(t *testing.T, parameters string) {
	through := func(t *testing.T, target string) bus.Bus {
		proxy := testkit.NewProxy(t, server.Addr)
		return proxied{open(t, strings.Replace(target, server.Addr, proxy.Addr, 1)), target, proxy}
	}
	bustest.Run(t, bustest.Options{
		Recalls: true,

		New:  func(t *testing.T) bus.Bus { return through(t, fresh(t)+parameters) },
		Join: func(t *testing.T, first bus.Bus) bus.Bus { return through(t, first.(proxied).url) },
		Small: func(t *testing.T, n int) bus.Bus {
			return small{open(t, fresh(t)+parameters), t, n}
		},
		Interrupt: func(_ *testing.T, b bus.Bus) { b.(proxied).proxy.Drop() },
		Outage: func(t *testing.T, b bus.Bus) func() {
			t.Helper()
			b.(proxied).proxy.Cut()
			return b.(proxied).proxy.Restore
		},
	})
}
