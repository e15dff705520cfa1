//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const schema = `
type Subscription { bench(room: Int): Tick }
type Tick { room: Int seq: Int sent: Float sum: Float pad: String a: Tick }
`

// server is the command of this tree.
type server struct {
	addr, admin string
	process     *exec.Cmd
}

// memory is the most that the server used, in MiB: what is resident, and what its ceiling counts.
type memory struct {
	RSS     float64 `json:"rss_mib"`
	Go      float64 `json:"go_mib"`
	Ceiling int     `json:"ceiling_mib"`
}

// serve starts the command.
func serve(dir, binary string) (*server, error) {
	s := &server{}
	var err error
	if s.addr, err = freeAddress(); err != nil {
		return nil, err
	}
	if s.admin, err = freeAddress(); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "schema.graphql"), []byte(schema), 0o600); err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`
schema: %q
listen: %q
admin: {listen: %q, pprof: %t}
auth: {jwt: {secret: %q, issuer: "*", audience: "*"}}
publish: {tokens: [{token: %q}]}
limits: {memory: %dMiB}
websocket: {compression: "on"}
`, filepath.Join(dir, "schema.graphql"), s.addr, s.admin, *profile != "", secret, publishToken, *ceiling)
	file := filepath.Join(dir, "fraiseql"+s.addr+".yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	s.process = exec.Command(binary, "serve", "--config", file)
	log, err := os.Create(file + ".log")
	if err != nil {
		return nil, err
	}
	s.process.Stdout, s.process.Stderr = log, log
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	for range 500 {
		if _, err := s.metrics(); err == nil {
			return s, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	text, _ := os.ReadFile(log.Name())
	return nil, fmt.Errorf("the server does not start: %s", text)
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (s *server) end() {
	_ = s.process.Process.Kill() // it may have ended by itself
	_ = s.process.Wait()
}

// metrics reads every series by its name with labels.
func (s *server) metrics() (map[string]float64, error) {
	res, err := http.Get("http://" + s.admin + "/metrics")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	series := map[string]float64{}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if name, text, ok := strings.Cut(lines.Text(), " "); ok && !strings.HasPrefix(name, "#") {
			if series[name], err = strconv.ParseFloat(text, 64); err != nil {
				return nil, err
			}
		}
	}
	return series, lines.Err()
}

// profile keeps where the server's processor time goes, and then what its goroutines wait for, in files of a directory.
func (s *server) profile(dir, where string, after time.Duration) {
	time.Sleep(after)
	for _, what := range []string{"profile?seconds=5", "trace?seconds=2"} {
		name, _, _ := strings.Cut(what, "?")
		if err := s.fetch(what, filepath.Join(dir, name+"-"+where)); err != nil {
			fmt.Fprintln(os.Stderr, "crowd:", err)
		}
	}
}

func (s *server) fetch(what, file string) error {
	res, err := http.Get("http://" + s.admin + "/debug/pprof/" + what)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

// since returns what was refused since then.
func (s *server) since(before map[string]float64) (map[string]float64, error) {
	now, err := s.metrics()
	if err != nil {
		return nil, err
	}
	more := map[string]float64{}
	for name, value := range now {
		for _, family := range []string{"fraiseql_limited_total", "fraiseql_connections_refused_total", "fraiseql_auth_failures_total", "fraiseql_dropped_total", "fraiseql_closes_total"} {
			if d := value - before[name]; strings.HasPrefix(name, family) && d > 0 {
				more[name] = d
			}
		}
	}
	return more, nil
}

// watch samples the server's memory until the function that it returns is called.
func (s *server) watch() func() memory {
	stop, most := make(chan struct{}), make(chan memory)
	go func() {
		m := memory{Ceiling: *ceiling}
		for {
			select {
			case <-stop:
				most <- m
				return
			case <-time.After(250 * time.Millisecond):
				m.RSS = max(m.RSS, float64(resident(s.process.Process.Pid))/(1<<20))
				if now, err := s.metrics(); err == nil {
					m.Go = max(m.Go, (now["go_memstats_sys_bytes"]-now["go_memstats_heap_released_bytes"])/(1<<20))
				}
			}
		}
	}()
	return func() memory { close(stop); return <-most }
}

func resident(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// identify says what was measured where.
func (l *line) identify() {
	l.Go, l.CPUs = runtime.Version(), runtime.NumCPU()
	if out, err := exec.Command("git", "rev-parse", "--short=10", "HEAD").Output(); err == nil {
		l.Commit = strings.TrimSpace(string(out))
	}
}

// gang is the process of the bad clients.
type gang struct {
	command *exec.Cmd
	stdin   io.WriteCloser
	lines   *bufio.Scanner
	err     error
}

func (g *gang) start(addr string, n int) {
	// Of the class idle: every process of another class goes first.
	g.command = exec.Command("chrt", "-i", "0", os.Args[0], "-misbehave", addr, "-bad", fmt.Sprint(n), "-every", every.String(), "-kind", *only)
	g.command.Stderr = os.Stderr
	g.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out io.Reader
	if g.stdin, g.err = g.command.StdinPipe(); g.err != nil {
		return
	}
	if out, g.err = g.command.StdoutPipe(); g.err != nil {
		return
	}
	g.lines = bufio.NewScanner(out)
	g.lines.Buffer(nil, 1<<20)
	g.err = g.command.Start()
}

// end lets the bad clients go and returns what they have done.
func (g *gang) end() (done map[string]told, err error) {
	if g.command == nil || g.err != nil {
		return nil, g.err
	}
	if !g.lines.Scan() || g.lines.Text() != "ready" {
		return nil, fmt.Errorf("not all bad clients came: %q", g.lines.Text())
	}
	if err := g.stdin.Close(); err != nil {
		return nil, err
	}
	if g.lines.Scan() {
		err = json.Unmarshal(g.lines.Bytes(), &done)
	}
	return done, errors.Join(err, g.command.Wait())
}
