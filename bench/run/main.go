// Command run makes the measurements behind BENCHMARKS.md: the Go benchmarks of the figures, and whole-process
// scenarios with the built command over WebSocket, each in several rounds, the latter beside other systems too (bench/peers). It writes raw results, the facts of the
// machine and the exact commands into a folder below bench/results, and BENCHMARKS.md from the newest run that is
// complete and was not disturbed.
//
//	go run ./bench/run            everything, about two hours
//	go run ./bench/run -short     seconds, to see that it works; never published
//	go run ./bench/run -docs      BENCHMARKS.md again from the raw results
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	root    string        // folder of go.mod
	results string        // folder of the runs
	binary  string        // the command; built when empty
	count   int           // of each Go benchmark
	time    string        // -benchtime
	rounds  int           // of each scenario
	only    string        // "", "go", "scenarios" or "peers"
	peers   string        // names, with commas; "": all
	letters string        // of comparisons, likewise
	wait    time.Duration // for a quiet machine
	short   bool
	log     func(format string, args ...any)
}

// command parses the flags and does what they say.
func command(ctx context.Context, args []string) error {
	o := options{log: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }}
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	flags.StringVar(&o.root, "root", ".", "folder of the project")
	flags.StringVar(&o.results, "results", "", "folder for the results (default bench/results, of a short run .cache/bench)")
	flags.StringVar(&o.binary, "binary", "", "the fraiseql command to measure (default: built from the source)")
	flags.IntVar(&o.count, "count", 6, "runs of each Go benchmark")
	flags.StringVar(&o.time, "benchtime", "0.5s", "length of each of them")
	flags.IntVar(&o.rounds, "rounds", 5, "rounds of each scenario")
	flags.StringVar(&o.only, "only", "", "go, scenarios or peers: only that part; such a run is not published")
	flags.StringVar(&o.peers, "peers", "", "compare with these only, names with commas; of a short run fraiseql and floor")
	flags.StringVar(&o.letters, "compare", "", "only these comparisons, letters with commas")
	flags.DurationVar(&o.wait, "wait", 3*time.Minute, "how long to wait for a quiet machine before the run counts as busy")
	flags.BoolVar(&o.short, "short", false, "a run of seconds that is not published")
	docs := flags.Bool("docs", false, "measure nothing; write BENCHMARKS.md from the results that are there")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if !slices.Contains([]string{"", "go", "scenarios", "peers"}, o.only) {
		return fmt.Errorf("-only %s: want go, scenarios or peers", o.only)
	}
	if o.short && o.peers == "" {
		o.peers = us + "," + floor
	}
	if o.results == "" {
		o.results = filepath.Join(o.root, "bench", "results")
		if o.short {
			o.results = filepath.Join(o.root, ".cache", "bench")
		}
	}
	var err error
	if o.root, err = filepath.Abs(o.root); err != nil {
		return err
	}
	if !*docs {
		if err := measure(ctx, &o); err != nil || o.short {
			return err
		}
	}
	return writeDocs(o.results, filepath.Join(o.root, "BENCHMARKS.md"))
}

// writeDocs writes BENCHMARKS.md.
func writeDocs(results, file string) error {
	text, err := document(results)
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

// measure makes one run.
func measure(ctx context.Context, o *options) error {
	if err := awaitQuiet(ctx, o); err != nil {
		return err
	}
	run := begin(o)
	dir := filepath.Join(o.results, run.Started.Format("2006-01-02T150405Z"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if run.Busy {
		o.log("load average %.2f on %d cores: the run is marked busy and will not be published", run.LoadBefore, run.Machine.Cores)
	}
	if err := run.write(dir); err != nil {
		return err
	}
	if o.only == "" || o.only == "go" {
		if err := goBenchmarks(ctx, o, dir); err != nil {
			return err
		}
	}
	if o.only != "go" {
		if err := wholeProcess(ctx, o, dir); err != nil {
			return err
		}
	}
	run.finish(o)
	if err := run.write(dir); err != nil {
		return err
	}
	if err := plots(dir); err != nil {
		return err
	}
	o.log("results in %s", dir)
	return nil
}

// plots draws what a run has compared.
func plots(dir string) (err error) {
	d := &data{name: filepath.Base(dir)}
	if d.peers, err = readRecords(filepath.Join(dir, peersFile)); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return d.writePlots(dir)
}

// wholeProcess builds the command, unless one is given, and runs the scenarios.
func wholeProcess(ctx context.Context, o *options, dir string) error {
	binary := o.binary
	if binary == "" {
		temp, err := os.MkdirTemp("", "fraiseql-bench-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(temp) }()
		binary = filepath.Join(temp, "fraiseql")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "./cmd/fraiseql")
		build.Dir, build.Env = o.root, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("go build ./cmd/fraiseql: %w\n%s", err, out)
		}
	}
	if o.only != "peers" {
		if err := scenarios(ctx, o, binary, filepath.Join(dir, scenarioFile)); err != nil {
			return err
		}
	}
	if o.only == "scenarios" {
		return nil
	}
	return compare(ctx, o, binary, dir)
}
