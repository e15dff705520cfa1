package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// binary is the path of the built command, set by Main.
var binary string

// Main builds the command once for a package's tests, runs them as NoLeaks does and removes it. Call it from TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "fraiseql-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "testkit:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "fraiseql")
	build := exec.Command("go", "build", "-o", binary, "./cmd/fraiseql")
	build.Dir = Root()
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "testkit: go build ./cmd/fraiseql: %v\n%s", err, out)
		return 1
	}
	return NoLeaks(m)
}

// Binary returns the path of the built command.
func Binary(tb testing.TB) string {
	tb.Helper()
	if binary == "" {
		tb.Fatal("testkit.Main was not called from TestMain")
	}
	return binary
}

// Root returns the folder that holds go.mod, found from the working folder.
var Root = sync.OnceValue(func() string {
	dir, err := os.Getwd()
	if err != nil {
		panic("testkit: " + err.Error())
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			panic("testkit: no go.mod above the working folder")
		}
		dir = parent
	}
})
