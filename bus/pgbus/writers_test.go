package pgbus

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"
)

var writing = flag.Duration("writing", 5*time.Second, "how long TestConcurrentWriters writes")

// ledger is what the writers have committed.
type ledger struct {
	mu        sync.Mutex
	committed map[string]bool
	undone    map[string]bool
	longest   time.Duration
}

// TestConcurrentWriters has 50 programs write in transactions of random length, some of which roll back, while the
// connections of one of two nodes are ended again and again. Every committed event arrives once at both, in one order
// that keeps the order within each transaction, and none that was rolled back.
func TestConcurrentWriters(t *testing.T) {
	const writers = 50
	url := fresh(t)
	_, first := listening(t, url, "a", "b")
	_, second := listening(t, url+"&application_name=victim", "a", "b")
	book := &ledger{committed: map[string]bool{}, undone: map[string]bool{}}
	ctx, cancel := context.WithTimeout(t.Context(), *writing)
	defer cancel()
	var wait sync.WaitGroup
	for w := range writers {
		conn := connect(t, url)
		wait.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if err := book.transaction(t, conn, url, fmt.Sprintf("%d.%d", w, n)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	killer := connect(t, url)
	kills := 0
	for tick := time.NewTicker(300 * time.Millisecond); ctx.Err() == nil; <-tick.C {
		runSQL(t, killer, url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim'`)
		kills++
	}
	wait.Wait()
	var orders [2][]string
	for i, c := range []*collector{first, second} {
		orders[i] = book.arrived(t, c)
	}
	if diff := cmp.Diff(orders[0], orders[1]); diff != "" {
		t.Errorf("two orders: %s", diff)
	}
	t.Logf("%d events committed, %d rolled back, longest transaction %v, %d times all connections of a node ended", len(book.committed), len(book.undone), book.longest, kills)
}

// transaction writes a few events and commits or not.
func (l *ledger) transaction(t *testing.T, conn *pgconn.PgConn, url, name string) error {
	began := time.Now()
	run := func(statement string, args ...string) error {
		_, err := trySQL(context.WithoutCancel(t.Context()), conn, url, statement, args...)
		return err
	}
	if err := run("BEGIN"); err != nil {
		return err
	}
	var kept, undone []string
	for i := range 1 + rand.IntN(4) {
		id := fmt.Sprintf("%s.%d", name, i)
		discard := rand.IntN(5) == 0
		if discard {
			if err := run("SAVEPOINT s"); err != nil {
				return err
			}
		}
		if err := run(`SELECT {schema}.publish($1, 't', '{}', id => $2), pg_sleep($3::float8)`, string("ab"[rand.IntN(2)]), id,
			fmt.Sprint(rand.ExpFloat64()*0.004)); err != nil {
			return err
		}
		if !discard {
			kept = append(kept, id)
			continue
		}
		undone = append(undone, id)
		if err := run("ROLLBACK TO s"); err != nil {
			return err
		}
	}
	end := "COMMIT"
	if rand.IntN(4) == 0 {
		end, undone, kept = "ROLLBACK", append(undone, kept...), nil
	}
	if err := run(end); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range kept {
		l.committed[id] = true
	}
	for _, id := range undone {
		l.undone[id] = true
	}
	l.longest = max(l.longest, time.Since(began))
	return nil
}

// arrived takes what arrives at a node, checks it and returns it in an order that is the same on every node.
func (l *ledger) arrived(t *testing.T, c *collector) []string {
	t.Helper()
	perChannel := map[string][]string{}
	seen, last := map[string]bool{}, map[string]string{}
	for range l.committed {
		e := c.next(t).Event
		switch {
		case l.undone[e.ID]:
			t.Fatalf("%s was rolled back and arrived", e.ID)
		case !l.committed[e.ID]:
			t.Fatalf("%s arrived, which nobody wrote", e.ID)
		case seen[e.ID]:
			t.Fatalf("%s arrived twice", e.ID)
		}
		seen[e.ID] = true
		var w, n, i int
		if _, err := fmt.Sscanf(e.ID, "%d.%d.%d", &w, &n, &i); err != nil {
			t.Fatal(err)
		}
		key, now := fmt.Sprintf("%s %d", e.Channel, w), fmt.Sprintf("%09d.%d", n, i)
		if now <= last[key] {
			t.Errorf("%s after %s", now, last[key])
		}
		last[key] = now
		perChannel[e.Channel] = append(perChannel[e.Channel], e.ID)
	}
	select {
	case m := <-c.messages:
		t.Errorf("%s arrived besides", m.Event.ID)
	case channel := <-c.gaps:
		t.Errorf("a gap in %s", channel)
	default:
	}
	return append(perChannel["a"], perChannel["b"]...)
}
