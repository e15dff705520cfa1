package autobahn

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.NoLeaks(m)) }

// patience bounds one run of the suite; all cases of compression take about an hour.
const patience = 3 * time.Hour

// verdict is what the suite says about a case.
type verdict struct {
	Behavior      string `json:"behavior"`
	BehaviorClose string `json:"behaviorClose"`
	Milliseconds  int    `json:"duration"`
}

// good reports whether a verdict is a pass: the suite calls some passes informational.
func (v verdict) good() bool {
	ok := []string{"OK", "INFORMATIONAL"}
	return slices.Contains(ok, v.Behavior) && slices.Contains(ok, v.BehaviorClose)
}

// fuzz runs cases of the suite against a server and returns its verdicts.
func fuzz(t *testing.T, url string, cases, without []string) map[string]verdict {
	t.Helper()
	dir := t.TempDir()
	spec, err := json.Marshal(map[string]any{
		"outdir": dir, "cases": cases, "exclude-cases": without,
		"servers": []any{map[string]any{"agent": "fraiseql", "url": url, "options": map[string]any{"version": 18}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "fuzz.json")
	if err := os.WriteFile(file, spec, 0o600); err != nil {
		t.Fatal(err)
	}
	suite := exec.CommandContext(t.Context(), interpreter(t), "-c", bootstrap, "-m", "fuzzingclient", "-s", file)
	suite.Env = append(os.Environ(), "AUTOBAHN="+filepath.Join(testkit.Root(), ".venvs", "autobahn"), "PYTHONDONTWRITEBYTECODE=1")
	suite.WaitDelay = time.Second
	timer := time.AfterFunc(patience, func() { _ = suite.Process.Kill() })
	defer timer.Stop()
	if out, err := suite.CombinedOutput(); err != nil {
		t.Fatalf("the suite failed (make deps installs it): %v\n%s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var report map[string]map[string]verdict
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	return report["fraiseql"]
}

// bootstrap starts the suite from the folder that it was installed into.
const bootstrap = `import os, site, sys
site.addsitedir(os.environ["AUTOBAHN"])
sys.path.insert(0, os.environ["AUTOBAHN"])
from autobahntestsuite.wstest import run
sys.argv[0] = "wstest"
run()`

func interpreter(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join(testkit.Root(), ".ci", "python"), "2.7").Output()
	if err != nil {
		t.Fatalf("the suite needs Python 2.7: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// judge reports every case that is no pass and how many there were of each verdict.
func judge(t *testing.T, verdicts map[string]verdict, atLeast int) {
	t.Helper()
	counts := map[string]int{}
	for name, v := range verdicts {
		counts[v.Behavior]++
		if !v.good() {
			t.Errorf("case %s: %s, close %s", name, v.Behavior, v.BehaviorClose)
		}
	}
	t.Log(len(verdicts), "cases:", fmt.Sprint(counts))
	if len(verdicts) < atLeast {
		t.Errorf("%d cases were run, want at least %d", len(verdicts), atLeast)
	}
}

// compression are the cases of permessage-deflate.
var compression = []string{"12.*", "13.*"}

func TestFrames(t *testing.T) {
	judge(t, fuzz(t, serve(t, poll.Options{}), []string{"*"}, compression), 300)
}

// TestFramesPortable leaves out the large messages, which say nothing new of the frames.
func TestFramesPortable(t *testing.T) {
	judge(t, fuzz(t, serve(t, poll.Options{Portable: true}), []string{"*"}, append([]string{"9.*"}, compression...)), 240)
}

// TestDeflate runs one case of every sort of text and data and of every offer of permessage-deflate, with a thousand
// messages each; AUTOBAHN_CASES names others, such as "12.* 13.*" for all 216 (about an hour: -timeout 3h). Where the client keeps a
// smaller window than 32 KiB nothing is sent compressed. With AUTOBAHN_RESULT a line per case is added to that file.
func TestDeflate(t *testing.T) {
	cases := []string{
		"12.1.3", "12.1.11", "12.2.4", "12.3.5", "12.4.6", "12.5.7",
		"13.1.3", "13.2.3", "13.3.3", "13.4.3", "13.5.3", "13.6.3", "13.7.3",
	}
	if named := strings.Fields(os.Getenv("AUTOBAHN_CASES")); len(named) > 0 {
		cases = named
	}
	verdicts := fuzz(t, serve(t, poll.Options{}), cases, []string{})
	record(t, verdicts)
	judge(t, verdicts, len(cases))
}

// record adds a line per case to the file that AUTOBAHN_RESULT names.
func record(t *testing.T, verdicts map[string]verdict) {
	t.Helper()
	name := os.Getenv("AUTOBAHN_RESULT")
	if name == "" {
		return
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	commit, err := exec.CommandContext(t.Context(), "git", "rev-parse", "--short=10", "HEAD").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range slices.Sorted(maps.Keys(verdicts)) {
		line, err := json.Marshal(struct {
			Case string `json:"case"`
			verdict
			Commit string    `json:"commit"`
			When   time.Time `json:"when"`
		}{id, verdicts[id], strings.TrimSpace(string(commit)), time.Now().UTC().Truncate(time.Second)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(append(line, '\n')); err != nil {
			t.Fatal(err)
		}
	}
}
