package main

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// progress is what the engine prints every three seconds and at its end.
var progress = regexp.MustCompile(`^fuzz: elapsed: \S+, execs: (\d+) .*?(?:new interesting: (\d+) \(total: (\d+)\))?$`)

// engine runs Go's fuzzing engine over one test binary with one worker; failure is what the engine says of an input that failed.
func (r *runner) engine(d target, binary string, inputs int64, into *part) (failure string, err error) {
	cmd := exec.Command(binary, "-test.run=^$", "-test.fuzz=^"+d.name+"$", "-test.fuzzcachedir="+filepath.Join(r.scratch, "corpus", d.pkg),
		fmt.Sprintf("-test.fuzztime=%dx", inputs), "-test.fuzzminimizetime=1000x", "-test.parallel=1", "-test.timeout=0")
	cmd.Dir = d.pkg
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return "", err
	}
	said := read(out, into)
	err = cmd.Wait()
	into.Seconds = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	switch {
	case err != nil:
		return strings.Join(said, "\n"), nil
	case into.Inputs < inputs:
		return "", fmt.Errorf("the engine ended after %d of %d inputs: %s", into.Inputs, inputs, strings.Join(said, "\n"))
	}
	return "", nil
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
