package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

// fakeFolder names, in the environment, the folder of a fake: this binary is then the command that is measured.
const fakeFolder = "FRAISEQL_BENCH_FAKE"

// fake is the command that is measured: a server that answers nothing, or measurements that take no time. One that finds an address in
// the file "hang" tells the test there, and is interrupted by it.
func fake(folder string, args []string) {
	interrupted, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if args[0] == "serve" {
		if l, err := net.Listen("tcp", args[len(args)-1]); err == nil {
			<-interrupted.Done()
			_ = l.Close()
		}
		return
	}
	fmt.Println("{}")
	hang := filepath.Join(folder, "hang")
	address, err := os.ReadFile(hang)
	if err != nil || os.Rename(hang, hang+" taken") != nil {
		return
	}
	if c, err := net.Dial("tcp", string(address)); err == nil {
		_ = c.Close()
	}
	<-interrupted.Done()
	os.Exit(1) // as one whose deliveries were not all right
}

// bench is a run with a fake.
type bench struct {
	options
	folder string
	runs   atomic.Int64 // measurements that began
	at     int64        // the measurement that is interrupted
	hang   net.Listener
}

func newBench(t *testing.T, only string) *bench {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{folder: t.TempDir()}
	t.Setenv(fakeFolder, b.folder)
	t.Setenv("GORACE", "atexit_sleep_ms=0") // a fake with the race detector would wait for a second at its end
	if b.hang, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.hang.Close() })
	b.options = options{root: testkit.Root(), results: t.TempDir(), binary: self, rounds: 2, count: 1, time: "1x", only: only, letters: "A1,G,C2", peers: us + "," + floor,
		busy: func(context.Context, time.Duration) bool { return false }}
	b.part = b.chosen()
	b.log = func(format string, args ...any) {
		if strings.HasPrefix(format, "round ") && b.runs.Add(1) == b.at {
			if err := os.WriteFile(filepath.Join(b.folder, "hang"), []byte(b.hang.Addr().String()), 0o600); err != nil {
				t.Error(err)
			}
		}
	}
	return b
}

// measure measures until measurement at has begun, if it is not 0, and returns how many began.
func (b *bench) measure(t *testing.T, at int64) (began int64, err error) {
	t.Helper()
	b.at = at
	b.runs.Store(0)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if at > 0 {
		go func() {
			if c, err := b.hang.Accept(); err == nil {
				_ = c.Close()
				cancel()
			}
		}()
	}
	err = measure(ctx, &b.options)
	return b.runs.Load(), err
}

// theRun is the folder of the only run.
func (b *bench) theRun(t *testing.T) string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(b.results, "*"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("%v, %v", dirs, err)
	}
	return dirs[0]
}

// keys are the records of a run in their order; those of many connections end in any.
func keys(t *testing.T, dir string) (list []string) {
	t.Helper()
	for _, name := range []string{scenarioFile, peersFile} {
		records, err := readRecords(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		for i := range records {
			r := &records[i]
			if r.Scenario == many && r.Variant != together {
				r.Variant = "one"
			}
			if r.ExitCode != 0 {
				t.Errorf("what was interrupted is recorded: %+v", r)
			}
			list = append(list, fmt.Sprintf("%s %s %d %s", r.Scenario, r.Variant, r.Round, r.Peer))
		}
	}
	return list
}

func factsOf(t *testing.T, dir string) (r run) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, runFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestContinue breaks runs off at every kind of measurement and goes on: each is there once, in the order of a run that was not broken off.
func TestContinue(t *testing.T) {
	for _, only := range []string{"scenarios", "peers"} {
		t.Run(only, func(t *testing.T) {
			undisturbed := newBench(t, only)
			all, err := undisturbed.measure(t, 0)
			if err != nil {
				t.Fatal(err)
			}
			want := keys(t, undisturbed.theRun(t))
			if r := factsOf(t, undisturbed.theRun(t)); len(r.Sittings) != 1 || r.Sittings[0].Finished != r.Finished || r.shownSittings() != "" || !r.published() {
				t.Errorf("%+v", r)
			}
			for at := int64(1); at <= all; at += 1 + all/5 {
				continued(t, only, at, want)
			}
		})
	}
}

// continued breaks a run off in a measurement, tears its last line and goes on.
func continued(t *testing.T, only string, at int64, want []string) {
	t.Helper()
	b := newBench(t, only)
	if _, err := b.measure(t, at); !errors.Is(err, context.Canceled) {
		t.Fatalf("broken off at %d: %v", at, err)
	}
	dir := b.theRun(t)
	before := keys(t, dir)
	tear(t, filepath.Join(dir, map[string]string{"scenarios": scenarioFile, "peers": peersFile}[only]))
	if d, err := newest(b.results); d != nil || err != nil {
		t.Fatalf("a run that was broken off: %v, %v", d, err)
	}
	b.carryOn = dir
	began, err := b.measure(t, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := keys(t, dir)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("broken off at %d (-undisturbed +continued):\n%s", at, diff)
	}
	again := 0 // what the others of many connections had recorded, and the record of all of them is no measurement
	for _, k := range before {
		if strings.HasPrefix(k, many+" one") && !slices.Contains(before, many+" "+together+" 1 ") {
			again++
		}
	}
	if missing := len(got) - len(before) + again; int(began) != missing && int(began) != missing-1 {
		t.Errorf("broken off at %d with %d of %d: %d were measured", at, len(before), len(want), began)
	}
	r := factsOf(t, dir)
	if len(r.Sittings) != 2 || !r.published() || r.Started != r.Sittings[0].Started || r.Finished != r.Sittings[1].Finished || r.Sittings[0].Finished.IsZero() {
		t.Errorf("%+v", r)
	}
	if text, err := document(b.results); err != nil || !strings.Contains(text, ", in 2 sittings: "+r.Started.Format("2006-01-02 15:04")+" to ") {
		t.Errorf("%v\n%s", err, text)
	}
	if _, err := b.measure(t, 0); err == nil || !strings.Contains(err.Error(), "is complete") {
		t.Errorf("a complete run goes on: %v", err)
	}
}

// tear adds a line that was not written to its end.
func tear(t *testing.T, name string) {
	t.Helper()
	file, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"scenario":"A1","round":1,"peer":"fra`); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestContinueIsRefused where what comes would not be like what is there; the run stays as it is.
func TestContinueIsRefused(t *testing.T) {
	b := newBench(t, "peers")
	if _, err := b.measure(t, 3); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	b.carryOn = b.theRun(t)
	was := factsOf(t, b.carryOn)
	for want, change := range map[string]func(*run, *options){
		"CPU: slow one then":             func(r *run, _ *options) { r.Machine.CPU = "slow one" },
		"cores: 1000 then":               func(r *run, _ *options) { r.Machine.Cores = 1000 },
		"memory in KB: ":                 func(r *run, _ *options) { r.Machine.MemoryKB += r.Machine.MemoryKB / 10 },
		"kernel: 2.4 then":               func(r *run, _ *options) { r.Machine.Kernel = "2.4" },
		"Go: go1.1 then":                 func(r *run, _ *options) { r.Machine.Go = "go1.1" },
		"code that is measured: abc":     func(r *run, _ *options) { r.Code = "abc" },
		"does not say which code":        func(r *run, _ *options) { r.Code = "" },
		"-rounds: 2 then, 3 now":         func(_ *run, o *options) { o.rounds = 3 },
		"-count: 1 then, 6 now":          func(_ *run, o *options) { o.count = 6 },
		"-benchtime: 1x then, 2x now":    func(_ *run, o *options) { o.time = "2x" },
		"-short: false then, true now":   func(_ *run, o *options) { o.short = true },
		"what is measured: -only peers ": func(_ *run, o *options) { o.part = "" },
		"others take more than 10 %":     func(_ *run, o *options) { o.busy = func(context.Context, time.Duration) bool { return true } },
	} {
		r, o := was, b.options
		change(&r, &o)
		if err := r.write(b.carryOn); err != nil {
			t.Fatal(err)
		}
		if err := measure(t.Context(), &o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %s: %v", want, err)
		}
		if diff := cmp.Diff(r, factsOf(t, b.carryOn)); diff != "" {
			t.Errorf("%s: the run has changed:\n%s", want, diff)
		}
	}
	if err := was.write(b.carryOn); err != nil {
		t.Fatal(err)
	}
	if err := command(t.Context(), []string{"-continue", b.carryOn, "-results", b.results}); err == nil || !strings.Contains(err.Error(), "has its folder") {
		t.Error(err)
	}
	if _, err := b.measure(t, 0); err != nil {
		t.Error(err)
	}
}

// TestContinueRefusesOtherSystems: those of an earlier sitting are the ones, in their versions.
func TestContinueRefusesOtherSystems(t *testing.T) {
	r := recorder{before: []record{{Peer: us}, {Peer: "yoga", Versions: map[string]string{"node": "22"}}}}
	for peer, refused := range map[string]bool{us: false, "yoga": true, "gqlgen": false} {
		if err := r.sameVersions(&record{Peer: peer, Versions: map[string]string{"node": "24"}}); (err != nil) != refused {
			t.Errorf("%s: %v", peer, err)
		}
	}
	o := options{root: t.TempDir(), log: func(string, ...any) {}}
	o.peers = "strawberry,ariadne" // there is no virtual environment
	if list, err := buildPeers(t.Context(), &o, nil, &builder{root: o.root}); len(list) != 0 || err != nil {
		t.Errorf("what cannot be built: %v, %v", list, err)
	}
	if _, err := buildPeers(t.Context(), &o, []string{"ariadne"}, &builder{root: o.root}); err == nil || !strings.Contains(err.Error(), "ariadne") {
		t.Errorf("what took part cannot be built: %v", err)
	}
}

// TestContinueGoBenchmarks runs those again that did not come to their end, and no others.
func TestContinueGoBenchmarks(t *testing.T) {
	o, calls := options{root: testkit.Root(), short: true, log: func(string, ...any) {}}, 0
	o.log = func(format string, _ ...any) {
		if strings.HasPrefix(format, "go ") {
			calls++
		}
	}
	dir := t.TempDir()
	name := filepath.Join(dir, benchFile)
	for i, want := range []int{1, 0, 1} {
		calls = 0
		if err := goBenchmarks(t.Context(), &o, dir); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if calls != want || strings.Count(string(text), "# go test") != 1 || strings.Count(string(text), benchEnd) != 1 {
			t.Errorf("time %d: %d calls\n%s", i, calls, text)
		}
		if i == 1 { // torn in its last line
			if err := os.Truncate(name, int64(len(text)-2)); err != nil {
				t.Fatal(err)
			}
		}
	}
	const first = "# go test a\n# load average before: 1.00\nout\n\nput\n" + benchEnd + "1.00, CPU seconds of others: 0.10\n\n"
	for _, rest := range []string{"", "# go te", "# go test b\n# load average before: 1.00\nout\n", "# go test b\nout\n" + benchEnd + "1.0"} {
		if commands, size := wholeBenchmarks(first + rest); size != len(first) || !slices.Equal(commands, []string{"go test a"}) {
			t.Errorf("%q: %d, %q", rest, size, commands)
		}
	}
}

// TestMeasuredCode changes with what is measured, and with nothing else.
func TestMeasuredCode(t *testing.T) {
	files, err := measuredSources(t.Context(), testkit.Root())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go.sum", "publish.go", "bench_test.go", "internal/hub/hub.go", "internal/wsclient/wsclient.go", "cmd/libfraiseql/main.go", "bench/run/compare.go",
		"bench/peers/floor/main.go", "bench/peers/yoga/server.mjs", "bench/peers/yoga/package-lock.json", "bench/peers/gqlgen/gqlgen.yml",
		"python/csrc/load.c", "python/src/fraiseql/__init__.py", "python/bench/serve.py", "python/bench/requirements.txt"} {
		if !slices.Contains(files, name) {
			t.Errorf("%s is no part of it", name)
		}
	}
	for _, name := range files {
		switch {
		case strings.HasSuffix(name, ".md"), strings.Contains(name, "results"), strings.Contains(name, "testkit"), strings.Contains(name, "node_modules"),
			strings.HasSuffix(name, "document.go"), name == "engine_test.go":
			t.Errorf("%s is part of it", name)
		}
	}
	o := options{root: testkit.Root(), binary: filepath.Join(t.TempDir(), "fraiseql")}
	var hashes []string
	for _, text := range []string{"one", "one", "another"} {
		if err := os.WriteFile(o.binary, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		h, err := measuredCode(t.Context(), &o)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, h)
	}
	if hashes[0] != hashes[1] || hashes[0] == hashes[2] {
		t.Error(hashes)
	}
}

// TestSittings are shown with their times, loads and commits.
func TestSittings(t *testing.T) {
	at := func(day, hour int) time.Time { return time.Date(2026, 1, day, hour, 30, 0, 0, time.UTC) }
	r := run{Commit: "aa", Sittings: []sitting{
		{Started: at(2, 3), Finished: at(2, 4), Commit: "aa", LoadBefore: 0.5, LoadAfter: 2},
		{Started: at(2, 23), Finished: at(3, 1), Commit: "bb", Modified: true, LoadBefore: 0.25, LoadAfter: 1},
		{Started: at(4, 5), Commit: "bb", Modified: true, LoadBefore: 0.75},
	}}
	got := []string{r.shownPart() + r.shownSittings(), r.shownLoads(), r.shownCommits()}
	want := []string{"everything, in 3 sittings: 2026-01-02 03:30 to 04:30; 2026-01-02 23:30 to 2026-01-03 01:30; 2026-01-04 05:30 killed",
		"0.50, 2.00; 0.25, 1.00; 0.75, –", "aa; bb, with changes that are not committed"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestAimsKeepTheirSystems: who an aim is about takes part there, whoever is left out elsewhere.
func TestAimsKeepTheirSystems(t *testing.T) {
	for letters, names := range map[string][]string{
		"A1,A2": {us, "library", floor, floorHTTP, "gqlgen", "graphql-ws", "centrifuge"}, "D": {us, "library", floor, floorHTTP}, "B1": {"library", floor},
		"A4,C,C2,E2,F,G,I": {us}, "A5": {us, "centrifuge-5ms"}, "P1,P2": pythons, "B1,C": pythons,
	} {
		for i := range comparisons {
			for j := range peers {
				if slices.Contains(strings.Split(letters, ","), comparisons[i].letter) && slices.Contains(names, peers[j].name) && !comparisons[i].includes(&peers[j]) {
					t.Errorf("%s is not in %s", peers[j].name, comparisons[i].letter)
				}
			}
		}
	}
}
