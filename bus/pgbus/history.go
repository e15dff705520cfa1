package pgbus

import (
	"bytes"
	"context"
	"encoding/binary"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// The answer to a question for history begins with a row about itself: xmin; epoch, what was pruned of this kind of
// channel, the newest event of the channel. It is planned each time: two indexes could serve, and which is good depends on
// how many events there are.
const (
	historySQL = `SELECT pg_snapshot_xmin(s), 0::bigint, now(), false, 1::smallint, concat_ws(' ', m.epoch,
    CASE $6 WHEN 0 THEN m.pruned_xid WHEN 1 THEN m.control_xid ELSE m.node_xid END,
    CASE $6 WHEN 0 THEN m.pruned_id WHEN 1 THEN m.control_id ELSE m.node_id END,
    coalesce(head.xid, '0'), coalesce(head.id, 0)),
  NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::json
FROM {schema}.meta m CROSS JOIN pg_current_snapshot() s LEFT JOIN LATERAL (SELECT h.xid, h.id FROM {schema}.outbox h
  WHERE h.channel = $1 AND h.xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY h.xid DESC, h.id DESC LIMIT 1) head ON true
UNION ALL
(SELECT ` + eventColumns + ` FROM {schema}.outbox o
WHERE o.channel = $1 AND (o.xid, o.id) > ($2, $3) AND o.xid < pg_snapshot_xmin(pg_current_snapshot()) AND o.v <= $5
ORDER BY o.xid, o.id LIMIT $4)`
)

// historyTypes are those of the statement's parameters.
var historyTypes = []uint32{oidText, oidXID8, oidInt8, oidInt8, oidInt8, oidInt8}

// History implements bus.Bus. A position that is not of this database's present epoch, or beyond the channel's
// newest event, is a gap; so is one before what was pruned. The start ($control: of what it must keep) is a gap only
// if something was pruned.
//
// The head of a channel without events is a position that everything later is after.
func (b *Bus) History(ctx context.Context, channel string, after event.Position, limit int) (bus.Page, error) {
	if err := ctx.Err(); err != nil {
		return bus.Page{}, err
	}
	var page bus.Page
	err := b.with(ctx, func(ctx context.Context, s *session) (err error) {
		page, err = b.history(ctx, s, channel, after, limit)
		return err
	})
	if err != nil {
		return bus.Page{}, err
	}
	return page, nil
}

func (b *Bus) history(ctx context.Context, s *session, channel string, after event.Position, limit int) (bus.Page, error) {
	from := after
	if after.Partition != 0 || after.Minor > 1<<63-1 { // no position of ours
		from = event.Position{Major: 1<<64 - 1, Minor: 1<<63 - 1}
	}
	kind := int64(0)
	switch {
	case bus.IsNode(channel):
		kind = 2
	case bus.IsControl(channel):
		kind = 1
	}
	result := s.conn.ExecParams(ctx, fill(historySQL, b.schema), [][]byte{
		[]byte(channel), xid8Value(from.Major), int8Value(int64(from.Minor)), int8Value(int64(max(limit, 0))), int8Value(Version), int8Value(kind),
	}, historyTypes, []int16{1}, []int16{1})
	var page bus.Page
	var about answerHead
	var failed error
	for headed := false; result.NextRow(); headed = true {
		row := result.Values()
		if failed != nil {
			continue
		}
		if !headed {
			about, failed = historyHead(row)
			continue
		}
		var m bus.Message
		if m, failed = message(row, about.epoch); failed == nil {
			page.Messages = append(page.Messages, m)
		}
	}
	if _, err := result.Close(); err != nil {
		return bus.Page{}, err
	}
	if failed != nil || about.epoch == 0 {
		return bus.Page{}, errRow
	}
	page.Head, page.Complete = about.head(), about.complete(after, kind == 1)
	if !page.Complete && !after.IsZero() && (after.Epoch != about.epoch || after.Partition != 0) {
		page.Messages = nil // they are after a position that means nothing
	}
	return page, nil
}

// answerHead is the row about an answer itself.
type answerHead struct {
	epoch  uint64
	pruned place // of this kind of channel
	newest place // event of the channel; zero: it has none
	end    place // everything before it was visible
}

// head is the position of the newest event. Without one it is where everything before was visible.
func (h *answerHead) head() event.Position {
	at := h.newest
	if at == (place{}) {
		at = h.end
	}
	return event.Position{Epoch: h.epoch, Major: at.xid, Minor: at.id}
}

// complete reports whether nothing is missing after a position.
func (h *answerHead) complete(after event.Position, control bool) bool {
	if after.IsZero() {
		return control || h.pruned == place{}
	}
	return after.SameRun(h.head()) && after.Compare(h.head()) <= 0 && !(place{after.Major, after.Minor}).before(h.pruned)
}

// historyHead reads the row about the answer itself.
func historyHead(row [][]byte) (h answerHead, err error) {
	if len(row) != columns || len(row[colXID]) != 8 {
		return h, errRow
	}
	var n [5]uint64
	fields := bytes.Fields(row[colChannel])
	if len(fields) != len(n) {
		return h, errRow
	}
	for i := range n {
		if n[i], err = number(fields[i]); err != nil {
			return h, err
		}
	}
	end := place{binary.BigEndian.Uint64(row[colXID]) - 1, wholly}
	return answerHead{epoch: n[0], pruned: place{n[1], n[2]}, newest: place{n[3], n[4]}, end: end}, nil
}
