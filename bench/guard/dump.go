package main

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// dump is what callgrind collected for one case.
type dump struct {
	name      string
	total     float64
	functions map[string]float64 // instructions of their own
}

// parseDump reads callgrind's format (https://valgrind.org/docs/manual/cl-format.html): `fn=(number) name`, or the
// number alone when it was named before, then lines of position and cost. The line behind `calls=` is the cost of
// what was called, which counts there.
func parseDump(text []byte) dump {
	d := dump{functions: map[string]float64{}}
	names := map[string]string{}
	function, called := "", false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		key, value, _ := strings.Cut(line, "=")
		switch {
		case line == "":
		case strings.HasPrefix(line, "desc: Trigger: Client Request: "):
			d.name = strings.TrimPrefix(line, "desc: Trigger: Client Request: ")
		case key == "fn":
			function = named(names, value)
		case key == "cfn":
			named(names, value)
		case key == "calls":
			called = true
		case strings.Contains("0123456789+-*", line[:1]):
			if _, cost, ok := strings.Cut(line, " "); ok && !called {
				n, _ := strconv.ParseFloat(cost, 64) // what is no number is no cost
				d.functions[function] += n
				d.total += n
			}
			called = false
		}
	}
	return d
}

// named resolves `(number) name`.
func named(names map[string]string, value string) string {
	number, name, ok := strings.Cut(value, " ")
	if ok {
		names[number] = strings.TrimPrefix(name, "github.com/fraiseql/fraiseql-go/")
	}
	return names[number]
}

// function is what one function takes per operation.
type function struct {
	name         string
	instructions float64
}

// top returns the functions that take 2 % of an operation or more, the first of them first.
func top(all map[string]float64, operations, whole float64) []function {
	var list []function
	for name, n := range all {
		if n /= operations; n >= whole/50 {
			list = append(list, function{name, n})
		}
	}
	slices.SortFunc(list, func(a, b function) int {
		return cmp.Or(cmp.Compare(b.instructions, a.instructions), cmp.Compare(a.name, b.name))
	})
	return list
}
