package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// data is what is shown: of each scenario, and of each system in a comparison, the newest run that may be published and
// has it.
type data struct {
	runs      []*published // of which something is shown, the newest first
	bench     samples
	benchRaw  string
	scenarios []record
	peers     []record
	ours      map[string][]*record // ours of a comparison, by its letter and the name of the run
}

// published is a run that may be shown.
type published struct {
	name string // of its folder
	run
	bench            string
	scenarios, peers []record
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

// newest reads what may be published; nil if there is nothing.
func newest(results string) (*data, error) {
	entries, err := os.ReadDir(results)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	d := &data{}
	for _, e := range slices.Backward(entries) { // names are times
		if !e.IsDir() {
			continue
		}
		p, err := readRun(filepath.Join(results, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		if p == nil {
			continue
		}
		used, err := d.add(p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		if used {
			d.runs = append(d.runs, p)
		}
	}
	if len(d.runs) == 0 {
		return nil, nil
	}
	return d, nil
}

// readRun reads a run; nil if the folder holds something else, or one that may not be shown.
func readRun(dir string) (*published, error) {
	text, err := os.ReadFile(filepath.Join(dir, runFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // results of another command
	}
	if err != nil {
		return nil, err
	}
	p := &published{name: filepath.Base(dir)}
	if err := json.Unmarshal(text, &p.run); err != nil {
		return nil, fmt.Errorf("%s: %w", runFile, err)
	}
	if !p.published() {
		return nil, nil // nor need its last line be whole
	}
	raw, err := os.ReadFile(filepath.Join(dir, benchFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	p.bench = string(raw)
	for _, file := range []struct {
		name string
		list *[]record
	}{{scenarioFile, &p.scenarios}, {peersFile, &p.peers}} {
		if *file.list, err = readRecords(filepath.Join(dir, file.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for i := range *file.list {
			(*file.list)[i].run = p.name
		}
	}
	return p, nil
}

// add takes what no newer run has, and reports whether there was something.
func (d *data) add(p *published) (used bool, err error) {
	if d.benchRaw == "" && p.bench != "" {
		d.benchRaw, used = p.bench, true
		if d.bench, err = parseGoBench(strings.NewReader(p.bench)); err != nil {
			return false, err
		}
	}
	key := func(r *record) string { return r.Scenario + "\x00" + r.Peer }
	take := func(into *[]record, list []record) {
		known := map[string]bool{}
		for i := range *into {
			known[key(&(*into)[i])] = true
		}
		for i := range list {
			if !known[key(&list[i])] {
				*into, used = append(*into, list[i]), true
			}
		}
	}
	take(&d.scenarios, p.scenarios)
	take(&d.peers, p.peers)
	d.beside(p)
	return used, nil
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
machine before and after each, are in [bench/results](bench/results). A run that began on a busy machine is marked and not shown. Parts can be
measured by themselves: of each scenario and system the newest run is shown, and its ratio to ours is from the same run; [runs](#runs) says of which machine.
A run that was broken off goes on where it stopped (` + "`-continue`" + `), on the same machine with the same code; runs says in which sittings it was made.
The engine inside Python has [a page of its own](python/bench/RESULTS.md).
`

// document returns the text of BENCHMARKS.md.
func document(results string) (string, error) {
	d, err := newest(results)
	if err != nil {
		return "", err
	}
	return d.document(), nil
}

func (d *data) document() string {
	if d == nil {
		return strings.Replace(head, "are in [bench/results](bench/results)", "go to `bench/results`", 1) + "\nNo run has been published.\n"
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
	d.writeRuns(&b)
	d.writeCommands(&b)
	return b.String()
}

func (d *data) writeFacts(b *strings.Builder) {
	r, m := d.runs[0], &d.runs[0].Machine
	fmt.Fprintf(b, "\n| | |\n|---|---|\n| newest run | %s to %s UTC |\n", r.Started.Format("2006-01-02 15:04"), r.Finished.Format(endFormat(r.Started, r.Finished)))
	fmt.Fprintf(b, "| CPU | %s, %d cores |\n| memory | %.1f GB |\n", m.CPU, m.Cores, float64(m.MemoryKB)/(1<<20))
	fmt.Fprintf(b, "| kernel | %s, %s |\n| Go | %s |\n", m.Kernel, m.System, m.Go)
	b.WriteString("\nServer and load generator run on the same machine and share its cores. Latency counts from when an event was due, not from when it was sent.\n")
}

// writeRuns lists the runs that something on the page is of.
func (d *data) writeRuns(b *strings.Builder) {
	b.WriteString("\n## Runs\n\n| raw results | measured | commit | CPU | rounds | load average before, after | CPU of others at most |\n|---|---|---|---|---|---|---|\n")
	for _, p := range d.runs {
		others := "–"
		if share, ok := p.othersShare(); ok {
			others = fmt.Sprintf("%.1f %%", 100*share)
		}
		fmt.Fprintf(b, "| [%s](bench/results/%s) | %s%s | %s | %s | %d | %s | %s |\n", p.name, p.name, p.shownPart(), p.shownSittings(), p.shownCommits(), p.Machine.CPU,
			p.Rounds, p.shownLoads(), others)
	}
}

// othersShare is the largest share of the machine that other processes took during a scenario.
func (p *published) othersShare() (share float64, ok bool) {
	for _, list := range [][]record{p.scenarios, p.peers} {
		for i := range list {
			if r := &list[i]; r.WallSeconds > 0 && p.Machine.Cores > 0 {
				share, ok = max(share, r.OthersCPU/r.WallSeconds/float64(p.Machine.Cores)), true
			}
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
	if low, high, ok := interval(slowRatio(d)); ok {
		fmt.Fprintf(b, "\nThe 90 %% interval of the geometric mean of the ratios is %s to %s.\n", times(low), times(high))
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
	b.WriteString("```\n")
}

// median of at least one value.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
