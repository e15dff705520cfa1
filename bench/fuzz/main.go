// Command fuzz gives every decoder of bytes that somebody else chose a fixed number of inputs, and writes what came of it, a line per
// decoder:
//
//	go run ./bench/fuzz -inputs 10000000 -out bench/results/fuzz.jsonl
//
// Go's fuzzing engine makes the inputs, in two parts. The first is guided by coverage, which finds inputs that reach new code and
// keeps them. The second starts from the seeds and from what the first has kept, and does without instrumentation, several times as
// fast. A decoder that a line says has had its inputs is left out, so that a run that was broken off goes on where it stopped. An
// input that fails stays in testdata/fuzz of its package, as go test keeps it, and the command ends with status 1.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

func main() {
	var r runner
	flag.Int64Var(&r.inputs, "inputs", 10_000_000, "inputs for each decoder, both parts together")
	flag.Int64Var(&r.guided, "guided", 300_000, "inputs of the part that coverage guides")
	flag.StringVar(&r.out, "out", "bench/results/fuzz.jsonl", "where the results are and go")
	flag.StringVar(&r.only, "only", "", "only decoders whose package and name contain this")
	flag.Parse()
	failed, err := r.run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(2)
	}
	if failed {
		os.Exit(1)
	}
}

// runner is a run of the command.
type runner struct {
	inputs, guided int64
	out, only      string
	commit         string
	scratch        string
}

// result is a line of the results.
type result struct {
	Package string    `json:"package"`
	Target  string    `json:"target"`
	Decodes string    `json:"decodes"`
	Inputs  int64     `json:"inputs"`
	Seconds float64   `json:"seconds"`
	Guided  part      `json:"guided"`
	Plain   part      `json:"plain"`
	Failure string    `json:"failure,omitempty"`
	Commit  string    `json:"commit"`
	Go      string    `json:"go"`
	Ended   time.Time `json:"ended"`
}

// part is one of the two parts for a decoder. Seconds are of processor time, for the run may be stopped while others measure;
// Interesting counts the inputs that reached new code, Corpus these and the seeds, Broken how often the engine broke off over an input
// that was all right.
type part struct {
	Inputs      int64   `json:"inputs"`
	Seconds     float64 `json:"cpu_seconds"`
	Interesting int64   `json:"interesting"`
	Corpus      int64   `json:"corpus"`
	Broken      int64   `json:"broken_off,omitempty"`
}

func (r *runner) run() (failed bool, err error) {
	done, err := finished(r.out, r.inputs)
	if err != nil {
		return false, err
	}
	if r.commit, err = commit(); err != nil {
		return false, err
	}
	if r.scratch, err = os.MkdirTemp("", "fuzz"); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.scratch)) }()
	for _, d := range decoders {
		if id := d.pkg + " " + d.name; done[id] || !strings.Contains(id, r.only) {
			continue
		}
		res, err := r.fuzz(d)
		if err != nil {
			return failed, fmt.Errorf("%s %s: %w", d.pkg, d.name, err)
		}
		failed = failed || res.Failure != ""
		if err := appendLine(r.out, res); err != nil {
			return failed, err
		}
		fmt.Printf("%s %s: %d inputs in %.0f s %s\n", d.pkg, d.name, res.Inputs, res.Seconds, res.Failure)
	}
	return failed, nil
}

// finished reads which decoders have had that many inputs without a failure.
func finished(name string, inputs int64) (map[string]bool, error) {
	done := map[string]bool{}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return done, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var res result
		if err := json.Unmarshal(lines.Bytes(), &res); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		done[res.Package+" "+res.Target] = res.Inputs >= inputs && res.Failure == ""
	}
	return done, lines.Err()
}

func appendLine(name string, res *result) error {
	line, err := json.Marshal(res)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

func commit() (string, error) {
	out, err := exec.Command("git", "rev-parse", "--short=10", "HEAD").Output()
	if err != nil {
		return "", fmt.Errorf("git rev-parse: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// fuzz gives one decoder its inputs.
func (r *runner) fuzz(d target) (*result, error) {
	res := &result{Package: d.pkg, Target: d.name, Decodes: d.decodes, Commit: r.commit, Go: runtime.Version()}
	began := time.Now()
	for _, p := range []struct {
		into   *part
		flags  []string
		inputs int64
	}{
		{&res.Guided, []string{"-fuzz=" + d.name}, min(r.guided, r.inputs)},
		{&res.Plain, nil, r.inputs - min(r.guided, r.inputs)},
	} {
		if p.inputs == 0 {
			continue
		}
		binary := filepath.Join(r.scratch, fmt.Sprintf("%s.%d.test", strings.ReplaceAll(d.pkg, "/", "_"), len(p.flags)))
		build := exec.Command("go", append(append([]string{"test", "-c", "-o", binary}, p.flags...), "./"+d.pkg)...)
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%v: %w\n%s", build.Args, err, out)
		}
		failure, err := r.engine(d, binary, p.inputs, p.into)
		if err != nil {
			return nil, err
		}
		res.Inputs += p.into.Inputs
		if res.Failure = failure; failure != "" {
			break
		}
	}
	res.Seconds, res.Ended = time.Since(began).Seconds(), time.Now().UTC().Truncate(time.Second)
	return res, nil
}
