package main

import (
	"math"
	"slices"
	"strconv"
)

// figure is one line of the document.
type figure struct {
	name string
	// values returns the samples of a run; none: it was not measured.
	values func(d *data) []float64
	unit   unit
	aim    *aim // nil: nobody set one
	limit  string
}

// aim is what a median is to reach.
type aim struct {
	value   float64
	atLeast bool // else: at most
	text    string
}

func (a *aim) met(median float64) bool {
	if a.atLeast {
		return median >= a.value
	}
	return median <= a.value
}

func atMost(value float64, text string) *aim  { return &aim{value, false, text} }
func atLeast(value float64, text string) *aim { return &aim{value, true, text} }

// benchmark returns the samples of a Go benchmark.
func benchmark(key string) func(*data) []float64 {
	return func(d *data) []float64 { return d.bench[key] }
}

// scenario returns a value of each round of a scenario.
func scenario(name, variant string, value func(*record) float64) func(*data) []float64 {
	return func(d *data) []float64 {
		var list []float64
		for _, r := range d.records(name, variant) {
			list = append(list, value(r))
		}
		return list
	}
}

// figures are those of the document, in its order: first those with an aim.
func figures(d *data) []figure {
	return slices.Concat(inProcess(), besideOthers(), overWebSocket(d), parts())
}

func inProcess() []figure {
	const events = "; moonshot 2,000,000"
	return []figure{
		{"one event to 100 subscriptions in 100 groups", benchmark("internal/hub Dispatch/subscriptions=100/groups=100 dispatch-ns/op"), nanoseconds, atMost(15_000, "≤ 15 µs"),
			"100 projections of the event: copies of what the first of them wrote, into memory that no cache holds yet."},
		{"one event to 100 subscriptions in one group", benchmark("internal/hub Dispatch/subscriptions=100/groups=1 dispatch-ns/op"), nanoseconds, atMost(4000, "≤ 4 µs"),
			"100 queues, each filled under its connection's lock. Emptying them, the writer's work, comes on top: ns/op in the raw results."},
		{"one event among 1,000,000 subscriptions with distinct arguments", benchmark("internal/hub Route/subscriptions=1000000 ns/op"), nanoseconds, atMost(2000, "≤ 2 µs"),
			"Parsing the event; the lookup is one hash and a few cache misses."},
		{"the same among 10,000", benchmark("internal/hub Route/subscriptions=10000 ns/op"), nanoseconds, nil, "Parsing the event."},
		{"1,000,000 subscriptions against 10,000", ratio("internal/hub Route/subscriptions=1000000 ns/op", "internal/hub Route/subscriptions=10000 ns/op"), times, atMost(4, "≤ 4 ×"),
			"Cache misses of a table that no cache holds."},
		{"publish → match → project → next, one subscriber per channel, all cores, 100 channels", benchmark(". PublishNext/channels=100 events/s"), perSecond, atLeast(1_000_000, "≥ 1,000,000/s"+events),
			"CPU: parse, project, the event's id and the copy into the channel's history."},
		{"CPU time of the same, per event", benchmark(". PublishNext/channels=100 cpu-ns/op"), nanoseconds, nil, "The same; unlike events/s it does not depend on what else runs."},
		{"the same with 1,000 channels, each with a document of its own", benchmark(". PublishNext/channels=1000 events/s"), perSecond, nil, "Cache misses: each event finds the objects of its channel cold."},
		{"the same with 10,000 channels", benchmark(". PublishNext/channels=10000 events/s"), perSecond, nil, "The same."},
		{"subscribe and complete, known document, group exists", benchmark(". Subscribe/group=known ns/op"), nanoseconds, atMost(3000, "≤ 3 µs"),
			"Coercing the variables, and the objects of the subscription."},
		{"subscribe and complete, known document, new group", benchmark(". Subscribe/group=new ns/op"), nanoseconds, atMost(3000, "≤ 3 µs"),
			"The same and the group with its index entry, made and freed."},
	}
}

func overWebSocket(d *data) []figure {
	us := func(get func(*record) int64) func(*record) float64 {
		return func(r *record) float64 { return float64(get(r)) * 1000 }
	}
	return []figure{
		{"100 subscribers, 1,000 events/s: latency p99", scenario(fanOut, "", us(func(r *record) int64 { return r.Result.Latency.P99 })), nanoseconds, atMost(10e6, "< 10 ms"),
			"100 writes per event one after the other; on few cores the load generator takes turns with the server."},
		{"the same: latency p50", scenario(fanOut, "", us(func(r *record) int64 { return r.Result.Latency.P50 })), nanoseconds, nil, "Half of those writes, and the HTTP request that publishes."},
		{"the same: CPU seconds of the server per million deliveries", scenario(fanOut, "", func(r *record) float64 { return r.Result.Server.CPUSecondsPerMillion }), seconds, nil,
			"The system call: at this rate each delivery is a write of its own."},
		{"the same: deliveries lost, doubled, out of order or altered", scenario(fanOut, "", wrong), count, atMost(0, "0"), "–"},
		{"RSS per idle connection, from a quarter or 2,000 to 10,000, after 3 s of quiet", scenario(idle, "", func(r *record) float64 { return r.Result.Server.RSSKBPerConnection }), kilobyte, atMost(2.5, "≤ 2.5 KB"),
			"960 live bytes per connection at most, held by a test; the rest is the collector's headroom and what it has not given back."},
		{"idle connections at the same time, 18,000 to each of several servers", scenario(many, together, func(r *record) float64 { return float64(r.Result.Connections) }), count, nil,
			"A process may have 20,000 files on this machine: each server and each load generator is one."},
		{"the same: RSS per connection", scenario(many, together, func(r *record) float64 { return r.Result.Server.RSSKBPerConnection }), kilobyte, atMost(2.5, "≤ 2.5 KB"), "The same as for 10,000."},
		{"the same: slab memory of the kernel per connection", scenario(many, together, func(r *record) float64 { return float64(r.Kernel.SlabKB) / float64(max(1, r.Result.Connections)) }), kilobyte, nil, "Two sockets: both ends are on this machine."},
		{"one stalled client among 1,000: p99 of the others, with : without", slowRatio, times, noise(d), "The socket's buffer and one bounded queue: nobody waits for it. What differs is the noise of the machine."},
		{"the same: upper end of the 90 % interval of the ratio", slowUpper, times, atMost(1.10, "≤ 1.10 ×"), "The same."},
		{"the same: deliveries to the others lost, doubled, out of order or altered", scenario(slow, with, wrong), count, atMost(0, "0"), "–"},
		{"100 subscribers, as many events as are held: deliveries/s", sustainedRate, perSecond, nil, "The cores, which server and load generator share. A rung of the ladder is held when 98 % arrive in time and none is wrong."},
		{"the same: CPU seconds of the server per million deliveries", sustainedCPU, seconds, nil, "Copies into sockets; many deliveries share a write."},
	}
}

func parts() []figure {
	return []figure{
		{"parse an event of 370 bytes", benchmark("internal/jsontape Parse ns/op"), nanoseconds, nil, "Branches per byte; checks grammar and UTF-8."},
		{"the same text, `encoding/json.Valid`", benchmark("internal/jsontape StandardValid ns/op"), nanoseconds, nil, "For comparison."},
		{"find five members", benchmark("internal/jsontape SelectFive ns/op"), nanoseconds, nil, "One pass over the members."},
		{"project 5 of 12 fields", benchmark("internal/plan Project5of12 ns/op"), nanoseconds, nil, "Copies of values and their checks."},
		{"bind a plan to variables", benchmark("internal/plan Bind ns/op"), nanoseconds, nil, "Allocations of the constants."},
		{"find a plan in the cache", benchmark("internal/plan CacheGet ns/op"), nanoseconds, nil, "Hash and comparison of the text."},
		{"an `and` of three filters", benchmark("internal/filter AndOfThree ns/op"), nanoseconds, nil, "Finding the members."},
		{"join and leave a group that exists", benchmark("internal/hub Join/group=true ns/op"), nanoseconds, nil, "Locks and the index lookup."},
		{"join and leave a new group", benchmark("internal/hub Join/group=false ns/op"), nanoseconds, nil, "The group and its index entry."},
		{"an event of a tenant beside 10,000 subscriptions of others", benchmark("internal/hub Denied ns/op"), nanoseconds, nil, "Parsing the event; nobody is visited."},
		{"publish → next, one channel, with a schema", benchmark(". Publish ns/op"), nanoseconds, nil, "As above, on one core."},
	}
}

// ratio divides the samples of two benchmarks one by one.
func ratio(above, below string) func(*data) []float64 {
	return func(d *data) []float64 {
		a, b := d.bench[above], d.bench[below]
		var list []float64
		for i := range min(len(a), len(b)) {
			list = append(list, a[i]/b[i])
		}
		return list
	}
}

// wrong counts what a correct server would not have done.
func wrong(r *record) float64 {
	x := &r.Result
	return float64(x.Lost + x.Duplicates + x.OutOfOrder + x.Corrupt + uint64(x.ClosedConnections))
}

func p99(r *record) float64 { return float64(r.Result.Latency.P99) }

// slowRatio is the p99 of the others with a stalled client, divided by that without, round by round.
func slowRatio(d *data) []float64 {
	a, b := d.records(slow, without), d.records(slow, with)
	var list []float64
	for i := range min(len(a), len(b)) {
		if p99(a[i]) > 0 {
			list = append(list, p99(b[i])/p99(a[i]))
		}
	}
	return list
}

// student are the 95 % quantiles of Student's distribution for 1, 2, 3 … degrees of freedom.
var student = []float64{6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782, 1.771, 1.761}

// interval is the 90 % interval of the geometric mean of ratios; nothing for one alone.
func interval(ratios []float64) (low, high float64, ok bool) {
	n := float64(len(ratios))
	if n < 2 {
		return 0, 0, false
	}
	mean, squares := 0.0, 0.0
	for _, r := range ratios {
		mean += math.Log(r) / n
	}
	for _, r := range ratios {
		squares += (math.Log(r) - mean) * (math.Log(r) - mean)
	}
	half := student[min(len(ratios)-1, len(student))-1] * math.Sqrt(squares/(n-1)/n)
	return math.Exp(mean - half), math.Exp(mean + half), true
}

func slowUpper(d *data) []float64 {
	if _, high, ok := interval(slowRatio(d)); ok {
		return []float64{high}
	}
	return nil
}

// noise is the aim of slowRatio: what two successive rounds without a stalled client differ by at most.
func noise(d *data) *aim {
	a, most := d.records(slow, without), 1.0
	for i := 1; i < len(a); i++ {
		if x, y := p99(a[i-1]), p99(a[i]); x > 0 && y > 0 {
			most = max(most, x/y, y/x)
		}
	}
	if len(a) < 2 {
		return nil
	}
	return atMost(most, "≤ "+times(most)+", the largest ratio of two successive rounds without")
}

// sustainedRecords returns the highest rung of each round that was held.
func sustainedRecords(d *data) []*record {
	best := map[int]*record{}
	var rounds []int
	for i := range d.scenarios {
		r := &d.scenarios[i]
		if r.Scenario != asHeld || !r.sustained() {
			continue
		}
		if best[r.Round] == nil {
			rounds = append(rounds, r.Round)
		}
		best[r.Round] = r // rungs go up
	}
	var list []*record
	for _, round := range rounds {
		list = append(list, best[round])
	}
	return list
}

func sustainedRate(d *data) (list []float64) {
	for _, r := range sustainedRecords(d) {
		list = append(list, r.Result.DeliveriesPerSecond)
	}
	return list
}

func sustainedCPU(d *data) (list []float64) {
	for _, r := range sustainedRecords(d) {
		list = append(list, r.Result.Server.CPUSecondsPerMillion)
	}
	return list
}

// unit writes a value.
type unit func(v float64) string

func nanoseconds(v float64) string {
	switch {
	case v < 0:
		return "−" + nanoseconds(-v)
	case v >= 999_500:
		return digits(v/1e6) + " ms"
	case v >= 999.5:
		return digits(v/1e3) + " µs"
	}
	return digits(v) + " ns"
}

func seconds(v float64) string  { return digits(v) + " s" }
func kilobyte(v float64) string { return digits(v) + " KB" }
func times(v float64) string    { return digits(v) + " ×" }
func count(v float64) string    { return strconv.FormatFloat(v, 'f', 0, 64) }

func perSecond(v float64) string {
	text := count(v)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text + "/s"
}

// digits writes three significant digits.
func digits(v float64) string {
	decimals := 2
	switch {
	case v >= 99.95:
		decimals = 0
	case v >= 9.995:
		decimals = 1
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}
