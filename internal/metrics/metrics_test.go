package metrics

import (
	"bytes"
	"flag"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/observe"
	"github.com/fraiseql/fraiseql-go/policy"
)

var update = flag.Bool("update", false, "write docs/reference/metrics.md")

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	rec := httptest.NewRecorder()
	m.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	body, err := io.ReadAll(rec.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestCounts(t *testing.T) {
	m := New("1.2.3")
	m.Published(3)
	d := &observe.Dispatch{Latency: 20 * time.Microsecond, Groups: 2, Enqueued: 5}
	d.Allowed[policy.Tenant], d.Denied[policy.Tenant] = 5, 7
	m.Dispatched(d)
	m.Dispatched(&observe.Dispatch{Latency: -1})
	m.Checked(policy.Role, 1, 0)
	m.Checked(policy.Check(200), 1, 1)
	m.Counted(observe.AuthFailures, "expired", 2)
	m.Counted(observe.AuthFailures, "text of a client", 1)
	m.Counted(observe.Counter(200), "x", 1)
	m.PublishRequest(202)
	m.PublishRequest(418)
	m.SetReady(true)
	m.SetStats(func() observe.Stats {
		return observe.Stats{Connections: 4, QueueBytes: 99, Bus: bus.Status{Connected: true, Gaps: 3, Gauges: []bus.Gauge{{Name: "unknown_to_the_table", Value: 1}}}}
	})
	text := scrape(t, m)
	for _, line := range []string{
		"fraiseql_events_published_total 3",
		"fraiseql_events_dispatched_total 2",
		"fraiseql_groups_projected_total 2",
		"fraiseql_deliveries_total 5",
		`fraiseql_security_checks_total{check="tenant",result="denied"} 7`,
		`fraiseql_security_checks_total{check="tenant",result="allowed"} 5`,
		`fraiseql_security_checks_total{check="rbac",result="allowed"} 1`,
		`fraiseql_security_checks_total{check="scope",result="denied"} 0`,
		`fraiseql_auth_failures_total{reason="expired"} 2`,
		`fraiseql_auth_failures_total{reason="other"} 1`,
		`fraiseql_publish_requests_total{status="202"} 1`,
		`fraiseql_publish_requests_total{status="other"} 1`,
		"fraiseql_publish_to_enqueue_seconds_count 1",
		"fraiseql_connections 4",
		"fraiseql_queue_bytes 99",
		"fraiseql_bus_connected 1",
		"fraiseql_bus_gaps_total 3",
		"fraiseql_ready 1",
		`fraiseql_build_info{version="1.2.3"} 1`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("%q is missing", line)
		}
	}
	if strings.Contains(text, "text of a client") || strings.Contains(text, "unknown_to_the_table") {
		t.Error("a label holds text of a client")
	}
}

// TestTable compares what is served with the table, in both directions.
func TestTable(t *testing.T) {
	served := map[string]string{}
	all := New("v")
	var ofBuses []bus.Gauge
	for _, m := range Table() {
		if m.Kind == Gauge && strings.Contains(m.Doc, "; only with ") {
			ofBuses = append(ofBuses, bus.Gauge{Name: m.Name})
		}
	}
	all.SetStats(func() observe.Stats { return observe.Stats{Bus: bus.Status{Gauges: ofBuses}} })
	for line := range strings.Lines(scrape(t, all)) {
		if f := strings.Fields(line); len(f) == 4 && f[1] == "TYPE" && strings.HasPrefix(f[2], "fraiseql_") {
			served[f[2]] = f[3]
		}
	}
	want := map[string]string{}
	for _, m := range Table() {
		want[m.Name] = string(m.Kind)
		if !strings.HasSuffix(m.Doc, ".") {
			t.Errorf("%s: the doc is not a sentence", m.Name)
		}
	}
	if diff := cmp.Diff(want, served); diff != "" {
		t.Error(diff)
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	m := New("v")
	d := &observe.Dispatch{Latency: time.Millisecond, Groups: 1, Enqueued: 1}
	d.Allowed[policy.Row] = 1
	if n := testing.AllocsPerRun(1000, func() {
		m.Published(1)
		m.Dispatched(d)
		m.Counted(observe.Dropped, "latest", 1)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDispatched(b *testing.B) {
	m := New("v")
	d := &observe.Dispatch{Latency: time.Microsecond, Groups: 1, Enqueued: 1}
	d.Allowed[policy.Tenant], d.Allowed[policy.Row] = 1, 1
	b.ReportAllocs()
	for b.Loop() {
		m.Dispatched(d)
	}
}

func TestReference(t *testing.T) {
	var got bytes.Buffer
	if err := WriteReference(&got); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("..", "..", "docs", "reference", "metrics.md")
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s is not what the table generates; run go test ./internal/metrics -update\n%s", file, diff)
	}
}

// TestSums adds events of many goroutines up; none is lost between the shards.
func TestSums(t *testing.T) {
	m := New("v")
	var wg sync.WaitGroup
	const goroutines, events = 8, 1000
	for range goroutines {
		wg.Go(func() {
			d := &observe.Dispatch{Latency: -1, Groups: 1, Enqueued: 3}
			d.Allowed[policy.Tenant], d.Denied[policy.Row] = 3, 2
			for range events {
				m.Dispatched(d)
			}
		})
	}
	wg.Wait()
	text := scrape(t, m)
	for _, want := range []string{
		"fraiseql_events_dispatched_total 8000", "fraiseql_groups_projected_total 8000", "fraiseql_deliveries_total 24000",
		`fraiseql_security_checks_total{check="tenant",result="allowed"} 24000`, `fraiseql_security_checks_total{check="row",result="denied"} 16000`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("missing: %s", want)
		}
	}
}
