package pgbus

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
)

// stuck has writers wait in the middle of a statement until release is called. waiting returns when some do, or none.
func stuck(t *testing.T, url string) (waiting func(some bool), release func()) {
	t.Helper()
	holder, watcher := connect(t, url), connect(t, url)
	runSQL(t, holder, url, "BEGIN")
	runSQL(t, holder, url, "LOCK TABLE {schema}.outbox IN SHARE MODE")
	waiting = func(some bool) {
		t.Helper()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-tick.C {
			rows := runSQL(t, watcher, url, "SELECT count(*) FROM pg_locks WHERE relation = '{schema}.outbox'::regclass AND NOT granted")
			if (rows[0][0] != "0") == some {
				return
			}
		}
		t.Fatalf("statements that wait: never %v", some)
	}
	return waiting, func() { runSQL(t, holder, url, "ROLLBACK") }
}

// patient opens a bus that waits for as long as a test needs.
func patient(t *testing.T, url string, c *collector) *Bus {
	t.Helper()
	b, err := Open(url, bus.Options{PublishTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Attach(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	return b
}

// TestGivesUpInAStatement: whoever publishes and gives up gets its context's error while the statement is under way, and what it has
// hurried is not the next one's deadline.
func TestGivesUpInAStatement(t *testing.T) {
	url := fresh(t)
	c := newCollector()
	b := patient(t, url, c)
	b.Interest("a", true)
	if err := b.Established(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		position(t, b, c, "a", "1")
		waiting, release := stuck(t, url)
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() {
			_, err := b.Publish(ctx, []bus.Message{one("a", "2")})
			failed <- err
		}()
		waiting(true)
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("it gave up, and got %v", err)
		}
		waiting(false) // the server has been told
		release()
	}
	position(t, b, c, "a", "3")
}

// TestClosesInAStatement: Close does not wait for what is under way.
func TestClosesInAStatement(t *testing.T) {
	url := fresh(t)
	b := patient(t, url, newCollector())
	if _, err := b.Publish(t.Context(), []bus.Message{one("a", "1")}); err != nil { // over a connection that is there the goroutine that publishes writes
		t.Fatal(err)
	}
	waiting, release := stuck(t, url)
	defer release()
	failed := make(chan error, 2)
	for range 2 { // the second one waits for its turn, or in a statement of its own
		go func() {
			_, err := b.Publish(context.Background(), []bus.Message{one("a", "2")})
			failed <- err
		}()
		waiting(true)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := <-failed; !errors.Is(err, bus.ErrClosed) {
			t.Errorf("it was closed, and got %v", err)
		}
	}
}
