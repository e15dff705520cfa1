package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// sitting is a part of a run that was made at one go.
type sitting struct {
	Started    time.Time `json:"started"`
	Finished   time.Time `json:"finished,omitzero"` // zero: it was killed
	Busy       bool      `json:"busy"`
	LoadBefore float64   `json:"load_before"`
	LoadAfter  float64   `json:"load_after"`
	Commit     string    `json:"commit"`
	Modified   bool      `json:"modified"`
}

// carryOn begins another sitting of a run that was broken off. It refuses when what comes would not be like what is there.
func carryOn(ctx context.Context, o *options) (*run, error) {
	text, err := os.ReadFile(filepath.Join(o.carryOn, runFile))
	if err != nil {
		return nil, err
	}
	r := &run{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", runFile, err)
	}
	if r.Complete {
		return nil, fmt.Errorf("%s is complete: there is nothing to continue", o.carryOn)
	}
	if r.Code == "" {
		return nil, fmt.Errorf("%s does not say which code it measured", o.carryOn)
	}
	now, err := planned(ctx, o)
	if err != nil {
		return nil, err
	}
	if different := r.differences(now); len(different) > 0 {
		return nil, fmt.Errorf("%s cannot be continued:\n  %s", o.carryOn, strings.Join(different, "\n  "))
	}
	s := sit(ctx, o)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.Busy && !r.Busy {
		return nil, fmt.Errorf("others take more than %.0f %% of the machine: the run stays as it is, to be continued another time", 100*quiet)
	}
	r.Sittings = append(r.Sittings, s)
	return r, nil
}

// differences says in what a run that is planned now is another one.
func (r *run) differences(now *run) (list []string) {
	compare := func(what string, was, is any) {
		if was != is {
			list = append(list, fmt.Sprintf("%s: %v then, %v now", what, was, is))
		}
	}
	a, b := &r.Machine, &now.Machine
	compare("CPU", a.CPU, b.CPU)
	compare("cores", a.Cores, b.Cores)
	if d := a.MemoryKB - b.MemoryKB; max(d, -d) > a.MemoryKB/100 { // a kernel keeps a little more or less for itself
		compare("memory in KB", a.MemoryKB, b.MemoryKB)
	}
	compare("kernel", a.Kernel, b.Kernel)
	compare("system", a.System, b.System)
	compare("Go", a.Go, b.Go)
	compare("code that is measured", r.Code, now.Code)
	compare("what is measured", r.shownPart(), now.shownPart())
	compare("-count", r.Count, now.Count)
	compare("-benchtime", r.BenchTime, now.BenchTime)
	compare("-rounds", r.Rounds, now.Rounds)
	compare("-short", r.Short, now.Short)
	return list
}

// whole is what a file of records holds up to the end of the last one that is whole. The servers of many connections hold theirs at the
// same time: their records are whole when that of all of them is there.
func whole(text []byte) (list []record, size int, err error) {
	at, count := 0, 0
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, 0, err
		}
		list, at = append(list, r), at+len(line)
		if r.Scenario != many || r.Variant == together {
			count, size = len(list), at
		}
	}
	return list[:count], size, nil
}

// wholeBenchmarks are the commands in a file of Go benchmarks that came to their end, and how much of the file that is.
func wholeBenchmarks(text string) (commands []string, size int) {
	for {
		rest := text[size:]
		end := strings.Index(rest, benchEnd)
		if end < 0 {
			return commands, size
		}
		line := strings.Index(rest[end:], "\n\n")
		if line < 0 {
			return commands, size
		}
		command, _, _ := strings.Cut(rest, "\n")
		commands, size = append(commands, strings.TrimPrefix(command, "# ")), size+end+line+len("\n\n")
	}
}

// open opens a file of results for more of them, and cuts off what does not count of those that it has.
func open(name string, count func(text []byte) (size int, err error)) (*os.File, error) {
	text, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	size, err := count(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	if err := file.Truncate(int64(size)); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// openRecords is a recorder that goes on after the records of a file.
func openRecords(o *options, binary, name string) (*recorder, error) {
	r := &recorder{o: o, binary: binary}
	var err error
	r.file, err = open(name, func(text []byte) (size int, err error) {
		r.before, size, err = whole(text)
		return size, err
	})
	if len(r.before) > 0 {
		o.log("%s: goes on after %d records", filepath.Base(name), len(r.before))
	}
	return r, err
}

// recorded returns the record of an earlier sitting, if there is one.
func (r *recorder) recorded(rec *record) *record {
	for i := range r.before {
		if b := &r.before[i]; b.Scenario == rec.Scenario && b.Variant == rec.Variant && b.Round == rec.Round && b.Peer == rec.Peer {
			return b
		}
	}
	return nil
}

// sameVersions refuses a peer that is made of something else than in an earlier sitting.
func (r *recorder) sameVersions(rec *record) error {
	for i := range r.before {
		if b := &r.before[i]; b.Peer == rec.Peer && b.Versions != nil && versionList(b.Versions) != versionList(rec.Versions) {
			return fmt.Errorf("%s: %s in an earlier sitting, %s now", rec.Peer, versionList(b.Versions), versionList(rec.Versions))
		}
	}
	return nil
}

// shownPart says what of everything is measured.
func (r *run) shownPart() string {
	if r.Part == "" {
		return "everything"
	}
	return r.Part
}

// shownSittings says when a run was made that was not made at one go; nothing of another.
func (r *run) shownSittings() string {
	if len(r.Sittings) < 2 {
		return ""
	}
	var list []string
	for _, s := range r.Sittings {
		end := "killed"
		if !s.Finished.IsZero() {
			end = "to " + s.Finished.Format(endFormat(s.Started, s.Finished))
		}
		list = append(list, s.Started.Format("2006-01-02 15:04")+" "+end)
	}
	return fmt.Sprintf(", in %d sittings: %s", len(list), strings.Join(list, "; "))
}

// endFormat leaves the day out of an end on the day of the start.
func endFormat(start, end time.Time) string {
	if start.Format(time.DateOnly) == end.Format(time.DateOnly) {
		return "15:04"
	}
	return "2006-01-02 15:04"
}

// shownCommits are those of the sittings.
func (r *run) shownCommits() string {
	of := func(commit string, modified bool) string {
		if modified {
			commit += ", with changes that are not committed"
		}
		return commit
	}
	list := []string{of(r.Commit, r.Modified)}
	for _, s := range r.Sittings {
		if c := of(s.Commit, s.Modified); !slices.Contains(list, c) {
			list = append(list, c)
		}
	}
	return strings.Join(list, "; ")
}

// shownLoads are the load averages before and after each sitting.
func (r *run) shownLoads() string {
	if len(r.Sittings) < 2 {
		return fmt.Sprintf("%.2f, %.2f", r.LoadBefore, r.LoadAfter)
	}
	var list []string
	for _, s := range r.Sittings {
		after := "–"
		if !s.Finished.IsZero() {
			after = fmt.Sprintf("%.2f", s.LoadAfter)
		}
		list = append(list, fmt.Sprintf("%.2f, %s", s.LoadBefore, after))
	}
	return strings.Join(list, "; ")
}
