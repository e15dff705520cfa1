package pgbus

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// one is an event of a channel.
func one(channel, id string) bus.Message {
	return bus.Message{Event: event.Event{Channel: channel, Type: "t", ID: id, Timestamp: time.Unix(1, 2345).UTC(), Data: []byte(`{"a":1}`)}}
}

// publish publishes and wants all accepted.
func publish(t *testing.T, b *Bus, batch ...bus.Message) {
	t.Helper()
	if receipt, err := b.Publish(t.Context(), batch); err != nil || receipt.Accepted != len(batch) {
		t.Fatal(receipt, err)
	}
}

// alone publishes through b until it delivers an event from memory, which it does as soon as nobody else writes to the server.
func alone(t *testing.T, b *Bus, c *collector, channel string, publish func()) {
	t.Helper()
	until(t, "an event is delivered without having been read", func() bool {
		before := b.relay.count()
		publish()
		c.next(t)
		return b.relay.count() > before
	})
}

// TestOwnEventsAreAsTheyAreRead compares what a node delivers from memory with what another one reads, and with
// history.
func TestOwnEventsAreAsTheyAreRead(t *testing.T) {
	p := testkit.NewPostgres(t) // of its own: nobody else writes
	url := p.URL("postgres", "postgres")
	if _, err := Install(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	a, ca := listening(t, url, "a", "b")
	other, cb := listening(t, url, "a", "b")
	batch := []bus.Message{one("a", "1"), one("elsewhere", "2"), one("b", "3"), one("a", "4"), one("a", "")}
	batch[0].Event.TenantID, batch[0].Event.UserID = "acme", "ada"
	batch[2].Event.Broadcast, batch[2].Event.Data = true, []byte("{\"a\":\r\n \"ü\\n\"}")
	batch[3].Event.FederationID, batch[3].Event.ServiceName = "f", "s"
	batch[4].Event.UID, batch[4].Event.Timestamp = event.NewID(), time.Now()
	before := a.relay.count()
	for n := 0; a.relay.count() == before; n++ {
		if n == 100 {
			t.Fatal("nothing was delivered without having been read")
		}
		publish(t, a, batch...)
		read := map[string][]bus.Message{}
		for range 4 {
			m := cb.next(t)
			read[m.Event.Channel] = append(read[m.Event.Channel], m)
		}
		kept := map[string][]bus.Message{}
		for range 4 {
			m := ca.next(t)
			kept[m.Event.Channel] = append(kept[m.Event.Channel], m)
		}
		if diff := cmp.Diff(read, kept); diff != "" {
			t.Fatalf("read and kept: %s", diff)
		}
		for channel, list := range kept {
			after := list[0].Position
			after.Minor--
			page, err := other.History(t.Context(), channel, after, 10)
			if err != nil || cmp.Diff(page.Messages, list) != "" {
				t.Fatalf("history: %v, %s", err, cmp.Diff(page.Messages, list))
			}
		}
	}
}

// TestNothingIsPassedOver lets a node deliver its own events from memory while others write what it has to read:
// in silence, held back by an older transaction, rolled back, and by what pretends to be a notification.
func TestNothingIsPassedOver(t *testing.T) {
	url := fresh(t)
	b, c := listening(t, url, "c")
	other, quiet := connect(t, url), connect(t, url)
	runSQL(t, quiet, url, `SET fraiseql.notify = off`)
	n := 0
	step := func(do func(id string)) {
		t.Helper()
		alone(t, b, c, "c", func() { n++; publish(t, b, one("c", fmt.Sprint(n))) })
		do("other")
		n++
		publish(t, b, one("c", fmt.Sprint(n)))
		if id := c.next(t).Event.ID; id != "other" {
			t.Fatalf("%s was delivered first", id)
		}
		if id := c.next(t).Event.ID; id != fmt.Sprint(n) {
			t.Fatalf("%s was delivered second, want %d", id, n)
		}
	}
	insert := `SELECT {schema}.publish('c', 't', '{}', id => $1)`
	step(func(id string) { runSQL(t, other, url, insert, id) })
	step(func(id string) { runSQL(t, quiet, url, insert, id) })
	step(func(id string) {
		runSQL(t, quiet, url, "BEGIN")
		runSQL(t, quiet, url, insert, "undone")
		runSQL(t, quiet, url, "ROLLBACK")
		runSQL(t, quiet, url, insert, id)
	})
	step(func(id string) {
		for _, payload := range []string{"", "x", "0 0", "18446744073709551615 1", "18446744073709551614", "1 1", strings.Repeat("9", 7000), "-1 -1"} {
			runSQL(t, other, url, `SELECT pg_notify($1, $2)`, b.schema, payload)
		}
		runSQL(t, quiet, url, insert, id)
	})
	// An older transaction is open while the node publishes: its event comes first.
	alone(t, b, c, "c", func() { n++; publish(t, b, one("c", fmt.Sprint(n))) })
	runSQL(t, quiet, url, "BEGIN")
	runSQL(t, quiet, url, insert, "late")
	publish(t, b, one("c", "held 1"), one("c", "held 2"))
	publish(t, b, one("c", "held 3"))
	select {
	case m := <-c.messages:
		t.Fatalf("%s was delivered before an older transaction has ended", m.Event.ID)
	default:
	}
	runSQL(t, quiet, url, "COMMIT")
	for _, want := range []string{"late", "held 1", "held 2", "held 3"} {
		if id := c.next(t).Event.ID; id != want {
			t.Fatalf("%s, want %s", id, want)
		}
	}
}

// TestNodesAndProgramsWrite has two nodes and programs publish at the same time, while the connections of one node are
// ended. Both deliver the same in the same order.
func TestNodesAndProgramsWrite(t *testing.T) {
	url := fresh(t)
	a, ca := listening(t, url, "c")
	b, cb := listening(t, url+"&application_name=victim", "c")
	book := &ledger{committed: map[string]bool{}, undone: map[string]bool{}}
	ctx, cancel := context.WithTimeout(t.Context(), *writing)
	defer cancel()
	var wait sync.WaitGroup
	for w := range 6 {
		node := []*Bus{a, b}[w%2]
		wait.Go(func() {
			refused := 0
			for n := 0; ctx.Err() == nil; n++ {
				batch := make([]bus.Message, 1+rand.IntN(3))
				for i := range batch {
					batch[i] = one("c", fmt.Sprintf("node-%d.%d.%d", w, n, i))
				}
				for again := true; again; refused++ {
					_, err := node.Publish(context.WithoutCancel(ctx), batch)
					again = err != nil
				}
				book.mu.Lock()
				for _, m := range batch {
					book.committed[m.Event.ID] = true
				}
				book.mu.Unlock()
			}
		})
	}
	for w := range 3 {
		conn := connect(t, url)
		wait.Go(func() { book.program(t, ctx, conn, url, fmt.Sprint("program-", w)) })
	}
	killer := connect(t, url)
	for tick := time.NewTicker(200 * time.Millisecond); ctx.Err() == nil; <-tick.C {
		runSQL(t, killer, url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim'`)
	}
	wait.Wait()
	publish(t, a, one("c", "end"))
	var orders [2][]string
	for i, c := range []*collector{ca, cb} {
		seen := map[string]bool{}
		for m := c.next(t); m.Event.ID != "end"; m = c.next(t) {
			if !seen[m.Event.ID] {
				orders[i] = append(orders[i], m.Event.ID)
			}
			seen[m.Event.ID] = true
		}
		for id := range book.committed {
			if !seen[id] {
				t.Errorf("node %d: %s is lost", i, id)
			}
		}
	}
	if diff := cmp.Diff(orders[0], orders[1]); diff != "" {
		t.Errorf("two orders: %s", diff)
	}
	t.Logf("%d events; one node has delivered %d transactions from memory, the other one %d", len(book.committed), a.relay.count(), b.relay.count())
}

// program publishes by transactions of random length.
func (l *ledger) program(t *testing.T, ctx context.Context, conn *pgconn.PgConn, url, name string) {
	for n := 0; ctx.Err() == nil; n++ {
		id := fmt.Sprintf("%s.%d", name, n)
		if _, err := trySQL(context.WithoutCancel(ctx), conn, url, `SELECT {schema}.publish('c', 't', '{}', id => $1), pg_sleep($2::float8)`, id,
			fmt.Sprint(rand.ExpFloat64()*0.01)); err != nil {
			t.Error(err)
			return
		}
		l.mu.Lock()
		l.committed[id] = true
		l.mu.Unlock()
	}
}

// relaying is a bus without a server, whose relay stands behind transaction 100.
type relaying struct {
	*testing.T
	b     *Bus
	shard chan delivery
}

func newRelaying(t *testing.T) *relaying {
	b := open(t, "postgres://postgres@127.0.0.1:1/x")
	b.interest.channels["c"] = 1
	b.relay.put(stand{located: true, epoch: 7, at: place{100, wholly}})
	return &relaying{t, b, b.shards[shardOf("c")]}
}

// send begins to write an event and returns its mark.
func (r *relaying) send(id string) uint64 {
	q := &request{done: make(chan error, 1)}
	m := one("c", id)
	q.add(&m)
	return r.b.relay.expect([]*request{q})
}

// heard takes a notification and wants to read up to a transaction.
func (r *relaying) heard(xid, mark, read uint64) {
	r.Helper()
	if got := r.b.relay.heard(fmt.Sprintf("%d %x", xid, mark)); got != read {
		r.Errorf("read up to %d, want %d", got, read)
	}
}

// want wants these delivered, and the stand behind a transaction.
func (r *relaying) want(at uint64, ids ...string) {
	r.Helper()
	for _, id := range ids {
		select {
		case d := <-r.shard:
			if len(d.messages) != 1 || d.messages[0].Event.ID != id {
				r.Errorf("%+v, want %s", d, id)
			}
		default:
			r.Errorf("%s was not delivered", id)
		}
	}
	if len(r.shard) > 0 {
		r.Errorf("more was delivered: %+v", <-r.shard)
	}
	if s, _ := r.b.relay.state(); s.at != (place{at, wholly}) {
		r.Errorf("at %v, want %d", s.at, at)
	}
}

// waits wants a transaction to wait for its turn, after which the reader reads.
func (r *relaying) waits() {
	r.Helper()
	if _, pending := r.b.relay.state(); pending.IsZero() {
		r.Error("nothing waits for its turn")
	}
}

// TestRelayInOrder goes through what may come first.
func TestRelayInOrder(t *testing.T) {
	r := newRelaying(t)
	l, send, heard, want := &r.b.relay, r.send, r.heard, r.want
	first, second := send("1"), send("2")
	l.committed(first, 101, []int64{1})
	want(100) // whether it is the same server is not known
	heard(101, first, 0)
	want(101, "1")
	heard(101, first, 101) // which is behind
	heard(102, second, 0)
	want(101) // what it is, the writer has not been told
	l.committed(second, 102, []int64{2})
	want(102, "2")

	third, fourth := send("3"), send("4")
	l.committed(fourth, 104, []int64{4})
	heard(104, fourth, 0)
	want(102)
	r.waits()
	l.committed(third, 103, []int64{3})
	heard(103, third, 0)
	want(104, "3", "4")
}

// TestRelayAndReader goes through what the reader has to read.
func TestRelayAndReader(t *testing.T) {
	r := newRelaying(t)
	l, send, heard, want, shard := &r.b.relay, r.send, r.heard, r.want, r.shard
	stranger := send("5")
	l.committed(stranger, 101, []int64{5})
	heard(106, stranger, 106) // of another server
	want(100)
	lost := send("6")
	heard(106, lost, 0)
	l.failed(lost)
	want(100)
	r.waits() // what was written, perhaps, and not acknowledged
	s := l.take()
	read := send("7")
	heard(107, read, 0)
	l.committed(read, 107, []int64{7})
	if len(shard) > 0 {
		t.Error("delivered while the reader reads")
	}
	s.at = place{106, wholly}
	l.put(s)
	want(107, "7")
	if len(l.own) > 0 {
		t.Errorf("%+v", l.own)
	}
	for range relayed {
		shard <- delivery{}
	}
	full := send("8")
	l.committed(full, 108, []int64{8})
	heard(108, full, 0)
	if s, pending := l.state(); s.at.xid != 107 || pending.IsZero() || len(shard) > relayed {
		t.Errorf("a handler that is behind: %+v, %v", s, pending)
	}
	l.part()
	heard(108, full, 108)
}
