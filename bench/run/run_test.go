package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

func TestMain(m *testing.M) {
	if folder := os.Getenv(fakeFolder); folder != "" && len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		fake(folder, os.Args[1:])
		return
	}
	os.Exit(testkit.Main(m))
}

// TestShortRun measures with the built command and shows what came out as if it were worth it.
func TestShortRun(t *testing.T) {
	results := t.TempDir()
	if err := command(t.Context(), []string{"-short", "-root", testkit.Root(), "-results", results, "-binary", testkit.Binary(t)}); err != nil {
		t.Fatal(err)
	}
	dirs, err := filepath.Glob(filepath.Join(results, "*"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("%v, %v", dirs, err)
	}
	if d, err := newest(results); d != nil || err != nil {
		t.Errorf("a short run is published: %v, %v", d, err)
	}
	rewrite(t, dirs[0], func(r *run) {
		if !r.Complete || !r.Short || r.Machine.Go == "" || r.Finished.Before(r.Started) {
			t.Errorf("%+v", r)
		}
		r.Short, r.Busy = false, false
	})
	d, err := newest(results)
	if err != nil || d == nil {
		t.Fatal(d, err)
	}
	var seen []string
	for i := range d.scenarios {
		r := &d.scenarios[i]
		seen = append(seen, r.Scenario+" "+r.Variant)
		if r.WallSeconds <= 0 || !strings.HasPrefix(r.Command, "fraiseql bench --json ") {
			t.Errorf("%+v", r)
		}
		if r.Scenario == many && r.Variant == together {
			if r.Kernel == nil { // the few connections of a short run cannot be told from others of the machine
				t.Errorf("%+v, %+v", r.Result, r.Kernel)
			}
			continue
		}
		if r.Scenario != idle && r.Scenario != many && (wrong(r) != 0 || r.Result.Deliveries == 0) {
			t.Errorf("%+v", r.Result)
		}
	}
	want := []string{fanOut + " ", idle + " ", slow + " " + without, slow + " " + with, asHeld + " 2000 events/s", many + " 1", many + " 2", many + " all"}
	slices.Sort(seen[len(seen)-3:]) // the two end in any order
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("scenarios (-want +got):\n%s", diff)
	}
	checkCompared(t, d)
	for _, groups := range []string{"1", "100"} {
		if v := d.bench["internal/hub Dispatch/subscriptions=100/groups="+groups+" ns/op"]; len(v) != 1 || v[0] <= 0 {
			t.Errorf("groups=%s: %v", groups, v)
		}
	}
	text, err := document(results)
	if err != nil || !strings.Contains(text, "fraiseql bench --json -c 3 -r 1000") || !strings.Contains(text, "## The slow client, round by round") {
		t.Errorf("%v\n%s", err, text)
	}
}

// checkCompared wants every comparison of ours and of the floor, with nothing lost.
func checkCompared(t *testing.T, d *data) {
	t.Helper()
	compared, wanted := map[string]int{}, map[string]int{}
	for i := range d.peers {
		r := &d.peers[i]
		compared[r.Peer]++
		if r.ExitCode != 0 || r.Result.Lost+r.Result.Duplicates+r.Result.OutOfOrder+r.Result.Corrupt != 0 || r.Result.Problem != "" {
			t.Errorf("%s %s: %+v", r.Peer, r.Scenario, r.Result)
		}
	}
	for i := range comparisons {
		for _, name := range []string{us, floor} {
			if comparisons[i].includes(&peer{name: name}) {
				wanted[name]++
			}
		}
	}
	if diff := cmp.Diff(wanted, compared); diff != "" {
		t.Errorf("comparisons (-want +got):\n%s", diff)
	}
}

// rewrite changes the facts of a run.
func rewrite(t *testing.T, dir string, change func(*run)) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, runFile))
	if err != nil {
		t.Fatal(err)
	}
	var r run
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	change(&r)
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
}

// TestCommittedDocument compares BENCHMARKS.md with what its raw results give.
func TestCommittedDocument(t *testing.T) {
	text, err := document(filepath.Join(testkit.Root(), "bench", "results"))
	if err != nil {
		t.Fatal(err)
	}
	committed, err := os.ReadFile(filepath.Join(testkit.Root(), "BENCHMARKS.md"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(text, string(committed)); diff != "" {
		t.Errorf("BENCHMARKS.md is not what bench/results gives; run make bench-docs (-generated +committed):\n%s", diff)
	}
}

// TestBenchmarksExist looks for every Go benchmark that a figure is made of among those that are run: a renamed one
// would silently be missing.
func TestBenchmarksExist(t *testing.T) {
	for _, b := range goBenches {
		files, err := filepath.Glob(filepath.Join(testkit.Root(), b.pkg, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		source := ""
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			source += string(text)
		}
		for _, name := range strings.Split(strings.Trim(b.pattern, "^$()"), "|") {
			if !strings.Contains(source, "func "+name+"(b *testing.B)") {
				t.Errorf("%s has no %s", b.pkg, name)
			}
		}
	}
	asked := recording(t)
	for key := range asked {
		pkg, rest, _ := strings.Cut(key, " ")
		name, _, _ := strings.Cut(rest, " ")
		name, _, _ = strings.Cut(name, "/")
		if !slices.ContainsFunc(goBenches, func(b goBenchmark) bool {
			return filepath.Clean(b.pkg) == pkg && slices.Contains(strings.Split(strings.Trim(b.pattern, "^$()"), "|"), "Benchmark"+name)
		}) {
			t.Errorf("figure of %q: no such benchmark is run", key)
		}
	}
}

// recording returns the keys of Go benchmarks that figures use.
func recording(t *testing.T) map[string]bool {
	t.Helper()
	source := ""
	for _, name := range []string{"figures.go", "figures_peers.go"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source += string(text)
	}
	keys := map[string]bool{}
	for _, call := range []string{`benchmark("`, `ratio("`, `subscribe = "`} {
		for _, rest := range strings.Split(source, call)[1:] {
			key, _, _ := strings.Cut(rest, `"`)
			keys[key] = true
		}
	}
	if len(keys) < 10 {
		t.Fatalf("found only %d", len(keys))
	}
	return keys
}

// TestRounds: whom an aim names is measured in every round, the others less often, but where all are to be compared.
func TestRounds(t *testing.T) {
	for _, name := range unnamed {
		if !slices.ContainsFunc(peers, func(p peer) bool { return p.name == name }) {
			t.Errorf("no system %s", name)
		}
	}
	for i := range comparisons {
		c := &comparisons[i]
		for _, name := range []string{us, floor, "library", "centrifuge", "gqlgen", "graphql-ws", "fraiseql-serve"} {
			if got := c.rounds(&peer{name: name}); got < 1000 {
				t.Errorf("%s, %s: %d rounds", c.letter, name, got)
			}
		}
		whole := strings.HasPrefix(c.letter, "B") || strings.HasPrefix(c.letter, "P")
		if got := c.rounds(&peer{name: "mercurius"}); (got > 1000) != whole || !whole && got != unnamedRounds {
			t.Errorf("%s, mercurius: %d rounds", c.letter, got)
		}
	}
}
