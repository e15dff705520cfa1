package testkit

import (
	"bufio"
	"encoding/json"
	"io"
	"os/exec"
	"testing"
	"time"
)

// Line is one JSON line of a client script: exactly one member is set.
type Line struct {
	Next     *Result `json:"next"`
	Error    []Error `json:"error"`
	Complete bool    `json:"complete"`
}

// Result is an execution result as a client library handed it over.
type Result struct {
	Data       json.RawMessage `json:"data"`
	Errors     []Error         `json:"errors"`
	Extensions map[string]any  `json:"extensions"`
}

// Error is a GraphQL error.
type Error struct {
	Message    string         `json:"message"`
	Extensions map[string]any `json:"extensions"`
}

// Script is a running client in another language.
type Script struct {
	// Lines receives what it prints and is closed when it ends.
	Lines <-chan Line

	tb      testing.TB
	command *exec.Cmd
	stdin   io.WriteCloser
	stderr  *output
	ended   chan struct{} // closed after Lines is closed and the process has ended
}

// RunScript starts a client script that ends by itself when its standard input does.
func RunScript(tb testing.TB, name string, args ...string) *Script {
	tb.Helper()
	command := exec.Command(name, args...)
	stdin, err := command.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	lines := make(chan Line, 10_000)
	s := &Script{Lines: lines, tb: tb, command: command, stdin: stdin, stderr: &output{}, ended: make(chan struct{})}
	command.Stderr = s.stderr
	if err := command.Start(); err != nil {
		tb.Fatalf("start %s: %v (make deps installs what the client tests need)", name, err)
	}
	go s.read(stdout, lines)
	tb.Cleanup(func() {
		_ = command.Process.Kill()
		<-s.ended
	})
	return s
}

// read passes the script's lines on until it ends.
func (s *Script) read(stdout io.Reader, lines chan<- Line) {
	defer close(s.ended)
	defer close(lines)
	scanner := bufio.NewScanner(stdout)
	scanner.Buffer(nil, 4<<20)
	for scanner.Scan() {
		var line Line
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			s.tb.Errorf("the client printed %q: %v", scanner.Text(), err)
			continue
		}
		lines <- line
	}
	// How it ended shows in ProcessState.
	_ = s.command.Wait()
}

// Stop ends the script's standard input, waits and fails the test unless it ends with code 0 within 15 seconds.
func (s *Script) Stop() {
	s.tb.Helper()
	_ = s.stdin.Close()
	select {
	case <-s.ended:
	case <-time.After(15 * time.Second):
		_ = s.command.Process.Kill()
		<-s.ended
		s.tb.Errorf("the client did not end\n%s", s.stderr)
		return
	}
	if code := s.command.ProcessState.ExitCode(); code != 0 {
		s.tb.Errorf("the client ended with code %d\n%s", code, s.stderr)
	}
}

// Stderr returns what the script wrote to its standard error.
func (s *Script) Stderr() string { return s.stderr.String() }
