package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// environment leaves one thread to the program and keeps the collector and the scheduler's signals out.
var environment = append(os.Environ(), "GOMAXPROCS=1", "GOGC=off", "GODEBUG=asyncpreemptoff=1")

// measure builds the program and counts.
func measure(only string) (*counts, error) {
	dir, err := os.MkdirTemp("", "guard")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary := filepath.Join(dir, "hot")
	// Without the working tree's state in it, and for the oldest processors: the same code everywhere.
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "github.com/fraiseql/fraiseql-go/bench/guard/hot")
	build.Env = append(os.Environ(), "GOAMD64=v1", "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build: %w\n%s", err, out)
	}
	c := &counts{system: runtime.GOARCH, version: goVersion(), cases: map[string]*count{}}
	if err := c.allocations(binary, only); err != nil {
		return nil, err
	}
	if runtime.GOARCH != "amd64" {
		return c, nil // see request_other.go
	}
	return c, c.instructions(binary, dir, only)
}

func (c *counts) allocations(binary, only string) error {
	out, err := output(binary, "-allocations", "-only", only)
	if err != nil {
		return err
	}
	for line := range strings.Lines(out) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if len(fields) != 3 {
			return fmt.Errorf("allocations: %q", line)
		}
		objects, err := strconv.ParseFloat(fields[1], 64)
		bytes, also := strconv.ParseFloat(fields[2], 64)
		if err := errors.Join(err, also); err != nil {
			return err
		}
		c.names = append(c.names, fields[0])
		c.cases[fields[0]] = &count{objects: objects, bytes: bytes}
	}
	return nil
}

func (c *counts) instructions(binary, dir, only string) error {
	if _, err := exec.LookPath("valgrind"); err != nil {
		return errors.New("counting instructions needs valgrind: run .ci/tools, or install your system's package")
	}
	listed, err := output(binary, "-list", "-only", only)
	if err != nil {
		return err
	}
	operations := map[string]float64{}
	for line := range strings.Lines(listed) {
		name, n, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if operations[name], err = strconv.ParseFloat(n, 64); err != nil {
			return err
		}
	}
	profile := filepath.Join(dir, "profile")
	if _, err := output("valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", "--collect-atstart=no",
		"--callgrind-out-file="+profile, binary, "-only", only); err != nil {
		return err
	}
	dumps, err := filepath.Glob(profile + ".*")
	if err != nil {
		return err
	}
	for _, name := range dumps {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		d := parseDump(text)
		one, n := c.cases[d.name], operations[d.name]
		if one == nil || n == 0 {
			return fmt.Errorf("callgrind: a dump of %q, which is no case", d.name)
		}
		one.instructions = d.total / n
		one.functions = top(d.functions, n, one.instructions)
	}
	for _, name := range c.names {
		if c.cases[name].instructions == 0 {
			return fmt.Errorf("callgrind: no dump of %q; it left %d", name, len(dumps))
		}
	}
	return nil
}

// output runs a program with one thread and returns what it printed.
func output(name string, args ...string) (string, error) {
	command := exec.Command(name, args...)
	command.Env = environment
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", filepath.Base(name), strings.Join(args, " "), err, out.Bytes(), errs.Bytes())
	}
	return out.String(), nil
}
