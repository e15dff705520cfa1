package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fraiseql/fraiseql-go/bench/bus/report"
	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/bus/pgbus"
)

// held is one event of the measurement of the horizon. Times are in milliseconds; ages and remainders are of the writing
// transactions that were older than the event's own and still open when it had committed.
type held struct {
	Kind      string  `json:"kind"` // held
	XID       uint64  `json:"xid"`
	Commit    float64 `json:"commit_ms"`     // since the start, when COMMIT had returned
	Delay     float64 `json:"delay_ms"`      // from there to its delivery
	Open      int     `json:"open"`          // how many such transactions there were
	Oldest    float64 `json:"oldest_ms"`     // how long the oldest of them was open in all
	Remaining float64 `json:"remaining_ms"`  // from the event's commit to the end of the last of them
	Beyond    float64 `json:"beyond_end_ms"` // from the end of the last of them, or the event's commit, to its delivery
}

// span is a writing transaction.
type span struct {
	xid        uint64
	begin, end time.Time // before its first write, and when COMMIT or ROLLBACK had returned
}

// horizon publishes a few events while other transactions, which publish nothing, stay open for random times after they
// have written, and notes for each event how long it waited, and for whom.
type horizon struct {
	url     string
	began   time.Time
	writers int
	longest time.Duration

	mu        sync.Mutex
	spans     []span
	commits   map[uint64]time.Time // by transaction
	delivered map[uint64]time.Time
}

// Deliver implements bus.Handler.
func (h *horizon) Deliver(m *bus.Message) int {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.delivered[m.Position.Major] = now
	return 1
}

// measureHorizon prints one line per event and one that sums up.
func measureHorizon(url string, writers int, longest, length time.Duration, rate float64) error {
	ctx := context.Background()
	h := &horizon{url: url, began: time.Now(), writers: writers, longest: longest, commits: map[uint64]time.Time{}, delivered: map[uint64]time.Time{}}
	b, err := pgbus.Open(url, bus.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = b.Close(ctx) }()
	if err := b.Attach(ctx, h); err != nil {
		return err
	}
	b.Interest("bench", true)
	if err := b.Established(ctx, "bench"); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var wait sync.WaitGroup
	failed := make(chan error, writers+1)
	for range writers {
		wait.Go(func() { failed <- h.hold(limited) })
	}
	wait.Go(func() { failed <- h.publish(limited, rate) })
	wait.Wait()
	for range writers + 1 {
		if err := <-failed; err != nil {
			return err
		}
	}
	return h.print(ctx)
}

// hold opens one writing transaction after the other, each for a random time: most are short, a few take all of longest.
func (h *horizon) hold(ctx context.Context) error {
	conn, err := pgx.Connect(context.Background(), h.url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for ctx.Err() == nil {
		long := rand.Float64()
		s := span{begin: time.Now()}
		tx, err := conn.Begin(context.Background())
		if err != nil {
			return err
		}
		var xid string
		if err := tx.QueryRow(context.Background(), "INSERT INTO scratch DEFAULT VALUES RETURNING pg_current_xact_id()::text").Scan(&xid); err != nil {
			return err
		}
		if s.xid, err = strconv.ParseUint(xid, 10, 64); err != nil {
			return err
		}
		time.Sleep(time.Duration(long * long * long * float64(h.longest)))
		end := tx.Commit
		if rand.IntN(4) == 0 {
			end = tx.Rollback
		}
		if err := end(context.Background()); err != nil {
			return err
		}
		s.end = time.Now()
		h.mu.Lock()
		h.spans = append(h.spans, s)
		h.mu.Unlock()
		time.Sleep(time.Duration(rand.Float64() * float64(h.longest) / 2))
	}
	return nil
}

// publish publishes by the function, each event in a transaction of its own.
func (h *horizon) publish(ctx context.Context, rate float64) error {
	conn, err := pgx.Connect(context.Background(), h.url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for ctx.Err() == nil {
		time.Sleep(time.Duration(rand.ExpFloat64() / rate * float64(time.Second)))
		var xid string
		const statement = `SELECT pg_current_xact_id()::text FROM fraiseql.publish('bench', 't', '{"n":1}'::text)`
		if err := conn.QueryRow(context.Background(), statement).Scan(&xid); err != nil {
			return err
		}
		now := time.Now()
		n, err := strconv.ParseUint(xid, 10, 64)
		if err != nil {
			return err
		}
		h.mu.Lock()
		h.commits[n] = now
		h.mu.Unlock()
	}
	return nil
}

// print waits for the last events and prints.
func (h *horizon) print(ctx context.Context) error {
	count := func() int { h.mu.Lock(); defer h.mu.Unlock(); return len(h.delivered) }
	for end := time.Now().Add(30 * time.Second); count() < len(h.commits); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d events were delivered", count(), len(h.commits))
		}
	}
	out := json.NewEncoder(os.Stdout)
	what := fmt.Sprintf("PostgreSQL, while %d other transactions write for up to %v", h.writers, h.longest)
	m, err := machine(ctx, h.url, what, 1, map[string]any{"transactions": len(h.spans)})
	if err != nil {
		return err
	}
	if err := out.Encode(m); err != nil {
		return err
	}
	var all []held
	for xid, commit := range h.commits {
		all = append(all, h.of(xid, commit))
	}
	slices.SortFunc(all, func(a, b held) int { return int(a.XID) - int(b.XID) })
	for _, e := range all {
		if err := out.Encode(e); err != nil {
			return err
		}
	}
	return h.summarise(all, out)
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// of is what became of one event.
func (h *horizon) of(xid uint64, commit time.Time) held {
	e := held{Kind: "held", XID: xid, Commit: millis(commit.Sub(h.began)), Delay: millis(h.delivered[xid].Sub(commit))}
	last := commit
	for _, s := range h.spans {
		if s.xid < xid && s.end.After(commit) {
			e.Open++
			e.Oldest = max(e.Oldest, millis(s.end.Sub(s.begin)))
			if s.end.After(last) {
				last = s.end
			}
		}
	}
	e.Remaining, e.Beyond = millis(last.Sub(commit)), millis(h.delivered[xid].Sub(last))
	return e
}

// summarise prints the percentiles over all events.
func (h *horizon) summarise(all []held, out *json.Encoder) error {
	var beyond, delays, free []float64
	late := 0
	for _, e := range all {
		beyond = append(beyond, e.Beyond)
		if e.Delay > e.Oldest+10 {
			late++
		}
		if e.Open > 0 {
			delays = append(delays, e.Delay)
		} else {
			free = append(free, e.Delay)
		}
	}
	var r report.Rounds
	r.Add("events", "", float64(len(all)))
	r.Add("of which older transactions were open at their commit", "", float64(len(delays)))
	r.Add("delivered later than the age of the oldest of them and 10 ms after their commit", "0", float64(late))
	for _, list := range []struct {
		name   string
		values []float64
	}{
		{"delivered after the end of the last of them, or their commit: ms", beyond},
		{"where there were some, delivered after their commit: ms", delays},
		{"where there were none, delivered after their commit: ms", free},
	} {
		if slices.Sort(list.values); len(list.values) == 0 {
			continue
		}
		for _, q := range []struct {
			name string
			at   float64
		}{{"p50", 0.5}, {"p99", 0.99}, {"longest", 1}} {
			r.Add(list.name+", "+q.name, "", list.values[int(q.at*float64(len(list.values)-1))])
		}
	}
	return r.Write(out)
}
