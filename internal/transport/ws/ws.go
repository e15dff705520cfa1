// Package ws serves graphql-transport-ws: it upgrades HTTP requests to WebSockets, hands them to a poll.Poller
// and connects each to a session.Driver.
//
// Concurrency: a connection's callbacks come from its poller, one at a time; framing runs on the poller's
// writer. Handler's methods are safe for concurrent use. Lock order: the poller's I/O lock, then the driver's,
// then that of queue.Conn.
package ws

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
	"github.com/fraiseql/fraiseql-go/internal/wsframe"
	"github.com/fraiseql/fraiseql-go/observe"
)

// The subprotocols that this package speaks.
const (
	Subprotocol = "graphql-transport-ws"
	// LegacySubprotocol is the one of npm subscriptions-transport-ws, spoken only with Config.Legacy.
	LegacySubprotocol = "graphql-ws"
)

// keepAlive is the longest time between two messages of the legacy protocol that say that the server is there: its
// client gives up after 30 s.
const keepAlive = 15 * time.Second

// Config configures a Handler. Poller and Host are required; zero members mean the default in the comment.
type Config struct {
	// Poller owns the connections; it may be shared, and is closed by its owner after the handler was drained.
	Poller *poll.Poller
	// Host runs the protocol; its owner closes it after the poller.
	Host *session.Host
	// CheckOrigin reports whether a request with an Origin header may connect; nil allows the request's own
	// host only. It is not asked when there is no Origin.
	CheckOrigin func(*http.Request) bool
	// Credentials extracts what authentication may use from the request; nil takes the Authorization header
	// and the remote address.
	Credentials func(*http.Request) *session.Handshake
	// Queue bounds what waits for one connection.
	Queue *queue.Limits
	// MessageBytes bounds one message of a client; 1 MiB. Longer ones close with 1009, and so do those above
	// 64 KiB before connection_ack.
	MessageBytes int
	// PartialBytes bounds what incomplete messages hold over all connections; 64 MiB. Beyond it, a connection
	// whose message is incomplete after 4 KiB is closed with 1013.
	PartialBytes int64
	// InitTimeout is how long a client may take to send connection_init; 3 s.
	InitTimeout time.Duration
	// PingInterval is the silence of the peer after which it is pinged; 30 s; negative: never.
	PingInterval time.Duration
	// PongTimeout is how long it may stay silent after that; 10 s.
	PongTimeout time.Duration
	// MaxConnections bounds open connections, with Others; 0: no bound. Beyond it: HTTP 503.
	MaxConnections int
	// MaxConnectionsNow, if set, is in the place of MaxConnections; it may change.
	MaxConnectionsNow *atomic.Int64
	// Others is the number of connections that count for MaxConnections beside this handler's; nil: none.
	Others func() int
	// Deflate agrees to permessage-deflate, without context takeover.
	Deflate bool
	// Legacy offers LegacySubprotocol to clients that do not offer Subprotocol.
	Legacy bool
	// Names, if any, gives connections the names by which they are renewed.
	Names session.Namer
	// Gates, if any, is asked before each upgrade.
	Gates session.Gates
	// Observer counts connections; nil discards.
	Observer observe.Observer
	// TooSlow, if set, is told of each that was closed because its client did not keep up. It must not block.
	TooSlow func()
	// Bare, if set, is told of each request that cannot be served because a http.ResponseWriter hides Hijack of the one that it wraps.
	Bare func()
}

func (c Config) withDefaults() Config {
	if c.CheckOrigin == nil {
		c.CheckOrigin = sameOrigin
	}
	if c.Credentials == nil {
		c.Credentials = func(r *http.Request) *session.Handshake {
			return &session.Handshake{Authorization: r.Header.Get("Authorization"), RemoteAddr: r.RemoteAddr}
		}
	}
	if c.MessageBytes <= 0 {
		c.MessageBytes = wsframe.DefaultMaxMessage
	}
	if c.PartialBytes <= 0 {
		c.PartialBytes = 64 << 20
	}
	if c.InitTimeout <= 0 {
		c.InitTimeout = 3 * time.Second
	}
	if c.PingInterval == 0 {
		c.PingInterval = 30 * time.Second
	}
	if c.PongTimeout <= 0 {
		c.PongTimeout = 10 * time.Second
	}
	if c.Observer == nil {
		c.Observer = observe.Discard{}
	}
	if c.TooSlow == nil {
		c.TooSlow = func() {}
	}
	if c.Bare == nil {
		c.Bare = func() {}
	}
	return c
}

const (
	// earlyBytes bounds a message of a client that nobody knows yet.
	earlyBytes = 64 << 10
	// partialFree is what an incomplete message may hold when all together hold too much.
	partialFree = 4 << 10
)

// Handler upgrades requests. It is an http.Handler.
type Handler struct {
	cfg      Config
	decoders atomic.Pointer[decoders]
	partial  atomic.Int64 // bytes held by incomplete messages
	times    atomic.Pointer[times]

	open     atomic.Int64
	draining atomic.Pointer[farewell]
	left     poll.Left // 1 slot: open may have become 0
}

// times are how long a handler waits for its clients, in ticks. They do not change: others take their place.
type times struct {
	first    time.Duration // until the first look at the clock
	opening  uint32        // until connection_init
	silence  uint32        // until a ping, 0: never
	patience uint32        // until the close after it
	alive    uint32        // of the legacy protocol: between two messages that say that the server is there, 0: none
}

// SetTimes changes Config.InitTimeout, PingInterval and PongTimeout, 0 meaning the default. A connection takes them over when it
// looks at its clock the next time: at the latest when the times before would have been over.
func (h *Handler) SetTimes(initTimeout, pingInterval, pongTimeout time.Duration) {
	c := Config{InitTimeout: initTimeout, PingInterval: pingInterval, PongTimeout: pongTimeout}.withDefaults()
	ticks := h.cfg.Poller.Ticks
	t := &times{first: c.InitTimeout, opening: ticks(c.InitTimeout), patience: ticks(c.PongTimeout)}
	if c.PingInterval > 0 {
		alive := min(c.PingInterval, keepAlive)
		t.first, t.silence, t.alive = min(c.InitTimeout, alive), ticks(c.PingInterval), ticks(alive)
	}
	h.times.Store(t)
}

// decoders take what clients send. They do not change: others take their place.
type decoders struct {
	early, known wsframe.Decoder // before connection_ack, and from then on
	// those of connections that agreed to compression
	earlyDeflate, knownDeflate wsframe.Decoder
}

// SetMessageBytes changes Config.MessageBytes, 0 meaning the default, for every connection and from its next message on: of one
// that has begun for what is still to come.
func (h *Handler) SetMessageBytes(n int) {
	n = Config{MessageBytes: n}.withDefaults().MessageBytes
	d := &decoders{}
	d.known.MaxMessage, d.early.MaxMessage = n, min(n, earlyBytes)
	d.knownDeflate, d.earlyDeflate = d.known, d.early
	d.knownDeflate.Deflate, d.earlyDeflate.Deflate = true, true
	h.decoders.Store(d)
}

// farewell is what a draining handler tells its clients.
type farewell struct {
	code   uint16
	reason string
}

// New makes a handler.
func New(cfg Config) (*Handler, error) {
	if cfg.Poller == nil || cfg.Host == nil {
		return nil, errors.New("websocket handler: Poller and Host are required")
	}
	cfg = cfg.withDefaults()
	h := &Handler{cfg: cfg, left: make(poll.Left, 1)}
	h.SetMessageBytes(cfg.MessageBytes)
	h.SetTimes(cfg.InitTimeout, cfg.PingInterval, cfg.PongTimeout)
	return h, nil
}

// Connections is the number of open connections.
func (h *Handler) Connections() int { return int(h.open.Load()) }

// EachConn calls f for what waits for each connection, while others come and go, with the bytes of results that are queued or
// being written. f must not block. All of 50,000 take about a millisecond.
func (h *Handler) EachConn(f func(c *queue.Conn, owed int)) {
	h.cfg.Poller.Each(func(o poll.Owner) {
		if c, ok := o.(*conn); ok && c.handler == h {
			f(&c.out.Conn, c.out.Bytes()+c.out.HeldBytes())
		}
	})
}

// Drain refuses new connections from now on, closes the open ones with code and reason after what waits for
// them, in random order spread evenly over window, and waits until all are gone. With ctx over it returns its
// error and leaves the rest to Poller.Close. Beside another one it closes at once what that has not closed yet. Clients retry
// 1001, 1012 and 1013 (docs/reference/protocol.md).
func (h *Handler) Drain(ctx context.Context, window time.Duration, code uint16, reason string) error {
	h.Refuse(code, reason)
	if err := h.dismiss(ctx, window, code, reason); err != nil {
		return err
	}
	return h.gone(ctx)
}
