// Package graphqljs asks graphql-js, the reference implementation, what it makes of a case. The script that
// answers is e2e/graphqljs/oracle.mjs; its head describes the requests.
package graphqljs

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// Request is a question; empty members are left out.
type Request struct {
	Op            string          `json:"op"`
	SDL           string          `json:"sdl,omitempty"`
	Document      string          `json:"document,omitempty"`
	OperationName string          `json:"operationName,omitempty"`
	Variables     json.RawMessage `json:"variables,omitempty"`
	Event         json.RawMessage `json:"event,omitempty"`
	Loose         bool            `json:"loose,omitempty"`
}

// Answer is the reply. Fault is set when the script itself failed.
type Answer struct {
	Stage     string          `json:"stage"`
	Errors    []string        `json:"errors"`
	Variables json.RawMessage `json:"variables"`
	Result    json.RawMessage `json:"result"`
	Document  string          `json:"document"`
	Fault     string          `json:"fault"`
	// Arguments holds the coerced arguments of each field, by line:column.
	Arguments map[string]struct {
		Value json.RawMessage `json:"value"`
		Error string          `json:"error"`
	} `json:"arguments"`
}

// Oracle is a running graphql-js. It serves one goroutine.
type Oracle struct {
	t   testing.TB
	in  *bufio.Writer
	out *bufio.Reader
}

// Start installs graphql-js if need be and runs it until the test ends. Without node the test fails.
func Start(t testing.TB) *Oracle {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("node is not installed: the comparison with graphql-js needs Node.js 20 or later and npm")
	}
	dir := folder(t)
	install(t, dir)
	cmd := exec.CommandContext(t.Context(), node, "oracle.mjs")
	cmd.Dir = dir
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
		if stderr.Len() > 0 && t.Failed() {
			t.Logf("graphql-js said: %s", stderr.Bytes())
		}
	})
	return &Oracle{t: t, in: bufio.NewWriter(stdin), out: bufio.NewReader(stdout)}
}

// folder is e2e/graphqljs, found from this file.
func folder(t testing.TB) string {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("no caller")
	}
	return filepath.Join(filepath.Dir(file), "..", "..", "..", "e2e", "graphqljs")
}

// install runs npm ci once; tests of several packages may come at the same time.
func install(t testing.TB, dir string) {
	t.Helper()
	lock, err := os.Open(filepath.Join(dir, "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if installed(dir) {
		return
	}
	npm := exec.Command("npm", "ci", "--no-audit", "--no-fund")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		t.Fatalf("npm ci in e2e/graphqljs: %v\n%s", err, out)
	}
}

// installed reports whether node_modules is not older than the lock file.
func installed(dir string) bool {
	done, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json"))
	if err != nil {
		return false
	}
	want, err := os.Stat(filepath.Join(dir, "package-lock.json"))
	return err == nil && !done.ModTime().Before(want.ModTime())
}

// Ask sends one request and waits for its answer.
func (o *Oracle) Ask(req Request) Answer {
	o.t.Helper()
	return o.AskAll([]Request{req})[0]
}

// AskAll sends requests and returns their answers in order. Sending and receiving overlap.
func (o *Oracle) AskAll(reqs []Request) []Answer {
	o.t.Helper()
	sent := make(chan error, 1)
	go func() { sent <- o.send(reqs) }()
	answers := make([]Answer, len(reqs))
	for i := range reqs {
		line, err := o.out.ReadBytes('\n')
		if err != nil {
			o.t.Fatalf("graphql-js stopped answering: %v", err)
		}
		if err := json.Unmarshal(line, &answers[i]); err != nil {
			o.t.Fatalf("graphql-js answered %q: %v", line, err)
		}
		if answers[i].Fault != "" {
			o.t.Fatalf("graphql-js failed on %+v: %s", reqs[i], answers[i].Fault)
		}
	}
	if err := <-sent; err != nil {
		o.t.Fatal(err)
	}
	return answers
}

func (o *Oracle) send(reqs []Request) error {
	for i := range reqs {
		line, err := json.Marshal(&reqs[i])
		if err != nil {
			return err
		}
		if _, err := o.in.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return o.in.Flush()
}
