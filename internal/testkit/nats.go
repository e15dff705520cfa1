package testkit

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// natsServer builds the NATS server of go.mod's version once into the folder .cache.
var natsServer = sync.OnceValues(func() (string, error) {
	list := exec.Command("go", "list", "-m", "-f", "{{.Version}}", "github.com/nats-io/nats-server/v2")
	list.Dir = Root()
	version, err := list.Output()
	if err != nil {
		return "", fmt.Errorf("go list -m nats-server: %w", err)
	}
	dir := filepath.Join(Root(), ".cache", "nats-server-"+strings.TrimSpace(string(version)))
	binary := filepath.Join(dir, "nats-server")
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	temp, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(temp) }()
	build := exec.Command("go", "build", "-o", filepath.Join(temp, "nats-server"), "github.com/nats-io/nats-server/v2")
	build.Dir = Root()
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build nats-server: %w\n%s", err, out)
	}
	// Several test programs may build it at a time: whoever is last puts the same thing there again.
	return binary, os.Rename(filepath.Join(temp, "nats-server"), binary)
})

// NATS is a running nats-server with JetStream that can be killed and started again on the same port and store. Its
// methods are for one goroutine.
type NATS struct {
	// Addr is host:port, the same after a restart.
	Addr string
	// Store is the folder of JetStream.
	Store string

	tb      testing.TB
	config  string
	command *exec.Cmd
	ended   chan struct{}
	output  *output
}

// StartNATS starts a nats-server on a free port and ends it with the test. It takes messages of 2 MiB; extra are more
// lines of its configuration.
func StartNATS(tb testing.TB, extra ...string) *NATS {
	tb.Helper()
	dir := tb.TempDir()
	n := &NATS{Addr: FreeAddr(tb), Store: filepath.Join(dir, "store"), tb: tb, config: filepath.Join(dir, "nats.conf"), output: &output{}}
	// Streams reserve what they may hold; what the disk has free is not what tests are about.
	text := fmt.Sprintf("listen: %q\nmax_payload: 2MB\njetstream { store_dir: %q, max_file_store: 1TB }\n%s\n", n.Addr, n.Store, strings.Join(extra, "\n"))
	if err := os.WriteFile(n.config, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	n.Start()
	tb.Cleanup(func() {
		n.Kill()
		if tb.Failed() {
			tb.Logf("nats-server printed:\n%s", n.output)
		}
	})
	return n
}

// URL returns the address with the parameters of a bus.
func (n *NATS) URL(query string) string { return "nats://" + n.Addr + "?" + query }

// Start starts the process, again after Kill, and waits until it accepts connections.
func (n *NATS) Start() {
	n.tb.Helper()
	binary, err := natsServer()
	if err != nil {
		n.tb.Fatal(err)
	}
	n.command = exec.Command(binary, "-c", n.config)
	n.command.Stdout, n.command.Stderr = n.output, n.output
	if err := n.command.Start(); err != nil {
		n.tb.Fatal(err)
	}
	n.ended = make(chan struct{})
	go func(command *exec.Cmd, ended chan struct{}) {
		// How it ended shows in ProcessState.
		_ = command.Wait()
		close(ended)
	}(n.command, n.ended)
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.Dial("tcp", n.Addr); err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-n.ended:
			n.tb.Fatalf("nats-server ended: %v\n%s", n.command.ProcessState, n.output)
		case <-ctx.Done():
			n.tb.Fatalf("nats-server does not listen after %v\n%s", startTime, n.output)
		case <-tick.C:
		}
	}
}

// Kill ends the process at once, as a crash would, and waits for its end.
func (n *NATS) Kill() {
	select {
	case <-n.ended:
		return
	default:
	}
	// A process that ended meanwhile is what is wanted.
	_ = n.command.Process.Signal(syscall.SIGKILL)
	<-n.ended
}
