package pgbus

import (
	"context"
	"strconv"

	"github.com/fraiseql/fraiseql-go/event"
)

// doubt is what the reader does not take for granted after the server was another one, or began anew: its newest
// transactions may be lost, and their numbers are given to others.
type doubt struct {
	instance instance // the one that everything so far was made sure of with
	// stood is where the reader stood before. What is found up to there, behind the newest event that was handed over, was either
	// of no interest when it was read, or was written since under a number that had been lost. Zero: nothing is read again.
	stood    place
	of       uint64 // the interest at that newest event
	unproven bool   // another server, and nothing was handed over yet whose place would say what it has
}

// instance is which server it is, by its history and by when it was started; "": it does not say.
type instance struct{ timeline, started string }

// known is what is known of an event that is found up to where the reader stood.
type known uint8

const (
	unread   known = iota
	doubtful       // one or the other: events may be lost
	skipped        // as well, and a gap is told already
)

// verify finds out, on a new connection, what the server has of what was read before. Which server it is is noted last: where something
// fails before, the next connection begins with the same question.
func (r *reader) verify(ctx context.Context) error {
	r.stand = r.b.relay.take()
	now, err := r.identify(ctx)
	if err != nil {
		return err
	}
	if r.located {
		if err := r.prove(ctx, now); err != nil {
			return err
		}
	}
	r.instance = now
	return nil
}

// prove looks for the newest event that was handed over. Where it is gone the server lost transactions that were read:
// another epoch begins. Else nothing below it was lost, and what is behind it is read again if the server is another one, or began anew.
func (r *reader) prove(ctx context.Context, now instance) error {
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
		if r.instance != (instance{}) && r.instance != now {
			r.goBack(r.instance.timeline != now.timeline)
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

// identify asks which server it is. One that does not say so is taken for the one of before.
func (r *reader) identify(ctx context.Context) (instance, error) {
	rows, err := query(ctx, r.s.conn, `SELECT substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8), pg_postmaster_start_time()::text`)
	switch class(err) {
	case "0A", "42", "55": // it has no such functions, or this user may not call them
		return r.instance, nil
	}
	if err != nil {
		return instance{}, explain(err)
	}
	return instance{rows[0][0], rows[0][1]}, nil
}

// goBack has everything behind the newest event that was handed over read again. promoted: of another history.
func (r *reader) goBack(promoted bool) {
	if r.last == (place{}) {
		r.unproven = r.unproven || promoted
		return
	}
	if !r.at.before(r.stood) { // else it has not come as far as before yet
		r.stood, r.of = r.at, r.lastOf
	}
	r.at = r.last
	r.b.relay.place(r.stand)
	r.b.seek()
}

// begin is for a place that nothing is known of before.
func (r *reader) begin(epoch uint64, at place) {
	r.stand = stand{located: true, epoch: epoch, at: at}
	r.stood, r.unproven = place{}, false
}

// known says what is known of an event. Of a channel that has been of interest since the newest event that had been handed
// over, everything was; of others nobody can tell, and it may be a gap, which is told once in a page.
func (p *page) known(at place, channel []byte) known {
	r := p.r
	if r.stood.before(at) || r.b.since(channel) <= r.of { // or 0
		return unread
	}
	if p.warned[string(channel)] {
		return skipped
	}
	if p.warned == nil {
		p.warned = map[string]bool{}
	}
	p.warned[string(channel)] = true
	return doubtful
}

// gapAt says that events of a channel up to a place may be lost to this node.
func (p *page) gapAt(channel []byte, at place) {
	p.gap(string(channel), event.Position{Epoch: p.r.epoch, Major: at.xid, Minor: at.id})
}
