// Package metrics is the Prometheus observer of the engine and of the server. One table (table.go) describes
// every metric; the registry, docs/reference/metrics.md and the tests are made from it.
package metrics

import (
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fraiseql/fraiseql-go/observe"
	"github.com/fraiseql/fraiseql-go/policy"
)

// Metrics implements observe.Observer. Counting is lock-free; every child is made beforehand.
type Metrics struct {
	registry  *prometheus.Registry
	published prometheus.Counter
	sums      sums
	latency   prometheus.Histogram
	counted   [observe.Counters]children
	requests  children
	stats     atomic.Pointer[func() observe.Stats]
	ready     atomic.Bool
}

var _ observe.Observer = (*Metrics)(nil)

// children are the counters of one metric by the value of its label.
type children map[string]prometheus.Counter

func (c children) add(label string, n int) {
	child, ok := c[label]
	if !ok {
		child = c[other]
	}
	child.Add(float64(n))
}

// New makes the metrics of one server; version is what build info says.
func New(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.published = m.counter(published)
	for c := range m.counted {
		m.counted[c] = m.children(counters[c].name)
	}
	m.requests = m.children(requests)
	m.latency = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: latency, Help: find(latency).Doc,
		Buckets: []float64{1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 1},
	})
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: buildInfo, Help: find(buildInfo).Doc, ConstLabels: prometheus.Labels{"version": version}})
	build.Set(1)
	m.registry.MustRegister(&m.sums, m.latency, build, &sizes{m}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func find(name string) *Metric {
	for i := range table {
		if table[i].Name == name {
			return &table[i]
		}
	}
	panic("metrics: " + name + " is not in the table")
}

func (m *Metrics) counter(name string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: find(name).Doc})
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) children(name string) children {
	entry := find(name)
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: entry.Doc}, []string{entry.Label})
	m.registry.MustRegister(vec)
	all := children{other: vec.WithLabelValues(other)}
	for _, v := range entry.Values {
		all[v] = vec.WithLabelValues(v)
	}
	return all
}

// Handler serves the metrics in Prometheus' text formats.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// SetStats says where the sizes come from; until then they are 0.
func (m *Metrics) SetStats(stats func() observe.Stats) { m.stats.Store(&stats) }

// SetReady says what /readyz answers.
func (m *Metrics) SetReady(ready bool) { m.ready.Store(ready) }

// PublishRequest counts an answer of POST /events.
func (m *Metrics) PublishRequest(status int) { m.requests.add(strconv.Itoa(status), 1) }

// Published implements observe.Observer.
func (m *Metrics) Published(events int) { m.published.Add(float64(events)) }

// Dispatched implements observe.Observer.
func (m *Metrics) Dispatched(d *observe.Dispatch) {
	m.sums.of(d).add(d)
	if d.Latency >= 0 {
		m.latency.Observe(d.Latency.Seconds())
	}
}

// Checked implements observe.Observer.
func (m *Metrics) Checked(check policy.Check, allowed, denied int) {
	if int(check) < policy.Checks {
		addTo(&m.sums[0].allowed[check], allowed)
		addTo(&m.sums[0].denied[check], denied)
	}
}

// Counted implements observe.Observer.
func (m *Metrics) Counted(c observe.Counter, label string, n int) {
	if int(c) < len(m.counted) {
		m.counted[c].add(label, n)
	}
}

// sizes collects the gauges at a scrape.
type sizes struct{ m *Metrics }

// Describe sends nothing: the names are fixed, and checked against the table by a test.
func (s *sizes) Describe(chan<- *prometheus.Desc) {}

// Collect sends one value per gauge.
func (s *sizes) Collect(out chan<- prometheus.Metric) {
	var st observe.Stats
	if f := s.m.stats.Load(); f != nil {
		st = (*f)()
	}
	for _, g := range []struct {
		name  string
		value float64
	}{
		{"fraiseql_connections", float64(st.Connections)},
		{"fraiseql_subscriptions", float64(st.Subscriptions)},
		{"fraiseql_groups", float64(st.Groups)},
		{"fraiseql_channels", float64(st.Channels)},
		{"fraiseql_queue_bytes", float64(st.QueueBytes)},
		{"fraiseql_plan_cache_bytes", float64(st.PlanCacheBytes)},
		{"fraiseql_io_uring_writers", float64(st.IOUring)},
		{"fraiseql_bus_connected", boolean(st.Bus.Connected)},
		{"fraiseql_bus_since_timestamp_seconds", unix(st.Bus.Since)},
		{"fraiseql_bus_reconnects_total", float64(st.Bus.Reconnects)},
		{"fraiseql_bus_gaps_total", float64(st.Bus.Gaps)},
		{"fraiseql_bus_repeated_total", float64(st.Bus.Repeated)},
		{ready, boolean(s.m.ready.Load() && st.Bus.Connected && st.Bus.Problem == "")},
	} {
		collect(out, g.name, g.value)
	}
	for _, g := range st.Bus.Gauges {
		collect(out, g.Name, g.Value)
	}
}

// collect sends a value of a metric that the table has.
func collect(out chan<- prometheus.Metric, name string, value float64) {
	i := slices.IndexFunc(table, func(m Metric) bool { return m.Name == name })
	if i < 0 {
		return
	}
	kind := prometheus.GaugeValue
	if table[i].Kind == Counter {
		kind = prometheus.CounterValue
	}
	out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, table[i].Doc, nil, nil), kind, value)
}

// unix is a time as Prometheus takes it; 0: none.
func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
