// Package report is what the commands beside it print in common: a line that describes the machine, and lines that sum up
// rounds. The command document makes a page of them.
package report

import (
	"encoding/json"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Machine is the first line of a file: what is measured, against which server, by which command.
func Machine(what, server string, rounds int, more map[string]any) map[string]any {
	load, _ := os.ReadFile("/proc/loadavg") // absent on other systems
	load1, _, _ := strings.Cut(string(load), " ")
	m := map[string]any{
		"kind": "machine", "what": what, "server": server, "rounds": rounds, "cores": runtime.NumCPU(), "go": runtime.Version(), "load": load1,
		"time":    time.Now().UTC().Format(time.RFC3339),
		"command": strings.Join(append([]string{"go run ./bench/bus/" + program()}, os.Args[1:]...), " "),
	}
	for k, v := range more {
		m[k] = v
	}
	return m
}

// program is the name of the command, without what a build may have added to it.
func program() string {
	name := os.Args[0][strings.LastIndexByte(os.Args[0], '/')+1:]
	return strings.TrimRight(name, "0123456789")
}

// Rounds are figures, each with one value per round, in the order in which they were added first.
type Rounds struct {
	names  []string
	aims   map[string]string
	values map[string][]float64
}

// Add notes a value of one round. aim is shown; "" is none.
func (r *Rounds) Add(figure, aim string, value float64) {
	if r.values == nil {
		r.aims, r.values = map[string]string{}, map[string][]float64{}
	}
	if _, known := r.values[figure]; !known {
		r.names = append(r.names, figure)
	}
	r.aims[figure] = aim
	r.values[figure] = append(r.values[figure], value)
}

// summary is a figure over all rounds.
type summary struct {
	Kind    string  `json:"kind"`
	Figure  string  `json:"figure"`
	Median  float64 `json:"median"`
	Lowest  float64 `json:"lowest"`
	Highest float64 `json:"highest"`
	Aim     string  `json:"aim,omitempty"`
}

// Write prints a line for each figure.
func (r *Rounds) Write(out *json.Encoder) error {
	for _, name := range r.names {
		v := slices.Sorted(slices.Values(r.values[name]))
		if err := out.Encode(summary{"summary", name, v[len(v)/2], v[0], v[len(v)-1], r.aims[name]}); err != nil {
			return err
		}
	}
	return nil
}

// Added is by how much the figures of own pieces are higher than those of the pieces of another that were measured beside
// them, one for one: the median of the differences, 0 of none.
func Added(own, other []float64) float64 {
	list := make([]float64, min(len(own), len(other)))
	for i := range list {
		list[i] = own[i] - other[i]
	}
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[len(list)/2]
}
