//go:build linux

// Command crowd measures what good clients notice of bad ones, against the command of this tree with the limits of the preset production:
// 1,000 clients that follow their channels, alone, and beside 10,000 others of which each misbehaves in one of 30 ways.
//
//	go run ./bench/crowd -out bench/results/crowd.jsonl
//
// A line per run: what the good ones received, lost and waited for, the processor time and memory of the server, what it has refused by
// which limit, and what the bad ones have done. The bad ones are a process that gives way to every other: whoever attacks brings his own
// machine. The server does not give way, and all share the processors. So there is a third sort of run, in which the bad ones are
// at a second server beside the first: what the good ones wait longer then is for the processors; what they wait longer still
// with the bad ones at their own server is for what they share in it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/loadgen"
)

var (
	good    = flag.Int("good", 1000, "clients that behave")
	bad     = flag.Int("bad", 10_000, "clients that do not")
	rooms   = flag.Int("rooms", 50, "channels of the good clients")
	rate    = flag.Float64("rate", 250, "events per second for the good clients")
	sources = flag.Int("publishers", 5, "programs that publish these, each one event after the other; a channel belongs to one")
	length  = flag.Duration("time", 15*time.Second, "how long to measure")
	every   = flag.Duration("every", 5*time.Second, "time between two steps of a bad client")
	rounds  = flag.Int("rounds", 2, "runs of each sort")
	ceiling = flag.Int("ceiling", 1024, "limits.memory of the server, in MiB")
	out     = flag.String("out", "", "file to which lines are added; default: standard output only")
	only    = flag.String("kind", "", "bad clients of kinds only whose name contains this")
	wheres  = flag.String("where", nowhere+","+elsewhere+","+here, "sorts of runs, in the order in which they take turns")
	profile = flag.String("profile", "", "directory for a profile and a trace of the server while good clients are measured (profiling has its price)")
	address = flag.String("misbehave", "", "address to misbehave at (used by itself)")
)

// line is what a run has given.
type line struct {
	When    time.Time          `json:"when"`
	Bad     int                `json:"bad"`
	Where   string             `json:"where"` // where the bad ones are: nowhere, elsewhere, here
	Good    *loadgen.Result    `json:"good"`
	Error   string             `json:"error,omitempty"` // what a correct server would not have done
	Memory  memory             `json:"memory"`
	Limited map[string]float64 `json:"limited"` // what the server has refused meanwhile, by metric
	Done    map[string]told    `json:"done,omitempty"`
	Every   string             `json:"every"`
	Sources int                `json:"publishers"`
	Go      string             `json:"go"`
	CPUs    int                `json:"cpus"`
	Commit  string             `json:"commit"`
}

func main() {
	flag.Parse()
	if *address != "" {
		misbehave(*address, named(*only), *bad, *every)
		return
	}
	dir, err := os.MkdirTemp("", "crowd")
	check(err)
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "fraiseql")
	if text, err := exec.Command("go", "build", "-trimpath", "-o", binary, "./cmd/fraiseql").CombinedOutput(); err != nil {
		check(fmt.Errorf("go build: %w\n%s", err, text))
	}
	for range *rounds {
		for where := range strings.SplitSeq(*wheres, ",") {
			l, err := round(dir, binary, where)
			check(err)
			check(l.print())
		}
	}
}

// Where the bad clients are.
const (
	nowhere   = "nowhere"
	elsewhere = "elsewhere"
	here      = "here"
)

// round measures the good clients at a server of their own.
func round(dir, binary, where string) (*line, error) {
	s, err := serve(dir, binary)
	if err != nil {
		return nil, err
	}
	defer s.end()
	attacked := s
	if where == elsewhere {
		if attacked, err = serve(dir, binary); err != nil {
			return nil, err
		}
		defer attacked.end()
	}
	return s.run(where, attacked)
}

// run measures the good clients; the bad ones come after they have connected, and go after they have gone.
func (s *server) run(where string, attacked *server) (*line, error) {
	n := *bad
	if where == nowhere {
		n = 0
	}
	l := &line{When: time.Now().UTC().Truncate(time.Second), Bad: n, Where: where, Every: every.String(), Sources: *sources}
	l.identify()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	before, err := attacked.metrics()
	if err != nil {
		return nil, err
	}
	others := &gang{}
	// Warming up, the bad ones come: each has had its first connection, and some steps, when measuring begins.
	warmup := 3 * time.Second
	if n > 0 {
		warmup = 4 * *every
	}
	watch := s.watch()
	cfg := loadgen.Config{
		URL: "ws://" + s.addr + "/graphql", TokenOf: goodToken, Connections: *good, Rooms: *rooms, Rate: *rate, Publishers: *sources, PublishToken: publishToken,
		TenantID: "good", Warmup: warmup, Duration: *length, PID: s.process.Process.Pid,
		Query: func(room int) string {
			return fmt.Sprintf("subscription { bench(room: %d) { room seq sent sum pad } }", room)
		},
		ChannelOf: func(int) string { return "bench" },
		Progress: func(text string) {
			fmt.Fprintln(os.Stderr, text)
			if *profile != "" && text[0] == 'p' {
				go s.profile(*profile, where, warmup)
			}
			if n > 0 && text[0] == 'p' { // publishing: they are all connected
				others.start(attacked.addr, n)
			}
		},
	}
	l.Good, err = loadgen.Run(ctx, cfg)
	l.Memory = watch()
	if err != nil {
		return nil, fmt.Errorf("%d bad clients: %w", n, err)
	}
	if err := l.Good.Err(); err != nil {
		l.Error = err.Error()
	}
	if l.Done, err = others.end(); err != nil {
		return nil, err
	}
	if l.Limited, err = attacked.since(before); err != nil {
		return nil, err
	}
	return l, nil
}

// goodToken is that of one good client: each is a user of its own.
func goodToken(n int) string { return token(fmt.Sprint("good", n), "good") }

// print writes the line, and a summary for whoever looks on.
func (l *line) print() error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	g := l.Good
	fmt.Fprintf(os.Stderr, "%6d bad %s: %d deliveries, %d lost, p50 %d µs, p99 %d µs, p99.9 %d µs, max %d µs; server %.2f CPU s, %.0f MiB at most (Go %.0f MiB) %s\n",
		l.Bad, l.Where, g.Measured, g.Lost, g.Latency.P50, g.Latency.P99, g.Latency.P999, g.Latency.Max, g.Server.CPUSeconds, l.Memory.RSS, l.Memory.Go, l.Error)
	if *out == "" {
		fmt.Println(string(text))
		return nil
	}
	f, err := os.OpenFile(*out, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.Write(append(text, '\n')); err != nil {
		return err
	}
	return f.Close()
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "crowd:", err)
		os.Exit(1)
	}
}
