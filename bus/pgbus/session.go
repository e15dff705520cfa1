package pgbus

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/fraiseql/fraiseql-go/bus"
)

// session is a connection on which the schema was found right.
type session struct {
	conn     *pgconn.PgConn
	prepared map[string]*pgconn.StatementDescription

	// Where it is interruptible: what keeps it from being interrupted, and what is closed once it was.
	spare       func() bool
	interrupted chan struct{}
}

// settle is what every connection is set to: the indexes give the order, whatever is in the tables.
const settle = `SET jit = off; SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = off;
SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off;`

// open connects, and checks that the server is one to work with.
func (b *Bus) open(ctx context.Context, server *pgconn.Config) (*session, error) {
	if !b.notify {
		server = server.Copy()
		server.RuntimeParams["fraiseql.notify"] = "off"
	}
	conn, err := dial(ctx, server)
	if err != nil {
		return nil, err
	}
	if err := b.settleSession(ctx, conn); err != nil {
		closeConn(conn)
		return nil, err
	}
	return &session{conn: conn, prepared: map[string]*pgconn.StatementDescription{}}, nil
}

func (b *Bus) settleSession(ctx context.Context, conn *pgconn.PgConn) error {
	if _, err := conn.Exec(ctx, settle).ReadAll(); err != nil {
		return explain(err)
	}
	rows, err := query(ctx, conn, `SELECT pg_is_in_recovery()`)
	if err != nil {
		return explain(err)
	}
	if rows[0][0] == "t" {
		return told("this server follows another one: events are read and written on the primary")
	}
	version, err := installedVersion(ctx, conn, b.schema)
	if err != nil {
		return explain(err)
	}
	if version == 0 && b.install == installMissing || version < Version && b.install == installAlways {
		if err := install(ctx, conn, b.schema); err != nil {
			return err
		}
		version = Version
	}
	if err := checkVersion(version, b.schema); err != nil {
		return err
	}
	// After a restore from another server the positions mean nothing.
	rows, err = query(ctx, conn, fill(`SELECT cluster <> {schema}.cluster() FROM {schema}.meta`, b.schema))
	if err == nil && len(rows) == 1 && rows[0][0] == "t" {
		_, err = query(ctx, conn, fill(`SELECT {schema}.adopt()`, b.schema))
	}
	if err != nil {
		return explain(err)
	}
	return nil
}

// generic has the statements of a connection planned once. That is for those that have one good plan.
func generic(ctx context.Context, conn *pgconn.PgConn) error {
	if _, err := conn.Exec(ctx, `SET plan_cache_mode = force_generic_plan`).ReadAll(); err != nil {
		return explain(err)
	}
	return nil
}

// prepare prepares a statement once per connection. Its description saves asking for it with every execution.
func (s *session) prepare(ctx context.Context, name, statement string, types []uint32) (*pgconn.StatementDescription, error) {
	if d := s.prepared[name]; d != nil {
		return d, nil
	}
	d, err := s.conn.Prepare(ctx, name, statement, types)
	if err != nil {
		return nil, err
	}
	s.prepared[name] = d
	return d, nil
}

// with calls f with a connection of the pool. What f does may be done twice: a connection that turns out to be dead
// is replaced once. Errors are bus.ErrUnavailable, bus.ErrClosed or ctx's.
func (b *Bus) with(ctx context.Context, f func(ctx context.Context, s *session) error) error {
	limited, cancel := context.WithTimeout(ctx, b.options.PublishTimeout)
	defer cancel()
	stop := context.AfterFunc(b.ctx, cancel)
	defer stop()
	err := b.withIdle(limited, f)
	switch {
	case err == nil:
		return nil
	case b.ctx.Err() != nil:
		return bus.ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return unavailable(err)
}

func (b *Bus) withIdle(ctx context.Context, f func(ctx context.Context, s *session) error) error {
	var s *session
	select {
	case s = <-b.idle:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { b.idle <- s }()
	for {
		fresh := s == nil
		if fresh {
			var err error
			if s, err = b.open(ctx, b.server); err != nil {
				s = nil
				return err
			}
		}
		err := f(ctx, s)
		if err == nil || !s.conn.IsClosed() && class(err) != "" {
			return err
		}
		closeConn(s.conn)
		if s = nil; fresh || ctx.Err() != nil {
			return err
		}
	}
}

// tend empties what is old, from time to time, until the bus is closed.
func (b *Bus) tend(ctx context.Context) {
	every := time.Minute
	if b.retention > 0 {
		every = min(every, b.retention/20)
	}
	for ctx.Err() == nil {
		if err := b.maintain(ctx); err != nil && !errors.Is(err, bus.ErrUnavailable) && ctx.Err() == nil {
			b.log.Warn("pruning failed", "schema", b.schema, "problem", err.Error())
		}
		pause(ctx, every)
	}
}

// maintain prunes by the intervals of this node.
func (b *Bus) maintain(ctx context.Context) error {
	return b.with(ctx, func(ctx context.Context, s *session) error {
		_, err := query(ctx, s.conn, fill(`SELECT {schema}.maintain(nullif($1, '')::interval, nullif($2, '')::interval)`, b.schema),
			interval(b.retention), interval(b.control))
		return err
	})
}

// interval writes a duration as PostgreSQL reads it; "" for none.
func interval(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return strconv.FormatInt(d.Microseconds(), 10) + " microseconds"
}

// tellLag logs when events begin to be held back for too long, which makes the node not ready, and when they no longer are.
func (r *reader) tellLag() {
	lag := r.b.horizon.lag()
	if late := lag > r.b.maxLag; late != r.late {
		if r.late = late; late {
			r.b.log.Warn("PostgreSQL holds back events", "schema", r.b.schema, "problem", r.b.heldBack(lag))
		} else {
			r.b.log.Info("PostgreSQL holds back no events any more", "schema", r.b.schema)
		}
	}
}
