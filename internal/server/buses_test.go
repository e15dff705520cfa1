package server

import (
	"context"
	"slices"
	"testing"

	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/internal/config"
	"github.com/fraiseql/fraiseql-go/internal/metrics"
)

// TestGaugesOfBusesAreMetrics compares what buses show with the table of metrics.
func TestGaugesOfBusesAreMetrics(t *testing.T) {
	for _, rawURL := range []string{"redis://127.0.0.1:1?buffer=1KiB", "postgres://u@127.0.0.1:1/d", "nats://127.0.0.1:1"} {
		b, err := config.Buses.Open(rawURL, bus.Options{})
		if err != nil {
			t.Fatal(err)
		}
		gauges := bus.StatusOf(b).Gauges
		if len(gauges) == 0 {
			t.Errorf("%s shows nothing", rawURL)
		}
		for _, g := range gauges {
			if !slices.ContainsFunc(metrics.Table(), func(m metrics.Metric) bool { return m.Name == g.Name }) {
				t.Errorf("%s: %s is in no table", rawURL, g.Name)
			}
		}
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
