package testkit

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Postgres is a PostgreSQL server of the tests' own, in a temporary directory, on a free port of 127.0.0.1 that it
// keeps over restarts. Everybody is trusted; the superuser is postgres. Its methods are for one goroutine.
type Postgres struct {
	Addr string

	bin, dir string
	settings []string
	as       *syscall.Credential // whom the server runs as; nil: as the tests do
	command  *exec.Cmd
	ended    chan struct{}
	output   output
	made     atomic.Int64
}

// NewPostgres starts a server for one test and removes it with the test. settings are those of postgresql.conf, as
// name=value. Without others, nothing is flushed to the disk: a server that is killed loses nothing by that, as the
// system lives on.
func NewPostgres(tb testing.TB, settings ...string) *Postgres {
	tb.Helper()
	p, err := StartPostgres(settings...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		p.Close()
		if tb.Failed() {
			tb.Logf("PostgreSQL printed:\n%s", p.tail())
		}
	})
	return p
}

// StartPostgres is NewPostgres for TestMain: the caller closes.
func StartPostgres(settings ...string) (*Postgres, error) {
	bin, err := postgresBinaries()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "fraiseql-postgres-")
	if err != nil {
		return nil, err
	}
	p := &Postgres{bin: bin, dir: dir, settings: append([]string{
		"fsync=off", "full_page_writes=off", "unix_socket_directories=", "max_connections=200", "max_prepared_transactions=5", "log_min_error_statement=panic",
	}, settings...)}
	if err := p.create(); err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	return p, nil
}

// postgresBinaries returns the folder of the newest server that Debian's packages installed, or that is in PATH.
func postgresBinaries() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	slices.SortFunc(found, func(a, b string) int { return versionOf(a) - versionOf(b) })
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1]), nil
	}
	path, err := exec.LookPath("postgres")
	if err != nil {
		return "", fmt.Errorf("testkit: no PostgreSQL server in /usr/lib/postgresql and none in PATH: %w", err)
	}
	return filepath.Dir(path), nil
}

func versionOf(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	return n
}

// create makes the data directory and starts the server for the first time.
func (p *Postgres) create() error {
	if os.Geteuid() == 0 { // whom the server refuses to run for
		if err := p.become("postgres", "nobody"); err != nil {
			return err
		}
	}
	out, err := p.program("initdb", "-D", p.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync").CombinedOutput()
	if err != nil {
		return fmt.Errorf("testkit: initdb: %w\n%s", err, out)
	}
	if p.Addr, err = freeAddr(); err != nil {
		return err
	}
	return p.start()
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }

// become gives the directory to the first of the users that exists.
func (p *Postgres) become(names ...string) error {
	for _, name := range names {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		p.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return os.Chown(p.dir, uid, gid)
	}
	return fmt.Errorf("testkit: PostgreSQL does not run as root, and there is no user %s", strings.Join(names, " or "))
}

// program returns a command of the server's distribution, run as its user.
func (p *Postgres) program(name string, args ...string) *exec.Cmd {
	command := exec.Command(filepath.Join(p.bin, name), args...)
	command.Dir = p.dir
	command.Env = append(os.Environ(), "LC_ALL=C", "HOME="+p.dir)
	command.SysProcAttr = &syscall.SysProcAttr{Credential: p.as}
	return command
}

// Start starts the server again after Kill or Stop and waits until it takes connections.
func (p *Postgres) Start(tb testing.TB) {
	tb.Helper()
	if err := p.start(); err != nil {
		tb.Fatal(err)
	}
}

func (p *Postgres) start() error {
	_, port, _ := net.SplitHostPort(p.Addr)
	args := []string{"-D", p.data(), "-h", "127.0.0.1", "-p", port}
	for _, s := range p.settings {
		args = append(args, "-c", s)
	}
	p.command = p.program("postgres", args...)
	p.command.Stdout, p.command.Stderr = &p.output, &p.output
	if err := p.command.Start(); err != nil {
		return err
	}
	p.ended = make(chan struct{})
	go func(command *exec.Cmd, ended chan struct{}) {
		// How it ended shows in its output.
		_ = command.Wait()
		close(ended)
	}(p.command, p.ended)
	return p.awaitReady()
}

func (p *Postgres) awaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := p.TrySQL("postgres", "SELECT 1"); err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("testkit: PostgreSQL ended: %v\n%s", p.command.ProcessState, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("testkit: PostgreSQL is not ready after %v\n%s", startTime, p.tail())
		case <-tick.C:
		}
	}
}

// Kill ends the server and all of its processes at once, as the end of a machine would.
func (p *Postgres) Kill(testing.TB) { p.kill() }

func (p *Postgres) kill() {
	if p.command == nil {
		return
	}
	children := childrenOf(p.command.Process.Pid)
	// Processes that have ended meanwhile are what is wanted.
	_ = p.command.Process.Kill()
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-p.ended
}

// childrenOf returns the processes that a process has started and that live.
func childrenOf(pid int) []int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil
	}
	var list []int
	for _, field := range strings.Fields(string(text)) {
		if child, err := strconv.Atoi(field); err == nil {
			list = append(list, child)
		}
	}
	return list
}

// Stop shuts the server down in order, ending every connection, and waits for its end.
func (p *Postgres) Stop(tb testing.TB) {
	tb.Helper()
	_ = p.command.Process.Signal(syscall.SIGINT) // a fast shutdown
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	select {
	case <-p.ended:
	case <-ctx.Done():
		p.kill()
		tb.Errorf("PostgreSQL had not shut down after %v", stopTime)
	}
}

// Close ends the server and removes its directory.
func (p *Postgres) Close() {
	p.kill()
	_ = os.RemoveAll(p.dir)
}

// URL returns the URL of a database for a role.
func (p *Postgres) URL(role, database string) string {
	return "postgres://" + role + "@" + p.Addr + "/" + database + "?sslmode=disable"
}

// Database makes an empty database and returns its name.
func (p *Postgres) Database(tb testing.TB) string {
	tb.Helper()
	name := "d" + strconv.FormatInt(p.made.Add(1), 10)
	p.SQL(tb, "postgres", "CREATE DATABASE "+name)
	return name
}

// SQL runs statements in a database by psql, as the superuser, and returns what they print: rows alone, columns
// with | between them.
func (p *Postgres) SQL(tb testing.TB, database, statements string) string {
	tb.Helper()
	out, err := p.TrySQL(database, statements)
	if err != nil {
		tb.Fatalf("psql: %v\n%s\n%s", err, statements, out)
	}
	return out
}

// TrySQL is SQL whose output is what went wrong if there is an error.
func (p *Postgres) TrySQL(database, statements string) (string, error) {
	host, port, _ := net.SplitHostPort(p.Addr)
	command := p.program("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", host, "-p", port, "-U", "postgres", "-d", database, "-f", "-")
	command.Stdin = strings.NewReader(statements)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return stderr.String(), err
	}
	return strings.TrimSuffix(stdout.String(), "\n"), nil
}

// tail returns the end of what the server printed.
func (p *Postgres) tail() string {
	text := p.output.String()
	return text[max(0, len(text)-4096):]
}
