// Command pg compares the PostgreSQL bus with what the driver does bare: publishers that insert one row and notify, each
// in its own transaction, and a listener that takes the events out of the notifications. The table and its indexes
// are the same. Rounds alternate between both; ratios are within a round.
//
//	go run ./bench/bus/pg -url postgres://… [-rounds 5] [-seconds 4] [-publishers 1,8,32] [-postmaster PID] > raw.jsonl
//
// Standard output has one line of JSON per measurement, standard error the summary.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/bus/pgbus"
)

// peer is one of the two ways.
type peer interface {
	// publisher returns a function that publishes one event and returns when it is acknowledged. It is called by one
	// goroutine.
	publisher(ctx context.Context) (func(data []byte) error, error)
	// close ends the peer's connections.
	close()
}

// result is one measurement.
type result struct {
	Round      int     `json:"round"`
	Peer       string  `json:"peer"`
	Publishers int     `json:"publishers"`
	Rate       float64 `json:"rate,omitempty"` // events/s that were offered; 0: as many as possible
	Seconds    float64 `json:"seconds"`
	Published  int     `json:"published"`
	Delivered  int     `json:"delivered"`
	PerSecond  float64 `json:"per_second"`
	P50        float64 `json:"p50_ms"`
	P99        float64 `json:"p99_ms"`
	CPU        float64 `json:"cpu_us_per_event"` // of this process and the server
}

// arrivals counts what is delivered and how late.
type arrivals struct {
	mu    sync.Mutex
	taken []time.Duration
	count atomic.Int64
}

// take notes an event whose data begins with {"at":<nanoseconds>.
func (a *arrivals) take(data []byte) {
	text, _, _ := strings.Cut(strings.TrimPrefix(string(data), `{"at":`), ",")
	at, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		log.Fatalf("an event that nobody published: %.40s", data)
	}
	late := time.Since(time.Unix(0, at))
	a.mu.Lock()
	a.taken = append(a.taken, late)
	a.mu.Unlock()
	a.count.Add(1)
}

func (a *arrivals) reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.taken = a.taken[:0]
	a.count.Store(0)
}

// quantile returns one in milliseconds.
func (a *arrivals) quantile(q float64) float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.taken) == 0 {
		return 0
	}
	slices.Sort(a.taken)
	return float64(a.taken[min(int(q*float64(len(a.taken))), len(a.taken)-1)]) / 1e6
}

var postmaster int

var pad = strings.Repeat("x", 160)

func event(at time.Time) []byte {
	return fmt.Appendf(nil, `{"at":%d,"pad":"%s"}`, at.UnixNano(), pad)
}

// measure lets n publishers publish for a time, at a rate over all of them (0: one event after the other), and waits for
// what they published.
func measure(p peer, a *arrivals, n int, rate float64, d time.Duration) (result, error) {
	a.reset()
	ctx := context.Background()
	var wait sync.WaitGroup
	var published atomic.Int64
	publishers := make([]func([]byte) error, n)
	for i := range n {
		var err error
		if publishers[i], err = p.publisher(ctx); err != nil {
			return result{}, err
		}
	}
	before, began := cpuSeconds(postmaster), time.Now()
	for i := range n {
		wait.Go(func() {
			step := time.Duration(float64(n) / max(rate, 1) * 1e9)
			next := began.Add(step * time.Duration(i) / time.Duration(n))
			for {
				at := time.Now()
				if rate > 0 {
					time.Sleep(time.Until(next))
					at, next = next, next.Add(step)
				}
				if time.Since(began) >= d {
					return
				}
				if err := publishers[i](event(at)); err != nil {
					log.Fatal(err)
				}
				published.Add(1)
			}
		})
	}
	wait.Wait()
	for end := time.Now().Add(10 * time.Second); a.count.Load() < published.Load() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	took := time.Since(began).Seconds()
	return result{
		Publishers: n, Rate: rate, Seconds: took, Published: int(published.Load()), Delivered: int(a.count.Load()),
		PerSecond: float64(a.count.Load()) / took, P50: a.quantile(0.5), P99: a.quantile(0.99),
		CPU: (cpuSeconds(postmaster) - before) * 1e6 / max(float64(a.count.Load()), 1),
	}, nil
}

func main() {
	flag.IntVar(&postmaster, "postmaster", 0, "process of a server on this machine, whose processor time counts")
	url := flag.String("url", "", "server to measure, with a database that may be written to")
	rounds := flag.Int("rounds", 5, "rounds")
	seconds := flag.Float64("seconds", 4, "length of a measurement")
	list := flag.String("publishers", "1,8,32", "numbers of publishers")
	flag.Parse()
	if _, err := pgbus.Install(context.Background(), *url); err != nil {
		log.Fatal(err)
	}
	d := time.Duration(*seconds * float64(time.Second))
	var all []result
	for round := range *rounds {
		for text := range strings.SplitSeq(*list, ",") {
			n, err := strconv.Atoi(text)
			if err != nil {
				log.Fatal(err)
			}
			all = append(all, compare(*url, round, n, d)...)
		}
		// What was published is of no use any more, and costs the next round.
		for range 2 {
			if _, err := pgbus.Prune(context.Background(), *url, pgbus.PruneOptions{All: true}); err != nil {
				log.Fatal(err)
			}
		}
	}
	summarise(all)
}

// compare measures both peers as fast as they are, then at half of the bare one's rate.
func compare(url string, round, n int, d time.Duration) []result {
	names := []string{"bare", "pgbus"}
	if round%2 == 1 {
		slices.Reverse(names)
	}
	var out []result
	half := 0.0
	for _, loaded := range []bool{true, false} {
		for _, name := range names {
			a := &arrivals{}
			p, err := open(name, url, a)
			if err != nil {
				log.Fatal(err)
			}
			rate := 0.0
			if !loaded {
				rate = half
			}
			r, err := measure(p, a, n, rate, d)
			p.close()
			if err != nil {
				log.Fatal(err)
			}
			if r.Round, r.Peer = round, name; name == "bare" && loaded {
				half = r.PerSecond / 2
			}
			if r.Delivered != r.Published {
				log.Printf("%s: %d published, %d delivered", name, r.Published, r.Delivered)
			}
			if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
				log.Fatal(err)
			}
			out = append(out, r)
		}
	}
	return out
}

// summarise prints medians and ranges of the ratios within rounds.
func summarise(all []result) {
	type key struct {
		publishers int
		full       bool
	}
	ratios, added, cpu := map[key][]float64{}, map[key][]float64{}, map[key][]float64{}
	var keys []key
	for i := 0; i+1 < len(all); i += 2 {
		bare, ours := all[i], all[i+1]
		if bare.Peer != "bare" {
			bare, ours = ours, bare
		}
		k := key{bare.Publishers, bare.Rate == 0}
		if ratios[k] == nil {
			keys = append(keys, k)
		}
		ratios[k] = append(ratios[k], ours.PerSecond/bare.PerSecond)
		added[k] = append(added[k], ours.P99-bare.P99)
		cpu[k] = append(cpu[k], ours.CPU/bare.CPU)
	}
	for _, k := range keys {
		if k.full {
			fmt.Fprintf(os.Stderr, "%2d publishers, full load: throughput %s of bare, CPU per event %s of bare\n", k.publishers, spread(ratios[k]), spread(cpu[k]))
		} else {
			fmt.Fprintf(os.Stderr, "%2d publishers, half load: p99 added %s ms, CPU per event %s of bare\n", k.publishers, spread(added[k]), spread(cpu[k]))
		}
	}
}

func spread(list []float64) string {
	slices.Sort(list)
	return fmt.Sprintf("%.2f (%.2f to %.2f)", list[len(list)/2], list[0], list[len(list)-1])
}
