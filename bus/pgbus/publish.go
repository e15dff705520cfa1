package pgbus

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/fraiseql/fraiseql-go/bus"
)

const (
	// maxQueued bounds the requests that wait for a writer; more callers wait for a place.
	maxQueued = 1024
	// Bounds of one transaction: requests that wait together are written together.
	groupRows  = 1000
	groupBytes = 4 << 20
	// retryFirst and retryLast are the pauses of a writer that fails.
	retryFirst, retryLast = 20 * time.Millisecond, 500 * time.Millisecond
)

// The columns that are written, each an array of the statement.
var written = []struct {
	name string
	oid  uint32
}{
	{"slot", oidInt2}, {`"timestamp"`, oidTimestamptz}, {"broadcast", oidBool}, {"channel", oidText}, {"type", oidText}, {"event_id", oidText},
	{"tenant_id", oidText}, {"user_id", oidText}, {"federation_id", oidText}, {"service_name", oidText}, {"data", oidText},
}

// The statement writes a group in its order and wakes the nodes. The one for repetitions leaves out what an earlier
// attempt, whose answer was lost, has written: nothing of it is older than $12.
const (
	insertSQL = `WITH new AS (INSERT INTO {schema}.outbox (slot, "timestamp", broadcast, channel, type, event_id, tenant_id, user_id, federation_id, service_name, data)
SELECT coalesce(e.slot, (SELECT last_value FROM {schema}.slot)), coalesce(e.at, clock_timestamp()), e.broadcast, e.channel, e.type, e.event_id, e.tenant_id, e.user_id,
  e.federation_id, e.service_name, e.data::json
FROM unnest($1::smallint[], $2::timestamptz[], $3::boolean[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[])
  WITH ORDINALITY AS e (slot, at, broadcast, channel, type, event_id, tenant_id, user_id, federation_id, service_name, data, n)`
	insertAgain = `
WHERE NOT EXISTS (SELECT FROM {schema}.outbox o WHERE o.channel = e.channel AND o.xid >= $12 AND o.event_id = e.event_id AND o.tenant_id IS NOT DISTINCT FROM e.tenant_id)`
	// insertOne is for one event alone: its parameters are the elements of the arrays.
	insertOne = `INSERT INTO {schema}.outbox AS new (slot, "timestamp", broadcast, channel, type, event_id, tenant_id, user_id, federation_id, service_name, data)
VALUES (coalesce($1, (SELECT last_value FROM {schema}.slot)), coalesce($2, clock_timestamp()), $3, $4, $5, $6, $7, $8, $9, $10, $11::text::json) RETURNING new.xid, new.id`
	insertEnd = `
ORDER BY e.n RETURNING id) SELECT pg_current_xact_id(), array_agg(new.id)`
	insertWake = `, pg_notify({name}, '')`
	// insertTell says which transaction it is, and by $12 which attempt of which node.
	insertTell = `, pg_notify({name}, pg_current_xact_id()::text || ' ' || $12::text)`
	insertFrom = ` FROM new`
)

// The partitions of channels that are the engine's own.
const (
	slotControl = 4
	slotNode    = 5
)

// request is a piece of a batch on its way to a writer. It is encoded by who publishes.
type request struct {
	columns  [11][]byte
	rows     int
	bytes    int
	deadline time.Time
	untimed  bool         // an event has no timestamp: the server makes one
	again    bool         // an earlier attempt may have been written
	floor    uint64       // where again: no transaction that wrote it is older
	state    atomic.Int32 // of queued, taken, given up
	done     chan error   // made where somebody waits
}

const (
	queued int32 = iota
	taken
	givenUp
)

// Publish implements bus.Bus. The batch is written in pieces, each of them one transaction, which it shares with what
// others publish at the same time; when the answer to one is lost it is written again unless it is there.
func (b *Bus) Publish(ctx context.Context, batch []bus.Message) (bus.Receipt, error) {
	receipt := bus.Receipt{Delivered: -1}
	if err := ctx.Err(); err != nil {
		return receipt, err
	}
	if b.ctx.Err() != nil {
		return receipt, bus.ErrClosed
	}
	deadline := time.Now().Add(b.options.PublishTimeout)
	for len(batch) > 0 {
		r := &request{deadline: deadline}
		r.reserve(&batch[0])
		for r.rows < len(batch) && r.rows < groupRows && r.bytes < groupBytes {
			r.add(&batch[r.rows])
		}
		done, err := b.direct(ctx, r)
		if !done {
			err = b.await(ctx, r)
		}
		if err != nil {
			return receipt, err
		}
		receipt.Accepted += r.rows
		batch = batch[r.rows:]
	}
	return receipt, nil
}

// reserve makes room for one event, in one piece of memory.
func (r *request) reserve(m *bus.Message) {
	e := &m.Event
	sizes := [...]int{
		4 + 2, 4 + 8, 4 + 1, 4 + len(e.Channel), 4 + len(e.Type), 4 + max(len(e.ID), len("01234567-89ab-cdef-0123-456789abcdef")), 4 + len(e.TenantID),
		4 + len(e.UserID), 4 + len(e.FederationID), 4 + len(e.ServiceName), 4 + len(e.Data),
	}
	sum := 0
	for _, size := range sizes {
		sum += size
	}
	room := make([]byte, sum)
	for i, size := range sizes {
		r.columns[i], room = room[:0:size], room[size:]
	}
}

// add appends an event to the columns.
func (r *request) add(m *bus.Message) {
	e, c := &m.Event, &r.columns
	switch {
	case bus.IsNode(e.Channel):
		c[0] = append(c[0], 0, 0, 0, 2, 0, slotNode)
	case bus.IsControl(e.Channel):
		c[0] = append(c[0], 0, 0, 0, 2, 0, slotControl)
	default:
		c[0] = appendNull(c[0])
	}
	if e.Timestamp.IsZero() {
		c[1] = appendNull(c[1])
		r.untimed = true
	} else {
		c[1] = binary.BigEndian.AppendUint32(c[1], 8)
		c[1] = binary.BigEndian.AppendUint64(c[1], uint64(e.Timestamp.UnixMicro()-postgresEpoch))
	}
	c[2] = append(append(c[2], 0, 0, 0, 1), boolValue(e.Broadcast)...)
	c[3] = appendText(c[3], e.Channel)
	c[4] = appendText(c[4], e.Type)
	at := len(c[5])
	c[5] = e.AppendID(append(c[5], 0, 0, 0, 0))
	binary.BigEndian.PutUint32(c[5][at:], uint32(len(c[5])-at-4))
	c[6], c[7] = appendOptional(c[6], e.TenantID), appendOptional(c[7], e.UserID)
	c[8], c[9] = appendOptional(c[8], e.FederationID), appendOptional(c[9], e.ServiceName)
	c[10] = append(binary.BigEndian.AppendUint32(c[10], uint32(len(e.Data))), e.Data...)
	r.rows++
	r.bytes += len(e.Data) + 256
}

// await queues a request and waits for what becomes of it.
func (b *Bus) await(ctx context.Context, r *request) error {
	r.done = make(chan error, 1)
	timer := time.NewTimer(time.Until(r.deadline))
	defer timer.Stop()
	select {
	case b.requests <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-b.ctx.Done():
		return bus.ErrClosed
	case <-timer.C:
		return b.late()
	}
	var err error
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = b.late()
	case <-b.ctx.Done():
		err = bus.ErrClosed
	}
	// One that no writer has taken is not written any more; what becomes of another is not known.
	r.state.CompareAndSwap(queued, givenUp)
	return err
}

// late is the error of what was not acknowledged in time.
func (b *Bus) late() error {
	s, why := b.Status(), ""
	if !s.Connected && s.Problem != "" {
		why = ": " + s.Problem
	}
	return bus.Because(cmp.Or(s.Cause, bus.Silent), fmt.Errorf("%w: not acknowledged by PostgreSQL within %v%s", bus.ErrUnavailable, b.options.PublishTimeout, why))
}

// writer has a connection to write over, and a goroutine that writes groups of requests. Whoever has the turn may use the connection.
type writer struct {
	b    *Bus
	turn chan struct{} // has an element while nobody uses s
	s    *session
	args [12][]byte // of the statement for one event
}

func newWriter(b *Bus) *writer {
	w := &writer{b: b, turn: make(chan struct{}, 1)}
	w.release()
	return w
}

// run writes until the bus is closed.
func (w *writer) run(ctx context.Context) {
	defer func() {
		<-w.turn
		w.disconnect()
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-w.b.requests:
			<-w.turn
			if group := w.gather(first); len(group) > 0 {
				w.write(ctx, group)
			}
			w.release()
		}
	}
}

// gather takes what else waits.
func (w *writer) gather(first *request) (group []*request) {
	rows, bytes := 0, 0
	for r := first; ; {
		if r.state.CompareAndSwap(queued, taken) {
			group = append(group, r)
			rows, bytes = rows+r.rows, bytes+r.bytes
		}
		if rows >= groupRows || bytes >= groupBytes {
			return group
		}
		select {
		case r = <-w.b.requests:
		default:
			return group
		}
	}
}

// write writes a group, again and again until it is there or each request's time is over.
func (w *writer) write(ctx context.Context, group []*request) {
	again, floor := false, w.b.horizon.xmin.Load()
	for _, r := range group {
		if r.again {
			again, floor = true, min(floor, r.floor)
		}
	}
	for attempt := 0; ; attempt++ {
		err := w.attempt(ctx, group, again, floor)
		switch {
		case err == nil:
			return
		case ctx.Err() != nil:
			answer(group, bus.ErrClosed)
			return
		case aboutTheEvent(err) && len(group) == 1:
			answer(group, explain(err))
			return
		case aboutTheEvent(err): // one of them: the others shall not suffer
			for _, r := range group {
				w.write(ctx, []*request{r})
			}
			return
		}
		again = again || w.s != nil
		w.giveUp(err)
		if group = expire(group, err); len(group) == 0 {
			return
		}
		pause(ctx, min(retryFirst<<min(attempt, 10), retryLast))
	}
}

// answer tells who waits.
func answer(group []*request, err error) {
	for _, r := range group {
		if r.done != nil {
			r.done <- err
		}
	}
}

// expire answers the requests whose time is over and returns the others.
func expire(group []*request, err error) []*request {
	now := time.Now()
	return slices.DeleteFunc(group, func(r *request) bool {
		if over := now.After(r.deadline); over {
			r.done <- unavailable(err)
			return true
		}
		return false
	})
}

// attempt writes a group once, and answers it where it is written. ctx is the bus's or that of who publishes.
func (w *writer) attempt(ctx context.Context, group []*request, again bool, floor uint64) error {
	until := group[0].deadline
	for _, r := range group {
		if r.deadline.After(until) {
			until = r.deadline
		}
	}
	if err := w.connect(until); err != nil {
		return err
	}
	if err := w.s.until(w.b.ctx, until); err != nil {
		return err
	}
	if ctx != w.b.ctx && ctx.Done() != nil {
		defer w.s.hurry(ctx, until)()
	}
	rows := 0
	for _, r := range group {
		rows += r.rows
	}
	statement, err := w.prepare(rows == 1 && !again, again)
	if err != nil {
		return err
	}
	var args [][]byte
	if rows == 1 && !again {
		args = group[0].values(w.args[:0])
	} else {
		args = arrays(group, rows)
	}
	if again {
		if _, err = w.s.conn.ExecStatement(context.Background(), statement, append(args, xid8Value(floor)), binaryForm, binaryForm).Close(); err == nil {
			answer(group, nil)
		}
		return err
	}
	mark := uint64(0)
	if w.b.notify {
		mark = w.b.relay.expect(group)
		args = append(args, strconv.AppendUint(nil, mark, 16))
	}
	result := w.s.conn.ExecStatement(context.Background(), statement, args, binaryForm, binaryForm)
	clear(w.args[:]) // they are sent
	var xid uint64
	var ids []int64
	for result.NextRow() {
		xid, ids = writtenAt(result.Values())
	}
	if _, err = result.Close(); err != nil {
		w.b.relay.failed(mark)
		return err
	}
	answer(group, nil)
	w.b.relay.committed(mark, xid, ids)
	return nil
}

// connect makes a connection where there is none.
func (w *writer) connect(until time.Time) error {
	if w.s != nil {
		return nil
	}
	ctx, cancel := context.WithDeadline(w.b.ctx, until)
	defer cancel()
	s, err := w.b.open(ctx, w.b.server)
	if err != nil {
		return err
	}
	w.s = s
	s.interruptible(w.b.ctx)
	return generic(ctx, s.conn)
}

// writtenAt reads which transaction has written which rows.
func writtenAt(row [][]byte) (xid uint64, ids []int64) {
	if len(row) < 2 || len(row[0]) != 8 {
		return 0, nil
	}
	return binary.BigEndian.Uint64(row[0]), int8Values(row[1])
}

// arrays joins the columns of a group.
func arrays(group []*request, rows int) [][]byte {
	args := make([][]byte, len(written), len(written)+1)
	for i, column := range written {
		args[i] = appendArrayHeader(nil, column.oid, rows)
		for _, r := range group {
			args[i] = append(args[i], r.columns[i]...)
		}
	}
	return args
}

// values appends the columns of a request of one event, without the lengths that are before them.
func (r *request) values(args [][]byte) [][]byte {
	for _, element := range r.columns {
		value := element[4:]
		if binary.BigEndian.Uint32(element) == 1<<32-1 {
			value = nil
		}
		args = append(args, value)
	}
	return args
}

// prepare returns a statement that is prepared.
func (w *writer) prepare(one, again bool) (*pgconn.StatementDescription, error) {
	name := "fraiseql_write"
	switch {
	case again:
		name = "fraiseql_write_again"
	case one:
		name = "fraiseql_write_one"
	}
	if d := w.s.prepared[name]; d != nil {
		return d, nil
	}
	statement, types, from := insertSQL+insertEnd, []uint32(nil), insertFrom
	switch {
	case again:
		statement, types = insertSQL+insertAgain+insertEnd, append(make([]uint32, len(written)), oidXID8)
	case one:
		statement, from = insertOne, ""
		for _, column := range written {
			types = append(types, column.oid)
		}
	}
	switch {
	case !w.b.notify:
	case again:
		statement += insertWake
	default:
		statement += insertTell
		if types != nil {
			types = append(types, oidText)
		}
	}
	return w.s.prepare(context.Background(), name, fill(statement+from, w.b.schema), types)
}

func (w *writer) disconnect() {
	if w.s != nil {
		w.s.close()
		w.s = nil
	}
}
