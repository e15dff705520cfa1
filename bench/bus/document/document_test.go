package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestDocumented compares the page with the raw results.
func TestDocumented(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	want, err := document(filepath.Join(root, "bench", "results", "bus"))
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile(filepath.Join(root, "docs", "reference", "bus-benchmarks.md"))
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != want {
		t.Error("docs/reference/bus-benchmarks.md is not what the raw results say: go run ./bench/bus/document")
	}
}
