// Package loadgen is an open-loop load generator for GraphQL subscriptions over WebSocket: the engine of
// `fraiseql bench`. It opens N connections with M subscriptions each, publishes events at a fixed rate and
// checks every delivery: that none is lost, doubled, out of order or altered, and how late it is.
//
// Latency counts from the time at which an event was due, not from when it was sent, so that a server (or
// publisher) that falls behind is not flattered ("coordinated omission").
//
// The generator is cheap so that it is not what is measured: on Linux raw sockets in an epoll loop, frames
// parsed in place, a handful of goroutines; elsewhere one goroutine per connection.
package loadgen

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Event is one event to publish.
type Event struct {
	Channel, Type string
	Tenant        string // "": none
	Data          []byte // JSON object
}

// Config says what load to make. Zero members mean the default in the comment.
type Config struct {
	// URL of the GraphQL endpoint: ws or http (TLS is not measured).
	URL string
	// Protocol that clients speak; TransportWS.
	Protocol Protocol
	// Token is sent in connection_init.
	Token string
	// TokenOf, if set, returns the token of a connection (TransportWS only).
	TokenOf func(connection int) string
	// Origin header of the handshake; none.
	Origin string

	// Connections is N, Subscriptions M per connection; 1 and 1.
	Connections, Subscriptions int
	// Rooms is the number of channels that the subscriptions are spread over; 1 is fan-out.
	Rooms int
	// Channel is the name of the channel, and with more rooms the prefix of their names; "bench".
	Channel string
	// Query returns the document for a room; default `subscription { <channel> { room seq sent sum pad } }`.
	Query func(room int) string
	// Variables, if set, returns the variables of a room's document as a JSON object.
	Variables func(room int) string
	// Spread, if above 1, gives each subscription a range of its own instead: the documents have the variables $from and
	// $to, member room of an event is the number of its room times Spread, and each range holds that of one room. There
	// must be Spread/2 subscriptions of a room at most.
	Spread int
	// ChannelOf returns the channel of a room; default Channel, or Channel_<room> with several rooms.
	ChannelOf func(room int) string
	// PayloadBytes is the length of pad in each event; 100.
	PayloadBytes int

	// Rate is the number of events per second over all rooms; 100.
	Rate float64
	// Duration is how long events are measured, after Warmup; 10 s and 2 s. Negative Warmup: none.
	Duration, Warmup time.Duration
	// DrainTimeout bounds the wait for what is under way at the end; 10 s.
	DrainTimeout time.Duration
	// Batch bounds the events of one request; 500. Events that are due at the same time share a request.
	Batch int
	// Window closes the loop: as many events are published as the server keeps up with, at most that many of which
	// are not delivered everywhere. Rate and Tick then don't count, an event is due when it is published, and there is
	// one publisher. 0: events come at Rate.
	Window int
	// Tick publishes what is due in steps of this length, as a producer does that gathers events: fewer, larger
	// requests, and up to a tick more latency, which counts. 0: each event when it is due.
	Tick time.Duration
	// Publishers is the number of parallel publishers; 1. A room belongs to one of them.
	Publishers int
	// PublishURL takes events as NDJSON; default /events beside URL. tcp://host:port takes them as lines of one
	// connection, which nothing answers.
	PublishURL string
	// PublishToken is sent as `Authorization: Bearer …`.
	PublishToken string
	// TenantID is set in each event, Broadcast too. (Servers with strict isolation need one of them.)
	TenantID  string
	Broadcast bool
	// Publish replaces the HTTP requests.
	Publish func(ctx context.Context, events []Event) error

	// Stalled is a number of further connections that subscribe to the first room and never read: what a slow
	// client costs the others. They are not measured; Result.StalledClosed is how many the server ended.
	Stalled int

	// Churn is a number of connections per second that come beside the others, subscribe and break off without a
	// close, half of them with a reset. They are not measured; Result.Churned is how many there were.
	Churn float64

	// TenantSecret makes each room a tenant: connections present tokens that are signed with it (HS256), events carry
	// the tenant of their room. All subscribe to one channel.
	TenantSecret []byte

	// Idle opens the connections, publishes nothing, and measures memory in steps (Result.Idle).
	Idle bool
	// Settle is the quiet time before memory is read; 3 s. Negative: none between the steps, and 3 s behind the last
	// one, whose memory is read twice.
	Settle time.Duration

	// Pairs publishes nothing: every connection subscribes and completes, with so many pairs under way, for Duration
	// (Result.Pairs).
	Pairs int

	// Storm breaks all connections off at once and opens them again, as fast as it goes (Result.Storm).
	Storm bool

	// PID of the server, for CPU and memory; default: who listens on the port of URL, when that is local.
	PID int
	// Readers is the number of goroutines that read; half of the CPUs, at least 1.
	Readers int
	// ConnectTimeout bounds opening one connection; 30 s.
	ConnectTimeout time.Duration
	// Progress, if set, is told what happens now, in a few words.
	Progress func(text string)

	// portable reads by a goroutine per connection, for tests of what other systems do.
	portable bool
}

func (c Config) withDefaults() Config {
	setInt(&c.Connections, 1)
	setInt(&c.Subscriptions, 1)
	setInt(&c.Rooms, 1)
	setInt(&c.PayloadBytes, 100)
	setInt(&c.Batch, 500)
	setInt(&c.Publishers, 1)
	setInt(&c.Readers, max(1, runtime.GOMAXPROCS(0)/2))
	setTime(&c.Duration, 10*time.Second)
	setTime(&c.DrainTimeout, 10*time.Second)
	if c.Settle == 0 {
		c.Settle = settled
	}
	setTime(&c.ConnectTimeout, 30*time.Second)
	if c.Warmup == 0 {
		c.Warmup = 2 * time.Second
	}
	c.Warmup = max(c.Warmup, 0)
	if c.Rate <= 0 {
		c.Rate = 100
	}
	if c.Channel == "" {
		c.Channel = "bench"
	}
	if c.ChannelOf == nil {
		c.ChannelOf = func(room int) string {
			if c.Rooms == 1 {
				return c.Channel
			}
			return c.Channel + "_" + strconv.Itoa(room)
		}
	}
	if c.Query == nil {
		c.Query = func(room int) string {
			return "subscription { " + c.ChannelOf(room) + " { room seq sent sum pad } }"
		}
	}
	if c.Progress == nil {
		c.Progress = func(string) {}
	}
	return c
}

func setInt(n *int, value int) {
	if *n <= 0 {
		*n = value
	}
}

func setTime(d *time.Duration, value time.Duration) {
	if *d <= 0 {
		*d = value
	}
}

// Validate reports what does not belong together, as Run does before it begins.
func (c Config) Validate() error {
	c = c.withDefaults()
	server, err := c.validate()
	if err == nil && c.Publish == nil && !strings.HasPrefix(c.PublishURL, "tcp://") {
		_, err = newHTTPPublisher(&c, server, c.PublishURL)
	}
	return err
}

// validate checks what belongs together and returns the address of the server.
func (c *Config) validate() (*url.URL, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("url %q: %w", c.URL, err)
	}
	switch u.Scheme {
	case "ws", "http":
	case "wss", "https":
		return nil, fmt.Errorf("url %q: TLS is not measured; use ws:// or http://", c.URL)
	default:
		return nil, fmt.Errorf("url %q: want ws:// or http://", c.URL)
	}
	if u.Host == "" {
		return nil, fmt.Errorf("url %q: the host is missing", c.URL)
	}
	if u.Port() == "" {
		u.Host += ":80"
	}
	u.Scheme = "http"
	if err := c.Protocol.validate(c.Subscriptions); err != nil {
		return nil, err
	}
	switch {
	case c.Rooms > c.Connections*c.Subscriptions && c.Pairs == 0:
		return nil, fmt.Errorf("%d rooms for %d subscriptions: every room needs one", c.Rooms, c.Connections*c.Subscriptions)
	case c.Spread > 1 && c.Spread < 2*((c.Connections*c.Subscriptions+c.Rooms-1)/c.Rooms):
		return nil, fmt.Errorf("a spread of %d for %d subscriptions of a room: ranges would overlap", c.Spread, (c.Connections*c.Subscriptions+c.Rooms-1)/c.Rooms)
	case c.Idle && (c.Storm || c.Pairs > 0) || c.Storm && c.Pairs > 0:
		return nil, errors.New("idle connections, a storm and pairs are runs of their own: ask for one")
	case c.TenantSecret != nil && c.Subscriptions > 1:
		return nil, errors.New("tenants: a connection has one subscription")
	case c.Publishers > c.Rooms:
		return nil, fmt.Errorf("%d publishers for %d rooms: a room belongs to one publisher", c.Publishers, c.Rooms)
	case c.Window > 0 && c.Publishers > 1:
		return nil, errors.New("a window has one publisher")
	case float64(c.Warmup+c.Duration)/float64(time.Second)*c.Rate >= 1<<31 || c.Warmup+c.Duration > 30*time.Minute:
		return nil, errors.New("the run is too long: at most 30 minutes and 2³¹ events")
	}
	return u, nil
}

// Run makes the load and returns what was measured. Deliveries that are lost, doubled, out of order or
// altered are figures of the result (Result.Err), not errors of Run.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	cfg = cfg.withDefaults()
	server, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	if address, ok := strings.CutPrefix(cfg.PublishURL, "tcp://"); ok && cfg.Publish == nil {
		publish, err := dialLines(ctx, &cfg, address)
		if err != nil {
			return nil, err
		}
		defer publish.conn.Close()
		cfg.Publish = publish.publish
	}
	if cfg.Publish == nil {
		publish, err := newHTTPPublisher(&cfg, server, cfg.PublishURL)
		if err != nil {
			return nil, err
		}
		defer publish.close()
		cfg.Publish = publish.publish
	}
	r, err := newRun(&cfg, server)
	if err != nil {
		return nil, err
	}
	defer r.close()
	switch {
	case cfg.Idle:
		return r.idle(ctx)
	case cfg.Pairs > 0:
		return r.pairs(ctx)
	case cfg.Storm:
		return r.storm(ctx)
	}
	return r.load(ctx)
}
