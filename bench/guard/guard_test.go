package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const dumped = `# callgrind format
desc: Timerange: Basic block 1 - 2
desc: Trigger: Client Request: parse an event

positions: line
events: Ir

ob=(1) /tmp/hot
fl=(51) /usr/local/go/src/x.go
fn=(296) github.com/fraiseql/fraiseql-go/internal/jsontape.(*Tape).Parse
14 1500
+1 500
cfn=(298) memeqbody
calls=1500 +24
* 24900

fn=(298)
46 1000
-1 20

totals: 3020
`

func TestParseDump(t *testing.T) {
	d := parseDump([]byte(dumped))
	if d.name != "parse an event" || d.total != 3020 {
		t.Errorf("%q takes %v", d.name, d.total)
	}
	if diff := cmp.Diff(map[string]float64{"internal/jsontape.(*Tape).Parse": 2000, "memeqbody": 1020}, d.functions); diff != "" {
		t.Error(diff)
	}
	want := []function{{"internal/jsontape.(*Tape).Parse", 20}, {"memeqbody", 10.2}}
	if diff := cmp.Diff(want, top(d.functions, 100, 30.2), cmp.AllowUnexported(function{})); diff != "" {
		t.Error(diff)
	}
}

// TestCommittedCounts reads the file and writes it again.
func TestCommittedCounts(t *testing.T) {
	c := &counts{system: "amd64", version: "go1.26", names: []string{"a", "b"}, cases: map[string]*count{
		"a": {instructions: 100, objects: 0.25, bytes: 8, functions: []function{{"f", 60}, {"g", 40}}}, "b": {objects: 1},
	}}
	again, err := parseCounts(c.text())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c, again, cmp.AllowUnexported(counts{}, count{}, function{})); diff != "" {
		t.Error(diff)
	}
	if _, err := parseCounts([]byte("amd64 go1\n\na\n\tmany instructions\n")); err == nil {
		t.Error("what is no number was read")
	}
}

func TestCompare(t *testing.T) {
	with := func(instructions, objects float64, functions ...function) *counts {
		return &counts{system: "amd64", version: "go1.26", names: []string{"a"}, cases: map[string]*count{
			"a": {instructions: instructions, objects: objects, functions: functions},
		}}
	}
	before := with(1000, 1, function{"f", 600}, function{"g", 400})
	for _, c := range []struct {
		what   string
		now    *counts
		failed bool
		says   []string
	}{
		{"the same", with(1029, 1.04), false, []string{"hot paths: 1 as committed"}},
		{"more instructions", with(1200, 1, function{"f", 600}, function{"h", 600}), true,
			[]string{"a: 1200 instructions, 1000 committed (+20.0 %)", "+600 h", "-400 g"}},
		{"less", with(900, 1, function{"f", 500}, function{"g", 400}), false, []string{"takes less", "-100 f"}},
		{"an allocation more", with(1000, 2), true, []string{"a: 2 allocations, 1 committed (+100.0 %)"}},
		{"another compiler", &counts{system: "amd64", version: "go1.99", names: []string{"a"}}, true, []string{"counts.txt is of go1.26"}},
		{"another architecture", &counts{system: "arm64", version: "go1.26", names: []string{"a"}, cases: map[string]*count{"a": {objects: 1}}}, false,
			[]string{"instructions are not compared"}},
		{"a new case", &counts{system: "amd64", version: "go1.26", names: []string{"b"}, cases: map[string]*count{"b": {}}}, true,
			[]string{"b: not in counts.txt", "a: in counts.txt, but no case any more"}},
	} {
		r := compare(before, c.now, "")
		if r.failed() != c.failed {
			t.Errorf("%s: failed is %v\n%s", c.what, r.failed(), r.text())
		}
		for _, want := range c.says {
			if !strings.Contains(r.text(), want) {
				t.Errorf("%s: %q is missing:\n%s", c.what, want, r.text())
			}
		}
	}
}
