package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/fraiseql/fraiseql-go/bus/pgbus"
	"github.com/fraiseql/fraiseql-go/internal/carrier"
)

// pgCommand is `fraiseql pg`.
type pgCommand struct {
	Install  pgInstallCommand  `cmd:"" help:"Install the outbox in a database, or bring it to this release's version."`
	Triggers pgTriggersCommand `cmd:"" help:"Print SQL that makes the writes to tables into events."`
	Status   pgStatusCommand   `cmd:"" help:"Show the outbox of a database and what holds back its events."`
	Prune    pgPruneCommand    `cmd:"" help:"Empty what is older than the retention."`
}

// database are the flags of commands that connect. A URL with a password belongs into a file or the environment:
// arguments can be read by every user of the machine.
type database struct {
	Bus     string `name:"bus" placeholder:"URL" env:"FRAISEQL_BUS" help:"URL of the bus, as serve takes it: postgres://user@host/database."`
	BusFile string `name:"bus-file" placeholder:"FILE" env:"FRAISEQL_BUS_FILE" help:"File that holds the URL, for URLs with a password."`
}

// url returns the URL, "" where none is given and that is allowed.
func (d *database) url(required bool) (string, error) {
	raw := d.Bus
	if d.BusFile != "" {
		if raw != "" {
			return "", usage("give one of --bus, --bus-file, FRAISEQL_BUS and FRAISEQL_BUS_FILE, not two")
		}
		text, err := os.ReadFile(d.BusFile)
		if err != nil {
			return "", fmt.Errorf("read the URL of the bus: %w", err)
		}
		if raw = strings.TrimSpace(string(text)); raw == "" {
			return "", usage("%s is empty: it should hold the URL of the bus", d.BusFile)
		}
	}
	switch {
	case raw == "" && required:
		return "", usage("no database: give --bus, --bus-file or FRAISEQL_BUS")
	case raw == "":
		return "", nil
	}
	raw, err := carrier.Bare(raw)
	if err == nil {
		err = pgbus.Check(raw)
	}
	if err != nil {
		return "", usage("%w", err)
	}
	return raw, nil
}

// reached gives errors of the connection the exit code of their own.
func reached(err error) error {
	if err != nil && errors.Is(err, pgbus.ErrUnreachable) {
		return &exit{exitUnreachable, err}
	}
	return err
}

// interruptible returns a context that ends when the person at the terminal says so.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}

// pgInstallCommand is `fraiseql pg install`.
type pgInstallCommand struct {
	database
	Print bool `name:"print" help:"Print the SQL instead of running it."`
}

// Help is shown below the flags.
func (*pgInstallCommand) Help() string {
	return `Makes a schema (fraiseql, another one by schema= in the URL) with the table, its functions and three roles: fraiseql_publisher may publish, fraiseql_reader may read the table, fraiseql_node is what a server needs. Nobody else may do anything. Installing again changes nothing.

The role needs CREATE on the database, and CREATEROLE for the roles.

Examples:

  fraiseql pg install --bus postgres://postgres@127.0.0.1/app
  fraiseql pg install --print | psql app`
}

// Run installs.
func (c *pgInstallCommand) Run(ctx context.Context, env *Env) error {
	raw, err := c.url(!c.Print)
	if err != nil {
		return err
	}
	if c.Print {
		name, err := pgbus.SchemaOf(raw)
		if err != nil {
			return err
		}
		script, err := pgbus.Script(name)
		if err != nil {
			return err
		}
		_, err = io.WriteString(env.Stdout, script)
		return err
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	done, err := pgbus.Install(ctx, raw)
	if err != nil {
		return reached(err)
	}
	for _, w := range done.Warnings {
		env.say("warning: %s", w)
	}
	what := fmt.Sprintf("installed version %d", done.Now)
	switch {
	case done.Before == done.Now:
		what = fmt.Sprintf("version %d is installed", done.Now)
	case done.Before > 0:
		what = fmt.Sprintf("version %d became version %d", done.Before, done.Now)
	}
	_, err = fmt.Fprintf(env.Stdout, "schema %s: %s\n", done.Schema, what)
	return err
}

// pgPruneCommand is `fraiseql pg prune`.
type pgPruneCommand struct {
	database
	Retention time.Duration `name:"retention" placeholder:"TIME" help:"Keep what is younger, e.g. 2h. Without it: as the database has it, 24h unless it was set."`
	All       bool          `name:"all" help:"Empty every partition but the one that is being filled, and begin another."`
}

// Help is shown below the flags.
func (*pgPruneCommand) Help() string {
	return `Servers do this every minute; run it where none runs, or to free space at once. Whole partitions are emptied, each a third of the retention. Subscribers whose cursor is older are told that there is a gap.

Examples:

  fraiseql pg prune --bus postgres://postgres@127.0.0.1/app --retention 2h`
}

// Run prunes.
func (c *pgPruneCommand) Run(ctx context.Context, env *Env) error {
	raw, err := c.url(true)
	if err != nil {
		return err
	}
	if c.Retention < 0 {
		return usage("--retention must not be negative")
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	done, err := pgbus.Prune(ctx, raw, pgbus.PruneOptions{Retention: c.Retention, All: c.All})
	if err != nil {
		return reached(err)
	}
	_, err = fmt.Fprintf(env.Stdout, "schema %s: %d partitions emptied, %d events are left\n", done.Schema, done.Partitions, done.Events)
	return err
}

// pgStatusCommand is `fraiseql pg status`.
type pgStatusCommand struct {
	database
}

// Help is shown below the flags.
func (*pgStatusCommand) Help() string {
	return `Events are delivered when every transaction that began to write before theirs has ended, in any database of the server. Transactions that are open are listed, the oldest first, with their process id: SELECT pg_terminate_backend(pid) ends one. Exit code 1: events are held back.

Examples:

  fraiseql pg status --bus postgres://postgres@127.0.0.1/app`
}

// Run looks.
func (c *pgStatusCommand) Run(ctx context.Context, env *Env) error {
	raw, err := c.url(true)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	r, err := pgbus.Inspect(ctx, raw)
	if err != nil {
		return reached(err)
	}
	if _, err := io.WriteString(env.Stdout, statusText(&r)); err != nil {
		return err
	}
	if r.Held > 0 {
		return &exit{exitFailed, errors.New("")}
	}
	return nil
}

func statusText(r *pgbus.Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "schema     %s, version %d, epoch %d\n", r.Schema, r.Version, r.Epoch)
	fmt.Fprintf(&b, "events     %d, %d bytes with indexes, the oldest %v old\n", r.Events, r.Bytes, r.Oldest.Round(time.Second))
	fmt.Fprintf(&b, "retention  %v, of revocations %v\n", r.Retention, r.ControlRetention)
	fmt.Fprintf(&b, "held back  %d\n", r.Held)
	for _, o := range r.Blockers {
		who := fmt.Sprintf("pid %d", o.PID)
		if o.PID == 0 {
			who = fmt.Sprintf("prepared transaction %q", o.Prepared)
		}
		fmt.Fprintf(&b, "writing    %s for %v: database %s, role %s, application %q, %s\n", who, o.Age.Round(time.Millisecond), o.Database, o.Role, o.Application, o.State)
	}
	if r.Hidden {
		b.WriteString("writing    somebody whom this role may not see: GRANT pg_monitor shows who\n")
	}
	return b.String()
}
