// Command pg compares the PostgreSQL bus with what the driver does bare: publishers that insert one row and notify, each
// in its own transaction, and a listener that takes the events out of the notifications. The table and its indexes
// are the same. The bus is measured twice: the node that publishes delivers, or another node does. Rounds alternate; ratios
// are within a round.
//
//	go run ./bench/bus/pg [-rounds 5] [-seconds 4] [-publishers 1,8,32] [-fsync=false] > raw.jsonl
//	go run ./bench/bus/pg -horizon > raw.jsonl
//
// Latency is measured in pieces of all in turn, four times as long in all, and its percentiles are of all of a round.
//
// The server is one of its own in a temporary folder, or that of -url. Standard output has one line of JSON per
// measurement, and at the end those that sum up. -horizon measures instead how long events wait for older writing transactions,
// with one line per event.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/fraiseql/fraiseql-go/bench/bus/report"
	"github.com/fraiseql/fraiseql-go/bus/pgbus"
)

// peer is one of the ways.
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
	// AckP99 is from when an event was due to the acknowledgement of its commit, AfterP99 from there to its delivery.
	AckP99   float64 `json:"ack_p99_ms"`
	AfterP99 float64 `json:"after_ack_p99_ms"`
	// Pieces is the 99th percentile of each piece of a round.
	Pieces []float64 `json:"p99_ms_of_pieces,omitempty"`

	cpu                 float64 // seconds
	taken, acked, after []time.Duration
}

// add adds what was measured of the same peer in another piece of a round.
func (r *result) add(more result) {
	r.Round, r.Peer, r.Publishers, r.Rate = more.Round, more.Peer, more.Publishers, more.Rate
	r.Seconds += more.Seconds
	r.Published += more.Published
	r.Delivered += more.Delivered
	r.cpu += more.cpu
	if more.Rate > 0 {
		r.Pieces = append(r.Pieces, quantile(more.taken, 0.99))
	}
	r.taken, r.acked, r.after = append(r.taken, more.taken...), append(r.acked, more.acked...), append(r.after, more.after...)
	r.AckP99, r.AfterP99 = quantile(r.acked, 0.99), quantile(r.after, 0.99)
	r.PerSecond = float64(r.Delivered) / r.Seconds
	r.P50, r.P99 = quantile(r.taken, 0.5), quantile(r.taken, 0.99)
	r.CPU = r.cpu * 1e6 / max(float64(r.Delivered), 1)
}

// arrivals counts what is delivered and how late.
type arrivals struct {
	mu    sync.Mutex
	taken map[int64]time.Duration // by when it was due
	acked map[int64]time.Duration
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
	a.taken[at] = late
	a.mu.Unlock()
	a.count.Add(1)
}

// acknowledged notes that an event that was due at some time is committed.
func (a *arrivals) acknowledged(at time.Time) {
	late := time.Since(at)
	a.mu.Lock()
	a.acked[at.UnixNano()] = late
	a.mu.Unlock()
}

// times returns what was noted: due to delivery, due to acknowledgement, acknowledgement to delivery.
func (a *arrivals) times() (taken, acked, after []time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for at, late := range a.taken {
		taken = append(taken, late)
		acked = append(acked, a.acked[at])
		after = append(after, late-a.acked[at])
	}
	return taken, acked, after
}

// forget begins anew.
func (a *arrivals) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.taken, a.acked = map[int64]time.Duration{}, map[int64]time.Duration{}
	a.count.Store(0)
}

// quantile returns one in milliseconds.
func quantile(taken []time.Duration, q float64) float64 {
	if len(taken) == 0 {
		return 0
	}
	slices.Sort(taken)
	return float64(taken[min(int(q*float64(len(taken))), len(taken)-1)]) / 1e6
}

var postmaster int

var pad = strings.Repeat("x", 160)

func event(at time.Time) []byte {
	return fmt.Appendf(nil, `{"at":%d,"pad":"%s"}`, at.UnixNano(), pad)
}

// measure lets n publishers publish for a time, at a rate over all of them (0: one event after the other), and waits for
// what they published.
func measure(p peer, a *arrivals, n int, rate float64, d time.Duration) (result, error) {
	a.forget()
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
	if err := warm(publishers, a); err != nil {
		return result{}, err
	}
	before, began := cpuSeconds(postmaster), time.Now()
	for i := range n {
		wait.Go(func() {
			step := time.Duration(float64(n) / max(rate, 1) * 1e9)
			next := began.Add(step * time.Duration(i) / time.Duration(n))
			for {
				at := time.Now()
				if rate > 0 {
					sleepUntil(next)
					at, next = next, next.Add(step)
				}
				if time.Since(began) >= d {
					return
				}
				if err := publishers[i](event(at)); err != nil {
					log.Fatal(err)
				}
				a.acknowledged(at)
				published.Add(1)
			}
		})
	}
	wait.Wait()
	for end := time.Now().Add(10 * time.Second); a.count.Load() < published.Load() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	taken, acked, after := a.times()
	return result{
		Publishers: n, Rate: rate, Seconds: time.Since(began).Seconds(), Published: int(published.Load()), Delivered: int(a.count.Load()),
		cpu: cpuSeconds(postmaster) - before, taken: taken, acked: acked, after: after,
	}, nil
}

// warm has every connection made and every statement prepared before the clock runs.
func warm(publishers []func([]byte) error, a *arrivals) error {
	const each = 16
	var wait sync.WaitGroup
	failed := make(chan error, len(publishers))
	for _, publish := range publishers {
		wait.Go(func() {
			for range each {
				if err := publish(event(time.Now())); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wait.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	for end := time.Now().Add(10 * time.Second); a.count.Load() < int64(each*len(publishers)); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return errors.New("what was published before the measurement did not arrive")
		}
	}
	a.forget()
	return nil
}

func main() {
	log.SetFlags(0)
	url := flag.String("url", "", "server to measure, with a database that may be written to; empty: one of its own")
	flag.IntVar(&postmaster, "postmaster", 0, "with -url: process of a server on this machine, whose processor time counts")
	fsync := flag.Bool("fsync", true, "of its own server")
	rounds := flag.Int("rounds", 5, "rounds")
	seconds := flag.Float64("seconds", 4, "length of a measurement")
	list := flag.String("publishers", "1,8,32", "numbers of publishers")
	held := flag.Bool("horizon", false, "measure how long events wait for older writing transactions")
	writers := flag.Int("writers", 3, "with -horizon: how many others write at a time")
	longest := flag.Duration("longest", 400*time.Millisecond, "with -horizon: how long their transactions take at most")
	rate := flag.Float64("rate", 100, "with -horizon: events per second")
	flag.Parse()
	stop := func() {}
	if *url == "" {
		var err error
		if *url, postmaster, stop, err = startServer(*fsync); err != nil {
			log.Fatal(err)
		}
	}
	d := time.Duration(*seconds * float64(time.Second))
	run := func() error { return compareAll(*url, *rounds, *list, d) }
	if *held {
		run = func() error { return measureHorizon(*url, *writers, *longest, d, *rate) }
	}
	err := install(*url)
	if err == nil {
		err = run()
	}
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// install makes the schema, and the table of the transactions that publish nothing.
func install(url string) error {
	ctx := context.Background()
	if _, err := pgbus.Install(ctx, url); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS scratch (at timestamptz DEFAULT clock_timestamp())")
	return err
}

func compareAll(url string, rounds int, list string, d time.Duration) error {
	out := json.NewEncoder(os.Stdout)
	m, err := machine(context.Background(), url, "PostgreSQL", rounds, map[string]any{"data": len(event(time.Now())), "seconds": d.Seconds(), "pieces": pieces})
	if err != nil {
		return err
	}
	if err := out.Encode(m); err != nil {
		return err
	}
	var all []result
	for round := range rounds {
		for text := range strings.SplitSeq(list, ",") {
			n, err := strconv.Atoi(text)
			if err != nil {
				return err
			}
			all = append(all, compare(url, round, n, d)...)
		}
		// What was published is of no use any more, and costs the next round.
		for range 2 {
			if _, err := pgbus.Prune(context.Background(), url, pgbus.PruneOptions{All: true}); err != nil {
				return err
			}
		}
	}
	return summarise(all, out)
}

// The peers.
const (
	driver  = "bare"
	node    = "pgbus"       // one node publishes and delivers
	another = "pgbus-other" // one node publishes, another one delivers
)

// pieces is in how many pieces a measurement of latency is cut, of the peers in turn: a disk that is slow for some
// milliseconds, a few times a second, would else meet one of them and decide its 99th percentile.
//
// The whole is longer than a measurement of throughput, since a percentile is decided by one event in a hundred: a machine that stops
// for some milliseconds, twice in three seconds, would be all that it says.
const pieces, longer = 16, 4

// compare measures the peers as fast as they are, then at half of the rate of the slowest.
func compare(url string, round, n int, d time.Duration) []result {
	names := []string{driver, node, another}
	var full, half [3]result
	rate := math.Inf(1)
	for k := range names {
		i := (k + round) % len(names)
		full[i].add(one(url, names[i], round, n, 0, d))
		rate = min(rate, full[i].PerSecond/2)
	}
	for piece := range pieces {
		for k := range names {
			i := (k + piece) % len(names)
			half[i].add(one(url, names[i], round, n, rate, longer*d/pieces))
		}
	}
	out := append(full[:], half[:]...)
	for _, r := range out {
		if r.Delivered != r.Published {
			log.Printf("%s: %d published, %d delivered", r.Peer, r.Published, r.Delivered)
		}
		if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
			log.Fatal(err)
		}
	}
	return out
}

// one measures a peer once.
func one(url, name string, round, n int, rate float64, d time.Duration) result {
	a := &arrivals{}
	p, err := open(name, url, a)
	if err != nil {
		log.Fatal(err)
	}
	r, err := measure(p, a, n, rate, d)
	p.close()
	if err != nil {
		log.Fatal(err)
	}
	r.Round, r.Peer = round, name
	return r
}

// summarise prints what the rounds say.
func summarise(all []result, out *json.Encoder) error {
	var r report.Rounds
	for ; len(all) >= 3; all = all[3:] {
		bare, ours, other := all[0], all[1], all[2]
		n := fmt.Sprintf("%d publishers", bare.Publishers)
		if bare.Publishers == 1 {
			n = "1 publisher"
		}
		if bare.Rate == 0 {
			r.Add(n+": events/s, pgx", "", bare.PerSecond)
			r.Add(n+": events/s, bus", "", ours.PerSecond)
			r.Add(n+": events/s, bus, delivered by another node", "", other.PerSecond)
			r.Add(n+": throughput, bus : pgx", "≥ 0.8", ours.PerSecond/bare.PerSecond)
			r.Add(n+": throughput, bus, delivered by another node : pgx", "≥ 0.8", other.PerSecond/bare.PerSecond)
			r.Add(n+": CPU µs per event of client and server, pgx", "", bare.CPU)
			r.Add(n+": CPU µs per event of client and server, bus", "", ours.CPU)
			r.Add(n+": CPU µs per event of client and server, bus, delivered by another node", "", other.CPU)
			continue
		}
		n += ", half load: "
		r.Add(n+"p50 ms, pgx", "", bare.P50)
		r.Add(n+"p50 ms, bus", "", ours.P50)
		r.Add(n+"p50 ms, bus, delivered by another node", "", other.P50)
		r.Add(n+"p99 ms, pgx", "", bare.P99)
		r.Add(n+"p99 ms, bus", "", ours.P99)
		r.Add(n+"p99 ms, bus, delivered by another node", "", other.P99)
		r.Add(n+"p99 added, ms", "< 2", ours.P99-bare.P99)
		r.Add(n+"p99 added, ms, delivered by another node", "< 2", other.P99-bare.P99)
		r.Add(n+"p99 added, ms, within neighbouring pieces", "< 2", report.Added(ours.Pieces, bare.Pieces))
		r.Add(n+"p99 added, ms, delivered by another node, within neighbouring pieces", "< 2", report.Added(other.Pieces, bare.Pieces))
		r.Add(n+"of which until the commit is acknowledged: p99 added, ms", "", ours.AckP99-bare.AckP99)
		r.Add(n+"p99 ms from there to the delivery, pgx", "", bare.AfterP99)
		r.Add(n+"p99 ms from there to the delivery, bus", "", ours.AfterP99)
		r.Add(n+"p99 ms from there to the delivery, bus, by another node", "", other.AfterP99)
	}
	return r.Write(out)
}
