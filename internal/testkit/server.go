package testkit

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startTime bounds how long a server may take until it is ready, stopTime until it has ended.
const (
	startTime = 20 * time.Second
	stopTime  = 20 * time.Second
)

// Server is a running `fraiseql serve` that can be ended and started again on the same port. Its methods are for
// one goroutine, except Publish.
type Server struct {
	// Addr is host:port, the same after a restart.
	Addr string

	tb      testing.TB
	scheme  string
	http    *http.Client
	args    []string
	command *exec.Cmd
	ended   chan struct{} // closed when the process has ended
	output  *output
}

// output keeps what the process prints, for failures.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// Client is an HTTP client that trusts the server.
func (s *Server) Client() *http.Client { return s.http }

// Serve starts `fraiseql serve --listen <free port> args…`, waits until it is ready and ends it with the test.
func Serve(tb testing.TB, args ...string) *Server {
	tb.Helper()
	return ServeAt(tb, FreeAddr(tb), args...)
}

// ServeAt is Serve at an address that FreeAddr has returned.
func ServeAt(tb testing.TB, addr string, args ...string) *Server {
	tb.Helper()
	s := &Server{Addr: addr, tb: tb, scheme: "http://", http: http.DefaultClient, args: args, output: &output{}}
	return s.run()
}

// ServeTLS is Serve with a certificate.
func ServeTLS(tb testing.TB, c Certificate, args ...string) *Server {
	tb.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.Pool}, ForceAttemptHTTP2: true}
	tb.Cleanup(transport.CloseIdleConnections)
	args = append(args, "--set", "tls.cert_file="+c.CertFile, "--set", "tls.key_file="+c.KeyFile)
	s := &Server{Addr: FreeAddr(tb), tb: tb, scheme: "https://", http: &http.Client{Transport: transport}, args: args, output: &output{}}
	return s.run()
}

func (s *Server) run() *Server {
	tb := s.tb
	tb.Helper()
	s.Start()
	tb.Cleanup(func() {
		s.Kill()
		if tb.Failed() {
			tb.Logf("the server printed:\n%s", s.output)
		}
	})
	return s
}

// FreeAddr returns a loopback address whose port was free a moment ago. The port lies below those that systems
// give to outgoing connections, so that it is still free when a server comes back to it.
func FreeAddr(tb testing.TB) string {
	tb.Helper()
	addr, err := freeAddr()
	if err != nil {
		tb.Fatal(err)
	}
	return addr
}

func freeAddr() (string, error) {
	const first, ports, tries = 20_000, 12_000, 100
	for range tries {
		addr := fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(ports))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		return addr, l.Close()
	}
	return "", fmt.Errorf("testkit: no free port in %d tries", tries)
}

// Start starts the process again after Kill or Terminate and waits until it is ready.
func (s *Server) Start() {
	s.tb.Helper()
	s.command = exec.Command(Binary(s.tb), append([]string{"serve", "--listen", s.Addr}, s.args...)...)
	s.command.Stdout, s.command.Stderr = s.output, s.output
	if err := s.command.Start(); err != nil {
		s.tb.Fatal(err)
	}
	s.ended = make(chan struct{})
	go func(command *exec.Cmd, ended chan struct{}) {
		// How it ended shows in ProcessState.
		_ = command.Wait()
		close(ended)
	}(s.command, s.ended)
	s.awaitReady()
}

// awaitReady asks /readyz until it says 200.
func (s *Server) awaitReady() {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if res, err := s.http.Get(s.URL("/readyz")); err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-s.ended:
			s.tb.Fatalf("serve ended: %v\n%s", s.command.ProcessState, s.output)
		case <-ctx.Done():
			s.tb.Fatalf("serve is not ready after %v\n%s", startTime, s.output)
		case <-tick.C:
		}
	}
}

// Kill ends the process at once, as a crash would, and waits for its end.
func (s *Server) Kill() {
	s.tb.Helper()
	s.end(syscall.SIGKILL)
}

// Terminate asks the process to drain, waits for its end and returns its exit code.
func (s *Server) Terminate() int {
	s.tb.Helper()
	s.end(syscall.SIGTERM)
	return s.command.ProcessState.ExitCode()
}

// end signals the process, unless it has ended, and waits.
func (s *Server) end(signal syscall.Signal) {
	s.tb.Helper()
	select {
	case <-s.ended:
		return
	default:
	}
	// A process that ended meanwhile is what is wanted.
	_ = s.command.Process.Signal(signal)
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	select {
	case <-s.ended:
	case <-ctx.Done():
		_ = s.command.Process.Kill()
		<-s.ended
		s.tb.Errorf("serve had not ended %v after %v", stopTime, signal)
	}
}

// Output returns everything that the process has printed.
func (s *Server) Output() string { return s.output.String() }

// URL returns the http (or https) address of a path.
func (s *Server) URL(path string) string { return s.scheme + s.Addr + path }

// Publish sends one event to POST /events and fails the test unless it is accepted. token may be empty.
func (s *Server) Publish(token string, event any) {
	s.tb.Helper()
	if err := s.TryPublish(token, event); err != nil {
		s.tb.Fatal(err)
	}
}

// TryPublish sends one event to POST /events; the error holds the server's answer.
func (s *Server) TryPublish(token string, event any) error {
	body, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	req, err := http.NewRequest(http.MethodPost, s.URL("/events"), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	var answer bytes.Buffer
	if _, err := answer.ReadFrom(res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusAccepted {
		return fmt.Errorf("POST /events: %s: %s", res.Status, answer.String())
	}
	return nil
}

// Signal sends the running process a signal.
func (s *Server) Signal(signal syscall.Signal) {
	s.tb.Helper()
	if err := s.command.Process.Signal(signal); err != nil {
		s.tb.Fatal(err)
	}
}

// AwaitOutput waits until the process has printed a text.
func (s *Server) AwaitOutput(text string) {
	s.tb.Helper()
	deadline, tick := time.After(startTime), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(s.Output(), text) {
		select {
		case <-deadline:
			s.tb.Fatalf("the server did not print %q in %v", text, startTime)
		case <-tick.C:
		}
	}
}
