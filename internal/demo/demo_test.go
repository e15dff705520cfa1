package demo

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
)

// recorder keeps what was published and tells on a channel.
type recorder struct {
	batches chan []event.Event
	err     error
}

func (r *recorder) Publish(_ context.Context, events ...event.Event) (bus.Receipt, error) {
	if r.err != nil {
		return bus.Receipt{}, r.err
	}
	r.batches <- events
	return bus.Receipt{Accepted: len(events)}, nil
}

// fixedMeter always measures the same.
type fixedMeter struct{}

func (fixedMeter) read(now time.Time) (machine, []process) {
	return machine{At: now.UTC().Format(time.RFC3339Nano), CPU: 12.5, Cores: []float64{25, 0}}, []process{{PID: 1, Name: "init", CPU: 3}}
}

// TestRunPublishesEachTick drives run with ticks and ends it by its context.
func TestRunPublishesEachTick(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ticks, done := make(chan time.Time), make(chan error)
	published := &recorder{batches: make(chan []event.Event)}
	go func() { done <- run(ctx, published, fixedMeter{}, ticks) }()
	for second := range 3 {
		ticks <- time.Unix(int64(second), 0)
		batch := <-published.batches
		var names []string
		for _, ev := range batch {
			names = append(names, ev.Channel+" "+ev.Type)
		}
		if diff := cmp.Diff([]string{"machine machine.measured", "processes process.measured"}, names); diff != "" {
			t.Error(diff)
		}
		var got machine
		if err := json.Unmarshal(batch[0].Data, &got); err != nil {
			t.Fatal(err)
		}
		if want := time.Unix(int64(second), 0).UTC().Format(time.RFC3339Nano); got.At != want || got.CPU != 12.5 {
			t.Errorf("published %+v", got)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("run after its context ended: %v", err)
	}
}

// TestRunReportsARefusal checks that a failing publisher ends the demo with its error.
func TestRunReportsARefusal(t *testing.T) {
	refused := errors.New("refused")
	ticks := make(chan time.Time, 1)
	ticks <- time.Unix(0, 0)
	if err := run(t.Context(), &recorder{err: refused}, fixedMeter{}, ticks); !errors.Is(err, refused) {
		t.Errorf("run returned %v, want %v", err, refused)
	}
}

// TestProcMeter reads a proc file system of known content twice: the second reading has no difference.
func TestProcMeter(t *testing.T) {
	m := &procMeter{root: "testdata/proc", pageSize: 4096}
	m.cpus = []cpuTime{{busy: 50, total: 800}, {busy: 40, total: 400}, {busy: 10, total: 400}}
	m.processes = map[int]uint64{7: 25, 8: 10}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	figures, busy := m.read(now)
	load, count := 0.42, 2
	want := machine{
		Host: hostName(),
		At:   "2026-01-02T03:04:05Z", CPU: 50, Cores: []float64{50, 50}, Load: &load, Processes: &count, Uptime: 3600.5,
		Memory: memory{Used: 600 * 1024, Total: 1000 * 1024},
	}
	if diff := cmp.Diff(want, figures); diff != "" {
		t.Error(diff)
	}
	wantBusy := []process{{PID: 7, Name: "worker (a) b", CPU: 25, Memory: 40960}, {PID: 8, Name: "idle", Memory: 16384}}
	if diff := cmp.Diff(wantBusy, busy); diff != "" {
		t.Error(diff)
	}
	if figures, _ := m.read(now); figures.CPU != 0 {
		t.Errorf("processor at %v %% without any tick", figures.CPU)
	}
}

// TestRuntimeMeter checks the portable meter for figures within their bounds.
func TestRuntimeMeter(t *testing.T) {
	m := newRuntimeMeter()
	figures, busy := m.read(time.Now())
	if figures.CPU < 0 || figures.CPU > 100 || figures.Memory.Used <= 0 || len(busy) != 1 {
		t.Errorf("measured %+v, %+v", figures, busy)
	}
}

// TestMachineDataIsWhatTheSchemaSays compares the members of an event with the fields of the schema.
func TestMachineDataIsWhatTheSchemaSays(t *testing.T) {
	figures, busy := fixedMeter{}.read(time.Unix(0, 0))
	for name, value := range map[string]any{"Machine": figures, "Process": busy[0]} {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		var members map[string]any
		if err := json.Unmarshal(text, &members); err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(Schema, "\ntype "+name+" {")
		fields, _, ok := strings.Cut(after, "\n}")
		if !ok {
			t.Fatalf("schema has no type %s", name)
		}
		for member := range members {
			if !strings.Contains(fields, "\n  "+member+": ") {
				t.Errorf("type %s lacks field %s", name, member)
			}
		}
	}
}

// TestFiguresReachSubscribers publishes real measurements through an engine with the demo's schema.
func TestFiguresReachSubscribers(t *testing.T) {
	engine, err := fraiseql.New(fraiseql.Config{
		Schema:   []fraiseql.SchemaSource{{Name: SchemaName, Text: Schema}},
		Security: fraiseql.Security{Isolation: fraiseql.IsolationStrict},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for id, query := range map[string]string{
		"machine": `subscription { machine { host at cpu cores memory { used total } load processes uptime } }`,
		"process": `subscription { process(minCpu: 0) { pid name cpu memory } }`,
	} {
		if _, err := engine.Register(t.Context(), fraiseql.Registration{ConnectionID: "c", SubscriptionID: id, Query: query}); err != nil {
			t.Fatal(err)
		}
	}
	events, err := measure(newMeter(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Publish(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"machine", "process"} {
		message, err := engine.Next("c", id)
		if err != nil || message == nil || strings.Contains(string(message), `"errors"`) {
			t.Errorf("%s: %s, %v", id, message, err)
		}
	}
}

// TestPageHoldsTheDemo checks that the page is served with its parts.
func TestPageHoldsTheDemo(t *testing.T) {
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`id="graph"`, `id="chat"`, "class GraphQLClient", "<title>FraiseQL demo</title>"} {
		if !strings.Contains(string(body), part) {
			t.Errorf("page lacks %s", part)
		}
	}
}
