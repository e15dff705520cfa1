package pgbus

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// recallSQL reads what makes the events of a channel the same as others, backwards from a position.
const recallSQL = `SELECT o.xid, o.id, o.stored_at, o.tenant_id, o.event_id, (SELECT m.epoch FROM {schema}.meta m)
FROM {schema}.outbox o
WHERE o.channel = $1 AND (o.xid, o.id) <= ($2, $3) AND o.xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY o.xid DESC, o.id DESC LIMIT $4`

var recallTypes = []uint32{oidText, oidXID8, oidInt8, oidInt8}

const (
	// recallFirst rows are all that most channels have had in two minutes.
	recallFirst = 512
	recallRows  = 4096
)

// Recall implements bus.Recaller. It reads no data, in pages, each in a statement of its own.
func (b *Bus) Recall(ctx context.Context, channel string, from, upTo event.Position) ([]bus.Recalled, bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	r := recall{channel: channel, from: place{from.Major, from.Minor}, epoch: upTo.Epoch}
	at, rows := place{upTo.Major, upTo.Minor}, recallFirst
	for more := from.SameRun(upTo) && upTo.Partition == 0 && max(from.Minor, upTo.Minor) < 1<<63; more; rows = recallRows {
		err := b.with(ctx, func(ctx context.Context, s *session) (err error) {
			before := r // it may be done twice
			if more, err = r.page(ctx, b.schema, s, at, rows); err != nil {
				r = before
			}
			return err
		})
		if err != nil {
			return nil, false, err
		}
		if at = r.at; at.id == 0 { // events have ids from 1 on
			break
		}
		at.id--
	}
	return r.list, r.after <= bus.RecallEvents, nil
}

// recall is one reading backwards.
type recall struct {
	channel string
	from    place
	epoch   uint64

	list          []bus.Recalled
	at            place     // of the last row
	after, before int       // rows behind from, and up to it
	since         time.Time // rows stored earlier do not count; zero: not known yet
}

// page reads on backwards; more: that was not all that counts.
func (r *recall) page(ctx context.Context, schema string, s *session, at place, rows int) (more bool, err error) {
	result := s.conn.ExecParams(ctx, fill(recallSQL, schema), [][]byte{
		[]byte(r.channel), xid8Value(at.xid), int8Value(int64(at.id)), int8Value(int64(rows)),
	}, recallTypes, []int16{1}, []int16{1})
	n, known := 0, true
	var stored time.Time
	for ; result.NextRow(); n++ {
		row := result.Values()
		if len(row) != 6 || len(row[0]) != 8 || len(row[1]) != 8 || len(row[2]) != 8 || len(row[5]) != 8 {
			_, _ = result.Close()
			return false, errRow
		}
		known = known && binary.BigEndian.Uint64(row[5]) == r.epoch
		r.at = place{binary.BigEndian.Uint64(row[0]), binary.BigEndian.Uint64(row[1])}
		stored = time.UnixMicro(int64(binary.BigEndian.Uint64(row[2])) + postgresEpoch)
		r.count(stored)
		r.list = append(r.list, bus.Recalled{
			TenantID: string(row[3]), ID: string(row[4]), At: stored,
			Position: event.Position{Epoch: r.epoch, Major: r.at.xid, Minor: r.at.id},
		})
	}
	if _, err := result.Close(); err != nil {
		return false, err
	}
	if !known { // the numbers are those of other events now
		r.list = nil
		return false, nil
	}
	old := r.before >= bus.RecallEvents || !r.since.IsZero() && stored.Before(r.since)
	return n == rows && r.after <= bus.RecallEvents && !old, nil
}

// count counts the row at r.at.
func (r *recall) count(stored time.Time) {
	if r.from.before(r.at) {
		r.after++
		return
	}
	if r.before++; r.since.IsZero() {
		r.since = stored.Add(-bus.RecallTime)
	}
}
