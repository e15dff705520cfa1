package pgbus

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// PruneOptions say what Prune empties. The zero value: what is older than the retention that the database has.
type PruneOptions struct {
	// Retention takes the place of the database's, for once.
	Retention time.Duration
	// All empties every partition but the one that is being filled, and begins another.
	All bool
}

// Pruned is what Prune did.
type Pruned struct {
	Schema string
	// Partitions is how many were emptied.
	Partitions int
	// Events is how many are left, of those that are not being written at the moment.
	Events int64
}

// Prune empties partitions now, as every node does from time to time. Nodes and cursors that have not read what was
// in them have a gap, which they are told of.
func Prune(ctx context.Context, rawURL string, o PruneOptions) (Pruned, error) {
	s, err := parse(rawURL)
	if err != nil {
		return Pruned{}, err
	}
	done := Pruned{Schema: s.schema}
	err = s.connected(ctx, func(conn *pgconn.PgConn) error {
		rows, err := query(ctx, conn, fill(`SELECT {schema}.maintain(nullif($1, '')::interval, NULL, $2)`, s.schema), interval(o.Retention), strconv.FormatBool(o.All))
		if err != nil {
			return fmt.Errorf("prune: %w", explain(err))
		}
		if done.Partitions, err = strconv.Atoi(rows[0][0]); err != nil {
			return errRow
		}
		rows, err = query(ctx, conn, fill(`SELECT count(*) FROM {schema}.outbox`, s.schema))
		if err != nil {
			return fmt.Errorf("prune: %w", explain(err))
		}
		done.Events, err = strconv.ParseInt(rows[0][0], 10, 64)
		return err
	})
	return done, err
}

// connected calls f with a connection to an installed schema.
func (s *settings) connected(ctx context.Context, f func(*pgconn.PgConn) error) error {
	conn, err := dial(ctx, s.server)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	version, err := installedVersion(ctx, conn, s.schema)
	if err != nil {
		return explain(err)
	}
	if err := checkVersion(version, s.schema); err != nil {
		return err
	}
	return f(conn)
}
