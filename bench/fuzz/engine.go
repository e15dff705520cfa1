package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// progress is what the engine prints every three seconds and at its end.
var progress = regexp.MustCompile(`^fuzz: elapsed: \S+, execs: (\d+) .*?(?:new interesting: (\d+) \(total: (\d+)\))?$`)

// maxBroken bounds how often the engine may break off over inputs that are all right.
const maxBroken = 50

// written is where the engine keeps an input that failed.
var written = regexp.MustCompile(`Failing input written to (testdata/fuzz/\S+)`)

// engine runs Go's fuzzing engine over one test binary with one worker; failure is what the engine says of an input that failed. A worker
// that has not been given the processor for ten seconds, in the middle of an input, takes itself for hung: then the input is run once
// more, alone, and if it passes the engine goes on with the rest.
func (r *runner) engine(d target, binary string, inputs int64, into *part) (failure string, err error) {
	for into.Inputs < inputs {
		before := *into
		said, err := r.once(d, binary, inputs-into.Inputs, into)
		into.Inputs += before.Inputs
		into.Interesting += before.Interesting
		switch {
		case err == nil && into.Inputs < inputs:
			return "", fmt.Errorf("the engine ended after %d of %d inputs: %s", into.Inputs, inputs, said)
		case err == nil:
			return "", nil
		}
		kept := written.FindStringSubmatch(said)
		if !strings.Contains(said, "hung or terminated unexpectedly") || kept == nil || into.Broken == maxBroken {
			return said, nil
		}
		again := exec.Command(binary, "-test.run=^"+d.name+"$/^"+filepath.Base(kept[1])+"$", "-test.timeout=2m")
		again.Dir = d.pkg
		if out, err := again.CombinedOutput(); err != nil {
			return said + "\n" + string(out), nil
		}
		if err := os.Remove(filepath.Join(d.pkg, kept[1])); err != nil {
			return "", err
		}
		into.Broken++
	}
	return "", nil
}

// once runs the engine until it ends; it adds the processor time to the part, and sets its other numbers.
func (r *runner) once(d target, binary string, inputs int64, into *part) (said string, err error) {
	cmd := exec.Command(binary, "-test.run=^$", "-test.fuzz=^"+d.name+"$", "-test.fuzzcachedir="+filepath.Join(r.scratch, "corpus", d.pkg),
		fmt.Sprintf("-test.fuzztime=%dx", inputs), "-test.fuzzminimizetime=1000x", "-test.parallel=1", "-test.timeout=0")
	cmd.Dir = d.pkg
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	cmd.Stderr = cmd.Stdout
	into.Inputs, into.Interesting = 0, 0
	if err := cmd.Start(); err != nil {
		return "", err
	}
	lines := read(out, into)
	err = cmd.Wait()
	into.Seconds += (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	return strings.Join(lines, "\n"), err
}

// read follows what the engine prints until it ends; it returns the last lines that tell no progress.
func read(out io.Reader, into *part) (said []string) {
	const keep = 20
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		m := progress.FindStringSubmatch(lines.Text())
		if m == nil {
			if said = append(said, lines.Text()); len(said) > keep {
				said = said[1:]
			}
			continue
		}
		into.Inputs = number(m[1])
		if m[2] != "" {
			into.Interesting, into.Corpus = number(m[2]), number(m[3])
		}
	}
	_, _ = io.Copy(io.Discard, out) // a line that is too long must not block the engine
	return said
}

func number(digits string) int64 {
	n, _ := strconv.ParseInt(digits, 10, 64)
	return n
}
