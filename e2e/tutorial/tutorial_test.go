package tutorial

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// patience bounds each wait.
const patience = 20 * time.Second

// reader follows the tutorial in a folder of its own.
type reader struct {
	t          *testing.T
	file       string
	addr       string // of the main listener
	dir        string
	ports      *strings.Replacer // the tutorial's ports to free ones
	metrics    []string          // where /metrics may be
	defined    string
	output     string
	background map[string]*process
}

// process is a command that goes on. Its output is read by one goroutine.
type process struct {
	command *exec.Cmd
	ended   chan struct{}
	mu      sync.Mutex
	printed bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.printed.Write(b)
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.printed.String()
}

// stop ends a process and what it started.
func (p *process) stop() {
	// It may have ended by itself.
	_ = syscall.Kill(-p.command.Process.Pid, syscall.SIGTERM)
	<-p.ended
}

// TestTutorial and TestReadme run every step and compare what is printed.
func TestTutorial(t *testing.T) { follow(t, "docs/tutorial.md", 10) }

// TestReadme runs the five minutes of the README.
func TestReadme(t *testing.T) { follow(t, "README.md", 5) }

// TestPostgreSQL runs the guide, with a server of the test's own in place of the reader's.
func TestPostgreSQL(t *testing.T) {
	server := testkit.NewPostgres(t)
	host, port, err := net.SplitHostPort(server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	follow(t, "docs/guides/postgresql.md", 15, "127.0.0.1:5432", server.Addr, "PGHOST=127.0.0.1", "PGHOST="+host, "PGPORT=5432", "PGPORT="+port)
}

// follow runs a document of at least so many steps. Texts of it are replaced, besides the ports of the server.
func follow(t *testing.T, file string, atLeast int, replace ...string) {
	document, err := os.ReadFile(filepath.Join(testkit.Root(), file))
	if err != nil {
		t.Fatal(err)
	}
	steps, err := parse(string(document))
	if err != nil {
		t.Fatal(err)
	}
	if len(steps) < atLeast {
		t.Fatalf("%s has %d steps: are its comments in order?", file, len(steps))
	}
	main, admin := testkit.FreeAddr(t), testkit.FreeAddr(t)
	r := &reader{
		t: t, file: file, addr: main, dir: t.TempDir(), background: map[string]*process{},
		ports:   strings.NewReplacer(append(replace, "127.0.0.1:4000", main, "127.0.0.1:4001", admin)...),
		metrics: []string{"http://" + main + "/metrics", "http://" + admin + "/metrics"},
	}
	t.Cleanup(func() {
		for _, p := range r.background {
			p.stop()
		}
	})
	for _, s := range steps {
		r.do(s)
		if t.Failed() {
			t.Fatalf("%s:%d: step `%s %s` failed", file, s.line, s.verb, s.name)
		}
	}
}

// do carries out one step.
func (r *reader) do(s step) {
	r.t.Helper()
	switch s.verb {
	case "file":
		if err := os.WriteFile(filepath.Join(r.dir, s.name), []byte(r.ports.Replace(s.text)), 0o600); err != nil {
			r.t.Fatal(err)
		}
	case "define":
		r.defined += s.text
	case "run", "refused":
		out, err := r.shell(s.text).CombinedOutput()
		r.output = string(out)
		if (err == nil) != (s.verb == "run") {
			r.t.Errorf("%s\n%v\n%s", s.text, err, out)
		}
	case "background":
		r.start(s)
	case "output":
		r.compare(s)
	}
}

// shell returns a command that runs a block with everything defined so far.
func (r *reader) shell(text string) *exec.Cmd {
	command := exec.Command("bash", "-euc", r.ports.Replace("set -o pipefail\n"+r.defined+text))
	command.Dir = r.dir
	command.Env = append(os.Environ(),
		"PATH="+filepath.Dir(testkit.Binary(r.t))+string(os.PathListSeparator)+os.Getenv("PATH"),
		"FRAISEQL_LISTEN="+r.addr, "FRAISEQL_URL=http://"+r.addr)
	return command
}

// start runs a block in the background. A block that serves must be ready afterwards, one that subscribes must
// have its subscription.
func (r *reader) start(s step) {
	r.t.Helper()
	if old := r.background[s.name]; old != nil {
		old.stop()
	}
	before := r.subscriptions()
	p := &process{command: r.shell(s.text), ended: make(chan struct{})}
	p.command.Stdout = p
	var stderr bytes.Buffer
	p.command.Stderr = &stderr
	p.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.command.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() {
		// How it ended does not matter; that it did is noticed below.
		_ = p.command.Wait()
		close(p.ended)
	}()
	r.background[s.name] = p
	r.until(s, func() bool {
		select {
		case <-p.ended:
			r.t.Fatalf("%s:%d: ended early\n%s%s", r.file, s.line, p.text(), &stderr)
		default:
		}
		if strings.Contains(s.text, "fraiseql serve") {
			return r.ready()
		}
		return r.subscriptions() == before+1
	})
}

// until polls a condition.
func (r *reader) until(s step, condition func() bool) {
	r.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		if condition() {
			return
		}
		if time.Now().After(end) {
			r.t.Errorf("%s:%d: not so after %v", r.file, s.line, patience)
			return
		}
	}
}

// ready reports whether the server answers.
func (r *reader) ready() bool {
	res, err := http.Get("http://" + r.addr + "/readyz")
	if err != nil {
		return false
	}
	defer func() { _ = res.Body.Close() }()
	return res.StatusCode == http.StatusOK
}

var gauge = regexp.MustCompile(`(?m)^fraiseql_subscriptions (\d+)$`)

// subscriptions returns the number of live subscriptions, 0 without a server.
func (r *reader) subscriptions() int {
	for _, url := range r.metrics {
		res, err := http.Get(url)
		if err != nil {
			continue
		}
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if found := gauge.FindSubmatch(text); err == nil && found != nil {
			n := 0
			for _, digit := range found[1] {
				n = 10*n + int(digit-'0')
			}
			return n
		}
	}
	return 0
}

// compare looks for the block's lines in the last output, in order, or waits until a background command has
// printed exactly the block.
func (r *reader) compare(s step) {
	r.t.Helper()
	if s.name != "" {
		p := r.background[s.name]
		r.until(s, func() bool { return p != nil && strings.Count(p.text(), "\n") >= strings.Count(s.text, "\n") })
		if p != nil && p.text() != s.text {
			r.t.Errorf("%s printed\n%swant\n%s", s.name, p.text(), s.text)
		}
		return
	}
	rest := r.output
	for line := range strings.Lines(r.ports.Replace(s.text)) {
		_, after, found := strings.Cut(rest, strings.TrimSuffix(line, "\n"))
		if !found {
			r.t.Errorf("printed\n%swant the line\n%s", r.output, line)
			return
		}
		rest = after
	}
}
