package bus

import (
	"context"
	"log/slog"
	"time"

	"github.com/fraiseql/fraiseql-go/event"
)

// Options are what an adapter takes besides its URL. Zero members mean the default in the comment.
type Options struct {
	// Logger is told when the carrier goes away and comes back, with why; nil discards. No URL, no credential and no
	// event is logged.
	Logger *slog.Logger
	// PublishTimeout bounds how long Publish waits for a carrier that is away, 5 s. After that: ErrUnavailable.
	PublishTimeout time.Duration
}

// WithDefaults returns the options with every zero replaced.
func (o Options) WithDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.PublishTimeout <= 0 {
		o.PublishTimeout = 5 * time.Second
	}
	return o
}

// Status is how a bus is with its carrier.
type Status struct {
	Connected bool
	// Since is when Connected took its present value.
	Since time.Time
	// Problem says why it is not connected, or what is wrong though it is: the node is not ready then. It is for
	// operators: a sentence without addresses of users, credentials and contents of events. "": all is well.
	Problem string
	// Cause is the same in words that publishers may read; "": nothing is wrong, or the cause is not known.
	Cause Cause
	// Reconnects, Gaps and Repeated count since the start: connections made again, gaps proven (events that are no
	// longer held by the carrier were not delivered here), events that came again and were left out by the adapter.
	Reconnects, Gaps, Repeated uint64
	// Gauges are what else this kind of bus shows; the names are fixed and few.
	Gauges []Gauge
}

// Gauge is a figure of one kind of bus, as it is now.
type Gauge struct {
	Name  string // as a metric, e.g. fraiseql_pg_horizon_lag_seconds
	Help  string
	Value float64
}

// Reporter is implemented by buses that have a carrier outside the process. One that is not a Reporter is always
// connected.
type Reporter interface {
	// Status is cheap and never blocks.
	Status() Status
}

// StatusOf returns the status of a bus.
func StatusOf(b Bus) Status {
	if r, ok := b.(Reporter); ok {
		return r.Status()
	}
	return Status{Connected: true}
}

// Establisher is implemented by buses on which Interest takes effect later than it returns.
type Establisher interface {
	// Established returns once every event of the channel that is acknowledged from now on, by any node, will be
	// delivered here. It is called after Interest(channel, true), by any number of goroutines. It costs no round trip
	// when that is so already. The error is ctx's, or has ErrUnavailable or ErrClosed in its chain.
	Established(ctx context.Context, channel string) error
}

// Established waits until the interest in a channel has taken effect.
func Established(ctx context.Context, b Bus, channel string) error {
	if e, ok := b.(Establisher); ok {
		return e.Established(ctx, channel)
	}
	return nil
}

// GapHandler is implemented by handlers that want to know of gaps.
type GapHandler interface {
	// Gap says that events of a channel, before the next one that is delivered and after the last one that was, are
	// no longer held by the carrier. It is called in the order of the channel's Deliver calls, once for each gap and
	// each channel of interest that it may concern. head is the newest position of the channel that is known.
	Gap(channel string, head event.Position)
}

// Worker is implemented by buses that can give each event to one node of a group alone.
type Worker interface {
	// Work calls fn for events of the channel until ctx ends: each event on one node of the group, and again, on
	// this or another node, when fn returned an error or its node died before it returned. Events of the channel
	// are begun in bus order, one at a time per node. A group begins with the events that are published after it was
	// first named. It returns ctx's error.
	Work(ctx context.Context, group, channel string, fn func(ctx context.Context, m *Message) error) error
}
