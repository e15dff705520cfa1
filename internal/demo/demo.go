// Package demo is what `fraiseql serve --demo` shows: this machine's own figures published as events every
// second, a chat room, and a page that draws both through GraphQL subscriptions.
package demo

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/devpage"
)

// Schema is the demo's SDL, SchemaName the name that errors give it.
var (
	//go:embed schema.graphql
	Schema string
	//go:embed assets/demo.html
	body string
	//go:embed assets/demo.css
	style string
	//go:embed assets/demo.js
	script string
)

// SchemaName is the source name of Schema.
const SchemaName = "demo.graphql"

// interval is the time between two measurements.
const interval = time.Second

// Publisher takes events; the engine is one.
type Publisher interface {
	Publish(ctx context.Context, events ...event.Event) (bus.Receipt, error)
}

// Handler serves the demo page. Its script subscribes at /graphql and publishes at /events of the same host.
func Handler() http.Handler {
	return devpage.Page{Title: "FraiseQL demo", Body: body, Style: style, Script: script}.Handler()
}

// Run measures and publishes every second until ctx ends, then returns nil. It returns early only when
// publishing fails for another reason.
func Run(ctx context.Context, p Publisher) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	return run(ctx, p, newMeter(), ticker.C)
}

// run publishes one measurement per tick.
func run(ctx context.Context, p Publisher, m meter, ticks <-chan time.Time) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticks:
			events, err := measure(m, now)
			if err != nil {
				return err
			}
			if _, err := p.Publish(ctx, events...); err != nil && ctx.Err() == nil {
				return fmt.Errorf("publish figures: %w", err)
			}
		}
	}
}

// meter measures the machine since its last call.
type meter interface {
	// read returns the figures and the busiest processes, the busiest first.
	read(now time.Time) (machine, []process)
}

// machine is the data of an event on channel machine, named as in the schema.
type machine struct {
	Host      string    `json:"host"`
	At        string    `json:"at"`
	CPU       float64   `json:"cpu"`
	Cores     []float64 `json:"cores"`
	Memory    memory    `json:"memory"`
	Load      *float64  `json:"load"`
	Processes *int      `json:"processes"`
	Uptime    float64   `json:"uptime"`
}

type memory struct {
	Used  float64 `json:"used"`
	Total float64 `json:"total"`
}

// process is the data of an event on channel processes.
type process struct {
	PID    int     `json:"pid"`
	Name   string  `json:"name"`
	CPU    float64 `json:"cpu"`
	Memory float64 `json:"memory"`
}

// measure turns one reading into events: one for the machine, one for each busy process. They are broadcasts, so
// that they arrive where tenants are isolated too.
func measure(m meter, now time.Time) ([]event.Event, error) {
	figures, busy := m.read(now)
	data, err := json.Marshal(figures)
	if err != nil {
		return nil, fmt.Errorf("encode figures: %w", err)
	}
	events := make([]event.Event, 0, 1+len(busy))
	events = append(events, event.Event{Channel: "machine", Type: "machine.measured", Broadcast: true, Data: data})
	for _, p := range busy {
		data, err := json.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("encode process: %w", err)
		}
		events = append(events, event.Event{Channel: "processes", Type: "process.measured", Broadcast: true, Data: data})
	}
	return events, nil
}
