package testkit

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// Dump writes a database to a file by pg_dump, in the format that pg_restore reads, and returns its path.
func (p *Postgres) Dump(tb testing.TB, database string) string {
	tb.Helper()
	path := filepath.Join(p.dir, database+".dump")
	p.tool(tb, "pg_dump", "-Fc", "-f", path, "-d", database)
	return path
}

// Restore reads a dump of any server into a database by pg_restore, all of it or nothing, with more arguments.
func (p *Postgres) Restore(tb testing.TB, database, path string, args ...string) {
	tb.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	own := filepath.Join(p.dir, "restore.dump") // the dump's server may run as another user
	if err := os.WriteFile(own, text, 0o644); err != nil {
		tb.Fatal(err)
	}
	p.tool(tb, "pg_restore", append([]string{"--single-transaction", "--exit-on-error", "-d", database, own}, args...)...)
}

// tool runs a program of the distribution against the server.
func (p *Postgres) tool(tb testing.TB, name string, args ...string) {
	tb.Helper()
	host, port, _ := net.SplitHostPort(p.Addr)
	if out, err := p.program(name, append([]string{"-h", host, "-p", port, "-U", "postgres"}, args...)...).CombinedOutput(); err != nil {
		tb.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// Follow starts a server that follows p by streaming, over addr (of p itself, or of a proxy before it), and removes it with
// the test. name is what p calls it, as in synchronous_standby_names.
func (p *Postgres) Follow(tb testing.TB, addr, name string) *Postgres {
	tb.Helper()
	f, err := p.follow(addr, name)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		f.Close()
		if tb.Failed() {
			tb.Logf("the following PostgreSQL printed:\n%s", f.tail())
		}
	})
	return f
}

func (p *Postgres) follow(addr, name string) (*Postgres, error) {
	dir, err := os.MkdirTemp("", "fraiseql-postgres-")
	if err != nil {
		return nil, err
	}
	f := &Postgres{bin: p.bin, dir: dir, settings: append(p.settings[:len(p.settings):len(p.settings)], "synchronous_standby_names=")}
	fail := func(err error) (*Postgres, error) {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	if os.Geteuid() == 0 {
		if err := f.become("postgres", "nobody"); err != nil {
			return fail(err)
		}
	}
	host, port, _ := net.SplitHostPort(addr)
	backup := f.program("pg_basebackup", "-D", f.data(), "-R", "--checkpoint=fast", "--no-sync",
		"-d", fmt.Sprintf("host=%s port=%s user=postgres application_name=%s", host, port, name))
	if out, err := backup.CombinedOutput(); err != nil {
		return fail(fmt.Errorf("testkit: pg_basebackup: %w\n%s", err, out))
	}
	if f.Addr, err = freeAddr(); err != nil {
		return fail(err)
	}
	if err := f.start(); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Promote ends the following of a server that Follow made, and returns once it takes writes.
func (p *Postgres) Promote(tb testing.TB) {
	tb.Helper()
	if out := p.SQL(tb, "postgres", "SELECT pg_promote(true, 60)"); out != "t" {
		tb.Fatalf("pg_promote said %q", out)
	}
}
