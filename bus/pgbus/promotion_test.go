package pgbus

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// inserts are that many transactions of which none is an event.
const inserts = `DO $$BEGIN FOR i IN 1..%d LOOP INSERT INTO other VALUES (i); COMMIT; END LOOP; END$$`

// TestPromotionReusesNumbers promotes a follower that lacks transactions of which none was an event: their numbers are given to
// others, and what those publish is delivered, although the node had read on beyond.
func TestPromotionReusesNumbers(t *testing.T) {
	b, c, p := promoting(t)
	publishEach(t, b, 1, 10)
	receive(t, c, 1, 10)
	p.fallBehind(t, b)
	p.promote(t, `SELECT fraiseql.publish('c', 't', '{}', id => '11')`)
	receive(t, c, 11, 11)
	wantNoGap(t, c)
}

// TestPromotionOfWhatNobodyCanTell has a subscriber that came after the newest event that was delivered: what is found below
// where it began may be older than it, or be new.
func TestPromotionOfWhatNobodyCanTell(t *testing.T) {
	b, c, p := promoting(t)
	publishEach(t, b, 1, 1)
	receive(t, c, 1, 1)
	p.fallBehind(t, b)
	b.Interest("late", true)
	if err := b.Established(t.Context(), "late"); err != nil {
		t.Fatal(err)
	}
	p.promote(t, `SELECT fraiseql.publish('late', 't', '{}', id => 'unseen')`)
	wantGapIn(t, c, "late")
}

// wantGapIn waits for a gap, in a channel.
func wantGapIn(t *testing.T, c *collector, want string) {
	t.Helper()
	select {
	case channel := <-c.gaps:
		if channel != want {
			t.Errorf("a gap in %s", channel)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("no gap was told")
	}
}

// TestPromotionBeforeAnyEvent has nothing that would say what the new primary lacks.
func TestPromotionBeforeAnyEvent(t *testing.T) {
	b, c, p := promoting(t)
	p.fallBehind(t, b)
	p.promote(t, `SELECT fraiseql.publish('c', 't', '{}', id => 'unseen')`)
	wantGap(t, c)
}

// refusing makes a function that stands before the server's own for every connection made from then on, and fails.
const refusing = `CREATE SCHEMA mask;
CREATE FUNCTION mask.%s LANGUAGE plpgsql AS $$BEGIN RAISE 'not now' USING ERRCODE = '57014'; END$$;
ALTER ROLE postgres SET search_path = mask, pg_catalog, public`

// TestPromotionThatIsLookedAtTwice has the new primary fail at one of the questions that a new connection begins with. The next connection
// goes back as far as the first one would have.
func TestPromotionThatIsLookedAtTwice(t *testing.T) {
	for question, function := range map[string]string{
		"which server it is": "pg_postmaster_start_time() RETURNS timestamptz",
		"what it has":        "pg_snapshot_xmax(pg_snapshot) RETURNS xid8",
	} {
		t.Run(question, func(t *testing.T) {
			b, c, p := promoting(t)
			publishEach(t, b, 1, 10)
			receive(t, c, 1, 10)
			p.fallBehind(t, b)
			p.takeOver(t)
			p.follower.SQL(t, "postgres", `SELECT fraiseql.publish('c', 't', '{}', id => '11')`)
			p.follower.SQL(t, "postgres", fmt.Sprintf(refusing, function))
			p.found(t)
			until(t, "the question was refused", func() bool { return strings.Contains(b.Status().Problem, "57014") })
			p.follower.SQL(t, "postgres", "ALTER ROLE postgres RESET search_path")
			receive(t, c, 11, 11)
			wantNoGap(t, c)
		})
	}
}

// TestPromotionWithATransactionUnderWay has a transaction of the new primary end after the node has read what is there. Its number is one of those
// that were lost, but what it publishes is new to everybody.
func TestPromotionWithATransactionUnderWay(t *testing.T) {
	b, c, p := promoting(t)
	publishEach(t, b, 1, 1)
	receive(t, c, 1, 1)
	p.fallBehind(t, b)
	before, _ := b.relay.state()
	p.takeOver(t)
	url := p.follower.URL("postgres", "postgres")
	conn := connect(t, url)
	runSQL(t, conn, url, "BEGIN")
	xid, err := strconv.ParseUint(runSQL(t, conn, url, "SELECT pg_current_xact_id()")[0][0], 10, 64)
	if err != nil || xid > before.at.xid {
		t.Fatalf("transaction %d, read up to %d, %v", xid, before.at.xid, err)
	}
	p.found(t)
	until(t, "the node has read what is there", func() bool {
		s, _ := b.relay.state()
		return s.at == place{xid - 1, wholly}
	})
	b.Interest("late", true)
	if err := b.Established(t.Context(), "late"); err != nil {
		t.Fatal(err)
	}
	runSQL(t, conn, url, `SELECT {schema}.publish('late', 't', '{}', id => 'new')`)
	runSQL(t, conn, url, "COMMIT")
	if m := c.next(t); m.Event.ID != "new" {
		t.Errorf("event %s", m.Event.ID)
	}
	wantNoGap(t, c)
}

// TestRestartOfWhatNobodyCanTell has a subscriber that came after the newest event that was delivered, and the server begin anew: some numbers
// may have been lost then, too.
func TestRestartOfWhatNobodyCanTell(t *testing.T) {
	p := testkit.NewPostgres(t)
	b, c := listening(t, p.URL("postgres", "postgres")+"&poll=5ms", "c")
	publishEach(t, b, 1, 1)
	receive(t, c, 1, 1)
	p.SQL(t, "postgres", `SELECT fraiseql.publish('late', 't', '{}')`)
	readOn(t, b, p)
	b.Interest("late", true)
	if err := b.Established(t.Context(), "late"); err != nil {
		t.Fatal(err)
	}
	p.Kill(t)
	p.Start(t)
	wantGapIn(t, c, "late")
}

// pair is a primary with a follower, each behind a proxy.
type pair struct {
	primary, follower *testkit.Postgres
	copying, way      *testkit.Proxy // what the follower copies through, and the node's way to it
}

// promoting returns a node that reads channel c of the primary and knows the follower.
func promoting(t *testing.T) (*Bus, *collector, *pair) {
	t.Helper()
	p := &pair{primary: testkit.NewPostgres(t)}
	p.copying = testkit.NewProxy(t, p.primary.Addr)
	if _, err := Install(t.Context(), p.primary.URL("postgres", "postgres")); err != nil {
		t.Fatal(err)
	}
	p.primary.SQL(t, "postgres", "CREATE TABLE other (n int)")
	p.follower = p.primary.Follow(t, p.copying.Addr, "follower")
	p.way = testkit.NewProxy(t, p.follower.Addr)
	url := "postgres://postgres@" + p.primary.Addr + "," + p.way.Addr + "/postgres?sslmode=disable&target_session_attrs=read-write&poll=5ms"
	b, c := listening(t, url, "c")
	return b, c, p
}

// fallBehind lets the follower have what there is, and then no more, while the node reads on.
func (p *pair) fallBehind(t *testing.T, b *Bus) {
	t.Helper()
	const count = "SELECT count(*) FROM fraiseql.outbox"
	have := p.primary.SQL(t, "postgres", count)
	until(t, "the follower has all events", func() bool { return p.follower.SQL(t, "postgres", count) == have })
	p.copying.Cut()
	p.primary.SQL(t, "postgres", fmt.Sprintf(inserts, 50))
	readOn(t, b, p.primary)
}

// readOn waits until the node has read whatever its server has by now.
func readOn(t *testing.T, b *Bus, server *testkit.Postgres) {
	t.Helper()
	next, err := strconv.ParseUint(server.SQL(t, "postgres", "SELECT pg_snapshot_xmax(pg_current_snapshot())"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the node has read on", func() bool {
		s, _ := b.relay.state()
		return s.at.xid >= next-1
	})
}

// promote has something published by the new primary before the node finds it.
func (p *pair) promote(t *testing.T, publish string) {
	t.Helper()
	p.takeOver(t)
	p.follower.SQL(t, "postgres", publish)
	p.found(t)
}

// takeOver has the follower in the primary's place, where the node does not reach it yet.
func (p *pair) takeOver(t *testing.T) {
	t.Helper()
	p.way.Cut()
	p.primary.Kill(t)
	p.follower.Promote(t)
}

// found lets the node find the new primary, whose numbers are beyond those that were lost by then.
func (p *pair) found(t *testing.T) {
	t.Helper()
	p.follower.SQL(t, "postgres", fmt.Sprintf(inserts, 100))
	p.way.Restore()
}
