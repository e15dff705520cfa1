package pgbus

import (
	"context"
	"errors"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/fraiseql/fraiseql-go/event"
)

// doubt is what the reader does not take for granted after the server was another one, or began anew: its newest
// transactions may be lost, and their numbers are given to others.
type doubt struct {
	// timeline and started are which server it is, and when it was started; "": it does not say.
	timeline, started string
	// stood is where the reader stood before. What is found up to there, behind the newest event that was handed over, was either
	// of no interest when it was read, or was written since under a number that had been lost.
	stood    place
	of       uint64 // the interest at that newest event
	promoted bool   // another server
	unproven bool   // and nothing was handed over yet whose place would say what it has
	warned   map[string]bool
}

// known is what is known of an event that is found up to where the reader stood.
type known uint8

const (
	unread known = iota
	skipped
	doubtful // one or the other
)

// verify looks, on a new connection, for the newest event that was handed over. Where it is gone the server lost
// transactions that were read: another epoch begins. Else nothing below it was lost, and what is behind it is read again.
func (r *reader) verify(ctx context.Context) error {
	r.stand = r.b.relay.take()
	again, promoted, err := r.identify(ctx)
	if err != nil || !r.located {
		return err
	}
	rows, err := query(ctx, r.s.conn, fill(`SELECT m.epoch, pg_snapshot_xmax(pg_current_snapshot()) > $1::xid8
  AND (EXISTS (SELECT FROM {schema}.outbox o WHERE (o.xid, o.id) = ($2::xid8, $3::bigint) AND o.event_id = $4)
    OR ($2::xid8, $3::bigint) <= greatest((m.pruned_xid, m.pruned_id), (m.control_xid, m.control_id), (m.node_xid, m.node_id)))
FROM {schema}.meta m`, r.b.schema), decimal(r.at.xid), decimal(r.last.xid), decimal(r.last.id), r.lastID)
	if err != nil {
		return explain(err)
	}
	switch {
	case len(rows) != 1 || rows[0][0] != decimal(r.epoch): // the next read says so
	case rows[0][1] == "t":
		if again {
			r.goBack(promoted)
		}
	default:
		r.b.log.Warn("PostgreSQL has lost transactions whose events were delivered: a new epoch begins", "schema", r.b.schema)
		if _, err := query(ctx, r.s.conn, fill(`SELECT {schema}.renew($1)`, r.b.schema), rows[0][0]); err != nil {
			return explain(err)
		}
	}
	return nil
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

// identify asks which server it is. again: not the one of before, or it began anew. promoted: another one's history.
func (r *reader) identify(ctx context.Context) (again, promoted bool, err error) {
	rows, err := query(ctx, r.s.conn, `SELECT substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8), pg_postmaster_start_time()::text`)
	var refused *pgconn.PgError
	if err != nil && !errors.As(err, &refused) {
		return false, false, explain(err)
	}
	timeline, started := "", ""
	if err == nil && len(rows) == 1 {
		timeline, started = rows[0][0], rows[0][1]
	}
	if r.timeline != "" && timeline != "" {
		promoted = timeline != r.timeline
		again = promoted || started != r.started
	}
	r.timeline, r.started = timeline, started
	return again, promoted, nil
}

// goBack has everything behind the newest event that was handed over read again.
func (r *reader) goBack(promoted bool) {
	if r.last == (place{}) {
		r.unproven = r.unproven || promoted
		return
	}
	if !r.at.before(r.stood) { // else it has not come as far as before yet
		r.stood, r.of, r.promoted = r.at, r.lastOf, false
	}
	r.promoted, r.warned = r.promoted || promoted, nil
	r.at = r.last
	r.b.relay.place(r.stand)
}

// begin is for a place that nothing is known of before.
func (r *reader) begin(epoch uint64, at place) {
	r.stand = stand{located: true, epoch: epoch, at: at}
	r.stood, r.unproven = place{}, false
}

// known says what is known of an event. Of a channel that has been of interest since the newest event that had been handed
// over, everything was; of others nobody can tell, and it may be a gap where the server is another one.
func (r *reader) known(at place, channel []byte) known {
	if r.stood.before(at) {
		return unread
	}
	since := r.b.since(channel)
	switch {
	case since <= r.of: // or 0
		return unread
	case !r.promoted || r.warned[string(channel)]:
		return skipped
	}
	if r.warned == nil {
		r.warned = map[string]bool{}
	}
	r.warned[string(channel)] = true
	return doubtful
}

// gapAt says that events of a channel up to a place may be lost to this node.
func (p *page) gapAt(channel []byte, at place) {
	p.gap(string(channel), event.Position{Epoch: p.r.epoch, Major: at.xid, Minor: at.id})
}
