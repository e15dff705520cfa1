// Command nats measures the bus on NATS against nats.go used bare, on the same server, in interleaved rounds.
//
//	go run ./bench/bus/nats -rounds 5 -only jetstream > bench/results/bus/nats-jetstream.jsonl
//
// Each round measures bare and ours, one after the other, in turn first: events per second with equal pipelining (512
// without an acknowledgement, one publisher, one reader on another connection, until the last event has come), and how
// long an event takes from publish to delivery at half of what the slower of bare with headers and ours did in that round. A line is JSON; "data" is
// how many bytes of payload an event has. There are two of bare: as simple as can be, and with the headers, and for JetStream
// the eight consumers, that the bus has. CPU times are per event, of this process and of the server: others on the
// machine change them least. The server is
// nats-server of go.mod's version in a process of its own, with a file store in a temporary folder.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fraiseql/fraiseql-go/bench/bus/report"
)

var (
	rounds   = flag.Int("rounds", 5, "interleaved rounds")
	events   = flag.Int("events", 100_000, "events of a measurement of throughput")
	size     = flag.Int("size", 200, "bytes of an event's data")
	channels = flag.Int("channels", 16, "channels, in turn")
	paced    = flag.Duration("paced", 4*time.Second, "length of a measurement of latency")
	only     = flag.String("only", "", "jetstream or core; empty: both")
	profile  = flag.String("profile", "", "file for a CPU profile of this process")
	program_ = flag.String("server", "", "nats-server; empty: build it")
)

// pipe is one way from a publisher to a reader. publish hands over events, each with its number in the first bytes of
// its data's member, and returns when all are acknowledged; arrived is closed over the reader.
type pipe interface {
	publish(ctx context.Context, from, n int) error
	close()
}

// maker makes a pipe whose reader calls arrived with each event's data.
type maker struct {
	name string
	make func(ctx context.Context, url, prefix string, arrived func(data []byte)) (pipe, error)
}

// line is one measurement.
type line struct {
	Bench    string  `json:"bench"`
	Mode     string  `json:"mode"`
	Round    int     `json:"round"`
	What     string  `json:"what"`
	Who      string  `json:"who"`
	Headers  bool    `json:"headers"`
	Data     int     `json:"data"`
	Channels int     `json:"channels"`
	Events   int     `json:"events"`
	Seconds  float64 `json:"seconds"`
	PerSec   float64 `json:"events_per_second"`
	Client   float64 `json:"client_cpu_us_per_event"`
	Server   float64 `json:"server_cpu_us_per_event"`
	P50      float64 `json:"p50_us,omitempty"`
	P99      float64 `json:"p99_us,omitempty"`
	Load     string  `json:"load"`
	CPU      int     `json:"cpus"`
}

func main() {
	flag.Parse()
	log.SetFlags(0)
	url, stop, err := startServer()
	check(err)
	defer stop()
	out := json.NewEncoder(os.Stdout)
	if *profile != "" {
		f, err := os.Create(*profile)
		check(err)
		check(pprof.StartCPUProfile(f))
		defer pprof.StopCPUProfile()
	}
	for _, mode := range []string{"jetstream", "core"} {
		if *only != "" && *only != mode {
			continue
		}
		check(out.Encode(report.Machine("NATS, mode="+mode, "nats-server "+serverVersion(), *rounds, map[string]any{"data": *size, "channels": *channels, "events": *events})))
		var r report.Rounds
		for round := range *rounds {
			measure(url, mode, round, out, &r)
		}
		check(r.Write(out))
	}
}

// serverVersion is that of go.mod.
func serverVersion() string {
	text, _ := exec.Command("go", "list", "-m", "-f", "{{.Version}}", "github.com/nats-io/nats-server/v2").Output()
	return strings.TrimPrefix(strings.TrimSpace(string(text)), "v")
}

// measure is one round of a mode.
func measure(url, mode string, round int, out *json.Encoder, r *report.Rounds) {
	makers := []maker{{"bare", bare(mode, false)}, {"bare with headers", bare(mode, true)}, {"ours", ours(mode)}}
	full, half := map[string]line{}, map[string]line{}
	for i := range makers {
		m := makers[(i+round)%len(makers)]
		full[m.name] = throughput(url, mode, round, m)
		check(out.Encode(full[m.name]))
	}
	for i := range makers {
		m := makers[(i+round)%len(makers)]
		half[m.name] = latency(url, mode, round, m, min(full["bare with headers"].PerSec, full["ours"].PerSec)/2)
		check(out.Encode(half[m.name]))
	}
	plain, same, own := full["bare"], full["bare with headers"], full["ours"]
	r.Add("events/s, nats.go with the headers of an event", "", same.PerSec)
	r.Add("events/s, bus", "", own.PerSec)
	r.Add("throughput, bus : nats.go with the headers of an event", "≥ 0.8", own.PerSec/same.PerSec)
	r.Add("events/s, nats.go without headers, and one consumer", "", plain.PerSec)
	r.Add("throughput, bus : nats.go without headers, and one consumer", "", own.PerSec/plain.PerSec)
	r.Add("CPU µs per event of this process, nats.go with headers", "", same.Client)
	r.Add("CPU µs per event of this process, bus", "", own.Client)
	r.Add("CPU µs per event of nats-server, nats.go with headers", "", same.Server)
	r.Add("CPU µs per event of nats-server, bus", "", own.Server)
	same, own = half["bare with headers"], half["ours"]
	r.Add("half load: p50 ms, nats.go with headers", "", same.P50/1000)
	r.Add("half load: p50 ms, bus", "", own.P50/1000)
	r.Add("half load: p99 ms, nats.go with headers", "", same.P99/1000)
	r.Add("half load: p99 ms, bus", "", own.P99/1000)
	r.Add("half load: p99 added, ms", "< 2", (own.P99-same.P99)/1000)
}

func newLine(mode string, round int, what string, m maker) line {
	load, _ := os.ReadFile("/proc/loadavg") // absent on other systems
	return line{
		Bench: "bus/nats", Mode: mode, Round: round + 1, What: what, Who: m.name, Headers: m.name != "bare", Data: *size, Channels: *channels,
		Load: string(load[:min(4, len(load))]), CPU: runtime.NumCPU(),
	}
}

// throughput publishes as fast as acknowledgements come, until the last event has arrived.
func throughput(url, mode string, round int, m maker) line {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	l := newLine(mode, round, "throughput", m)
	done := make(chan struct{})
	seen := 0
	p, err := m.make(ctx, url, fmt.Sprintf("%s%d%d", mode, round, time.Now().UnixNano()), func([]byte) {
		if seen++; seen == *events {
			close(done)
		}
	})
	check(err)
	defer p.close()
	const batch = 1000
	used := cpuTimes()
	begin := time.Now()
	for i := 0; i < *events; i += batch {
		check(p.publish(ctx, i, batch))
	}
	select {
	case <-done:
	case <-ctx.Done():
		log.Fatalf("%s %s: %d of %d events came", mode, m.name, seen, *events)
	}
	l.Events, l.Seconds = *events, time.Since(begin).Seconds()
	l.PerSec = float64(l.Events) / l.Seconds
	l.cpu(used)
	return l
}

// latency publishes at a rate, a few events each millisecond, and takes the time from before publish to the reader.
func latency(url, mode string, round int, m maker, rate float64) line {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	l := newLine(mode, round, "latency", m)
	total := int(rate * paced.Seconds())
	begun := make([]time.Time, total)
	taken := make([]time.Duration, 0, total)
	done := make(chan struct{})
	p, err := m.make(ctx, url, fmt.Sprintf("%s%d%d", mode, round, time.Now().UnixNano()), func(data []byte) {
		if n := numberOf(data); len(taken) < total && n < total {
			if taken = append(taken, time.Since(begun[n])); len(taken) == total {
				close(done)
			}
		}
	})
	check(err)
	defer p.close()
	used := cpuTimes()
	begin := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for sent := 0; sent < total; {
		<-tick.C
		now := time.Now()
		due := min(int(now.Sub(begin).Seconds()*rate), total)
		for i := sent; i < due; i++ {
			begun[i] = now
		}
		if due > sent {
			check(p.publish(ctx, sent, due-sent))
			sent = due
		}
	}
	select {
	case <-done:
	case <-ctx.Done():
		log.Fatalf("%s %s: %d of %d events came", mode, m.name, len(taken), total)
	}
	l.Events, l.Seconds = total, time.Since(begin).Seconds()
	l.PerSec = float64(total) / l.Seconds
	l.cpu(used)
	slices.Sort(taken)
	l.P50 = float64(taken[total/2].Microseconds())
	l.P99 = float64(taken[total*99/100].Microseconds())
	return l
}

// serverPID is the process of the server.
var serverPID int

// cpuTimes are the CPU times that this process and the server have used, in ticks of the system (10 ms). Others on the
// machine change rates and latencies, but hardly these.
func cpuTimes() (used [2]float64) {
	for i, pid := range []int{os.Getpid(), serverPID} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return used // another system: 0
		}
		_, after, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(after)
		for _, field := range fields[11:13] { // user and system time
			n, err := strconv.ParseFloat(field, 64)
			check(err)
			used[i] += n
		}
	}
	return used
}

// cpu notes what was used since.
func (l *line) cpu(since [2]float64) {
	now := cpuTimes()
	const microseconds = 10_000 // of a tick
	l.Client, l.Server = (now[0]-since[0])*microseconds/float64(l.Events), (now[1]-since[1])*microseconds/float64(l.Events)
}

// dataOf is the data of the nth event: a JSON object that begins with the number in hexadecimal.
func dataOf(n int) []byte {
	data := make([]byte, *size)
	for i := range data {
		data[i] = 'x'
	}
	var word [4]byte
	binary.BigEndian.PutUint32(word[:], uint32(n))
	copy(data, fmt.Sprintf(`{"n":"%x","text":"`, word))
	copy(data[len(data)-2:], `"}`)
	return data
}

func numberOf(data []byte) int {
	var n int
	if _, err := fmt.Sscanf(string(data[6:14]), "%x", &n); err != nil {
		return 1 << 30
	}
	return n
}

func channelOf(n int) string { return fmt.Sprint("channel", n%*channels) }

// startServer starts nats-server and returns its URL and what ends it.
func startServer() (url string, stop func(), err error) {
	dir, err := os.MkdirTemp("", "fraiseql-bench-nats-")
	if err != nil {
		return "", nil, err
	}
	program := *program_
	if program == "" {
		program = filepath.Join(dir, "nats-server")
		if text, err := exec.Command("go", "build", "-o", program, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
			return "", nil, fmt.Errorf("go build nats-server: %w\n%s", err, text)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return "", nil, err
	}
	conf := filepath.Join(dir, "nats.conf")
	if err := os.WriteFile(conf, []byte(fmt.Sprintf("listen: %q\njetstream { store_dir: %q }\n", addr, dir)), 0o600); err != nil {
		return "", nil, err
	}
	server := exec.Command(program, "-c", conf)
	if err := server.Start(); err != nil {
		return "", nil, err
	}
	serverPID = server.Process.Pid
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			_ = c.Close()
			return "nats://" + addr, func() {
				_ = server.Process.Kill()
				_ = server.Wait()
				_ = os.RemoveAll(dir)
			}, nil
		}
	}
	return "", nil, fmt.Errorf("nats-server does not listen")
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
