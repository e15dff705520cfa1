// Command run makes the measurements behind BENCHMARKS.md: the Go benchmarks of the figures, and whole-process
// scenarios with the built command over WebSocket, each in several rounds, the latter beside other systems too (bench/peers). It writes raw results, the facts of the
// machine and the exact commands into a folder below bench/results, and BENCHMARKS.md from the newest runs that are
// complete and were not disturbed: of each scenario and system it shows the newest one that has it.
//
//	go run ./bench/run            everything, some three hours
//	go run ./bench/run -only peers -compare A1,D -peers fraiseql,floor
//	                              a part of it
//	go run ./bench/run -continue bench/results/2026-11-30T101537Z
//	                              the rest of a run that was broken off, with the options that it had; refused where the machine,
//	                              the options or the code that is measured are not those that it began with
//	go run ./bench/run -short     seconds, to see that it works; never published
//	go run ./bench/run -docs      BENCHMARKS.md again from the raw results
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
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
	own     string        // scenarios of our own, likewise
	part    string        // of the run, see there
	wait    time.Duration // for a quiet machine
	short   bool
	carryOn string // folder of the run that goes on; "": a new one
	busy    func(ctx context.Context, wait time.Duration) bool
	log     func(format string, args ...any)
}

// flags are those of the command.
func (o *options) flags() (flags *flag.FlagSet, docs *bool) {
	flags = flag.NewFlagSet("run", flag.ContinueOnError)
	flags.StringVar(&o.root, "root", ".", "folder of the project")
	flags.StringVar(&o.results, "results", "", "folder for the results; BENCHMARKS.md is then left as it is (default bench/results, of a short run .cache/bench)")
	flags.StringVar(&o.binary, "binary", "", "the fraiseql command to measure (default: built from the source)")
	flags.IntVar(&o.count, "count", 6, "runs of each Go benchmark")
	flags.StringVar(&o.time, "benchtime", "0.5s", "length of each of them")
	flags.IntVar(&o.rounds, "rounds", 5, "rounds of each scenario")
	flags.StringVar(&o.only, "only", "", "go, scenarios or peers: only that part")
	flags.StringVar(&o.own, "scenarios", "", "of the scenarios only these, with commas: fan-out, idle, slow client, saturated fan-out, many connections")
	flags.StringVar(&o.peers, "peers", "", "compare with these only, names with commas; of a short run fraiseql and floor")
	flags.StringVar(&o.letters, "compare", "", "only these comparisons, letters with commas")
	flags.DurationVar(&o.wait, "wait", 3*time.Minute, "how long to wait for a quiet machine before the run counts as busy")
	flags.BoolVar(&o.short, "short", false, "a run of seconds that is not published")
	flags.StringVar(&o.carryOn, "continue", "", "go on with the run in this folder, which was broken off; the other options are to be those that it had")
	return flags, flags.Bool("docs", false, "measure nothing; write BENCHMARKS.md from the results that are there")
}

// command parses the flags and does what they say.
func command(ctx context.Context, args []string) error {
	o := options{busy: busy, log: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }}
	flags, docs := o.flags()
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if !slices.Contains([]string{"", "go", "scenarios", "peers"}, o.only) {
		return fmt.Errorf("-only %s: want go, scenarios or peers", o.only)
	}
	o.part = o.chosen()
	if o.short && o.peers == "" {
		o.peers = us + "," + floor
	}
	elsewhere, err := o.places()
	if err != nil {
		return err
	}
	if !*docs {
		if err := measure(ctx, &o); err != nil || o.short || elsewhere {
			return err
		}
	}
	return writeDocs(o.results, filepath.Join(o.root, "BENCHMARKS.md"))
}

// places fills in the folders, and reports whether results go to another one than that of BENCHMARKS.md.
func (o *options) places() (elsewhere bool, err error) {
	if o.root, err = filepath.Abs(o.root); err != nil {
		return false, err
	}
	usual := filepath.Join(o.root, "bench", "results")
	switch {
	case o.carryOn != "" && o.results != "":
		return false, errors.New("-results: a run that goes on has its folder")
	case o.carryOn != "":
		if o.carryOn, err = filepath.Abs(o.carryOn); err != nil {
			return false, err
		}
		o.results = filepath.Dir(o.carryOn)
		return o.results != usual, nil
	case o.results != "":
		return true, nil
	}
	if o.results = usual; o.short {
		o.results = filepath.Join(o.root, ".cache", "bench")
	}
	return false, nil
}

// chosen says which part of everything is measured.
func (o *options) chosen() string {
	var list []string
	for _, f := range [][2]string{{"-only", o.only}, {"-scenarios", o.own}, {"-compare", o.letters}, {"-peers", o.peers}} {
		if f[1] != "" {
			list = append(list, f[0], f[1])
		}
	}
	return quoted(list)
}

// writeDocs writes BENCHMARKS.md and its plots.
func writeDocs(results, file string) error {
	d, err := newest(results)
	if err != nil {
		return err
	}
	if d != nil {
		if err := d.writePlots(results); err != nil {
			return err
		}
	}
	return os.WriteFile(file, []byte(d.document()), 0o644)
}

// measure makes one run, or what is left of it.
func measure(ctx context.Context, o *options) error {
	run, dir, err := sitDown(ctx, o)
	if err != nil {
		return err
	}
	if run.Busy {
		o.log("others take more than %.0f %% of the machine: the run is marked busy and will not be published", 100*quiet)
	}
	if err := run.write(dir); err != nil {
		return err
	}
	err = everything(ctx, o, run, dir)
	run.finish(err == nil)
	if err := errors.Join(err, run.write(dir)); err != nil {
		o.log("broken off; to go on: the same command with -continue %s", dir)
		return err
	}
	o.log("results in %s", dir)
	return nil
}

// sitDown begins a run, or another sitting of one.
func sitDown(ctx context.Context, o *options) (run *run, dir string, err error) {
	if o.carryOn != "" {
		run, err = carryOn(ctx, o)
		return run, o.carryOn, err
	}
	if run, err = begin(ctx, o); err != nil {
		return nil, "", err
	}
	dir = filepath.Join(o.results, run.Started.Format("2006-01-02T150405Z"))
	return run, dir, os.MkdirAll(dir, 0o755)
}

// everything that was asked for is measured.
func everything(ctx context.Context, o *options, run *run, dir string) error {
	if o.only == "" || o.only == "go" {
		if err := goBenchmarks(ctx, o, dir); err != nil {
			return err
		}
	}
	if o.only == "go" {
		return nil
	}
	return wholeProcess(ctx, o, run, dir)
}

// wholeProcess builds the command, unless one is given, and runs the scenarios.
func wholeProcess(ctx context.Context, o *options, run *run, dir string) error {
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
	return compare(ctx, o, run, binary, dir)
}
