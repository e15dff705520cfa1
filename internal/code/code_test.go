package code

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/reference/errors.md")

func TestTableIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range All() {
		if seen[e.Name] {
			t.Errorf("%s: twice", e.Name)
		}
		seen[e.Name] = true
		if e.Text == "" || e.Remedy == "" || e.Where == "" {
			t.Errorf("%s: text, remedy or where is missing", e.Name)
		}
		if got, ok := Lookup(e.Name); !ok || got != e {
			t.Errorf("Lookup(%s) = %v, %v", e.Name, got, ok)
		}
	}
	if len(seen) != 17 {
		t.Errorf("%d codes, want 17", len(seen))
	}
}

func TestStatus(t *testing.T) {
	for name, want := range map[string]int{
		Unauthenticated: 401, Forbidden: 403, LimitExceeded: 413, RateLimited: 429,
		BusUnavailable: 503, SlowConsumer: 500, "NO_SUCH_CODE": 500,
	} {
		if got := Status(name); got != want {
			t.Errorf("Status(%s) = %d, want %d", name, got, want)
		}
	}
}

func TestReference(t *testing.T) {
	var got bytes.Buffer
	if err := writeReference(&got); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("..", "..", "docs", "reference", "errors.md")
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s is not what the table generates; run go test ./internal/code -update\n%s", file, diff)
	}
}
