// Command guard compares what the hot paths take with what they took when counts.txt was committed: instructions,
// counted by callgrind, and allocations. Both repeat on a busy machine, where times do not. More than 3 % more of
// anything fails, and the functions that grew are named; less is said, so that the counts are refreshed.
//
//	go run ./bench/guard            # compare; needs valgrind, on amd64
//	go run ./bench/guard -update    # commit what there is now
//	go run ./bench/guard -only hub  # only cases whose name contains that
//
// Counts depend on the compiler: counts.txt names its Go version, and another one (but for the patch level) has to
// refresh it first.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

const countsFile = "bench/guard/counts.txt"

func main() {
	log.SetFlags(0)
	update := flag.Bool("update", false, "write "+countsFile)
	only := flag.String("only", "", "only cases whose name contains this")
	flag.Parse()
	if err := run(*update, *only); err != nil {
		log.Fatal(err)
	}
}

func run(update bool, only string) error {
	if update && only != "" {
		return fmt.Errorf("-update counts every case: leave -only out")
	}
	top, err := output("go", "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return err
	}
	file := filepath.Join(strings.TrimSpace(top), countsFile)
	now, err := measure(only)
	if err != nil {
		return err
	}
	if update {
		return os.WriteFile(file, now.text(), 0o644)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	committed, err := parseCounts(text)
	if err != nil {
		return fmt.Errorf("%s: %w", countsFile, err)
	}
	r := compare(committed, now, only)
	fmt.Print(r.text())
	if r.failed() {
		return fmt.Errorf("the hot paths take more than was committed. If that is meant: go run ./bench/guard -update, and say why in the commit")
	}
	return nil
}

// goVersion is the version of the compiler without its patch level.
func goVersion() string {
	parts := strings.SplitN(runtime.Version(), ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}
