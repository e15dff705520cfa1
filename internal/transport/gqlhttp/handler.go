package gqlhttp

import (
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/origin"
	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
	"github.com/fraiseql/fraiseql-go/observe"
)

// Config configures a Handler. Poller and Host are required; zero members mean the default in the comment.
type Config struct {
	// Poller owns the streams over HTTP/1; its owner closes it after the handler.
	Poller *poll.Poller
	// Host bounds what may block, and names the engine; its owner closes it after the poller.
	Host *session.Host
	// Origin judges the Origin header of a request; nil: the request's own host may connect.
	Origin func(*http.Request) origin.Verdict
	// Credentials extracts what authentication may use; nil takes the Authorization header and the remote address.
	Credentials func(*http.Request) *session.Handshake
	// Queue bounds what waits for one stream; may be nil.
	Queue *queue.Limits
	// MessageBytes bounds the body of a request; 1 MiB.
	MessageBytes int
	// PartialBytes bounds the bodies that are being read or forwarded, over all requests; 64 MiB.
	PartialBytes int64
	// Operations bounds the active operations of one single connection; 0: no bound.
	Operations int
	// MessageBytesNow, OperationsNow and MaxConnectionsNow, if set, are in the place of those without Now; they may change.
	MessageBytesNow, OperationsNow, MaxConnectionsNow *atomic.Int64
	// MaxConnections bounds open streams, with Others; 0: no bound. Beyond it: HTTP 503.
	MaxConnections int
	// Others is the number of connections that count for MaxConnections beside the streams; nil: none.
	Others func() int
	// Gates, if any, is asked before each stream.
	Gates session.Gates
	// SSEPing is the silence after which a comment is sent; 12 s. MultipartPing is that of the heartbeat `{}`; 5 s.
	SSEPing, MultipartPing time.Duration
	// BodyTimeout is how long a client may take to send a body; 20 s.
	BodyTimeout time.Duration
	// OpenTimeout is how long a reserved single connection waits for its stream; 60 s.
	OpenTimeout time.Duration
	// Draft answers with the status codes of the GraphQL over HTTP draft of 2026 rather than those of its audit suite.
	Draft bool
	// Node names this node in tokens of single connections; a random name.
	Node Node
	// Callbacks takes subscriptions by callback; zero: there are none.
	Callbacks Callbacks
	// Observer counts connections; nil discards.
	Observer observe.Observer
	// TooSlow, if set, is told of each that was closed because its client did not keep up. It must not block.
	TooSlow func()
	// Bare, if set, is told of each request that cannot be served because a http.ResponseWriter hides Flush of the one that it wraps.
	Bare func()
}

func (c Config) withDefaults() Config {
	if c.Origin == nil {
		c.Origin = func(r *http.Request) origin.Verdict { var none origin.List; return none.Judge(r) }
	}
	if c.Credentials == nil {
		c.Credentials = func(r *http.Request) *session.Handshake {
			return &session.Handshake{Authorization: r.Header.Get("Authorization"), RemoteAddr: r.RemoteAddr}
		}
	}
	if c.MessageBytes <= 0 {
		c.MessageBytes = 1 << 20
	}
	if c.PartialBytes <= 0 {
		c.PartialBytes = 64 << 20
	}
	for _, d := range []struct {
		set *time.Duration
		to  time.Duration
	}{{&c.SSEPing, 12 * time.Second}, {&c.MultipartPing, 5 * time.Second}, {&c.BodyTimeout, 20 * time.Second}, {&c.OpenTimeout, time.Minute}} {
		if *d.set <= 0 {
			*d.set = d.to
		}
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

// Handler answers requests. It is an http.Handler.
type Handler struct {
	cfg     Config
	node    node
	partial atomic.Int64 // bytes of bodies that are being read or forwarded

	open     atomic.Int64 // streams and reservations
	draining atomic.Bool
	left     poll.Left // 1 slot: open may have become 0
	singles  singles
	names    names
	flows    flows
	forward  forwarder
}

// New makes a handler. It must be closed, after its last request has begun and before its poller.
func New(cfg Config) (*Handler, error) {
	if cfg.Poller == nil || cfg.Host == nil {
		return nil, errors.New("GraphQL over HTTP: Poller and Host are required")
	}
	h := &Handler{cfg: cfg.withDefaults(), left: make(poll.Left, 1)}
	var err error
	if h.node, err = cfg.Node.check(); err != nil {
		return nil, err
	}
	h.singles.init()
	h.names.init()
	h.flows.init()
	h.forward.init(h.node.name)
	return h, nil
}

// Connections is the number of open streams, and of reserved single connections without one.
func (h *Handler) Connections() int { return int(h.open.Load()) }

// EachConn calls f for what waits for each stream, while others come and go, with the bytes of results that are queued or being
// written. f must not block.
func (h *Handler) EachConn(f func(c *queue.Conn, owed int)) {
	h.each(func(c *conn) { f(&c.out.Conn, c.out.Bytes()+c.held()) })
}

// each calls f for every open stream, while others come and go.
func (h *Handler) each(f func(*conn)) {
	h.cfg.Poller.Each(func(o poll.Owner) {
		if c, ok := o.(*conn); ok && c.handler == h {
			f(c)
		}
	})
	h.flows.each(f)
}

// methods are those that the endpoint takes, for Allow.
const methods = "GET, POST, PUT, DELETE"

// ServeHTTP answers one request. For a stream over HTTP/1 it returns at once, otherwise when the stream has ended.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{h: h, w: w, r: r, accept: parseAccept(r.Header.Values("Accept"))}
	if no := h.judge(r); no != nil {
		x.refuse(no)
		return
	}
	token, name := streamToken(r), r.Header.Get(streamHeader)
	switch {
	case name != "":
		x.refresh(name)
	case r.Method == http.MethodPut:
		x.reserve(token)
	case r.Method != http.MethodGet && r.Method != http.MethodPost && r.Method != http.MethodDelete:
		w.Header().Set("Allow", methods)
		x.refuse(bad(http.StatusMethodNotAllowed, "this endpoint takes "+methods))
	case token != "":
		x.single(token)
	case r.Method == http.MethodDelete:
		x.refuse(bad(http.StatusNotFound, "there is no stream: send "+tokenHeader))
	default:
		x.distinct()
	}
}

// judge refuses requests that a foreign page makes. A request without Origin whose browser says that another site
// made it (an image, a form, a link) is one as well.
func (h *Handler) judge(r *http.Request) *refusal {
	switch h.cfg.Origin(r) {
	case origin.Foreign:
		return &refusal{status: http.StatusForbidden, label: "origin", code: code.Forbidden, message: "origin not allowed"}
	case origin.Absent:
		if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
			return &refusal{status: http.StatusForbidden, label: "origin", code: code.Forbidden, message: "requests of other sites need an Origin that is allowed"}
		}
	}
	return nil
}

// admit counts a stream in, of whom the request was authenticated as, unless there are too many. One that is forwarded is
// authenticated elsewhere.
func (h *Handler) admit(x *exchange) (address uint32, no *refusal) {
	n := h.open.Add(1)
	if h.cfg.Others != nil {
		n += int64(h.cfg.Others())
	}
	no = &refusal{status: http.StatusServiceUnavailable, code: code.RateLimited, retry: true}
	switch {
	case h.draining.Load():
		no = stopping()
	case h.cfg.full(n):
		h.cfg.Observer.Counted(observe.Limited, "connections", 1)
		no.label, no.message = "limit", "too many connections"
	default:
		if h.cfg.Gates != nil {
			address, no.label, no.message = h.cfg.Gates.Enter(x.r.RemoteAddr)
		}
		if no.label == "" {
			if no = x.enter(); no == nil {
				return address, nil
			}
		}
	}
	h.leave(address, nil)
	return 0, no
}

// leave counts a stream out. who is whom the engine has let in, nil: nobody.
func (h *Handler) leave(address uint32, who *identity.Identity) {
	if who != nil {
		h.cfg.Host.Engine().Left(who)
	}
	if address != 0 {
		h.cfg.Gates.Leave(address)
	}
	if h.open.Add(-1) == 0 {
		h.left.Note()
	}
}

// full reports whether n connections are too many.
func (c *Config) full(n int64) bool {
	most := int64(c.MaxConnections)
	if c.MaxConnectionsNow != nil {
		most = c.MaxConnectionsNow.Load()
	}
	return most > 0 && n > most
}

// messageBytes bounds the body of a request.
func (c *Config) messageBytes() int {
	if c.MessageBytesNow != nil {
		return int(c.MessageBytesNow.Load())
	}
	return c.MessageBytes
}

// busy reports whether a single connection has as many operations as it may have.
func (c *Config) busy(operations int) bool {
	most := c.Operations
	if c.OperationsNow != nil {
		most = int(c.OperationsNow.Load())
	}
	return most > 0 && operations >= most
}
