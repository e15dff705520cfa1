package main

import (
	"bufio"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const printed = `# go test -run '^$' -bench '^BenchmarkX$' .
goos: linux
pkg: github.com/fraiseql/fraiseql-go
BenchmarkPublishNext/channels=100-2   	   76064	     900 ns/op	      1011 cpu-ns/op	     1100000 events/s	     831 B/op	       0 allocs/op
BenchmarkPublishNext/channels=100-2   	   76064	     900 ns/op	      1011 cpu-ns/op	     1300000 events/s	     831 B/op	       0 allocs/op
PASS
pkg: github.com/fraiseql/fraiseql-go/internal/hub
BenchmarkDispatch/subscriptions=100/groups=100-2 	 1	 16000 ns/op	     16000 dispatch-ns/op
BenchmarkDispatch/subscriptions=100/groups=100-2 	 1	 17000 ns/op	     17000 dispatch-ns/op
BenchmarkDispatch/subscriptions=100/groups=100-2 	 1	 14000 ns/op	     14000 dispatch-ns/op
BenchmarkRoute/subscriptions=10000 	 1	 400 ns/op
BenchmarkRoute/subscriptions=1000000 	 1	 1000 ns/op
ok  	github.com/fraiseql/fraiseql-go/internal/hub	2s
`

func TestParseGoBench(t *testing.T) {
	got, err := parseGoBench(strings.NewReader(printed))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]float64{1100000, 1300000}, got[". PublishNext/channels=100 events/s"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]float64{16000, 17000, 14000}, got["internal/hub Dispatch/subscriptions=100/groups=100 ns/op"]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]float64{400}, got["internal/hub Route/subscriptions=10000 ns/op"]); diff != "" {
		t.Error(diff)
	}
}

func TestNanoseconds(t *testing.T) {
	for value, want := range map[float64]string{0: "0.00 ns", 12: "12.0 ns", 999.6: "1.00 µs", 32_000: "32.0 µs", -32_000: "−32.0 µs", -1_500_000: "−1.50 ms"} {
		if got := nanoseconds(value); got != want {
			t.Errorf("%g: %s, want %s", value, got, want)
		}
	}
}

// save writes a run.
func save(t *testing.T, results, name string, r run, records []record) {
	t.Helper()
	dir := filepath.Join(results, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, benchFile), []byte(printed), 0o644); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(dir, scenarioFile))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	w := bufio.NewWriter(file)
	for i := range records {
		if err := json.NewEncoder(w).Encode(&records[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
}

// rounds are three rounds: the p99 of the others without a stalled client is 10, 12 and 11 ms, with one half more.
func rounds(lost uint64) (list []record) {
	add := func(r record, p99 int64, rate, delivered float64) {
		r.Result.Latency.P99, r.Result.Rate, r.Result.DeliveriesPerSecond, r.Result.Connections = p99, rate, delivered, 100
		r.WallSeconds, r.OthersCPU, r.Command = 10, 1, "fraiseql bench "+r.Scenario
		list = append(list, r)
	}
	for i, p99 := range []int64{10_000, 12_000, 11_000} {
		add(record{Scenario: fanOut, Round: i + 1}, p99, 1000, 100_000)
		add(record{Scenario: slow, Variant: without, Round: i + 1}, p99, 100, 100_000)
		with := record{Scenario: slow, Variant: with, Round: i + 1}
		with.Result.Lost, with.Result.StalledClosed = lost, 1
		add(with, p99*3/2, 100, 100_000)
		add(record{Scenario: asHeld, Variant: "2000 events/s", Round: i + 1}, p99, 2000, 200_000)
		add(record{Scenario: asHeld, Variant: "4000 events/s", Round: i + 1}, p99, 4000, 395_000)
		add(record{Scenario: asHeld, Variant: "6000 events/s", Round: i + 1}, p99, 6000, 500_000)
	}
	return list
}

// TestDocument shows medians, spreads, aims and misses.
func TestDocument(t *testing.T) {
	results := t.TempDir()
	whole := run{Complete: true, Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Machine: machine{Cores: 2, CPU: "fast one"}}
	save(t, results, "2026-01-02", whole, rounds(0))
	text, err := document(results)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| CPU | fast one, 2 cores |",
		"| 0.00, 0.00 | 5.0 % |", // 1 s of 2 × 10 s
		"| one event to 100 subscriptions in 100 groups | 16.0 µs | 14.0 µs – 17.0 µs | ≤ 15 µs | **missed** |",
		"- one event to 100 subscriptions in 100 groups: 16.0 µs, aim ≤ 15 µs.",
		"- one event to 100 subscriptions in one group: not measured.",
		"| 1,000,000 subscriptions against 10,000 | 2.50 × | 2.50 × – 2.50 × | ≤ 4 × | met |",
		"| 1,200,000/s | 1,100,000/s – 1,300,000/s | ≥ 1,000,000/s; moonshot 2,000,000 | met |",
		"latency p99 | 11.0 ms | 10.0 ms – 12.0 ms | < 10 ms | **missed** |",
		"with : without | 1.50 × | 1.50 × – 1.50 × | ≤ 1.20 ×",
		"as many events as are held: deliveries/s | 395,000/s | 395,000/s – 395,000/s | – |",
		"| 2 | 12.0 ms | 18.0 ms | 1.50 × | 0 | 0 | closed by the server |",
		"[2026-01-02](bench/results/2026-01-02)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	save(t, results, "2026-01-03", whole, rounds(3))
	if text, err = document(results); err != nil || !strings.Contains(text, "altered | 3 | 3 – 3 | 0 | **missed** |") {
		t.Errorf("losses are no miss: %v\n%s", err, text)
	}
}

// TestDocumentCompares shows peers with ratios of the same round, what they held, and a plot of each comparison.
func TestDocumentCompares(t *testing.T) {
	results := t.TempDir()
	whole := run{Complete: true, Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	save(t, results, "2026-01-02", whole, rounds(0))
	var b strings.Builder
	for round, cpu := range []float64{1, 2, 4} {
		for _, peer := range []string{us, "gqlgen"} {
			r := record{Scenario: "A1", Round: round + 1, Peer: peer, Command: "fraiseql bench"}
			r.Result.Connections, r.Result.Rate, r.Result.DeliveriesPerSecond = 10, 100, 1000
			if r.Result.Server.CPUSecondsPerMillion = cpu; peer == "gqlgen" {
				r.Result.Server.CPUSecondsPerMillion = 3*cpu + float64(round)
				r.Result.DeliveriesPerSecond -= 15 * float64(round)
				r.Versions = map[string]string{"gqlgen": "v1"}
			}
			if err := json.NewEncoder(&b).Encode(&r); err != nil {
				t.Fatal(err)
			}
		}
	}
	for peer, exit := range map[string]int{"graphql-ws": 3, "mercurius": 1} { // broke off; delivered nothing
		if err := json.NewEncoder(&b).Encode(&record{Scenario: "A1", Round: 1, Peer: peer, ExitCode: exit}); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(results, "2026-01-02")
	if err := os.WriteFile(filepath.Join(dir, peersFile), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "BENCHMARKS.md")
	if err := writeDocs(results, file); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(written)
	for _, want := range []string{
		"### A1: 1 room × 1,000 subscribers, 20 events/s", "![CPU-seconds per million deliveries](bench/results/A1.svg)",
		"| fraiseql | 2.00 s (1.00 s – 4.00 s) | 1 | 1,000/s |", "| gqlgen | 7.00 s (3.00 s – 14.0 s) | 3.50 × (3.00 × – 3.50 ×) | 985/s | 0.00 ns | 0.00 ns | 2 of 3 |",
		"| graphql-ws | could not | | | | | 0 of 1 |", "| mercurius | could not | | | | | 0 of 1 |", "| gqlgen | gqlgen v1 |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	drawn, err := os.ReadFile(filepath.Join(results, "A1.svg"))
	if err != nil || strings.Count(string(drawn), "<rect") != 3 || xml.Unmarshal(drawn, new(struct{})) != nil {
		t.Errorf("%v\n%s", err, drawn)
	}
}

// TestDocumentMerges shows the newest run of each scenario and system, with ratios to ours of the same run.
func TestDocumentMerges(t *testing.T) {
	results := t.TempDir()
	part := func(name string, p run, cpu map[string]float64, own []record) {
		p.Complete, p.Started = true, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		dir := filepath.Join(results, name)
		save(t, results, name, p, own)
		var b strings.Builder
		for peer, value := range cpu {
			r := record{Scenario: "A1", Round: 1, Peer: peer, Command: "fraiseql bench"}
			r.Result.Server.CPUSecondsPerMillion = value
			if err := json.NewEncoder(&b).Encode(&r); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, peersFile), []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		if own == nil {
			if err := os.Remove(filepath.Join(dir, benchFile)); err != nil {
				t.Fatal(err)
			}
		}
	}
	part("2026-01-01", run{}, map[string]float64{us: 1, "gqlgen": 8, floor: 1}, rounds(0))
	part("2026-01-02", run{Part: "-only peers -compare A1"}, map[string]float64{us: 5, floor: 4}, nil)
	part("2026-01-03", run{Busy: true}, map[string]float64{us: 100}, nil)
	text, err := document(results)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| fraiseql | 5.00 s", "| floor | 4.00 s (4.00 s – 4.00 s) | 0.80 ×", "| gqlgen | 8.00 s (8.00 s – 8.00 s) | 8.00 ×",
		"[2026-01-02](bench/results/2026-01-02) | -only peers -compare A1 |", "[2026-01-01](bench/results/2026-01-01) | everything |",
		"latency p99 | 11.0 ms |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("missing: %s", want)
		}
	}
	if strings.Contains(text, "2026-01-03") {
		t.Error("a busy run is shown")
	}
	if t.Failed() {
		t.Log(text)
	}
}

// TestUnpublished passes over runs that are not worth showing.
func TestUnpublished(t *testing.T) {
	results := t.TempDir()
	none, err := document(filepath.Join(results, "nothing"))
	if err != nil || !strings.Contains(none, "No run has been published.") {
		t.Fatalf("%v\n%s", err, none)
	}
	for i, r := range []run{{}, {Complete: true, Busy: true}, {Complete: true, Short: true}} {
		save(t, results, fmt.Sprint("2027-", i), r, nil)
	}
	text, err := document(results)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(none, text); diff != "" {
		t.Error(diff)
	}
}

func TestInterval(t *testing.T) {
	if _, _, ok := interval([]float64{1}); ok {
		t.Error("an interval of one ratio")
	}
	low, high, ok := interval([]float64{1, 1.1, 0.9, 1.05, 0.95})
	if !ok || low < 0.91 || low > 0.93 || high < 1.06 || high > 1.08 { // 0.9973 · e^±(2.132 · 0.0790/√5)
		t.Error(low, high, ok)
	}
}

func TestUnits(t *testing.T) {
	got := []string{nanoseconds(0.5), nanoseconds(17.25), nanoseconds(421), nanoseconds(1500), nanoseconds(15_040), nanoseconds(9_990_000), perSecond(999), perSecond(1_234_567),
		quoted([]string{"-run", "^$", ""})}
	want := []string{"0.50 ns", "17.2 ns", "421 ns", "1.50 µs", "15.0 µs", "9.99 ms", "999/s", "1,234,567/s", "-run '^$' ''"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if m := []float64{median([]float64{3, 1, 2}), median([]float64{4, 1})}; m[0] != 2 || m[1] != 2.5 {
		t.Errorf("medians %v", m)
	}
}
