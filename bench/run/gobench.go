package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// goBenchmark is one call of go test.
type goBenchmark struct {
	pkg, pattern string
	once         bool // an iteration each, whatever the length
}

// goBenches are the committed benchmarks behind the figures.
var goBenches = []goBenchmark{
	{"./internal/jsontape", "^(BenchmarkParse|BenchmarkStandardValid|BenchmarkMember|BenchmarkSelectFive)$", false},
	{"./internal/filter", "^(BenchmarkMatch|BenchmarkAndOfThree)$", false},
	{"./internal/plan", "^(BenchmarkProject5of12|BenchmarkBind|BenchmarkCacheGet)$", false},
	{"./internal/hub", "^(BenchmarkDispatch|BenchmarkDispatchArguments|BenchmarkRoute|BenchmarkJoin|BenchmarkDenied)$", false},
	{".", "^(BenchmarkPublishNext|BenchmarkPublish|BenchmarkSubscribe)$", false},
	{".", "^(BenchmarkIdleConnections)$", true},
}

// shortBenches are those of a short run.
var shortBenches = []goBenchmark{{"./internal/hub", "^BenchmarkDispatch$", false}}

// benchEnd begins the line after the output of a call, which says that it came to its end.
const benchEnd = "# load average after: "

// goBenchmarks runs them one after the other, all output into the file. Those that an earlier sitting has are not run again.
func goBenchmarks(ctx context.Context, o *options, dir string) (err error) {
	var before []string
	file, err := open(filepath.Join(dir, benchFile), func(text []byte) (size int, err error) {
		before, size = wholeBenchmarks(string(text))
		return size, nil
	})
	if err != nil {
		return err
	}
	defer func() {
		if closed := file.Close(); err == nil {
			err = closed
		}
	}()
	benches, count, benchTime := goBenches, o.count, o.time
	if o.short {
		benches, count, benchTime = shortBenches, 1, "100x"
	}
	for _, b := range benches {
		benchTime := benchTime
		if b.once {
			benchTime = "1x"
		}
		args := []string{"test", "-run", "^$", "-bench", b.pattern, "-benchmem", "-benchtime", benchTime, "-count", strconv.Itoa(count), "-timeout", "30m", b.pkg}
		if slices.Contains(before, "go "+quoted(args)) {
			continue
		}
		o.log("go %s", strings.Join(args, " "))
		if _, err := fmt.Fprintf(file, "# go %s\n# load average before: %.2f\n", quoted(args), loadAverage()); err != nil {
			return err
		}
		command := exec.CommandContext(ctx, "go", args...)
		command.Dir, command.Stdout, command.Stderr = o.root, file, file
		command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) } // what it has started, too
		before := readCPU()
		if err := command.Run(); err != nil {
			return fmt.Errorf("go %s: %w; its output is in %s", quoted(args), err, file.Name())
		}
		if _, err := fmt.Fprintf(file, benchEnd+"%.2f, CPU seconds of others: %.2f\n\n", loadAverage(), readCPU().others(before)); err != nil {
			return err
		}
	}
	return nil
}

// quoted is a command line that a shell understands.
func quoted(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		if words[i] = a; a == "" || strings.ContainsAny(a, " ^$()|*'\"") {
			words[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

// samples holds the values of each benchmark and unit, under "<package> <benchmark> <unit>": the package relative
// to the project, "." for its root, the benchmark without `Benchmark` and without the number of CPUs.
type samples map[string][]float64

// parseGoBench reads what go test printed. Lines of another form are passed over.
func parseGoBench(r io.Reader) (samples, error) {
	found, pkg := samples{}, ""
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "pkg: "+modulePath); ok {
			if pkg = strings.TrimPrefix(name, "/"); pkg == "" {
				pkg = "."
			}
			continue
		}
		f := strings.Fields(lines.Text())
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(f[0], "Benchmark")
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			if _, err := strconv.Atoi(name[i+1:]); err == nil {
				name = name[:i]
			}
		}
		for i := 2; i+1 < len(f); i += 2 {
			if value, err := strconv.ParseFloat(f[i], 64); err == nil {
				key := pkg + " " + name + " " + f[i+1]
				found[key] = append(found[key], value)
			}
		}
	}
	return found, lines.Err()
}

const modulePath = "github.com/fraiseql/fraiseql-go"
