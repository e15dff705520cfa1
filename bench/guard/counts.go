package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// counts are what every case takes, in one version of Go on one architecture.
type counts struct {
	system, version string
	names           []string
	cases           map[string]*count
}

// count is what one operation of a case takes.
type count struct {
	instructions   float64 // 0: not counted
	objects, bytes float64 // allocated
	functions      []function
}

const countsHead = `# What one operation of each hot path takes: instructions (callgrind), with the functions that take 2 % of them or
# more, and allocations. go run ./bench/guard -update writes it.
`

// text is the content of counts.txt.
func (c *counts) text() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s%s %s\n", countsHead, c.system, c.version)
	for _, name := range c.names {
		one := c.cases[name]
		fmt.Fprintf(&b, "\n%s\n\t%.0f instructions\n\t%.2f allocations\n\t%.0f bytes\n", name, one.instructions, one.objects, one.bytes)
		for _, f := range one.functions {
			fmt.Fprintf(&b, "\t\t%.0f %s\n", f.instructions, f.name)
		}
	}
	return b.Bytes()
}

func parseCounts(text []byte) (*counts, error) {
	c := &counts{cases: map[string]*count{}}
	var one *count
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		trimmed := strings.TrimLeft(line, "\t")
		switch depth := len(line) - len(trimmed); {
		case line == "" || line[0] == '#':
		case depth == 0 && c.version == "":
			c.system, c.version, _ = strings.Cut(line, " ")
		case depth == 0:
			one = &count{}
			c.names = append(c.names, line)
			c.cases[line] = one
		default:
			number, what, _ := strings.Cut(trimmed, " ")
			n, err := strconv.ParseFloat(number, 64)
			if err != nil || one == nil {
				return nil, fmt.Errorf("not a count: %q", line)
			}
			one.set(depth, what, n)
		}
	}
	return c, nil
}

func (c *count) set(depth int, what string, n float64) {
	switch {
	case depth > 1:
		c.functions = append(c.functions, function{what, n})
	case what == "instructions":
		c.instructions = n
	case what == "allocations":
		c.objects = n
	case what == "bytes":
		c.bytes = n
	}
}
