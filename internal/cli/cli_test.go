package cli

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write docs/reference/cli.md")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"fraiseql": func() { os.Exit(Main()) }})
}

// TestScripts runs the command in a process of its own, over real sockets.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "port": port, "ready": ready, "metric": metric, "get": get, "term": term, "draining": draining,
		},
	})
}

// exits CODE COMMAND ARG… runs a command that must end with an exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	code := 0
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		code = ended.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

// term asks the server that was started last to drain.
func term(ts *testscript.TestScript, _ bool, _ []string) {
	var server *exec.Cmd
	for _, c := range ts.BackgroundCmds() {
		if len(c.Args) > 1 && c.Args[1] == "serve" {
			server = c
		}
	}
	ts.Check(server.Process.Signal(syscall.SIGTERM))
}

// port NAME sets a variable to a loopback address whose port is free.
func port(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], l.Addr().String())
	ts.Check(l.Close())
}

// poll asks until done says yes.
func poll(ts *testscript.TestScript, url string, done func(status int, body string) bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		ts.Check(err)
		if res, err := http.DefaultClient.Do(req); err == nil {
			body, _ := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if done(res.StatusCode, string(body)) {
				return
			}
			last = string(body)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("%s: not what was waited for; the last answer was\n%s", url, last)
		}
	}
}

// ready ADDRESS waits for a server.
func ready(ts *testscript.TestScript, _ bool, args []string) {
	poll(ts, "http://"+args[0]+"/readyz", func(status int, _ string) bool { return status == 200 })
}

// draining ADDRESS waits until nobody listens there.
func draining(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", args[0])
		if err != nil {
			ts.Check(ctx.Err())
			return
		}
		ts.Check(conn.Close())
	}
}

// metric ADDRESS NAME VALUE waits until a metric has a value.
func metric(ts *testscript.TestScript, _ bool, args []string) {
	line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(args[1]) + " " + args[2] + "$")
	poll(ts, "http://"+args[0]+"/metrics", func(_ int, body string) bool { return line.MatchString(body) })
}

// get STATUS URL PATTERN asks once.
func get(ts *testscript.TestScript, _ bool, args []string) {
	res, err := http.Get(args[1])
	ts.Check(err)
	body, err := io.ReadAll(res.Body)
	ts.Check(err)
	ts.Check(res.Body.Close())
	if fmt.Sprint(res.StatusCode) != args[0] || !regexp.MustCompile(args[2]).Match(body) {
		ts.Fatalf("%s = %d %.500s", args[1], res.StatusCode, body)
	}
}

func TestReference(t *testing.T) {
	var got bytes.Buffer
	if err := WriteReference(&got); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("..", "..", "docs", "reference", "cli.md")
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s is not what the command line generates; run go test ./internal/cli -update\n%s", file, diff)
	}
}

func TestEveryFlagExplainsItself(t *testing.T) {
	parser, err := newParser(&Env{Stdout: io.Discard, Stderr: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range parser.Model.Children {
		explains(t, c)
		for _, child := range c.Children {
			explains(t, child)
		}
	}
}

// explains checks the help of one command.
func explains(t *testing.T, c *kong.Node) {
	t.Helper()
	if !strings.HasSuffix(c.Help, ".") {
		t.Errorf("%s: help %q is not a sentence", c.Name, c.Help)
	}
	for _, f := range c.Flags {
		if !strings.HasSuffix(f.Help, ".") {
			t.Errorf("%s --%s: help %q is not a sentence", c.Name, f.Name, f.Help)
		}
		if strings.Contains(f.Name, "secret") || f.Name == "token" {
			t.Errorf("%s --%s: a secret must not have a flag", c.Name, f.Name)
		}
	}
	if c.Name != "version" && len(c.Children) == 0 && !strings.Contains(c.Detail, "Examples:") {
		t.Errorf("%s: the help has no examples", c.Name)
	}
}
