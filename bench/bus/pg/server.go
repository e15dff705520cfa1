package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fraiseql/fraiseql-go/bench/bus/report"
)

// startServer starts PostgreSQL with its default settings but for fsync, in a temporary folder, and returns its URL, the
// process of its postmaster and what ends it.
func startServer(fsync bool) (url string, pid int, stop func(), err error) {
	bin, err := binaries()
	if err != nil {
		return "", 0, nil, err
	}
	dir, err := os.MkdirTemp("", "fraiseql-bench-pg-")
	if err != nil {
		return "", 0, nil, err
	}
	clean := func() { _ = os.RemoveAll(dir) }
	as, err := whom(dir)
	if err != nil {
		clean()
		return "", 0, nil, err
	}
	program := func(name string, args ...string) *exec.Cmd {
		command := exec.Command(filepath.Join(bin, name), args...)
		command.Dir, command.Env, command.SysProcAttr = dir, append(os.Environ(), "LC_ALL=C"), &syscall.SysProcAttr{Credential: as}
		return command
	}
	data := filepath.Join(dir, "data")
	if out, err := program("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C").CombinedOutput(); err != nil {
		clean()
		return "", 0, nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		clean()
		return "", 0, nil, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	server := program("postgres", "-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-c", "unix_socket_directories=", "-c", fmt.Sprintf("fsync=%v", fsync))
	if err := server.Start(); err != nil {
		clean()
		return "", 0, nil, err
	}
	stop = func() {
		_ = server.Process.Signal(syscall.SIGINT)
		_ = server.Wait()
		clean()
	}
	url = fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port)
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if conn, err := pgx.Connect(context.Background(), url); err == nil {
			_ = conn.Close(context.Background())
			return url, server.Process.Pid, stop, nil
		}
	}
	stop()
	return "", 0, nil, errors.New("PostgreSQL does not answer")
}

// binaries returns the folder of the newest server that is installed.
func binaries() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) > 0 {
		return filepath.Dir(slices.Max(found)), nil
	}
	path, err := exec.LookPath("postgres")
	return filepath.Dir(path), err
}

// whom gives the folder to a user that the server runs for, where we are root; nil: to nobody else.
func whom(dir string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root: %w", err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, uid, gid)
}

// machine describes what is measured on.
func machine(ctx context.Context, url, what string, rounds int, more map[string]any) (map[string]any, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(ctx) }()
	var version, fsync string
	if err := conn.QueryRow(ctx, "SELECT current_setting('server_version'), current_setting('fsync')").Scan(&version, &fsync); err != nil {
		return nil, err
	}
	version, _, _ = strings.Cut(version, " ")
	return report.Machine(what, "PostgreSQL "+version+" with fsync="+fsync, rounds, more), nil
}
