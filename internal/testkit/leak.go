package testkit

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// leakPatience is how long goroutines of ours may take to end after the last test.
const leakPatience = 5 * time.Second

// NoLeaks runs a package's tests and fails when goroutines of this module are left. Call it from TestMain:
//
//	func TestMain(m *testing.M) { os.Exit(testkit.NoLeaks(m)) }
//
// after is called between the tests and the search, to end what they shared.
func NoLeaks(m *testing.M, after ...func()) int {
	code := m.Run()
	for _, f := range after {
		f()
	}
	if fuzzing := flag.Lookup("test.fuzz"); fuzzing != nil && fuzzing.Value.String() != "" {
		return code // the fuzzing engine leaves its own
	}
	if transport, ok := http.DefaultTransport.(*http.Transport); ok {
		transport.CloseIdleConnections()
	}
	for end := time.Now().Add(leakPatience); ; runtime.Gosched() {
		left := ours()
		if len(left) == 0 {
			return code
		}
		if time.Now().After(end) {
			fmt.Fprintf(os.Stderr, "goroutines are left:\n%s\n", strings.Join(left, "\n\n"))
			return 1
		}
	}
}

// ours returns the stacks of the goroutines that run code of this module, but for the one that asks.
func ours() []string {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	var left []string
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(stack, "fraiseql-go") && !strings.Contains(stack, "testkit.NoLeaks") {
			left = append(left, stack)
		}
	}
	return left
}
