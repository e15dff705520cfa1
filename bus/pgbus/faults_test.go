package pgbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// insist publishes one event until it is acknowledged, always with the same id, and counts the refusals.
func insist(t *testing.T, b *Bus, n int, refused *int) {
	t.Helper()
	m := bus.Message{Event: event.Event{Channel: "c", Type: "t", ID: fmt.Sprint(n), Data: []byte(fmt.Sprintf(`{"n":%d}`, n))}}
	for range 100 {
		_, err := b.Publish(t.Context(), []bus.Message{m})
		if err == nil {
			return
		}
		if !errors.Is(err, bus.ErrUnavailable) {
			t.Fatal(err)
		}
		*refused++
	}
	t.Fatalf("event %d was refused 100 times", n)
}

// wantAll reads until event n-1 and fails unless each event came, in order, counting those that came again.
func wantAll(t *testing.T, c *collector, n int) (again int) {
	t.Helper()
	seen := map[string]bool{}
	for next := 0; next < n; {
		m := c.next(t)
		switch {
		case m.Event.ID == fmt.Sprint(next):
			next++
		case seen[m.Event.ID]:
			again++
		default:
			t.Fatalf("event %s, want %d", m.Event.ID, next)
		}
		seen[m.Event.ID] = true
	}
	select {
	case channel := <-c.gaps:
		t.Errorf("a gap in %s", channel)
	default:
	}
	return again
}

// stream publishes from one node and breaks something meanwhile; both nodes get everything.
func stream(t *testing.T, publisher *Bus, nodes []*collector, n int, break_ func()) {
	t.Helper()
	refused := 0
	var wait sync.WaitGroup
	wait.Go(break_)
	for i := range n {
		insist(t, publisher, i, &refused)
	}
	wait.Wait()
	for i, c := range nodes {
		t.Logf("node %d: %d events, %d came again; publishing was refused %d times", i, n, wantAll(t, c, n), refused)
	}
}

func TestBackendsTerminated(t *testing.T) {
	url := fresh(t)
	victims := url + "&application_name=victims"
	a, ca := listening(t, victims, "c")
	_, cb := listening(t, victims, "c")
	killer := connect(t, url)
	stream(t, a, []*collector{ca, cb}, 2000, func() {
		for range 20 {
			runSQL(t, killer, url, `SELECT pg_terminate_backend(pid), pg_sleep(0.02) FROM pg_stat_activity WHERE application_name = 'victims'`)
		}
	})
	if s := a.Status(); s.Reconnects == 0 {
		t.Errorf("%+v", s)
	}
}

// TestServerKilled kills the server in mid-stream and starts it again.
func TestServerKilled(t *testing.T) {
	p := testkit.NewPostgres(t)
	url := p.URL("postgres", "postgres")
	if _, err := Install(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	a, ca := listening(t, url, "c")
	_, cb := listening(t, url, "c")
	stream(t, a, []*collector{ca, cb}, 3000, func() {
		for range 2 {
			p.SQL(t, "postgres", "SELECT pg_sleep(0.3)")
			p.Kill(t)
			until(t, "the node has noticed", func() bool { return !a.Status().Connected })
			if s := a.Status(); s.Problem == "" || s.Cause == "" || strings.Contains(string(s.Cause), "127.0.0.1") {
				t.Errorf("problem %q, cause %q", s.Problem, s.Cause)
			}
			p.Start(t)
		}
	})
}

// TestNetworkFails cuts, and holds without a word, the connections of a node.
func TestNetworkFails(t *testing.T) {
	url := fresh(t)
	proxy := testkit.NewProxy(t, server.Addr)
	a := open(t, strings.Replace(url, server.Addr, proxy.Addr, 1))
	a.answer = 300 * time.Millisecond
	ca := newCollector()
	if err := a.Attach(t.Context(), ca); err != nil {
		t.Fatal(err)
	}
	a.Interest("c", true)
	if err := a.Established(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	_, cb := listening(t, url, "c")
	clock := connect(t, url)
	pause := func() { runSQL(t, clock, url, "SELECT pg_sleep(0.2)") }
	stream(t, a, []*collector{ca, cb}, 1500, func() {
		for range 2 {
			proxy.Drop()
			pause()
			proxy.Cut()
			pause()
			proxy.Restore()
			pause()
			proxy.Hold()
			until(t, "the silence is noticed", func() bool { return !a.Status().Connected })
			proxy.Release()
			pause()
		}
	})
}

// lines are the messages of a log.
type lines struct {
	slog.Handler
	mu   sync.Mutex
	list []string
}

func (l *lines) Enabled(context.Context, slog.Level) bool { return true }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, r.Message)
	return nil
}

func (l *lines) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.list, text)
}

// TestHorizon holds back events by a transaction, which the status, the log and Inspect name.
func TestHorizon(t *testing.T) {
	url := fresh(t) + "&max_lag=50ms&poll=10ms"
	var log lines
	b, c := open(t, url), newCollector()
	b.log = slog.New(&log)
	listen(t, b, c, "c")
	conn, other := connect(t, url+"&application_name=sleepy"), connect(t, url)
	runSQL(t, conn, url, "BEGIN")
	runSQL(t, conn, url, `SELECT {schema}.publish('c', 't', '{"n":1}')`)
	pid := conn.PID()
	runSQL(t, other, url, `SELECT {schema}.publish('c', 't', '{"n":2}')`)
	until(t, "the status has a problem", func() bool { return b.Status().Problem != "" })
	until(t, "the log says so", func() bool { return log.has("PostgreSQL holds back events") })
	s := b.Status()
	if !s.Connected || !strings.Contains(s.Problem, "`fraiseql pg status`") || len(s.Gauges) != 1 || s.Gauges[0].Name != "fraiseql_pg_horizon_lag_seconds" || s.Gauges[0].Value < 0.05 {
		t.Errorf("%+v", s)
	}
	report, err := Inspect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if report.Held != 1 || len(report.Blockers) == 0 || report.Blockers[0].PID != int(pid) || report.Blockers[0].Application != "sleepy" {
		t.Errorf("%+v, want pid %d", report, pid)
	}
	select {
	case m := <-c.messages:
		t.Fatalf("%s was delivered before an older transaction has ended", m.Event.Data)
	default:
	}
	runSQL(t, conn, url, "COMMIT")
	for i := range 2 {
		if m := c.next(t); string(m.Event.Data) != fmt.Sprintf(`{"n":%d}`, i+1) {
			t.Errorf("%s", m.Event.Data)
		}
	}
	until(t, "all is well again", func() bool { return b.Status().Problem == "" && log.has("PostgreSQL holds back no events any more") })
}

// otherEpoch ends the connections of a node after something was done, and wants a gap and another epoch.
func otherEpoch(t *testing.T, do string) {
	url := fresh(t)
	b, c := listening(t, url+"&application_name=restored", "c", "d")
	conn := connect(t, url)
	runSQL(t, conn, url, `SELECT {schema}.publish('c', 't', '{}')`)
	before := c.next(t).Position
	runSQL(t, conn, url, do)
	runSQL(t, conn, url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'restored'`)
	gaps := map[string]bool{<-c.gaps: true, <-c.gaps: true}
	if !gaps["c"] || !gaps["d"] || b.Status().Gaps != 2 {
		t.Errorf("gaps %v, %+v", gaps, b.Status())
	}
	runSQL(t, conn, url, `SELECT {schema}.publish('c', 't', '{}')`)
	if after := c.next(t).Position; after.Epoch <= before.Epoch {
		t.Errorf("%v after %v", after, before)
	}
	page, err := b.History(t.Context(), "c", before, 10)
	if err != nil || page.Complete || len(page.Messages) > 0 {
		t.Errorf("a cursor of the old epoch: %+v, %v", page, err)
	}
}

// TestRestoredDatabase pretends that the database came from another server.
func TestRestoredDatabase(t *testing.T) {
	otherEpoch(t, `UPDATE {schema}.meta SET cluster = 'another'`)
}

// TestLostTransactions takes away what was delivered, as the promotion of a follower does that was behind.
func TestLostTransactions(t *testing.T) { otherEpoch(t, `DELETE FROM {schema}.outbox`) }

// TestNotInstalled says what to do, and goes on when it was done.
func TestNotInstalled(t *testing.T) {
	url := server.URL("postgres", server.Database(t))
	b := open(t, url+"&install=off")
	if err := b.Attach(t.Context(), newCollector()); err != nil {
		t.Fatal(err)
	}
	until(t, "the problem is told", func() bool { return strings.Contains(b.Status().Problem, "run `fraiseql pg install`") })
	if _, err := Install(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	until(t, "it is connected", func() bool { return b.Status().Connected })
	other, c := listening(t, server.URL("postgres", server.Database(t)), "c")
	if _, err := other.Publish(t.Context(), []bus.Message{{Event: event.Event{Channel: "c", Type: "t", ID: "1", Data: []byte("{}")}}}); err != nil {
		t.Fatal(err)
	}
	c.next(t)
}

// TestOnePoisonedEvent publishes what the database refuses, together with others.
func TestOnePoisonedEvent(t *testing.T) {
	b, c := listening(t, fresh(t), "c")
	var wait sync.WaitGroup
	for i := range 50 {
		wait.Go(func() {
			data := `{}`
			if i == 25 {
				data = `{`
			}
			_, err := b.Publish(t.Context(), []bus.Message{{Event: event.Event{Channel: "c", Type: "t", ID: fmt.Sprint(i), Data: []byte(data)}}})
			if (err != nil) != (i == 25) || errors.Is(err, bus.ErrUnavailable) {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	wait.Wait()
	for range 49 {
		c.next(t)
	}
}
