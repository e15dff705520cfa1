package pgbus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Report is what Inspect finds.
type Report struct {
	Schema  string
	Version int
	Epoch   uint64
	// Events are in the table, of which Held are committed and wait for an older transaction.
	Events, Held int64
	Bytes        int64
	// Oldest is the age of the oldest event, 0 without events.
	Oldest                      time.Duration
	Retention, ControlRetention time.Duration
	// Blockers hold back events, the oldest first, at most 10. Hidden: there are some that this role may not see.
	Blockers []Blocker
	Hidden   bool
}

// Blocker is a transaction that has written and not ended.
type Blocker struct {
	PID         int    // of the process; 0: a prepared transaction
	Prepared    string // its name
	Database    string
	Role        string
	Application string
	State       string
	Age         time.Duration
}

const inspectSQL = `SELECT m.version, m.epoch, count(o.id), count(o.id) FILTER (WHERE o.xid >= pg_snapshot_xmin(pg_current_snapshot())),
  (SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = '{schema}.outbox'::regclass),
  coalesce(extract(epoch FROM clock_timestamp() - min(o.stored_at)), 0), extract(epoch FROM m.retention), extract(epoch FROM m.control_retention),
  pg_snapshot_xmin(pg_current_snapshot()) < pg_snapshot_xmax(pg_current_snapshot())
FROM {schema}.meta m LEFT JOIN {schema}.outbox o ON true GROUP BY m.one, m.version, m.epoch, m.retention, m.control_retention`

const blockersSQL = `SELECT * FROM (
  SELECT pid, '' AS gid, coalesce(datname, ''), coalesce(usename, ''), coalesce(application_name, ''), coalesce(state, ''),
    extract(epoch FROM clock_timestamp() - xact_start) AS age FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
  UNION ALL
  SELECT 0, gid, database, owner, '', 'prepared', extract(epoch FROM clock_timestamp() - prepared) FROM pg_prepared_xacts
) b ORDER BY age DESC NULLS LAST LIMIT 10`

// Inspect looks at the outbox of a URL, and for what holds back its events.
func Inspect(ctx context.Context, rawURL string) (Report, error) {
	s, err := parse(rawURL)
	if err != nil {
		return Report{}, err
	}
	report := Report{Schema: s.schema}
	err = s.connected(ctx, func(conn *pgconn.PgConn) error {
		rows, err := query(ctx, conn, fill(inspectSQL, s.schema))
		if err != nil {
			return fmt.Errorf("inspect: %w", explain(err))
		}
		if len(rows) != 1 {
			return errRow
		}
		running, err := report.take(rows[0])
		if err != nil {
			return err
		}
		if rows, err = query(ctx, conn, blockersSQL); err != nil {
			return fmt.Errorf("inspect: %w", explain(err))
		}
		for _, row := range rows {
			b := Blocker{Prepared: row[1], Database: row[2], Role: row[3], Application: row[4], State: row[5], Age: seconds(row[6])}
			if b.PID, err = strconv.Atoi(row[0]); err != nil {
				return errRow
			}
			report.Blockers = append(report.Blockers, b)
		}
		report.Hidden = running && report.Held > 0 && len(report.Blockers) == 0
		return nil
	})
	return report, err
}

// take reads the row about the outbox. running: there are writing transactions.
func (r *Report) take(row []string) (running bool, err error) {
	var errs [5]error
	r.Version, errs[0] = strconv.Atoi(row[0])
	r.Epoch, errs[1] = strconv.ParseUint(row[1], 10, 64)
	r.Events, errs[2] = strconv.ParseInt(row[2], 10, 64)
	r.Held, errs[3] = strconv.ParseInt(row[3], 10, 64)
	r.Bytes, errs[4] = strconv.ParseInt(row[4], 10, 64)
	r.Oldest, r.Retention, r.ControlRetention = seconds(row[5]), seconds(row[6]), seconds(row[7])
	if errors.Join(errs[:]...) != nil {
		return false, errRow
	}
	return row[8] == "t", nil
}

// seconds reads a number of seconds with a fraction; what is none is 0.
func seconds(text string) time.Duration {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0
	}
	return time.Duration(n * float64(time.Second))
}
