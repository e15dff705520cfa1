// Command hot runs the hot paths a fixed number of times, for bench/guard to count what they take. Under valgrind it
// tells callgrind what to collect: the goroutine that runs a case, after a warm-up, and nothing of what prepares it.
//
//	hot -allocations   # one line per case: name, allocations and bytes per operation
//	hot -list          # one line per case: name, operations
//
// Everything is done by one goroutine on one thread, so that a count does not depend on who runs when.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"strings"
)

// hotCase is one hot path.
type hotCase struct {
	name string
	n    int // operations that are counted, in each of the rounds; a tenth of them run before, to warm up
	// prepare makes what the operation needs. after, if any, runs behind each operation; its instructions are not counted.
	prepare func() (operation, after func())
}

// rounds is how often a case is prepared: hash tables have another seed each time, and with it other collisions.
const rounds = 4

// caseGroups are all cases.
var caseGroups = [][]hotCase{leafCases, hubCases, engineCases, socketCases}

func main() {
	log.SetFlags(0)
	allocations := flag.Bool("allocations", false, "count allocations, not under valgrind")
	list := flag.Bool("list", false, "list the cases")
	only := flag.String("only", "", "only cases whose name contains this")
	flag.Parse()
	runtime.LockOSThread()
	for _, group := range caseGroups {
		for i := range group {
			c := &group[i]
			switch {
			case !strings.Contains(c.name, *only):
			case *list:
				fmt.Printf("%s\t%d\n", c.name, rounds*c.n)
			case *allocations:
				c.countAllocations()
			default:
				c.countInstructions()
			}
		}
	}
	os.Exit(0) // engines and connections end with the process
}

// ready prepares a case and warms it up.
func (c *hotCase) ready() (operation, after func()) {
	operation, after = c.prepare()
	for range c.n/10 + 1 {
		operation()
		if after != nil {
			after()
		}
	}
	return operation, after
}

func (c *hotCase) countAllocations() {
	var objects, bytes uint64
	var before, behind runtime.MemStats
	for range rounds {
		operation, after := c.ready()
		runtime.ReadMemStats(&before)
		for range c.n {
			operation()
			if after != nil { // what it allocates is the test's
				after()
			}
		}
		runtime.ReadMemStats(&behind)
		objects += behind.Mallocs - before.Mallocs
		bytes += behind.TotalAlloc - before.TotalAlloc
	}
	n := float64(rounds * c.n)
	fmt.Printf("%s\t%.4f\t%.2f\n", c.name, float64(objects)/n, float64(bytes)/n)
}

func (c *hotCase) countInstructions() {
	for range rounds {
		operation, after := c.ready()
		startInstrumentation()
		toggleCollect()
		for range c.n {
			operation()
			if after != nil {
				toggleCollect()
				after()
				toggleCollect()
			}
		}
		toggleCollect()
		stopInstrumentation()
	}
	dumpStats(c.name)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func must(ok bool, what string) {
	if !ok {
		log.Fatal(what)
	}
}
