package pgbus

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

const (
	// pageRows and pageBytes bound one read, which is taken whole before anything is handed over: no statement waits
	// for a handler, holding locks. It is repeated at once while there is more.
	pageRows  = 1024
	pageBytes = 8 << 20
	// maxFilter is up to how many channels the server leaves out what is not of interest. Above, everything is read.
	maxFilter = 64
	// pace is the time from one read to the next while transactions commit in numbers: events gather, and the server is asked no
	// more often than that on average, also where nothing of it is for this node. Up to ahead reads need not wait for it: where few
	// commit, each is read at once.
	//
	// It lies between half a millisecond, with less latency, and a whole one, with less processor time (ADR 0023).
	pace, ahead = 700 * time.Microsecond, 8
	// What is committed but held back by an older transaction is asked for again after chaseFirst, then after twice
	// as long up to chaseLast: nobody is notified when that transaction ends without an event.
	chaseFirst, chaseLast = time.Millisecond, 8 * time.Millisecond
	// answerTime bounds the wait for an answer before the connection is given up.
	answerTime = 10 * time.Second
	// Between attempts to connect: a random time up to a bound that doubles.
	backoffFirst, backoffLast = 50 * time.Millisecond, 3 * time.Second
)

// place is a position of the outbox: everything up to it was read.
type place struct{ xid, id uint64 }

// wholly is behind every event of a transaction.
const wholly = 1<<63 - 1

func (p place) before(q place) bool { return p.xid < q.xid || p.xid == q.xid && p.id < q.id }

// reader is the goroutine that reads, and its one connection, on which it listens too.
type reader struct {
	b        *Bus
	s        *session
	question *pgconn.StatementDescription
	told     uint64 // up to which transaction is to be read, after notifications
	stand           // while it reads; else the relay has it
	table    uint64 // what the connection reads; 0: not known yet
	doubt           // after a reconnect

	began time.Time     // the last read
	chase time.Duration // until the next read of what is held back; 0: nothing is
	limit int64         // rows of the next read: fewer after large ones
	due   time.Time     // of the next read, at that pace
	timer *time.Timer   // of rest
	late  bool          // events are held back for longer than max_lag
}

// run connects and reads until the bus is closed.
func (r *reader) run(ctx context.Context) {
	for attempt := 0; ctx.Err() == nil; attempt++ {
		err := r.connect(ctx)
		if err == nil {
			attempt = 0
			err = r.follow(ctx)
		}
		r.disconnect(ctx, err)
		pause(ctx, backoff(attempt))
	}
}

// backoff is the pause after a number of failures.
func backoff(attempt int) time.Duration {
	most := min(backoffFirst<<min(attempt, 10), backoffLast)
	return most/4 + rand.N(most)*3/4
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// connect makes a connection on which everything is right, and listens.
func (r *reader) connect(ctx context.Context) error {
	server := r.b.server.Copy()
	server.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) { r.told = max(r.told, r.b.relay.heard(n.Payload)) }
	ctx, cancel := context.WithTimeout(ctx, r.b.answer+server.ConnectTimeout)
	defer cancel()
	s, err := r.b.open(ctx, server)
	if err != nil {
		return err
	}
	r.s, r.limit, r.table = s, pageRows, 0
	s.interruptible(r.b.ctx)
	if err := r.prepare(ctx); err != nil {
		return err
	}
	if err := r.verify(ctx); err != nil {
		return err
	}
	r.told = everything // whatever came while nobody listened
	r.b.change(func(s *bus.Status) {
		if s.Connected {
			return
		}
		if r.b.connected {
			s.Reconnects++
		}
		r.b.connected = true
		s.Connected, s.Since, s.Problem, s.Cause = true, time.Now(), "", ""
	})
	r.b.log.Info("PostgreSQL is connected", "schema", r.b.schema)
	return nil
}

const readName = "fraiseql_read"

// The answer to a read begins with a row about itself: xmin, xmax and whether events are held back; epoch; what was
// pruned of ordinary channels, of $control, of those of nodes; which table it is. It is of the same snapshot as the events. That there are
// events above xmin is asked by order: a condition could be planned, while a partition is empty, over the index that begins
// with the channel, and would then take longer with every event. There are none where no transaction is open.
const readSQL = `SELECT pg_snapshot_xmin(s), 0::bigint, now(),
  CASE WHEN pg_snapshot_xmin(s) = pg_snapshot_xmax(s) THEN false
    ELSE coalesce((SELECT p.xid FROM {schema}.outbox p ORDER BY p.xid DESC, p.id DESC LIMIT 1) >= pg_snapshot_xmin(s), false) END, 1::smallint,
  concat_ws(' ', pg_snapshot_xmax(s), m.epoch, m.pruned_xid, m.pruned_id, m.control_xid, m.control_id, m.node_xid, m.node_id, '{schema}.outbox'::regclass::oid),
  NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::json
FROM {schema}.meta m, pg_current_snapshot() s
UNION ALL
(SELECT ` + eventColumns + ` FROM {schema}.outbox o
WHERE (o.xid, o.id) > ($1, $2) AND o.xid < pg_snapshot_xmin(pg_current_snapshot()) AND ($4 OR o.channel = ANY ($3))
ORDER BY o.xid, o.id LIMIT $5)`

func (r *reader) prepare(ctx context.Context) error {
	if err := generic(ctx, r.s.conn); err != nil {
		return err
	}
	var err error
	if r.question, err = r.s.conn.Prepare(ctx, readName, fill(readSQL, r.b.schema), []uint32{oidXID8, oidInt8, oidTextArray, oidBool, oidInt8}); err != nil {
		return explain(err)
	}
	if !r.b.notify {
		return nil
	}
	if _, err := r.s.conn.Exec(ctx, `LISTEN "`+r.b.schema+`"`).ReadAll(); err != nil {
		return explain(err)
	}
	return nil
}

// disconnect notes why there is no connection.
func (r *reader) disconnect(ctx context.Context, err error) {
	r.b.relay.part()
	if r.s != nil {
		r.s.close()
		r.s = nil
	}
	if ctx.Err() != nil {
		return
	}
	err = explain(err)
	changed := false
	r.b.change(func(s *bus.Status) {
		changed = s.Connected || s.Problem != err.Error()
		if s.Connected {
			s.Connected, s.Since = false, time.Now()
		}
		s.Problem, s.Cause = err.Error(), causeOf(err)
	})
	if changed {
		r.b.log.Warn("PostgreSQL is away", "schema", r.b.schema, "problem", err.Error())
	}
}

// follow reads for as long as the connection lives.
func (r *reader) follow(ctx context.Context) error {
	for {
		more, err := r.read(ctx)
		if err != nil {
			return err
		}
		if more {
			continue
		}
		if err := r.wait(ctx); err != nil {
			return err
		}
	}
}

// wait returns when it is time to read again.
func (r *reader) wait(ctx context.Context) error {
	for ctx.Err() == nil {
		s, pending := r.b.relay.state()
		if r.told > s.at.xid {
			if d := time.Until(r.due); d > 0 {
				nap(d) // a pace at most
			}
			return ctx.Err()
		}
		until := r.began.Add(r.b.poll)
		if r.chase > 0 {
			until = r.began.Add(min(r.b.poll, r.chase))
		}
		if turn := pending.Add(grace); !pending.IsZero() && turn.Before(until) {
			until = turn
		}
		d := time.Until(until)
		if d <= 0 {
			return nil
		}
		if !r.b.notify {
			r.rest(ctx, d)
			continue
		}
		if err := r.listen(ctx, until); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// rest waits, or until ctx ends.
func (r *reader) rest(ctx context.Context, d time.Duration) {
	if r.timer == nil {
		r.timer = time.NewTimer(d)
	} else {
		r.timer.Reset(d)
	}
	select {
	case <-r.timer.C:
	case <-ctx.Done():
	}
}

// listen waits for a notification, or for a time.
func (r *reader) listen(ctx context.Context, until time.Time) error {
	if err := r.s.until(ctx, until); err != nil {
		return err
	}
	err := r.s.conn.WaitForNotification(context.Background())
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && (r.s.conn.IsClosed() || !pgconn.Timeout(err)) {
		return err
	}
	return nil
}

// read reads one page and hands it over. more: the page was full.
func (r *reader) read(ctx context.Context) (more bool, err error) {
	channels, some, version := r.b.beginRead()
	r.stand = r.b.relay.take()
	defer func() {
		if err == nil {
			r.b.relay.put(r.stand)
		}
		r.b.endRead(r.located && !r.at.before(r.stood))
	}()
	limit := r.limit
	if !r.located || some && len(channels) == 0 {
		limit = 0
	}
	r.began = time.Now()
	r.told, r.due = 0, nextDue(r.due, r.began)
	if err := r.s.until(ctx, r.began.Add(r.b.answer)); err != nil {
		return false, err
	}
	result := r.s.conn.ExecStatement(context.Background(), r.question,
		[][]byte{xid8Value(r.at.xid), int8Value(int64(r.at.id)), textArray(channels), boolValue(!some), int8Value(limit)},
		binaryForm, binaryForm)
	p := page{r: r, all: !some, version: version}
	for result.NextRow() && p.err == nil {
		p.row(result.Values())
	}
	if _, err := result.Close(); err != nil || p.err != nil {
		// What was handed over is behind us; the rest is read again.
		return false, errors.Join(err, p.err)
	}
	if !p.headed {
		return false, errRow
	}
	return p.finish(limit), nil
}

// nextDue is when the read after one at now is due, if that one was at due. It is within a pace, however many were before their time
// (those of what is held back, and those that go on with a full page, do not wait).
func nextDue(due, now time.Time) time.Time {
	if earliest := now.Add(-ahead * pace); due.Before(earliest) {
		due = earliest
	} else if due.After(now) {
		due = now
	}
	return due.Add(pace)
}

// errReplaced ends a connection, so that what is in the table is verified as after any other reconnect.
const errReplaced = told("the outbox was replaced by another one, as a restore does")

// page is one read on its way.
type page struct {
	r       *reader
	all     bool   // events of channels without interest are among them
	version uint64 // of the interest that it goes by
	err     error
	headed  bool
	held    bool // committed events are held back
	skip    bool // the rest is not taken: another epoch has begun, or there are enough bytes
	rows    int64
	end     place           // everything before it was visible to the read
	warned  map[string]bool // channels in which a gap is told for what is doubtful

	pending [shards][]delivery
	bytes   int
	last    place // of the row that was taken last
	// newest is the newest event that was taken.
	newest   place
	newestID string
}

// row takes a row of the answer.
func (p *page) row(row [][]byte) {
	if !p.headed {
		p.headed = true
		p.err = p.head(row)
		return
	}
	if p.skip {
		return
	}
	p.rows++
	p.err = p.take(row)
	p.skip = p.bytes >= pageBytes
}

// head takes the row about the read itself.
func (p *page) head(row [][]byte) error {
	if len(row) != columns || len(row[colXID]) != 8 || len(row[colBroadcast]) != 1 {
		return errRow
	}
	var n [9]uint64
	fields := bytes.Fields(row[colChannel])
	if len(fields) != len(n) {
		return errRow
	}
	for i := range n {
		var err error
		if n[i], err = number(fields[i]); err != nil {
			return err
		}
	}
	r := p.r
	if r.table == 0 {
		r.table = n[8]
	}
	if r.table != n[8] {
		return errReplaced
	}
	xmin := binary.BigEndian.Uint64(row[colXID])
	p.held = row[colBroadcast][0] != 0
	p.end = place{xmin - 1, wholly}
	r.b.horizon.see(xmin, n[0])
	r.tellLag()
	if epoch := n[1]; !r.located || r.epoch != epoch || r.unproven {
		if p.skip = true; r.located {
			p.gaps(func(string) bool { return true }, event.Position{Epoch: epoch, Major: p.end.xid, Minor: p.end.id})
		}
		r.begin(epoch, p.end)
		return nil
	}
	for i, of := range []func(string) bool{ordinary, control, bus.IsNode} {
		if pruned := (place{n[2+2*i], n[3+2*i]}); r.at.before(pruned) && r.stood.before(pruned) {
			p.gaps(of, event.Position{Epoch: r.epoch, Major: pruned.xid, Minor: pruned.id})
		}
	}
	return nil
}

func ordinary(channel string) bool { return !bus.IsControl(channel) }
func control(channel string) bool  { return bus.IsControl(channel) && !bus.IsNode(channel) }

// gaps says that events of channels of a kind are lost to this node.
func (p *page) gaps(of func(string) bool, head event.Position) {
	n := 0
	for _, channel := range p.r.b.wanted() {
		if of(channel) {
			p.gap(channel, head)
			n++
		}
	}
	if n > 0 {
		p.r.b.log.Warn("events were pruned or lost before this node had read them", "schema", p.r.b.schema, "channels", n)
	}
}

func (p *page) gap(channel string, head event.Position) {
	shard := shardOf(channel)
	p.pending[shard] = append(p.pending[shard], delivery{gap: channel, head: head})
	p.r.b.change(func(s *bus.Status) { s.Gaps++ })
}

// take takes an event.
func (p *page) take(row [][]byte) error {
	if len(row) != columns || len(row[colXID]) != 8 || len(row[colID]) != 8 {
		return errRow
	}
	r, at := p.r, place{binary.BigEndian.Uint64(row[colXID]), binary.BigEndian.Uint64(row[colID])}
	if !r.at.before(at) || !p.last.before(at) {
		return fmt.Errorf("%w: events out of order", errRow)
	}
	p.last = at
	if p.all && !r.b.wants(row[colChannel]) {
		return nil
	}
	switch p.known(at, row[colChannel]) {
	case doubtful:
		p.gapAt(row[colChannel], at)
		return nil
	case skipped:
		return nil
	}
	if versionOf(row) != Version { // of a later release, which this one cannot read
		p.gapAt(row[colChannel], at)
		return nil
	}
	m, err := message(row, r.epoch)
	if err != nil {
		return err
	}
	list := &p.pending[shardOf(m.Event.Channel)]
	if len(*list) == 0 {
		*list = append(*list, delivery{})
	}
	d := &(*list)[len(*list)-1]
	d.messages = append(d.messages, m)
	p.newest, p.newestID = at, m.Event.ID
	p.bytes += len(m.Event.Data)
	return nil
}

// finish hands over what was taken, moves the reader's position behind it and notes what the page says about the
// next read.
func (p *page) finish(limit int64) (more bool) {
	r := p.r
	for shard, list := range p.pending {
		for _, d := range list {
			r.b.enqueue(shard, d)
		}
	}
	if p.newest != (place{}) {
		r.last, r.lastID, r.lastOf = p.newest, p.newestID, p.version
	}
	large := p.bytes >= pageBytes
	more = limit > 0 && (p.rows == limit || large)
	if r.at.before(p.last) {
		r.at = p.last
	}
	if !more && r.at.before(p.end) {
		r.at = p.end
	}
	if !more && p.end.before(r.stood) { // what was there before was visible to this read: what is found later is new
		r.stood = p.end
	}
	if r.limit = min(2*r.limit, pageRows); large {
		r.limit = max(p.rows, 1)
	}
	switch {
	case !p.held:
		r.chase = 0
	case p.rows > 0 || r.chase == 0:
		r.chase = chaseFirst
	default:
		r.chase = min(2*r.chase, chaseLast)
	}
	return more
}
