package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// data is everything of one run.
type data struct {
	name      string // of its folder
	run       run
	bench     samples
	benchRaw  string
	scenarios []record
	peers     []record // of the comparison; runs from before it have none
}

// records returns the records of a scenario in the order of the rounds.
func (d *data) records(name, variant string) (list []*record) {
	for i := range d.scenarios {
		if r := &d.scenarios[i]; r.Scenario == name && r.Variant == variant {
			list = append(list, r)
		}
	}
	return list
}

// newest reads the newest run that may be published; nil if there is none.
func newest(results string) (*data, error) {
	entries, err := os.ReadDir(results)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range slices.Backward(entries) { // names are times
		if !e.IsDir() {
			continue
		}
		d := &data{name: e.Name()}
		dir := filepath.Join(results, e.Name())
		text, err := os.ReadFile(filepath.Join(dir, runFile))
		if errors.Is(err, fs.ErrNotExist) {
			continue // results of another command
		}
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, &d.run); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", e.Name(), runFile, err)
		}
		if d.run.published() {
			return d, d.load(dir)
		}
	}
	return nil, nil
}

// load reads the figures of a run.
func (d *data) load(dir string) error {
	raw, err := os.ReadFile(filepath.Join(dir, benchFile))
	if err != nil {
		return err
	}
	d.benchRaw = string(raw)
	if d.bench, err = parseGoBench(bytes.NewReader(raw)); err != nil {
		return err
	}
	if d.scenarios, err = readRecords(filepath.Join(dir, scenarioFile)); err != nil {
		return err
	}
	if d.peers, err = readRecords(filepath.Join(dir, peersFile)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// readRecords reads lines of JSON.
func readRecords(name string) (list []record, err error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	for lines.Buffer(nil, 1<<20); lines.Scan(); {
		var r record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(name), err)
		}
		list = append(list, r)
	}
	return list, lines.Err()
}

const head = `<!-- Generated from bench/results; make bench-docs writes it. -->
# Benchmarks

` + "`make bench`" + ` measures everything on this page and writes it again. Raw results, with the exact commands and the load of the
machine before and after each, are in [bench/results](bench/results). A run that began on a busy machine is marked and not shown.
The engine inside Python has [a page of its own](python/bench/RESULTS.md).
`

// document returns the text of BENCHMARKS.md.
func document(results string) (string, error) {
	d, err := newest(results)
	if err != nil {
		return "", err
	}
	if d == nil {
		return strings.Replace(head, "are in [bench/results](bench/results)", "go to `bench/results`", 1) + "\nNo run has been published.\n", nil
	}
	var b strings.Builder
	b.WriteString(head)
	d.writeFacts(&b)
	all := figures(d)
	writeMisses(&b, d, all)
	b.WriteString("\n## Figures\n\nMedian over the runs, with the smallest and the largest. In-process, an event has 370 bytes and 12 fields, of which 5 are asked for; over\nthe WebSocket, `fraiseql bench` publishes events with a text of 100 bytes by HTTP.\n\n")
	writeTable(&b, d, all)
	d.writeSlow(&b)
	d.writePeers(&b)
	d.writeCommands(&b)
	return b.String(), nil
}

func (d *data) writeFacts(b *strings.Builder) {
	r, m := &d.run, &d.run.Machine
	commit := r.Commit
	if r.Modified {
		commit += ", with changes that are not committed"
	}
	fmt.Fprintf(b, "\n| | |\n|---|---|\n| run | %s to %s UTC |\n", r.Started.Format("2006-01-02 15:04"), r.Finished.Format("15:04"))
	fmt.Fprintf(b, "| commit | %s |\n| CPU | %s, %d cores |\n| memory | %.1f GB |\n", commit, m.CPU, m.Cores, float64(m.MemoryKB)/(1<<20))
	fmt.Fprintf(b, "| kernel | %s, %s |\n| Go | %s |\n| load average | %.2f before, %.2f after |\n", m.Kernel, m.System, m.Go, r.LoadBefore, r.LoadAfter)
	fmt.Fprintf(b, "| runs | %d of each Go benchmark (%s each), %d rounds of each scenario |\n", r.Count, r.BenchTime, r.Rounds)
	if share, ok := d.othersShare(); ok {
		fmt.Fprintf(b, "| CPU of others | %.1f %% of the machine at most during a scenario |\n", 100*share)
	}
	b.WriteString("\nServer and load generator run on the same machine and share its cores. Latency counts from when an event was due, not from when it was sent.\n")
}

// othersShare is the largest share of the machine that other processes took during a scenario.
func (d *data) othersShare() (share float64, ok bool) {
	for i := range d.scenarios {
		if r := &d.scenarios[i]; r.WallSeconds > 0 && d.run.Machine.Cores > 0 {
			share, ok = max(share, r.OthersCPU/r.WallSeconds/float64(d.run.Machine.Cores)), true
		}
	}
	return share, ok
}

// writeMisses names every aim that was not met, and every figure that is missing.
func writeMisses(b *strings.Builder, d *data, all []figure) {
	b.WriteString("\n## Missed aims\n\n")
	missed := 0
	for _, f := range all {
		if f.aim == nil {
			continue
		}
		values := f.values(d)
		if len(values) == 0 {
			fmt.Fprintf(b, "- %s: not measured.\n", f.name)
			missed++
		} else if middle := median(values); !f.aim.met(middle) {
			fmt.Fprintf(b, "- %s: %s, aim %s. %s\n", f.name, f.unit(middle), f.aim.text, f.limit)
			missed++
		}
	}
	if missed == 0 {
		b.WriteString("None.\n")
	}
}

func writeTable(b *strings.Builder, d *data, all []figure) {
	b.WriteString("| figure | median | min – max | aim | | limited by |\n|---|---|---|---|---|---|\n")
	for _, f := range all {
		values := f.values(d)
		aimText, verdict := "–", ""
		if f.aim != nil {
			aimText = f.aim.text
		}
		if len(values) == 0 {
			fmt.Fprintf(b, "| %s | not measured | | %s | | %s |\n", f.name, aimText, f.limit)
			continue
		}
		middle := median(values)
		if f.aim != nil {
			if verdict = "met"; !f.aim.met(middle) {
				verdict = "**missed**"
			}
		}
		fmt.Fprintf(b, "| %s | %s | %s – %s | %s | %s | %s |\n", f.name, f.unit(middle), f.unit(slices.Min(values)), f.unit(slices.Max(values)), aimText, verdict, f.limit)
	}
}

// writeSlow shows the pairs of the slow client, for each says more than their median.
func (d *data) writeSlow(b *strings.Builder) {
	a, w := d.records(slow, without), d.records(slow, with)
	if len(a) == 0 || len(w) == 0 {
		return
	}
	b.WriteString("\n## The slow client, round by round\n\n1,000 subscribers of one channel, 50 events/s of 10 kB; without and with one more that never reads. Measured from when its socket is\nfull, while its queue fills and overflows, until the server gives it up.\n\n")
	b.WriteString("| round | p99 without | p99 with | ratio | lost without | lost with | stalled client |\n|---|---|---|---|---|---|---|\n")
	for i := range min(len(a), len(w)) {
		end := "still connected"
		if w[i].Result.StalledClosed > 0 {
			end = "closed by the server"
		}
		fmt.Fprintf(b, "| %d | %s | %s | %s | %d | %d | %s |\n", a[i].Round, nanoseconds(1000*p99(a[i])), nanoseconds(1000*p99(w[i])), times(p99(w[i])/p99(a[i])),
			a[i].Result.Lost, w[i].Result.Lost, end)
	}
}

// writeCommands lists every different command of the run.
func (d *data) writeCommands(b *strings.Builder) {
	b.WriteString("\n## Commands\n\n```sh\nmake bench   # which runs:\n")
	for line := range strings.Lines(d.benchRaw) {
		if command, ok := strings.CutPrefix(line, "# go "); ok {
			b.WriteString("go " + command)
		}
	}
	var seen []string
	for i := range d.scenarios {
		if c := d.scenarios[i].Command; !slices.Contains(seen, c) {
			seen = append(seen, c)
			b.WriteString(c + "\n")
		}
	}
	for i := range d.peers {
		if c := d.peers[i].Command; !slices.Contains(seen, c) {
			seen = append(seen, c)
			b.WriteString(c + "\n")
		}
	}
	fmt.Fprintf(b, "```\n\nRaw results of this run: [bench/results/%s](bench/results/%s).\n", d.name, d.name)
}

// median of at least one value.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
