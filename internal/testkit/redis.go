package testkit

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// RedisOptions says how a Redis server is started. The zero value is a server without persistence and without a password.
type RedisOptions struct {
	// Fsync turns the append-only file on: "always", "everysec" or "no".
	Fsync string
	// Password is that of the user default.
	Password string
	// Users are lines of ACLs, without the word user: "app on >secret ~* +@all".
	Users []string
	// TLS makes the server speak TLS only, with a certificate that it has signed itself (Redis.CA).
	TLS bool
	// Socket makes the server listen on a Unix socket too (Redis.Socket).
	Socket bool
	// Cluster makes it a node of a cluster.
	Cluster bool
	// Arguments are added to the command line, such as "--maxmemory", "64mb".
	Arguments []string
}

// Redis is a redis-server of a test. Its methods are for one goroutine.
type Redis struct {
	// Addr is host:port, the same after a restart.
	Addr string
	// Dir holds its files.
	Dir string
	// Socket is the path of its Unix socket, CA that of its certificate; empty without.
	Socket, CA string

	tb      testing.TB
	o       RedisOptions
	program string
	args    []string
	command *exec.Cmd
	ended   chan struct{}
	output  *output
}

// StartRedis starts a redis-server on a free port, waits until it answers and ends it with the test.
func StartRedis(tb testing.TB, o RedisOptions) *Redis {
	tb.Helper()
	r := &Redis{Addr: FreeAddr(tb), Dir: tb.TempDir(), tb: tb, o: o, program: "redis-server", output: &output{}}
	for o.Cluster && !freeForCluster(r.Port()) {
		r.Addr = FreeAddr(tb)
	}
	port := r.Port()
	r.args = []string{"--bind", "127.0.0.1", "--dir", r.Dir, "--save", "", "--daemonize", "no", "--enable-debug-command", "local"}
	if o.TLS {
		c := NewCertificate(tb, r.Dir, 1)
		r.CA = c.CertFile
		r.args = append(r.args, "--port", "0", "--tls-port", port, "--tls-cert-file", c.CertFile, "--tls-key-file", c.KeyFile,
			"--tls-ca-cert-file", r.CA, "--tls-auth-clients", "no")
	} else {
		r.args = append(r.args, "--port", port)
	}
	if o.Fsync != "" {
		r.args = append(r.args, "--appendonly", "yes", "--appendfsync", o.Fsync)
	}
	if o.Password != "" {
		r.args = append(r.args, "--requirepass", o.Password)
	}
	if o.Socket {
		r.Socket = filepath.Join(r.Dir, "redis.sock")
		r.args = append(r.args, "--unixsocket", r.Socket)
	}
	if o.Cluster {
		r.args = append(r.args, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
	}
	r.args = append(r.args, o.Arguments...)
	r.start()
	return r
}

// freeForCluster reports whether the second port of a cluster's node, 10,000 above, is free, too, and below those of
// outgoing connections.
func freeForCluster(port string) bool {
	n, err := strconv.Atoi(port)
	if err != nil || n+10_000 > 32_000 {
		return false
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(n+10_000))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// start is the common end of all constructors.
func (r *Redis) start() {
	r.tb.Helper()
	r.tb.Cleanup(func() {
		if r.ended != nil {
			r.Kill()
		}
		if r.tb.Failed() {
			r.tb.Logf("%s at %s printed:\n%s", r.program, r.Addr, r.output)
		}
	})
	r.Start()
}

// Start starts the process again after Kill or Stop and waits until it answers and has loaded its data.
func (r *Redis) Start() {
	r.tb.Helper()
	r.command = exec.Command(r.program, r.args...)
	r.command.Stdout, r.command.Stderr = r.output, r.output
	if err := r.command.Start(); err != nil {
		r.tb.Fatal(err)
	}
	r.ended = make(chan struct{})
	go func(command *exec.Cmd, ended chan struct{}) {
		_ = command.Wait() // how it ended shows in ProcessState
		close(ended)
	}(r.command, r.ended)
	r.Await("PONG", "PING")
	for _, user := range r.o.Users {
		r.Do(append([]string{"ACL", "SETUSER"}, strings.Fields(user)...)...)
	}
}

// Await asks until the answer to a command contains a text.
func (r *Redis) Await(text string, command ...string) {
	r.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		answer, err := r.Try(command...)
		if err == nil && strings.Contains(answer, text) {
			return
		}
		select {
		case <-r.ended:
			r.tb.Fatalf("%s ended: %v\n%s", r.program, r.command.ProcessState, r.output)
		case <-ctx.Done():
			r.tb.Fatalf("%s %v: %q (%v), not %q within %v", r.program, command, answer, err, text, startTime)
		case <-tick.C:
		}
	}
}

// Kill ends the process at once, as a crash would, and waits for its end.
func (r *Redis) Kill() { r.end(syscall.SIGKILL) }

// Stop ends the process in an orderly way and waits for its end.
func (r *Redis) Stop() { r.end(syscall.SIGTERM) }

// Freeze stops the process without ending it, until Thaw.
func (r *Redis) Freeze() { _ = r.command.Process.Signal(syscall.SIGSTOP) }

// Thaw lets it go on.
func (r *Redis) Thaw() { _ = r.command.Process.Signal(syscall.SIGCONT) }

func (r *Redis) end(signal syscall.Signal) {
	r.tb.Helper()
	select {
	case <-r.ended:
		return
	default:
	}
	_ = r.command.Process.Signal(signal) // one that ended meanwhile is what is wanted
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	select {
	case <-r.ended:
	case <-ctx.Done():
		_ = r.command.Process.Kill()
		<-r.ended
		r.tb.Errorf("%s had not ended %v after %v", r.program, stopTime, signal)
	}
}

// Port returns the port.
func (r *Redis) Port() string {
	_, port, _ := net.SplitHostPort(r.Addr)
	return port
}

// Do runs one command with redis-cli, as the user default, and returns what it prints; an error ends the test.
func (r *Redis) Do(command ...string) string {
	r.tb.Helper()
	answer, err := r.Try(command...)
	if err != nil {
		r.tb.Fatalf("redis-cli %v: %v: %s", command, err, answer)
	}
	return answer
}

// Try is Do with the error returned.
func (r *Redis) Try(command ...string) (string, error) {
	args := []string{"-h", "127.0.0.1", "-p", r.Port(), "-e", "--no-auth-warning"}
	if r.o.TLS {
		args = append(args, "--tls", "--cacert", r.CA)
	}
	if r.o.Password != "" {
		args = append(args, "-a", r.o.Password)
	}
	out, err := exec.Command("redis-cli", append(args, command...)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// StartReplica starts a replica of a server with the same options, and waits until it is in step.
func StartReplica(tb testing.TB, of *Redis) *Redis {
	tb.Helper()
	o := of.o
	o.Arguments = append(append([]string(nil), o.Arguments...), "--replicaof", "127.0.0.1", of.Port(), "--repl-diskless-sync-delay", "0")
	r := StartRedis(tb, o)
	r.Await("master_link_status:up", "INFO", "replication")
	return r
}

// StartSentinel starts a Sentinel that watches a master under the name, alone, and fails over after half a second.
func StartSentinel(tb testing.TB, master *Redis, name string) *Redis {
	tb.Helper()
	r := &Redis{Addr: FreeAddr(tb), Dir: tb.TempDir(), tb: tb, program: "redis-server", output: &output{}}
	file := filepath.Join(r.Dir, "sentinel.conf")
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\ndir %s\nsentinel monitor %s 127.0.0.1 %s 1\nsentinel down-after-milliseconds %s 500\nsentinel failover-timeout %s 5000\n",
		r.Port(), r.Dir, name, master.Port(), name, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	r.args = []string{file, "--sentinel"}
	r.start()
	return r
}

// StartRedisCluster starts n masters without replicas that share all slots.
func StartRedisCluster(tb testing.TB, n int, o RedisOptions) []*Redis {
	tb.Helper()
	o.Cluster = true
	nodes := make([]*Redis, n)
	args := []string{"--cluster", "create"}
	for i := range nodes {
		nodes[i] = StartRedis(tb, o)
		args = append(args, nodes[i].Addr)
	}
	args = append(args, "--cluster-replicas", strconv.Itoa(0), "--cluster-yes")
	if out, err := exec.Command("redis-cli", args...).CombinedOutput(); err != nil {
		tb.Fatalf("redis-cli %v: %v\n%s", args, err, out)
	}
	for _, node := range nodes {
		node.Await("cluster_state:ok", "CLUSTER", "INFO")
	}
	return nodes
}

// SaveAppendOnlyFile copies the append-only file as it is on disk now; the returned function puts the copy back, while
// the server is down: what was written since is lost then, as after a crash of the machine.
func (r *Redis) SaveAppendOnlyFile() (putBack func()) {
	r.tb.Helper()
	// Redis writes, if it does not sync, before it answers.
	r.Do("PING")
	dir := filepath.Join(r.Dir, "appendonlydir")
	copied := r.tb.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		r.tb.Fatal(err)
	}
	return func() {
		if err := os.RemoveAll(dir); err != nil {
			r.tb.Fatal(err)
		}
		if err := os.CopyFS(dir, os.DirFS(copied)); err != nil {
			r.tb.Fatal(err)
		}
	}
}
