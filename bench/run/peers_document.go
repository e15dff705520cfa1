package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// shownValue is what a comparison is about.
type shownValue struct {
	title string
	unit  unit
	of    func(*record) float64
}

var (
	cpuValue     = shownValue{"CPU-seconds per million deliveries", seconds, func(r *record) float64 { return r.Result.Server.CPUSecondsPerMillion }}
	memoryValue  = shownValue{"KB of RSS per idle connection", kilobyte, func(r *record) float64 { return r.Result.Server.RSSKBPerConnection }}
	pairValue    = shownValue{"CPU-seconds per million pairs", seconds, cpuValue.of}
	stormValue   = shownValue{"CPU-seconds per million connections", seconds, cpuValue.of}
	latencyValue = shownValue{"latency p50", milliseconds, func(r *record) float64 { return float64(r.Result.Latency.P50) }}
)

// has reports whether a run has given the value: one in which nothing was delivered has none.
func (v *shownValue) has(r *record) bool { return r.ExitCode <= 1 && v.of(r) > 0 }

func milliseconds(v float64) string { return nanoseconds(1000 * v) }

// shown is the value that is compared with ours round by round, and plotted.
func (c *comparison) shown() shownValue {
	switch {
	case c.kind == resting:
		return memoryValue
	case c.kind == pairing:
		return pairValue
	case c.kind == storming:
		return stormValue
	case c.letter == "D":
		return latencyValue
	}
	return cpuValue
}

// peerRecords are the records of one comparison and system, by round.
func (d *data) peerRecords(letter, name string) (list []*record) {
	for i := range d.peers {
		if r := &d.peers[i]; r.Scenario == letter && r.Peer == name {
			list = append(list, r)
		}
	}
	return list
}

// held reports whether a peer delivered what was asked of it, in time.
func (c *comparison) held(r *record) bool {
	return r.ExitCode == 0 && (c.kind != paced && c.kind != tenants || r.sustained())
}

// beside notes our records of a comparison, to which those of others in the same run are compared.
func (d *data) beside(p *published) {
	if d.ours == nil {
		d.ours = map[string][]*record{}
	}
	for i := range p.peers {
		if r := &p.peers[i]; r.Peer == us {
			d.ours[r.Scenario+r.run] = append(d.ours[r.Scenario+r.run], r)
		}
	}
}

// writePeers writes a table for each comparison, with its plot.
func (d *data) writePeers(b *strings.Builder) {
	if len(d.peers) == 0 {
		return
	}
	b.WriteString(`
## Beside others

The same subscriptions, events and load generator for all (bench/peers, python/bench/peers); they take turns within a round. *Ratio* is a
system's value divided by ours of the same round: median of the rounds, with the smallest and the largest. The floor is ` + "`write(2)`" + ` of ready frames on
raw sockets. Peers take events as lines on a connection, ours by HTTP with its answers. *Held*: every delivery was right and 98 % came in time;
what was not held has latencies and CPU time of what did arrive. There is no counterpart elsewhere to tenants: see "an event of a tenant" above.

Not everybody is in every comparison; what stands of others in one is of an older run. Systems that no aim names are measured in three of the
rounds, but for B and P, so that all can be in one run. Servers that execute in Python for each subscriber take
part in B1, C, P1 and P2: other rates are many times what they hold. Ours inside Python are not in A3, B2, C2, E2, F, H and I, where it is the engine that counts.
The library is not in C, C2, E, H and I, where it does not matter how events come. Centrifuge with a delay is in A1, A2, A4, A5 and B1, where writes can be shared.
`)
	for i := range comparisons {
		c := &comparisons[i]
		if len(d.peerRecords(c.letter, us)) == 0 {
			continue
		}
		fmt.Fprintf(b, "\n### %s: %s\n\n![%s](bench/results/%s.svg)\n\n", c.letter, c.title, c.shown().title, c.letter)
		if c.note != "" {
			b.WriteString(c.note + "\n\n")
		}
		d.writePeerTable(b, c)
	}
	b.WriteString("\n| system | versions | limited by |\n|---|---|---|\n")
	for i := range peers {
		p := &peers[i]
		if at := slices.IndexFunc(d.peers, func(r record) bool { return r.Peer == p.name }); at >= 0 {
			fmt.Fprintf(b, "| %s | %s | %s |\n", p.name, versionList(d.peers[at].Versions), p.limit)
		}
	}
}

func versionList(versions map[string]string) string {
	var list []string
	for name, version := range versions {
		list = append(list, name+" "+version)
	}
	slices.Sort(list)
	if len(list) == 0 {
		return "this commit"
	}
	return strings.Join(list, ", ")
}

func (d *data) writePeerTable(b *strings.Builder, c *comparison) {
	value := c.shown()
	fmt.Fprintf(b, "| system | %s | ratio | rate | p50 | p99 | held |\n|---|---|---|---|---|---|---|\n", value.title)
	for i := range peers {
		name := peers[i].name
		list := d.peerRecords(c.letter, name)
		if len(list) == 0 {
			continue
		}
		held, good := 0, []*record(nil)
		for _, r := range list {
			if c.held(r) {
				held++
			}
			if value.has(r) {
				good = append(good, r)
			}
		}
		if len(good) == 0 {
			fmt.Fprintf(b, "| %s | could not | | | | | 0 of %d |\n", name, len(list))
			continue
		}
		rate, p50, p99 := c.rate(good), "", ""
		if c.kind == paced || c.kind == saturated || c.kind == tenants {
			p50 = milliseconds(median(valuesOf(good, func(r *record) float64 { return float64(r.Result.Latency.P50) })))
			p99 = milliseconds(median(valuesOf(good, p99of)))
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %d of %d |\n", name, spread(valuesOf(good, value.of), value.unit), d.ratio(c, name), rate, p50, p99, held, len(list))
	}
}

// rate is how many a second there were, or how long it took.
func (c *comparison) rate(list []*record) string {
	middle := func(of func(*record) float64) float64 { return median(valuesOf(list, of)) }
	switch c.kind {
	case resting:
		return fmt.Sprintf("connected in %.1f s", middle(func(r *record) float64 { return r.Result.ConnectSeconds }))
	case storming:
		return fmt.Sprintf("back in %.2f s", middle(func(r *record) float64 { return r.Result.Storm.Seconds }))
	case pairing:
		return perSecond(middle(func(r *record) float64 { return r.Result.PairsPerSecond }))
	}
	return perSecond(middle(func(r *record) float64 { return r.Result.DeliveriesPerSecond }))
}

func p99of(r *record) float64 { return float64(r.Result.Latency.P99) }

func valuesOf(list []*record, value func(*record) float64) (all []float64) {
	for _, r := range list {
		all = append(all, value(r))
	}
	return all
}

func spread(values []float64, u unit) string {
	return fmt.Sprintf("%s (%s – %s)", u(median(values)), u(slices.Min(values)), u(slices.Max(values)))
}

// ratio compares a system with ours, round by round.
func (d *data) ratio(c *comparison, name string) string {
	if name == us {
		return "1"
	}
	value := c.shown()
	var ratios []float64
	for _, theirs := range d.peerRecords(c.letter, name) {
		for _, ours := range d.ours[c.letter+theirs.run] {
			if ours.Round == theirs.Round && value.has(ours) && value.has(theirs) {
				ratios = append(ratios, value.of(theirs)/value.of(ours))
			}
		}
	}
	if len(ratios) == 0 {
		return "–"
	}
	return spread(ratios, times)
}

// writePlots writes a plot of each comparison into the folder.
func (d *data) writePlots(dir string) error {
	for i := range comparisons {
		c := &comparisons[i]
		value := c.shown()
		var bars []bar
		for j := range peers {
			var values []float64
			for _, r := range d.peerRecords(c.letter, peers[j].name) {
				if value.has(r) {
					values = append(values, value.of(r))
				}
			}
			if len(values) > 0 {
				bars = append(bars, bar{peers[j].name, median(values), slices.Min(values), slices.Max(values), value.unit(median(values))})
			}
		}
		if len(bars) == 0 {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, c.letter+".svg"), []byte(plot(c.title, value.title, bars)), 0o644); err != nil {
			return err
		}
	}
	return nil
}
