// Command redis measures the Redis bus against its driver used bare, on a redis-server of its own without persistence.
//
//	go run ./bench/bus/redis -rounds 7 -time 2s > bench/results/bus/redis.jsonl
//
// Bare is a loop of rueidis: XADD from as many goroutines as the bus is given, with the same fields and the same
// trimming, and one blocking XREAD over the same number of streams. In each round both publish as fast as they can, one
// after the other, then both at half of what the slower one reached in that round, in pieces of half a second, of both in
// turn: a pause of some ten milliseconds, such as another process makes, decides the 99th percentile of two seconds. Each
// line that is printed is JSON; the last ones are the ratios and differences over all rounds: their median, the lowest and
// the highest.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/fraiseql/fraiseql-go/bench/bus/report"
)

var (
	rounds     = flag.Int("rounds", 7, "rounds")
	length     = flag.Duration("time", 3*time.Second, "how long each measurement of throughput publishes")
	pieces     = flag.Int("pieces", 10, "pieces of half a second of each in a round, at half load")
	publishers = flag.Int("publishers", 64, "goroutines that publish one event after the other")
	batch      = flag.Int("batch", 1, "events per call of Publish, or per pipeline")
	channels   = flag.Int("channels", 16, "channels")
	profile    = flag.String("profile", "", "file for a CPU profile of the bus' throughput alone")
	profileOf  = flag.String("profile-of", "bus", "bus or bare, for -profile")
	size       = flag.Int("size", 200, "bytes of data of an event")
)

// pieceLength is how long a piece at half load publishes.
const pieceLength = 500 * time.Millisecond

// figures are one measurement.
type figures struct {
	Kind      string    `json:"kind"` // throughput or latency
	Round     int       `json:"round"`
	Of        string    `json:"of"` // bare or bus
	Batch     int       `json:"batch"`
	Events    int       `json:"events"`
	PerSecond float64   `json:"per_second"`
	P50       float64   `json:"p50_ms,omitempty"`
	P99       float64   `json:"p99_ms,omitempty"`
	Pieces    []float64 `json:"p99_ms_of_pieces,omitempty"`
	Others    float64   `json:"cores_used_by_others,omitempty"`
	CPU       float64   `json:"cpu_seconds_per_million"` // of this process
	ServerCPU float64   `json:"server_cpu_seconds_per_million"`
	Reads     float64   `json:"reads_per_million,omitempty"` // XREADs
}

// subject is what is measured. Every event that arrives is given to the function that the subject was made with.
type subject interface {
	// publisher is for one goroutine.
	publisher() publish
	close()
}

// publish publishes events of a channel, a batch at most, and returns when they are acknowledged.
type publish func(channel int, data [][]byte) error

// makers are the subjects; received takes the data of an event.
var makers = map[string]func(addr string, received func([]byte)) (subject, error){"bare": newBare, "bus": newBus}

func main() {
	flag.Parse()
	log.SetFlags(0)
	addr, stop := server()
	defer stop()
	if *profile != "" {
		profiled(addr)
		return
	}
	out := json.NewEncoder(os.Stdout)
	show := func(v any) {
		if err := out.Encode(v); err != nil {
			log.Fatal(err)
		}
	}
	show(machine(addr))
	var all []figures
	for round := range *rounds {
		order := []string{"bare", "bus"}
		if round%2 == 1 {
			slices.Reverse(order)
		}
		reached := map[string]float64{}
		for _, of := range order {
			f := throughput(addr, of, round)
			reached[of] = f.PerSecond
			all = append(all, f)
			show(f)
		}
		for _, f := range latencies(addr, order, round, min(reached["bare"], reached["bus"])/2) {
			all = append(all, f)
			show(f)
		}
	}
	check(summary(all, out))
}

// profiled measures the bus once, with a profile.
func profiled(addr string) {
	file, err := os.Create(*profile)
	check(err)
	check(pprof.StartCPUProfile(file))
	f := throughput(addr, *profileOf, 0)
	pprof.StopCPUProfile()
	check(file.Close())
	log.Printf("%+v", f)
}

// summary prints what the rounds say.
func summary(all []figures, out *json.Encoder) error {
	pick := func(round int, kind, of string) *figures {
		for i := range all {
			if f := &all[i]; f.Round == round && f.Kind == kind && f.Of == of {
				return f
			}
		}
		return &figures{}
	}
	var r report.Rounds
	for round := range *rounds {
		bare, own := pick(round, "throughput", "bare"), pick(round, "throughput", "bus")
		r.Add("events/s, rueidis", "", bare.PerSecond)
		r.Add("events/s, bus", "", own.PerSecond)
		r.Add("throughput, bus : rueidis", "≥ 0.95", own.PerSecond/bare.PerSecond)
		r.Add("CPU µs per event of this process, rueidis", "", bare.CPU)
		r.Add("CPU µs per event of this process, bus", "", own.CPU)
		r.Add("CPU µs per event of redis-server, rueidis", "", bare.ServerCPU)
		r.Add("CPU µs per event of redis-server, bus", "", own.ServerCPU)
		r.Add("events per CPU second of both processes, bus : rueidis", "", (bare.CPU+bare.ServerCPU)/(own.CPU+own.ServerCPU))
		bare, own = pick(round, "latency", "bare"), pick(round, "latency", "bus")
		r.Add("half load: p50 ms, rueidis", "", bare.P50)
		r.Add("half load: p50 ms, bus", "", own.P50)
		r.Add("half load: p99 ms, rueidis", "", bare.P99)
		r.Add("half load: p99 ms, bus", "", own.P99)
		r.Add("half load: p99 added, ms", "< 2", own.P99-bare.P99)
		r.Add("half load: p99 added, ms, within half a second", "< 2", report.Added(own.Pieces, bare.Pieces))
		r.Add("half load: cores that other processes used meanwhile", "", (bare.Others+own.Others)/2)
	}
	return r.Write(out)
}

// server starts redis-server.
func server() (addr string, stop func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	addr = l.Addr().String()
	check(l.Close())
	_, port, _ := net.SplitHostPort(addr)
	command := exec.Command("redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no")
	check(command.Start())
	serverPID = command.Process.Pid
	for range 200 {
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			return addr, func() { _ = command.Process.Kill(); _ = command.Wait() }
		}
		time.Sleep(20 * time.Millisecond)
	}
	log.Fatal("redis-server does not answer")
	return "", nil
}

var serverPID int

// reads is how many XREADs the server has answered.
func reads(addr string) float64 {
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{addr}, ForceSingleClient: true, DisableCache: true})
	check(err)
	defer client.Close()
	text, err := client.Do(context.Background(), client.B().Info().Section("commandstats").Build()).ToString()
	check(err)
	_, rest, found := strings.Cut(text, "cmdstat_xread:calls=")
	if !found {
		return 0
	}
	var n float64
	_, err = fmt.Sscanf(rest, "%f", &n)
	check(err)
	return n
}

// serverCPU is the time that the server has used, from the kernel's table in hundredths of a second.
func serverCPU() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", serverPID))
	check(err)
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	var user, system int64
	_, err = fmt.Sscan(fields[11]+" "+fields[12], &user, &system)
	check(err)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// machine describes what was measured on.
func machine(addr string) map[string]any {
	version, _ := exec.Command("redis-server", "--version").Output()
	_, number, _ := strings.Cut(string(version), "v=")
	number, _, _ = strings.Cut(number, " ")
	what := fmt.Sprintf("Redis Streams, %d publishers, %d at a time", *publishers, *batch)
	return report.Machine(what, "redis-server "+number+" without persistence", *rounds, map[string]any{
		"local": strings.HasPrefix(addr, "127."), "publishers": *publishers, "batch": *batch, "channels": *channels, "size": *size, "seconds": length.Seconds(),
	})
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func prefix() string { return fmt.Sprintf("bench%d", rand.Uint32()) }
