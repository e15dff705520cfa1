// Package callback serves subscriptions whose results are posted to an address that the client names: Apollo's HTTP
// callback protocol 1.0, by which a federation router subscribes to its subgraphs without keeping connections.
//
// A client names an address, an id and a verifier. Each subscription has a worker, a goroutine that posts what its
// queue holds, one message at a time and in order, and a check in every interval. Addresses must be on a list, and
// what is dialled is judged by package outbound. The number of workers is bounded.
//
// Concurrency: Handler's methods are safe for concurrent use. A Stream is opened, confirmed and begun or abandoned by
// one goroutine; afterwards it belongs to its worker. Lock order: the Handler's mu before that of queue.Conn.
package callback

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/outbound"
	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
	"github.com/fraiseql/fraiseql-go/observe"
)

// DefaultSubscriptions is Config.MaxSubscriptions where that is 0.
const DefaultSubscriptions = 10_000

// Protocol is the value of the header subscription-protocol.
const Protocol = "callback/1.0"

// Config configures a Handler. Host and URLs are required; zero members mean the default in the comment.
type Config struct {
	Host *session.Host
	// URLs and Networks are those of outbound.Config: which addresses clients may name, and which that are not public
	// may be dialled.
	URLs     []string
	Networks []netip.Prefix
	// MaxSubscriptions bounds the subscriptions of this handler; 10,000.
	MaxSubscriptions int
	// MaxSubscriptionsNow, if set, is in the place of MaxSubscriptions; it may change.
	MaxSubscriptionsNow *atomic.Int64
	// Queue bounds what waits for one subscription; may be nil.
	Queue *queue.Limits
	// Timeout bounds one post with its answer; 5 s.
	Timeout time.Duration
	// Pause is the wait before the first repetition of a post; it doubles with each; 200 ms.
	Pause time.Duration
	// MaxConnectionsNow, if set, bounds the subscriptions together with Others, the connections of other kinds; 0: no bound.
	MaxConnectionsNow *atomic.Int64
	// Others is called under a lock and must not block.
	Others func() int
	// Gates, if any, is asked before each subscription. It is told no address: all of a router's come from its own, and
	// the router, which is on the list of URLs, answers for them.
	Gates session.Gates
	// Names, if any, gives subscriptions the names by which they are renewed.
	Names session.Namer
	// Observer counts subscriptions as connections; nil discards.
	Observer observe.Observer
	// TooSlow, if set, is told of each that was closed because its client did not keep up. It must not block.
	TooSlow func()
}

const (
	// connections bounds the posts to one host at the same time.
	connections = 256
	answerBytes = 4 << 10
)

// Handler has the subscriptions of one endpoint.
type Handler struct {
	cfg    Config
	client *outbound.Client
	ctx    context.Context // of the workers
	cancel context.CancelFunc

	mu       sync.Mutex
	streams  map[string]*Stream // by the client's id
	draining bool
	closed   bool
	workers  sync.WaitGroup
	left     poll.Left // 1 slot: there may be no stream any more
}

// New makes a handler. It must be closed.
func New(cfg Config) (*Handler, error) {
	if cfg.Host == nil || len(cfg.URLs) == 0 {
		return nil, errors.New("callback handler: Host and URLs are required")
	}
	if cfg.MaxSubscriptions <= 0 {
		cfg.MaxSubscriptions = DefaultSubscriptions
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.Pause <= 0 {
		cfg.Pause = 200 * time.Millisecond
	}
	if cfg.Observer == nil {
		cfg.Observer = observe.Discard{}
	}
	if cfg.TooSlow == nil {
		cfg.TooSlow = func() {}
	}
	if cfg.Others == nil {
		cfg.Others = func() int { return 0 }
	}
	client, err := outbound.New(outbound.Config{
		URLs: cfg.URLs, Networks: cfg.Networks, Timeout: cfg.Timeout, Connections: connections, AnswerBytes: answerBytes,
	})
	if err != nil {
		return nil, err
	}
	h := &Handler{cfg: cfg, client: client, streams: map[string]*Stream{}, left: make(poll.Left, 1)}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h, nil
}

// Error refuses a subscription. Message is safe to show.
type Error struct {
	Status        int
	Code, Message string
	label, limit  string // of observe.ConnectionsRefused and observe.Limited; "": not counted there
}

func (e *Error) Error() string { return e.Message }

// HTTP is how the request is answered.
func (e *Error) HTTP() (status int, errorCode, message string) { return e.Status, e.Code, e.Message }

func refuse(errorCode, message string) *Error {
	return &Error{code.Status(errorCode), errorCode, message, "", ""}
}

// Open reserves a place for a subscription whose request has these extensions. The stream is then confirmed and begun,
// or abandoned.
func (h *Handler) Open(extensions []byte) (*Stream, error) {
	a, no := readAsk(extensions)
	if no != nil {
		return nil, no
	}
	if h.client.Check(a.url) != nil {
		return nil, refuse(code.Forbidden, "the callback URL is not allowed")
	}
	s := newStream(h, a)
	if no := h.enter(s); no != nil {
		return nil, h.refused(no)
	}
	if h.cfg.Gates == nil {
		return s, nil
	}
	if _, label, message := h.cfg.Gates.Enter(""); label != "" {
		h.forget(s)
		return nil, h.refused(&Error{http.StatusServiceUnavailable, code.RateLimited, message, label, ""})
	}
	return s, nil
}

// refused counts a refusal and returns it.
func (h *Handler) refused(no *Error) *Error {
	if no.label != "" {
		h.cfg.Observer.Counted(observe.ConnectionsRefused, no.label, 1)
	}
	if no.limit != "" {
		h.cfg.Observer.Counted(observe.Limited, no.limit, 1)
	}
	return no
}

// enter takes a stream in.
func (h *Handler) enter(s *Stream) *Error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.draining:
		return &Error{http.StatusServiceUnavailable, code.RateLimited, "the server is shutting down", "draining", ""}
	case h.streams[s.ask.id] != nil:
		return refuse(code.BadUserInput, "a subscription with this subscriptionId is active")
	case len(h.streams) >= h.most():
		return &Error{http.StatusTooManyRequests, code.TooManySubscriptions, "there are as many callback subscriptions as there may be", "limit", "callback_subscriptions"}
	case h.full(len(h.streams) + 1):
		return &Error{http.StatusServiceUnavailable, code.RateLimited, "too many connections", "limit", "connections"}
	}
	h.streams[s.ask.id] = s
	return nil
}

// most is the bound of subscriptions.
func (h *Handler) most() int {
	if h.cfg.MaxSubscriptionsNow != nil {
		return int(h.cfg.MaxSubscriptionsNow.Load())
	}
	return h.cfg.MaxSubscriptions
}

// full reports whether n subscriptions, with the connections of other kinds, are too many.
func (h *Handler) full(n int) bool {
	if h.cfg.MaxConnectionsNow == nil {
		return false
	}
	most := h.cfg.MaxConnectionsNow.Load()
	return most > 0 && int64(n+h.cfg.Others()) > most
}

// work starts a worker, unless the handler is closed.
func (h *Handler) work(run func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.workers.Go(run)
	}
	return !h.closed
}

// forget takes a stream out.
func (h *Handler) forget(s *Stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams, s.ask.id)
	if len(h.streams) == 0 {
		h.left.Note()
	}
}

// list returns the streams in random order.
func (h *Handler) list() []*Stream {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]*Stream, 0, len(h.streams))
	for _, s := range h.streams {
		list = append(list, s)
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// Connections is the number of subscriptions.
func (h *Handler) Connections() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.streams)
}

// EachConn calls f for what waits for each subscription, with the bytes of results that are queued or being posted.
func (h *Handler) EachConn(f func(c *queue.Conn, owed int)) {
	for _, s := range h.list() {
		f(&s.out, s.out.Bytes()+int(s.posting.Load()))
	}
}

// Dismiss ends every subscription of an identity that is gone, and returns how many.
func (h *Handler) Dismiss(gone func(*identity.Identity) bool, closeCode uint16) (n int) {
	for _, s := range h.list() {
		if who := s.who.Load(); who != nil && gone(who) {
			s.End(closeCode)
			n++
		}
	}
	return n
}

// Drain refuses new subscriptions from now on, ends those there are after what waits for them, spread over window,
// and waits until all are gone. With ctx over it returns its error.
func (h *Handler) Drain(ctx context.Context, window time.Duration) error {
	h.mu.Lock()
	h.draining = true
	h.mu.Unlock()
	streams := h.list()
	if err := poll.Spread(ctx, window, len(streams), func(i int) { streams[i].out.CloseAfter(codeRestart, "") }); err != nil {
		return err
	}
	return h.left.Await(ctx, func() bool { return h.Connections() == 0 })
}

// Close ends every worker, without a word to the clients, and waits for them.
func (h *Handler) Close() {
	h.Shut()
	h.workers.Wait()
	h.client.Close()
}

// Shut is Close without the wait.
func (h *Handler) Shut() {
	h.mu.Lock()
	h.draining, h.closed = true, true
	h.mu.Unlock()
	h.cancel()
}
