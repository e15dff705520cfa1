package metrics

import (
	"sync/atomic"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fraiseql/fraiseql-go/observe"
	"github.com/fraiseql/fraiseql-go/policy"
)

// sums count what happens with every event. Counters of the client library would be seven cache lines that all cores
// write for each event; these are added up when they are read.
type sums [sumShards]sum

const sumShards = 16

type sum struct {
	events, groups, enqueued atomic.Uint64
	allowed, denied          [policy.Checks]atomic.Uint64
	_                        [128]byte // processors fetch cache lines in pairs
}

// of returns the shard for an event: a processor that matches events uses the same scratch again and again, and d is
// part of that.
func (s *sums) of(d *observe.Dispatch) *sum {
	const golden = 0x9e3779b97f4a7c15
	return &s[uint64(uintptr(unsafe.Pointer(d)))*golden>>60]
}

func (s *sum) add(d *observe.Dispatch) {
	s.events.Add(1)
	addTo(&s.groups, d.Groups)
	addTo(&s.enqueued, d.Enqueued)
	for c := range s.allowed {
		addTo(&s.allowed[c], d.Allowed[c])
		addTo(&s.denied[c], d.Denied[c])
	}
}

func addTo(c *atomic.Uint64, n int) {
	if n > 0 {
		c.Add(uint64(n))
	}
}

// Describe sends nothing: the names are fixed, and checked against the table by a test.
func (s *sums) Describe(chan<- *prometheus.Desc) {}

// Collect sends the sums over all shards.
func (s *sums) Collect(out chan<- prometheus.Metric) {
	total := func(of func(*sum) *atomic.Uint64) (n float64) {
		for i := range s {
			n += float64(of(&s[i]).Load())
		}
		return n
	}
	collect(out, dispatched, total(func(s *sum) *atomic.Uint64 { return &s.events }))
	collect(out, projected, total(func(s *sum) *atomic.Uint64 { return &s.groups }))
	collect(out, enqueued, total(func(s *sum) *atomic.Uint64 { return &s.enqueued }))
	desc := prometheus.NewDesc(checks, find(checks).Doc, []string{"check", "result"}, nil)
	for c := range policy.Checks {
		name := policy.Check(c).String()
		allowed, denied := total(func(s *sum) *atomic.Uint64 { return &s.allowed[c] }), total(func(s *sum) *atomic.Uint64 { return &s.denied[c] })
		out <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, allowed, name, "allowed")
		out <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, denied, name, "denied")
	}
}
