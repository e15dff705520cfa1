package loadgen

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Result is what was measured. Its JSON form is stable.
type Result struct {
	Connections    int     `json:"connections"`
	Subscriptions  int     `json:"subscriptions"` // over all connections
	Channels       int     `json:"channels"`
	Rate           float64 `json:"rate"`             // events/s asked for
	Window         int     `json:"window,omitempty"` // events under way at most; rate does not count then
	Events         int     `json:"events"`           // published, warm-up included
	ConnectSeconds float64 `json:"connect_seconds"`  // to open all connections
	PublishSeconds float64 `json:"publish_seconds"`

	Deliveries          uint64  `json:"deliveries"` // different ones, warm-up included
	Measured            uint64  `json:"measured"`   // after the warm-up
	DeliveriesPerSecond float64 `json:"deliveries_per_second"`
	Lost                uint64  `json:"lost"`
	Duplicates          uint64  `json:"duplicates"`
	OutOfOrder          uint64  `json:"out_of_order"`
	Corrupt             uint64  `json:"corrupt"`
	ClosedConnections   int     `json:"closed_connections"`
	// Stalled are the connections that never read, StalledClosed those of them that the server ended.
	Stalled       int `json:"stalled,omitempty"`
	StalledClosed int `json:"stalled_closed,omitempty"`
	// Churned are the connections that came and broke off meanwhile.
	Churned int `json:"churned,omitempty"`
	// Problem is the first thing that went wrong, if something did.
	Problem string `json:"problem,omitempty"`

	// Latency is from when an event was due to when it was read, in microseconds.
	Latency Latency `json:"latency_us"`

	Server ServerUse `json:"server"`
	Client ClientUse `json:"client"`

	arrived uint64 // deliveries while CPU time was measured, with a window
	// Idle holds the steps of an idle run.
	Idle []IdleStep `json:"idle,omitempty"`
	// Pairs are the subscribes with their completes of such a run, PairsPerSecond how many a second. The CPU time per
	// million is per million of them.
	Pairs          int     `json:"pairs,omitempty"`
	PairsPerSecond float64 `json:"pairs_per_second,omitempty"`
	// Storm is how the connections came back.
	Storm *Storm `json:"storm,omitempty"`
}

// Latency is a distribution in microseconds.
type Latency struct {
	Min  int64 `json:"min"`
	Mean int64 `json:"mean"`
	P50  int64 `json:"p50"`
	P90  int64 `json:"p90"`
	P99  int64 `json:"p99"`
	P999 int64 `json:"p999"`
	Max  int64 `json:"max"`
}

// ServerUse is what the server's process used; zero where it is not on this machine.
type ServerUse struct {
	PID                  int     `json:"pid,omitempty"`
	CPUSeconds           float64 `json:"cpu_seconds"` // while measuring
	CPUSecondsPerMillion float64 `json:"cpu_seconds_per_million_deliveries"`
	RSSKB                int64   `json:"rss_kb"`
	RSSKBPerConnection   float64 `json:"rss_kb_per_connection"`
}

// ClientUse is what the generator used.
type ClientUse struct {
	CPUSeconds           float64 `json:"cpu_seconds"`
	CPUSecondsPerMillion float64 `json:"cpu_seconds_per_million_deliveries"`
}

// IdleStep is the server's memory with a number of idle connections.
type IdleStep struct {
	Connections int   `json:"connections"`
	RSSKB       int64 `json:"rss_kb"`
	// AtOnce says that nothing was waited for before.
	AtOnce bool `json:"at_once,omitempty"`
}

// Storm is what it took until all connections that were broken off at once had been opened again and every subscription
// had received an event. The CPU time per million is per million connections.
type Storm struct {
	Seconds          float64 `json:"seconds"`
	ServerCPUSeconds float64 `json:"server_cpu_seconds"`
	ClientCPUSeconds float64 `json:"client_cpu_seconds"`
}

// Err says what a correct server would not have done; nil if there is nothing.
func (r *Result) Err() error {
	var problems []string
	for _, p := range []struct {
		n    uint64
		name string
	}{
		{r.Lost, "lost"}, {r.Duplicates, "duplicated"}, {r.OutOfOrder, "out of order"}, {r.Corrupt, "altered"},
		{uint64(r.ClosedConnections), "connections closed"},
	} {
		if p.n > 0 {
			problems = append(problems, fmt.Sprintf("%d %s", p.n, p.name))
		}
	}
	if len(problems) == 0 {
		return nil
	}
	text := strings.Join(problems, ", ")
	if r.Problem != "" {
		text += ": " + r.Problem
	}
	return errors.New(text)
}

func summarise(h *histogram) Latency {
	us := func(d time.Duration) int64 { return d.Microseconds() }
	return Latency{Min: int64(h.min), Mean: us(h.mean()), P50: us(h.quantile(0.5)), P90: us(h.quantile(0.9)),
		P99: us(h.quantile(0.99)), P999: us(h.quantile(0.999)), Max: int64(h.max)}
}

// Text is the result as a table for a terminal.
func (r *Result) Text() string {
	var b strings.Builder
	row := func(name, format string, values ...any) {
		fmt.Fprintf(&b, "%-26s %s\n", name, fmt.Sprintf(format, values...))
	}
	row("connections", "%d, %d subscriptions, %d channels", r.Connections, r.Subscriptions, r.Channels)
	row("connecting", "%.2f s", r.ConnectSeconds)
	switch {
	case r.Pairs > 0:
		row("subscribed and completed", "%d, %.0f/s", r.Pairs, r.PairsPerSecond)
		row("server CPU", "%.2f s, %.2f s per million", r.Server.CPUSeconds, r.Server.CPUSecondsPerMillion)
		row("generator CPU", "%.2f s", r.Client.CPUSeconds)
		return b.String()
	case r.Storm != nil:
		row("all back", "after %.2f s", r.Storm.Seconds)
		row("server CPU", "%.2f s", r.Storm.ServerCPUSeconds)
		row("generator CPU", "%.2f s", r.Storm.ClientCPUSeconds)
		return b.String()
	case len(r.Idle) > 0:
		for _, s := range r.Idle {
			row("server memory", "%.1f MB with %d connections", float64(s.RSSKB)/1024, s.Connections)
		}
		row("memory per connection", "%.2f KB", r.Server.RSSKBPerConnection)
		return b.String()
	}
	asked := fmt.Sprintf("asked for: %g/s", r.Rate)
	if r.Window > 0 {
		asked = fmt.Sprintf("at most %d under way", r.Window)
	}
	row("published", "%d events in %.2f s (%s)", r.Events, r.PublishSeconds, asked)
	row("deliveries", "%d, %.0f/s after the warm-up", r.Deliveries, r.DeliveriesPerSecond)
	row("lost", "%d", r.Lost)
	row("duplicates", "%d", r.Duplicates)
	row("out of order", "%d", r.OutOfOrder)
	row("altered", "%d", r.Corrupt)
	row("closed connections", "%d", r.ClosedConnections)
	if r.Stalled > 0 {
		row("stalled connections", "%d, of which the server closed %d", r.Stalled, r.StalledClosed)
	}
	if r.Churned > 0 {
		row("churned connections", "%d", r.Churned)
	}
	if r.Problem != "" {
		row("first problem", "%s", r.Problem)
	}
	l := r.Latency
	row("latency", "p50 %s  p90 %s  p99 %s  p99.9 %s  max %s", ms(l.P50), ms(l.P90), ms(l.P99), ms(l.P999), ms(l.Max))
	if r.Server.PID != 0 {
		row("server CPU", "%.2f s, %.2f s per million deliveries", r.Server.CPUSeconds, r.Server.CPUSecondsPerMillion)
		row("server memory", "%.1f MB, %.2f KB per connection", float64(r.Server.RSSKB)/1024, r.Server.RSSKBPerConnection)
	}
	row("generator CPU", "%.2f s, %.2f s per million deliveries", r.Client.CPUSeconds, r.Client.CPUSecondsPerMillion)
	return b.String()
}

func ms(us int64) string { return fmt.Sprintf("%.2f ms", float64(us)/1000) }
