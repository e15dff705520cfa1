package main

// besideOthers are the aims of the comparisons.
func besideOthers() []figure {
	const subscribe = ". Subscribe/group=known ns/op"
	list := []figure{}
	for _, a := range []struct {
		letter, what                    string
		floor, gqlgen, node, centrifuge float64
	}{
		{"A1", "1 room × 1,000 subscribers, 20 events/s", 1.15, 2.3, 3.7, 1.4},
		{"A2", "the same, 200 events/s", 1.15, 2.9, 5.7, 1.2},
	} {
		list = append(list,
			figure{a.what + ": CPU time per delivery, ours : the floor", inverse(against(a.letter, us, floor)), times, atMost(a.floor, "≤ "+times(a.floor)), "The system call, and the request that publishes."},
			figure{"the same, ours : the floor that takes events by HTTP", inverse(against(a.letter, us, floorHTTP)), times, nil, "The system call."},
			figure{"the same, the library : the floor", inverse(against(a.letter, "library", floor)), times, atMost(a.floor, "≤ "+times(a.floor)), "The system call."},
			figure{"the same, gqlgen : ours", against(a.letter, us, "gqlgen"), times, atLeast(a.gqlgen, "≥ "+times(a.gqlgen)), "The system call, which both make."},
			figure{"the same, graphql-ws : ours", against(a.letter, us, "graphql-ws"), times, atLeast(a.node, "≥ "+times(a.node)), "The same."},
			figure{"the same, centrifuge : ours", against(a.letter, us, "centrifuge"), times, atLeast(a.centrifuge, "≥ "+times(a.centrifuge)), "The same."},
		)
	}
	bytes := func(v float64) string { return count(v) + " B" }
	return append(list,
		figure{"the same, 1,520 events/s asked: CPU seconds per million deliveries", ofPeer("A5", us, cpuValue.of), seconds, atMost(1, "≤ 1.0 s"), "Copies into sockets."},
		figure{"the same: deliveries/s", ofPeer("A5", us, deliveries), perSecond, atLeast(1_500_000, "≥ 1,500,000/s; moonshot 2,000,000"), "The cores, which the load generator shares: its CPU time is in the raw results."},
		figure{"the same, as fast as it goes: deliveries/s", ofPeer("A4", us, deliveries), perSecond, nil, "The same."},
		figure{"1,000 rooms × 1 subscriber, published through the library: CPU time, ours : the floor", inverse(against("B1", "library", floor)), times, atMost(1.3, "≤ 1.30 ×"), "A system call for each; parsing, matching and projecting each event."},
		figure{"20 subscribers, 100 events/s, published through the library: latency p50, ours : the floor", inverse(against("D", "library", floor)), times, atMost(1.2, "≤ 1.20 ×"), "System calls."},
		figure{"the same by HTTP, ours : the floor that takes events by HTTP", inverse(against("D", us, floorHTTP)), times, atMost(1.2, "≤ 1.20 ×"), "System calls, and two goroutines that wake up."},
		figure{"the same, published through the library: latency p99, ours − the floor", p99Above("library", floor), nanoseconds, atMost(0.5e6, "≤ 0.5 ms"), "The noise of the machine."},
		figure{"the same by HTTP", p99Above(us, floorHTTP), nanoseconds, atMost(0.5e6, "≤ 0.5 ms"), "The same."},
		figure{"RSS per idle connection, 2,000 to 10,000, no collection forced", ofPeer("C", us, memoryValue.of), kilobyte, atMost(3, "≤ 3.00 KB; moonshot 2.00"), "Twice what lives, for the collector's headroom, and what handshakes left."},
		figure{"the same, 2,000 to 18,000", ofPeer("C2", us, memoryValue.of), kilobyte, atMost(3, "≤ 3.00 KB; moonshot 2.00"), "The same."},
		figure{"live bytes of an idle connection without a socket, one subscription, 100,000 of them", benchmark(". IdleConnections/connections=100000 live-B/conn"), bytes, atMost(1000, "≤ 1,000 B"), "The objects of connection, subscription, group and identity."},
		figure{"the same, 1,000,000 of them", benchmark(". IdleConnections/connections=1000000 live-B/conn"), bytes, atMost(1000, "≤ 1,000 B"), "The same."},
		figure{"the same: RSS of the process", benchmark(". IdleConnections/connections=1000000 RSS-GB"), gigabyte, atMost(1.6, "< 1.60 GB"), "The collector's headroom until the next collection."},
		figure{"subscribe and complete in the library, one core", rateOf(benchmark(subscribe)), perSecond, atLeast(200_000, "≥ 200,000/s"), "See above."},
		figure{"subscribe and complete over the WebSocket, 8 connections", ofPeer("E2", us, func(r *record) float64 { return r.Result.PairsPerSecond }), perSecond, atLeast(50_000, "≥ 50,000/s"), "Parsing, coercing and matching of two messages."},
		figure{"10,000 ranges, 1 % match, 20 events/s: CPU seconds per million deliveries", ofPeer("F", us, cpuValue.of), seconds, nil, "The system call; ranges that do not match are not looked at."},
		figure{"1,000 tenants × 10 subscribers, 2,500 events/s: CPU seconds per million deliveries", ofPeer("G", us, cpuValue.of), seconds, nil, "The system call; an event is looked up by its tenant."},
		figure{"10,000 connections come back after a break: time until all receive", ofPeer("I", us, func(r *record) float64 { return r.Result.Storm.Seconds * 1e9 }), nanoseconds, nil, "Both cores, half of them for the load generator."},
	)
}

func deliveries(r *record) float64 { return r.Result.DeliveriesPerSecond }

func gigabyte(v float64) string { return digits(v) + " GB" }

// ofPeer returns a value of each round of a comparison.
func ofPeer(letter, name string, value func(*record) float64) func(*data) []float64 {
	return func(d *data) (list []float64) {
		for _, r := range d.peerRecords(letter, name) {
			if r.ExitCode <= 1 {
				list = append(list, value(r))
			}
		}
		return list
	}
}

// against divides the values of another by those of one of ours in the same run and round.
func against(letter, ours, other string) func(*data) []float64 {
	return func(d *data) (list []float64) {
		d.pairs(letter, ours, other, func(c *comparison, a, b *record) {
			if v := c.shown().of(a); v > 0 {
				list = append(list, c.shown().of(b)/v)
			}
		})
		return list
	}
}

// p99Above is how much later the p99 of one of ours is than that of the floor.
func p99Above(ours, floor string) func(*data) []float64 {
	return func(d *data) (list []float64) {
		d.pairs("D", ours, floor, func(_ *comparison, a, b *record) { list = append(list, 1000*(p99(a)-p99(b))) })
		return list
	}
}

// pairs calls f with the records of two systems in the same run and round.
func (d *data) pairs(letter, one, other string, f func(c *comparison, a, b *record)) {
	for i := range comparisons {
		c := &comparisons[i]
		if c.letter != letter {
			continue
		}
		for _, a := range d.peerRecords(letter, one) {
			for _, b := range d.peerRecords(letter, other) {
				if a.run == b.run && a.Round == b.Round && a.ExitCode <= 1 && b.ExitCode <= 1 {
					f(c, a, b)
				}
			}
		}
	}
}

func inverse(values func(*data) []float64) func(*data) []float64 {
	return func(d *data) (list []float64) {
		for _, v := range values(d) {
			if v > 0 {
				list = append(list, 1/v)
			}
		}
		return list
	}
}

// rateOf turns nanoseconds into how many a second.
func rateOf(values func(*data) []float64) func(*data) []float64 {
	return func(d *data) (list []float64) {
		for _, v := range values(d) {
			list = append(list, 1e9/v)
		}
		return list
	}
}
