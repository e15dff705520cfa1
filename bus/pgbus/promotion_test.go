package pgbus

import (
	"fmt"
	"strconv"
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
	select {
	case channel := <-c.gaps:
		if channel != "late" {
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
	next, err := strconv.ParseUint(p.primary.SQL(t, "postgres", "SELECT pg_snapshot_xmax(pg_current_snapshot())"), 10, 64)
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
	p.way.Cut()
	p.primary.Kill(t)
	p.follower.Promote(t)
	p.follower.SQL(t, "postgres", publish)
	p.follower.SQL(t, "postgres", fmt.Sprintf(inserts, 100))
	p.way.Restore()
}
