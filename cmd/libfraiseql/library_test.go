//go:build linux && cgo

package main_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patience bounds a program of these tests.
const patience = time.Minute

// library builds the shared library, with a tag or "".
func library(t *testing.T, tag string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "libfraiseql.so")
	run(t, "go", "build", "-tags", tag, "-buildmode=c-shared", "-o", path, ".")
	return path
}

// program compiles a program of testdata with the C compiler that Go uses.
func program(t *testing.T, name string) string {
	t.Helper()
	cc := os.Getenv("CC")
	if cc == "" {
		cc = strings.TrimSpace(run(t, "go", "env", "CC"))
	}
	path := filepath.Join(t.TempDir(), name)
	args := append(strings.Fields(cc), "-std=c11", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unused-variable", "-I.",
		"-o", path, filepath.Join("testdata", name+".c"), "-ldl", "-pthread")
	run(t, args[0], args[1:]...)
	return path
}

// run runs a command and returns its output; it fails the test unless the command exits with 0.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// TestExports loads the library into a program in C that uses every function.
func TestExports(t *testing.T) {
	t.Parallel()
	so := library(t, "")
	if out := run(t, program(t, "exports"), so); out != "" {
		t.Errorf("unexpected output:\n%s", out)
	}
	t.Run("signals", func(t *testing.T) {
		const want = "taken: SIGBUS SIGFPE SIGSEGV SIGPIPE SIGURG\nSIGINT on the alternate stack: yes\n" +
			"signals of the host that its threads take: 0\n"
		if got := run(t, program(t, "signals"), so); got != want {
			t.Errorf("loading changes:\n%swant:\n%s", got, want)
		}
	})
	t.Run("figures", func(t *testing.T) {
		t.Log("\n" + run(t, program(t, "figures"), so, "2000"))
	})
	t.Run("package initialisation", func(t *testing.T) { initialisation(t, so) })
}

// mostAllocations is what a package may allocate at load: about 50 µs.
const mostAllocations = 80

// drivers of buses may do more, since it is theirs to decide: 0.1 ms together.
var drivers = map[string]int{
	"github.com/redis/rueidis": 120, "github.com/nats-io/nkeys": 120, "github.com/nats-io/nats%2ego": 300, "github.com/nats-io/nats.go/jetstream": 250,
}

// initialisation looks for packages, ours and those that we import, that work at load: what they need is made when it
// is first used.
func initialisation(t *testing.T, so string) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t, "signals"), so)
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines, found := 0, false
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "init ") {
			continue
		}
		lines++
		fields := strings.Fields(line) // init PACKAGE @AT ms, TOOK ms clock, N bytes, M allocs
		found = found || fields[1] == "main"
		// Packages of the standard library have no dot in their first element.
		if first, _, _ := strings.Cut(fields[1], "/"); !strings.Contains(first, ".") {
			continue
		}
		if allocations, err := strconv.Atoi(fields[len(fields)-2]); err != nil || allocations > max(mostAllocations, drivers[fields[1]]) {
			t.Errorf("works at load: %s", line)
		}
	}
	if lines < 10 || !found {
		t.Errorf("no trace of initialisation:\n%s", out)
	}
}

// TestFaults loads a build in which every export can be made to fail.
func TestFaults(t *testing.T) {
	t.Parallel()
	if out := run(t, program(t, "faults"), library(t, "fqfault")); out != "" {
		t.Errorf("unexpected output:\n%s", out)
	}
}

// TestMemoryBuild loads the build for processes whose events stay inside: it links no client of a bus, and nothing that
// serves clients.
func TestMemoryBuild(t *testing.T) {
	t.Parallel()
	so := library(t, "fqmemory")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t, "signals"), so)
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "init main ") {
		t.Errorf("no trace of initialisation:\n%s", out)
	}
	for _, driver := range []string{"rueidis", "pgx", "nats", "net/http", "crypto/", "compress/", "internal/transport"} {
		if strings.Contains(string(out), driver) {
			t.Errorf("%s is linked in", driver)
		}
	}
}
