// Command redis measures the Redis bus against its driver used bare, on a redis-server of its own without persistence.
//
//	go run ./bench/bus/redis -rounds 7 -time 3s > bench/results/bus-redis.jsonl
//
// Bare is a loop of rueidis: XADD from as many goroutines as the bus is given, with the same fields and the same
// trimming, and one blocking XREAD over the same number of streams. In each round both publish as fast as they can, one
// after the other, then both at half of what the bare loop reached in that round. Each line that is printed is JSON; the last
// ones are the ratios and differences over all rounds: their median, the lowest and the highest.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"time"
)

var (
	rounds     = flag.Int("rounds", 7, "rounds")
	length     = flag.Duration("time", 3*time.Second, "how long each measurement publishes")
	publishers = flag.Int("publishers", 64, "goroutines that publish one event after the other")
	batch      = flag.Int("batch", 1, "events per call of Publish, or per pipeline")
	channels   = flag.Int("channels", 16, "channels")
	profile    = flag.String("profile", "", "file for a CPU profile of the bus' throughput alone")
	profileOf  = flag.String("profile-of", "bus", "bus or bare, for -profile")
	size       = flag.Int("size", 200, "bytes of data of an event")
)

// figures are one measurement.
type figures struct {
	Kind      string  `json:"kind"` // throughput or latency
	Round     int     `json:"round"`
	Of        string  `json:"of"` // bare or bus
	Batch     int     `json:"batch"`
	Events    int     `json:"events"`
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50_ms,omitempty"`
	P99       float64 `json:"p99_ms,omitempty"`
	CPU       float64 `json:"cpu_seconds_per_million"` // of this process
	ServerCPU float64 `json:"server_cpu_seconds_per_million"`
}

// subject is what is measured: publish publishes the events i, i+1, … of a channel and returns when they are
// acknowledged; every event that arrives is given to the function that the subject was made with.
type subject interface {
	publish(channel int, data [][]byte) error
	close()
}

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
		for _, of := range order {
			f := latency(addr, of, round, reached["bare"]/2)
			all = append(all, f)
			show(f)
		}
	}
	for _, s := range summary(all) {
		show(s)
	}
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

// spread is a figure over all rounds.
type spread struct {
	Kind   string  `json:"kind"`
	Figure string  `json:"figure"`
	Median float64 `json:"median"`
	Lowest float64 `json:"lowest"`
	Most   float64 `json:"highest"`
}

func summary(all []figures) []spread {
	pick := func(round int, kind, of string) figures {
		for _, f := range all {
			if f.Round == round && f.Kind == kind && f.Of == of {
				return f
			}
		}
		return figures{}
	}
	list := map[string][]float64{}
	for round := range *rounds {
		bare, own := pick(round, "throughput", "bare"), pick(round, "throughput", "bus")
		list["throughput, bus / bare"] = append(list["throughput, bus / bare"], own.PerSecond/bare.PerSecond)
		list["events per CPU second of client and server, bus / bare"] = append(list["events per CPU second of client and server, bus / bare"], (bare.CPU+bare.ServerCPU)/(own.CPU+own.ServerCPU))
		bare, own = pick(round, "latency", "bare"), pick(round, "latency", "bus")
		list["p50 added, ms"] = append(list["p50 added, ms"], own.P50-bare.P50)
		list["p99 added, ms"] = append(list["p99 added, ms"], own.P99-bare.P99)
	}
	var out []spread
	for _, name := range []string{"throughput, bus / bare", "events per CPU second of client and server, bus / bare", "p50 added, ms", "p99 added, ms"} {
		v := list[name]
		slices.Sort(v)
		out = append(out, spread{"summary", name, v[len(v)/2], v[0], v[len(v)-1]})
	}
	return out
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
	load, _ := os.ReadFile("/proc/loadavg")
	version, _ := exec.Command("redis-server", "--version").Output()
	return map[string]any{
		"kind": "machine", "time": time.Now().UTC().Format(time.RFC3339), "go": runtime.Version(), "cores": runtime.NumCPU(),
		"redis": strings.TrimSpace(string(version)), "loadavg": strings.TrimSpace(string(load)), "local": strings.HasPrefix(addr, "127."),
		"publishers": *publishers, "batch": *batch, "channels": *channels, "size": *size, "seconds": length.Seconds(),
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func prefix() string { return fmt.Sprintf("bench%d", rand.Uint32()) }
