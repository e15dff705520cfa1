package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The files of a run.
const (
	runFile      = "run.json"
	benchFile    = "go-bench.txt"
	scenarioFile = "scenarios.jsonl"
)

// run is what is known about a run besides its figures.
type run struct {
	Started    time.Time `json:"started"`
	Finished   time.Time `json:"finished"`
	Complete   bool      `json:"complete"`       // it has come to its end
	Part       string    `json:"part,omitempty"` // the arguments that chose what was measured; "": everything
	Short      bool      `json:"short,omitempty"`
	Busy       bool      `json:"busy"`
	LoadBefore float64   `json:"load_before"`
	LoadAfter  float64   `json:"load_after"`
	Commit     string    `json:"commit"`
	Modified   bool      `json:"modified"` // the tree had changes that are not committed
	Count      int       `json:"count"`
	BenchTime  string    `json:"benchtime"`
	Rounds     int       `json:"rounds"`
	Machine    machine   `json:"machine"`
	// Code is a hash of what is measured, Peers are those that could be built, Sittings the parts that were made at one go. Older runs
	// do not have them.
	Code     string    `json:"code,omitempty"`
	Peers    []string  `json:"peers,omitempty"`
	Sittings []sitting `json:"sittings,omitempty"`
}

// machine is where a run was made.
type machine struct {
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	MemoryKB int64  `json:"memory_kb"`
	Kernel   string `json:"kernel"`
	System   string `json:"system"`
	Go       string `json:"go"`
}

// published reports whether the figures of a run may be shown.
func (r *run) published() bool { return r.Complete && !r.Busy && !r.Short }

// planned are the facts about a run that has not begun.
func planned(ctx context.Context, o *options) (*run, error) {
	code, err := measuredCode(ctx, o)
	return &run{Short: o.short, Part: o.part, Count: o.count, BenchTime: o.time, Rounds: o.rounds, Machine: facts(), Code: code}, err
}

// begin notes the facts at the start.
func begin(ctx context.Context, o *options) (*run, error) {
	r, err := planned(ctx, o)
	if err != nil {
		return nil, err
	}
	s := sit(ctx, o)
	r.Started, r.Busy, r.LoadBefore, r.Commit, r.Modified, r.Sittings = s.Started, s.Busy, s.LoadBefore, s.Commit, s.Modified, []sitting{s}
	return r, nil
}

// sit notes the start of a sitting.
func sit(ctx context.Context, o *options) sitting {
	s := sitting{Started: time.Now().UTC().Truncate(time.Second), LoadBefore: loadAverage(), Busy: !o.short && o.busy(ctx, o.wait)}
	git := func(args ...string) string {
		command := exec.Command("git", args...)
		command.Dir = o.root
		out, err := command.Output()
		if err != nil {
			return "" // not a clone: an archive has no commit to name
		}
		return strings.TrimSpace(string(out))
	}
	s.Commit, s.Modified = git("rev-parse", "--short=12", "HEAD"), git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!BENCHMARKS.md", ":!bench/results") != ""
	return s
}

// finish notes the end of a sitting, which is that of the run when everything was measured.
func (r *run) finish(complete bool) {
	s := &r.Sittings[len(r.Sittings)-1]
	s.Finished, s.LoadAfter = time.Now().UTC().Truncate(time.Second), loadAverage()
	if complete {
		r.Finished, r.LoadAfter, r.Complete = s.Finished, s.LoadAfter, true
	}
}

func (r *run) write(dir string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, runFile), append(text, '\n'), 0o644)
}

// quiet is the share of the machine that others may take of one that counts as idle.
const quiet = 0.1

// busy waits for a quiet machine, for a while, and reports whether there was none. The load average would not do: it
// remembers for minutes.
func busy(ctx context.Context, wait time.Duration) bool {
	for end := time.Now().Add(wait); ; {
		before, start := readCPU(), time.Now()
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return true
		}
		if readCPU().others(before) <= quiet*time.Since(start).Seconds()*float64(runtime.NumCPU()) {
			return false
		}
		if time.Now().After(end) {
			return true
		}
	}
}

// loadAverage is that of the last minute; 0 where the system does not tell.
func loadAverage() float64 {
	first, _, _ := strings.Cut(read("/proc/loadavg"), " ")
	load, _ := strconv.ParseFloat(first, 64)
	return load
}

func facts() machine {
	return machine{
		CPU: field(read("/proc/cpuinfo"), "model name"), Cores: runtime.NumCPU(), MemoryKB: kilobytes(field(read("/proc/meminfo"), "MemTotal")),
		Kernel: strings.TrimSpace(read("/proc/sys/kernel/osrelease")), System: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(),
	}
}

// read returns a file of /proc, or nothing where there is none.
func read(file string) string {
	text, _ := os.ReadFile(file)
	return string(text)
}

// field returns the value of the first line `name: value`.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func kilobytes(value string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSuffix(value, " kB"), 10, 64)
	return n
}

// processCPU is the CPU time of a process so far, user and system, in seconds; 0 if there is none.
func processCPU(pid int) float64 {
	text := read("/proc/" + strconv.Itoa(pid) + "/stat")
	f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:]) // the name may hold spaces
	const utime, stime, ticksPerSecond = 14 - 3, 15 - 3, 100
	if len(f) <= stime {
		return 0
	}
	user, _ := strconv.ParseFloat(f[utime], 64)
	system, _ := strconv.ParseFloat(f[stime], 64)
	return (user + system) / ticksPerSecond
}

// cpuUse is CPU time so far, of the whole machine and of this process with the children that it has waited for.
type cpuUse struct{ all, own time.Duration }

func readCPU() cpuUse {
	var use cpuUse
	first, _, _ := strings.Cut(read("/proc/stat"), "\n")
	const ticksPerSecond, idle, ioWait, guest = 100, 4, 5, 9
	for i, f := range strings.Fields(first) {
		if n, err := strconv.ParseInt(f, 10, 64); err == nil && i != idle && i != ioWait && i < guest {
			use.all += time.Duration(n) * time.Second / ticksPerSecond
		}
	}
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			use.own += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return use
}

// others is the CPU time that was not ours between two readings, in seconds: other processes, interrupts and
// what a hypervisor took away.
func (c cpuUse) others(before cpuUse) float64 {
	return max(0, ((c.all - before.all) - (c.own - before.own)).Seconds())
}
