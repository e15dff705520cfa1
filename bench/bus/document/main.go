// Command document writes docs/reference/bus-benchmarks.md from the raw results of the commands beside it.
//
//	go run ./bench/bus/document
//
// Each file of bench/results/bus has lines of JSON: one that describes the machine and what was run, those of the
// measurements, and the last ones, which sum them up. Only those are shown; the raw ones are there to be checked.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

func main() {
	log.SetFlags(0)
	results := flag.String("results", filepath.Join("bench", "results", "bus"), "folder of the raw results")
	file := flag.String("out", filepath.Join("docs", "reference", "bus-benchmarks.md"), "file to write")
	flag.Parse()
	text, err := document(*results)
	if err == nil {
		err = os.WriteFile(*file, []byte(text), 0o644)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// machine is what the first line of a file says.
type machine struct {
	Kind, Time, Go, Load, What, Server, Command string
	Cores, Rounds                               int
}

// summary is a figure over all rounds; Aim is "" where there is none.
type summary struct {
	Kind, Figure, Aim       string
	Median, Lowest, Highest float64
}

// document returns the page.
func document(results string) (string, error) {
	files, err := filepath.Glob(filepath.Join(results, "*.jsonl"))
	if err != nil {
		return "", err
	}
	if len(files) == 0 {
		return "", errors.New("no results in " + results)
	}
	var b strings.Builder
	b.WriteString(header)
	slices.Sort(files)
	for _, name := range files {
		m, list, err := read(name)
		if err != nil {
			return "", fmt.Errorf("%s: %w", filepath.Base(name), err)
		}
		section(&b, filepath.Base(name), m, list)
	}
	return b.String(), nil
}

const header = `# Buses beside their drivers

Generated from bench/results/bus by ` + "`go run ./bench/bus/document`" + `; edit the commands in bench/bus instead.

Each bus is measured against a loop of the same client library, on the same server, in rounds that alternate which of them comes first.
Both publish the same bytes of data, with the same durability, as many at a time, and read on the same number of partitions. The bus
does more: it checks what it reads, knows interests, proves that nothing is missing, and delivers at least once over reconnects. Rates are
as fast as acknowledgements come, until the last event was delivered; latencies are from when an event was due to its
delivery, at half of the rate that the slower of both reached. Ratios and differences are within one round.
A machine with two cores runs server, publishers and readers: CPU time per event changes least with what else it does, and percentiles most.

A disk that takes some milliseconds for a flush, a few times a second, decides the 99th percentile of whatever it meets. Latencies of PostgreSQL and Redis
are therefore taken in many short pieces of a round, of all in turn, and each percentile is of all pieces (a publisher that was
kept waiting for ten milliseconds has a queue, which is one in a hundred events of a second). The difference is also taken within each pair of
neighbouring pieces, its median shown; for Redis, how many cores other processes used meanwhile. For PostgreSQL the part up to the acknowledged commit, which all wait for,
is shown apart from the one from there to the delivery, which is what a bus can add to.

The bare loop of PostgreSQL is one statement and one round trip per event, with its own connection for each publisher, and takes the event out of the
notification (which holds 8,000 bytes at most, and which anybody may read who may connect). The bus puts no event there. The node that published delivers from
memory what [is next](../adr/0023-what-a-node-wrote-it-need-not-read.md); another node reads each event from the table, what came within 0.7 ms at a time. From a few
publishers on, shared transactions outweigh that by far. With one publisher and a server that flushes nothing, publisher, server and two nodes take turns on two cores, event by event: another node gets
three quarters of what the bare loop does, and no more when it reads less often (1 ms and [0.5 ms](../adr/0023-what-a-node-wrote-it-need-not-read.md)); with a server that flushes, as one with data does, nine tenths. Entries of Redis pass the driver,
which makes a dozen pieces of memory of each: that outweighs what the bus checks. In core NATS the bus reads and checks the headers of each event, but makes
those of a batch in the same memory. The loop without headers publishes what is no event of ours, without a type and an id; nats-server is faster
without them, too.

` + "`make bench-bus`" + ` measures all of it again.
`

func section(b *strings.Builder, name string, m *machine, list []summary) {
	fmt.Fprintf(b, "\n## %s\n\n%s, %s, %d cores, load %s before, %s. `%s`, %d rounds. Raw: [%s](../../bench/results/bus/%s)\n\n",
		m.What, m.Server, m.Go, m.Cores, m.Load, m.Time, m.Command, m.Rounds, name, name)
	b.WriteString("| | median | lowest | highest | aim |\n|---|---|---|---|---|\n")
	for _, s := range list {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", s.Figure, number(s.Median), number(s.Lowest), number(s.Highest), s.verdict())
	}
}

// verdict says what is aimed at, and whether the median, as it is shown, is there.
func (s *summary) verdict() string {
	if s.Aim == "" {
		return "–"
	}
	relation, text, _ := strings.Cut(s.Aim, " ")
	aim, err := strconv.ParseFloat(text, 64)
	shown, bad := strconv.ParseFloat(number(s.Median), 64)
	met := s.Aim == number(s.Median)
	if err == nil && bad == nil {
		met = relation == "≥" && shown >= aim || relation == "<" && shown < aim
	}
	if met {
		return s.Aim + ", met"
	}
	return s.Aim + ", **missed**"
}

// number is short: as many digits as mean something.
func number(v float64) string {
	switch {
	case v >= 100 || v <= -100 || v == float64(int(v)):
		return fmt.Sprintf("%.0f", v)
	case v >= 10 || v <= -10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// read returns the first line of a file and its summaries.
func read(name string) (m *machine, list []summary, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var kind struct{ Kind string }
		if err := json.Unmarshal(lines.Bytes(), &kind); err != nil {
			return nil, nil, err
		}
		switch kind.Kind {
		case "machine":
			m = &machine{}
			err = json.Unmarshal(lines.Bytes(), m)
		case "summary":
			list = append(list, summary{})
			err = json.Unmarshal(lines.Bytes(), &list[len(list)-1])
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if err := lines.Err(); err != nil {
		return nil, nil, err
	}
	if m == nil || len(list) == 0 {
		return nil, nil, errors.New("no machine or no summary")
	}
	return m, list, nil
}
