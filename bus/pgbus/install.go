package pgbus

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

//go:embed schema.sql
var schemaSQL string

// Version is the version of the schema and of the format of its rows.
const Version = 1

// Script returns the SQL that installs the schema, for a tool that runs it. Running it again changes nothing.
func Script(schema string) (string, error) {
	if err := CheckSchemaName(schema); err != nil {
		return "", fmt.Errorf("schema name: %w", err)
	}
	return script(schema), nil
}

// script fills in a name that was checked: it needs no escapes.
func script(schema string) string {
	return fill(schemaSQL, schema)
}

// fill replaces the marks of a statement.
func fill(text, schema string) string {
	return strings.NewReplacer(
		"{schema}", `"`+schema+`"`, "{name}", "'"+schema+"'", "{name_ident}", `'"`+schema+`"'`, "{version}", strconv.Itoa(Version),
		"{publisher}", "'"+schema+"_publisher'", "{reader}", "'"+schema+"_reader'", "{node}", "'"+schema+"_node'",
	).Replace(text)
}

// Installed is what Install found and did.
type Installed struct {
	Schema string
	// Before is the version that was there, 0 for none; Now the one that is there.
	Before, Now int
	// Warnings are what the server remarked, e.g. that roles need another privilege.
	Warnings []string
}

// Install makes the schema of a URL, or brings it to this release's version.
func Install(ctx context.Context, rawURL string) (Installed, error) {
	s, err := parse(rawURL)
	if err != nil {
		return Installed{}, err
	}
	done := Installed{Schema: s.schema, Now: Version}
	server := s.server.Copy()
	server.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { done.Warnings = append(done.Warnings, n.Message) }
	conn, err := dial(ctx, server)
	if err != nil {
		return done, err
	}
	defer closeConn(conn)
	if done.Before, err = installedVersion(ctx, conn, s.schema); err != nil {
		return done, err
	}
	return done, install(ctx, conn, s.schema)
}

// install runs the script. A failure leaves nothing behind: it is one transaction.
func install(ctx context.Context, conn *pgconn.PgConn, schema string) error {
	if _, err := conn.Exec(ctx, script(schema)).ReadAll(); err != nil {
		return fmt.Errorf("install schema %s: %w", schema, explain(err))
	}
	return nil
}

// errNotInstalled is returned where the schema is missing.
const errNotInstalled = told("is not installed")

// installedVersion returns the version of a schema, 0 if there is none.
func installedVersion(ctx context.Context, conn *pgconn.PgConn, schema string) (int, error) {
	rows, err := query(ctx, conn, fill(`SELECT to_regclass({name_ident} || '.meta') IS NOT NULL`, schema))
	if err != nil || len(rows) != 1 || rows[0][0] != "t" {
		return 0, err
	}
	rows, err = query(ctx, conn, fill(`SELECT version FROM {schema}.meta`, schema))
	if err != nil || len(rows) != 1 {
		return 0, err
	}
	return strconv.Atoi(rows[0][0])
}

// checkVersion refuses a schema that this release does not work with.
func checkVersion(version int, schema string) error {
	switch {
	case version == 0:
		return fmt.Errorf("schema %s %w: run `fraiseql pg install`, or add install=on to the URL", schema, errNotInstalled)
	case version < Version:
		return told(fmt.Sprintf("schema %s is version %d, this release needs %d: run `fraiseql pg install`, or add install=on to the URL", schema, version, Version))
	case version > Version:
		return told(fmt.Sprintf("schema %s is version %d, of a later release; this one knows %d", schema, version, Version))
	}
	return nil
}

// query runs a statement with values in the text format, and returns its rows; NULL is "".
func query(ctx context.Context, conn *pgconn.PgConn, statement string, args ...string) ([][]string, error) {
	values := make([][]byte, len(args))
	for i, arg := range args {
		values[i] = []byte(arg)
	}
	result := conn.ExecParams(ctx, statement, values, nil, nil, nil).Read()
	if result.Err != nil {
		return nil, result.Err
	}
	out := make([][]string, len(result.Rows))
	for i, row := range result.Rows {
		for _, value := range row {
			out[i] = append(out[i], string(value))
		}
	}
	return out, nil
}
