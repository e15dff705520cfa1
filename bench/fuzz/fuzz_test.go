package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryFuzzTestHasItsPlace holds the two lists against the fuzz tests that exist: a new decoder is not forgotten.
func TestEveryFuzzTestHasItsPlace(t *testing.T) {
	listed := map[string]bool{}
	for _, d := range append(append([]target{}, decoders...), others...) {
		if listed[d.pkg+" "+d.name] {
			t.Errorf("%s %s is listed twice", d.pkg, d.name)
		}
		listed[d.pkg+" "+d.name] = true
	}
	declared := regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)
	top := filepath.Join("..", "..")
	err := filepath.WalkDir(top, func(name string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "node_modules" || strings.HasPrefix(entry.Name(), ".") && name != top) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(name, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		pkg, err := filepath.Rel(top, filepath.Dir(name))
		for _, m := range declared.FindAllStringSubmatch(string(text), -1) {
			id := filepath.ToSlash(pkg) + " " + m[1]
			if !listed[id] {
				t.Errorf("%s: neither in decoders nor in others", id)
			}
			delete(listed, id)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for id := range listed {
		t.Errorf("%s is listed and does not exist", id)
	}
}

// TestReadsWhatTheEngineSays reads output as Go 1.26 prints it, with and without coverage.
func TestReadsWhatTheEngineSays(t *testing.T) {
	var p part
	said := read(strings.NewReader(`warning: the test binary was not built with coverage instrumentation, so fuzzing will run without coverage guidance and may be inefficient
fuzz: elapsed: 0s, gathering baseline coverage: 4/4 completed, now fuzzing with 1 workers
fuzz: elapsed: 3s, execs: 325017 (108336/sec), new interesting: 11 (total: 202)
fuzz: elapsed: 4s, execs: 400000 (98845/sec)
--- FAIL: FuzzX (0.01s)
`), &p)
	if p != (part{Inputs: 400000, Interesting: 11, Corpus: 202}) {
		t.Errorf("%+v", p)
	}
	if len(said) != 3 || said[2] != "--- FAIL: FuzzX (0.01s)" {
		t.Errorf("%q", said)
	}
}

// TestGoesOnWhereItStopped leaves out what has had its inputs and did not fail.
func TestGoesOnWhereItStopped(t *testing.T) {
	name := filepath.Join(t.TempDir(), "results.jsonl")
	if done, err := finished(name, 10); err != nil || len(done) != 0 {
		t.Fatalf("%v %v", done, err)
	}
	for _, res := range []result{{Package: "a", Target: "FuzzA", Inputs: 10}, {Package: "a", Target: "FuzzB", Inputs: 9}, {Package: "b", Target: "FuzzA", Inputs: 10, Failure: "x"}} {
		if err := appendLine(name, &res); err != nil {
			t.Fatal(err)
		}
	}
	done, err := finished(name, 10)
	if err != nil || !done["a FuzzA"] || done["a FuzzB"] || done["b FuzzA"] {
		t.Errorf("%v %v", done, err)
	}
}
