package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// subprocess is a server of our own in a process of its own, so that its CPU and memory can be told apart from
// those of the load.
type subprocess struct {
	command *exec.Cmd
	dir     string // holds the schema
	addr    string
	drained chan struct{} // closed when its output has ended
}

const (
	startTimeout = 10 * time.Second
	stopTimeout  = 10 * time.Second
)

// startServer starts `fraiseql serve --dev` with a schema on a free port and waits until it is ready.
func startServer(ctx context.Context, env *Env, schema string) (*subprocess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start a server: %w", err)
	}
	dir, err := os.MkdirTemp("", "fraiseql-bench-")
	if err != nil {
		return nil, fmt.Errorf("start a server: %w", err)
	}
	s := &subprocess{dir: dir, drained: make(chan struct{})}
	file := filepath.Join(dir, "bench.graphql")
	if err := os.WriteFile(file, []byte(schema), 0o600); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s.command = exec.Command(self, "serve", "--dev", "--listen", "127.0.0.1:0", "--schema", file, "--log-format", "json", "--drain-window", "1s")
	s.command.Env = withoutOurs(env.Environ)
	logs, err := s.command.StderrPipe()
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.command.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start a server: %w", err), os.RemoveAll(dir))
	}
	ready := make(chan string, 1)
	var said strings.Builder
	go s.follow(logs, ready, &said)
	timer := time.NewTimer(startTimeout)
	defer timer.Stop()
	select {
	case s.addr = <-ready:
		return s, nil
	case <-s.drained:
		// Its last words explain it.
		_ = s.command.Wait()
		return nil, errors.Join(fmt.Errorf("the server did not start: %s", strings.TrimSpace(said.String())), os.RemoveAll(dir))
	case <-timer.C:
	case <-ctx.Done():
	}
	s.stop()
	return nil, errors.New("the server did not start in time")
}

// follow reads the log to its end and reports the address when the server is ready.
func (s *subprocess) follow(logs io.Reader, ready chan<- string, said *strings.Builder) {
	defer close(s.drained)
	for lines := bufio.NewScanner(logs); lines.Scan(); {
		var record struct {
			Msg    string `json:"msg"`
			Listen string `json:"listen"`
		}
		if json.Unmarshal(lines.Bytes(), &record) == nil && record.Msg == "ready" {
			ready <- record.Listen
		} else if said.Len() < 4096 {
			said.WriteString(lines.Text() + "\n")
		}
	}
}

// withoutOurs leaves our variables out: the server is to be the same whatever the environment says.
func withoutOurs(environ []string) []string {
	var rest []string
	for _, v := range environ {
		if !strings.HasPrefix(v, "FRAISEQL_") {
			rest = append(rest, v)
		}
	}
	return rest
}

func (s *subprocess) pid() int { return s.command.Process.Pid }

// stop ends the server and waits for it.
func (s *subprocess) stop() {
	// One that has ended already can't be signalled; Wait says what there is to know.
	_ = s.command.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(stopTimeout, func() { _ = s.command.Process.Kill() })
	defer timer.Stop()
	<-s.drained
	_ = s.command.Wait()
	_ = os.RemoveAll(s.dir)
}
