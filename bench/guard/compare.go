package main

import (
	"fmt"
	"slices"
	"strings"
)

// slack is how much more something may take. Counts repeat within half of a per cent; what is below the absolute
// slacks is chance: a slab or a table that grows in one operation of many.
const (
	slack        = 0.03
	slackObjects = 0.05
	slackBytes   = 16
)

// report is what differs.
type report struct {
	more, less, notes []string
	same              int
}

func (r *report) failed() bool { return len(r.more) > 0 }

// compare judges what is counted now by what was committed.
func compare(committed, now *counts, only string) *report {
	r := &report{}
	instructions := committed.system == now.system
	switch {
	case !instructions:
		r.notes = append(r.notes, fmt.Sprintf("counts.txt is of %s, this is %s: instructions are not compared", committed.system, now.system))
	case committed.version != now.version:
		r.more = append(r.more, fmt.Sprintf("counts.txt is of %s, this is %s, and compilers differ: go run ./bench/guard -update on the commit before, with this Go", committed.version, now.version))
		return r
	}
	for _, name := range now.names {
		before, after := committed.cases[name], now.cases[name]
		if before == nil {
			r.more = append(r.more, name+": not in counts.txt: go run ./bench/guard -update")
			continue
		}
		ok := r.judge(name, "allocations", before.objects, after.objects, slackObjects)
		ok = r.judge(name, "bytes allocated", before.bytes, after.bytes, slackBytes) && ok
		if instructions && !r.judge(name, "instructions", before.instructions, after.instructions, 0) {
			ok = false
			r.explain(before, after)
		}
		if ok {
			r.same++
		}
	}
	for _, name := range committed.names {
		if now.cases[name] == nil && strings.Contains(name, only) {
			r.more = append(r.more, name+": in counts.txt, but no case any more: go run ./bench/guard -update")
		}
	}
	return r
}

// judge compares one number; it reports whether it is about the same.
func (r *report) judge(name, what string, before, after, absolute float64) bool {
	difference := after - before
	if difference <= max(slack*before, absolute) && -difference <= max(slack*before, absolute) {
		return true
	}
	line := fmt.Sprintf("%s: %.5g %s, %.5g committed", name, after, what, before)
	if before > 0 {
		line += fmt.Sprintf(" (%+.1f %%)", 100*difference/before)
	}
	if difference > 0 {
		r.more = append(r.more, line)
	} else {
		r.less = append(r.less, line)
	}
	return false
}

// explain names the functions whose share differs most, behind the line on their case.
func (r *report) explain(before, after *count) {
	was := map[string]float64{}
	for _, f := range before.functions {
		was[f.name] = f.instructions
	}
	var list []function // with the difference
	for _, f := range after.functions {
		list = append(list, function{f.name, f.instructions - was[f.name]})
		delete(was, f.name)
	}
	for name, n := range was {
		list = append(list, function{name, -n})
	}
	slices.SortFunc(list, func(a, b function) int { return int(abs(b.instructions) - abs(a.instructions)) })
	target := &r.more
	if after.instructions < before.instructions {
		target = &r.less
	}
	for _, f := range list[:min(5, len(list))] {
		if abs(f.instructions) >= 0.005*before.instructions {
			*target = append(*target, fmt.Sprintf("    %+.0f %s", f.instructions, f.name))
		}
	}
}

func abs(x float64) float64 { return max(x, -x) }

func (r *report) text() string {
	var b strings.Builder
	for _, part := range []struct {
		title string
		lines []string
	}{{"", r.notes}, {"takes less than was committed (go run ./bench/guard -update keeps it so):", r.less}, {"takes more than was committed:", r.more}} {
		if len(part.lines) > 0 && part.title != "" {
			b.WriteString(part.title + "\n")
		}
		for _, line := range part.lines {
			b.WriteString("  " + line + "\n")
		}
	}
	fmt.Fprintf(&b, "hot paths: %d as committed\n", r.same)
	return b.String()
}
