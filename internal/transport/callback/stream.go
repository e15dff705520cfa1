package callback

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/jsontape"
	"github.com/fraiseql/fraiseql-go/internal/outbound"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
	"github.com/fraiseql/fraiseql-go/observe"
)

const (
	// tries bounds how often a message is posted, failures the checks in a row that may fail.
	tries    = 5
	failures = 5
	maxPause = 5 * time.Second
)

// Close codes of streams. They are never sent: they say why the stream ends, and label its end in metrics.
const (
	codeDone    = 1000
	codeRestart = 1012
)

// Stream is one subscription.
type Stream struct {
	h    *Handler
	ask  ask
	head []byte // of every message, up to the action
	out  queue.Conn
	wake chan struct{}
	who  atomic.Pointer[identity.Identity]
	sub  *hub.Subscription

	posting atomic.Int64 // bytes of the message that is being posted

	missed int           // checks in a row that failed
	slow   bool          // ended because results were taken too slowly
	fresh  chan struct{} // 1 slot: the credentials end at another time
}

func newStream(h *Handler, a ask) *Stream {
	s := &Stream{h: h, ask: a, wake: make(chan struct{}, 1), fresh: make(chan struct{}, 1)}
	s.head = jsontape.AppendQuoted([]byte(`{"kind":"subscription","id":`), a.id)
	s.head = jsontape.AppendQuoted(append(s.head, `,"verifier":`...), a.verifier)
	s.head = slices.Clip(append(s.head, `,"action":"`...))
	s.out.Init(s, h.cfg.Queue)
	return s
}

// Wake implements queue.Sink.
func (s *Stream) Wake(*queue.Queue) {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Outbound is where results of the subscription are queued.
func (s *Stream) Outbound() *queue.Conn { return &s.out }

// Confirm gives the stream its subscription and asks the client's address whether it knows of it. It blocks until the
// answer, a few seconds at most. With an error the stream is to be abandoned.
func (s *Stream) Confirm(ctx context.Context, sub *hub.Subscription, who *identity.Identity) error {
	s.sub = sub
	s.who.Store(who)
	answer, err := s.h.client.Post(ctx, s.ask.url, header(), append(s.head, `check"}`...))
	if err != nil || answer.Status != http.StatusNoContent {
		return refuse(code.BadUserInput, "the callback URL did not answer the check with 204")
	}
	return nil
}

// Begin starts the worker: the request has been answered.
func (s *Stream) Begin() {
	h := s.h
	h.cfg.Observer.Counted(observe.ConnectionsOpened, "callback", 1)
	if !h.work(s.run) {
		s.gone("abrupt")
	}
}

// Abandon ends a stream that was not begun.
func (s *Stream) Abandon() {
	if s.h.cfg.Names != nil {
		s.h.cfg.Names.Forget(s)
	}
	s.out.Shut()
	if s.sub != nil {
		s.sub.Complete()
	}
	s.h.forget(s)
}

// Identity implements session.Renewable.
func (s *Stream) Identity() *identity.Identity {
	if s.out.Closing() {
		return nil
	}
	return s.who.Load()
}

// Renew implements session.Renewable.
func (s *Stream) Renew(who *identity.Identity) error {
	s.h.cfg.Host.Engine().Readmit(s.sub, who)
	s.who.Store(who)
	select {
	case s.fresh <- struct{}{}:
	default:
	}
	return nil
}

// Shut implements session.Renewable.
func (s *Stream) Shut(closeCode uint16, _ string) { s.End(closeCode) }

// gone ends a stream that was.
func (s *Stream) gone(label string) {
	s.Abandon()
	s.h.cfg.Host.Engine().Left(s.who.Load())
	s.h.cfg.Observer.Counted(observe.ConnectionsClosed, label, 1)
	if s.slow {
		s.h.cfg.TooSlow()
	}
}

// End ends the stream now, without what waits, for the reason that a close code stands for.
func (s *Stream) End(closeCode uint16) {
	s.out.Control(queue.Control{Kind: queue.Close, Code: closeCode})
}

// run posts until the subscription has ended.
func (s *Stream) run() {
	label := "abrupt"
	defer func() { s.gone(label) }()
	defer s.h.cfg.Host.Guard(func() {})
	c := s.clock()
	defer c.stop()
	for {
		select {
		case <-s.h.ctx.Done():
			return
		case <-c.expiry.C:
			s.expire(c)
		case <-s.fresh:
			s.arm(c)
		case <-c.beats:
			if !s.check() {
				return
			}
		case <-s.wake:
			if ended, as := s.drain(c); ended {
				label = as
				return
			}
		}
	}
}

// clock is what a stream looks at while it posts.
type clock struct {
	beats  <-chan time.Time // for checks; nil: none
	expiry *time.Timer      // of the credentials
	ticker *time.Ticker     // of beats
}

func (s *Stream) clock() *clock {
	c := &clock{expiry: time.NewTimer(0)}
	if s.ask.interval > 0 {
		c.ticker = time.NewTicker(s.ask.interval)
		c.beats = c.ticker.C
	}
	s.arm(c)
	return c
}

// arm sets the time at which the credentials that are valid now end.
func (s *Stream) arm(c *clock) {
	if at := s.who.Load().ExpiresAt; at.IsZero() {
		c.expiry.Stop()
	} else {
		c.expiry.Reset(time.Until(at))
	}
}

// expire ends the stream, unless fresh credentials have come at the same time.
func (s *Stream) expire(c *clock) {
	if at := s.who.Load().ExpiresAt; at.IsZero() || time.Now().Before(at) {
		s.arm(c)
		return
	}
	s.End(session.CodeForbidden)
}

func (c *clock) stop() {
	c.expiry.Stop()
	if c.ticker != nil {
		c.ticker.Stop()
	}
}

// drain posts what waits, with checks in between, and as long as the credentials are valid.
func (s *Stream) drain(c *clock) (ended bool, label string) {
	var items []queue.Item
	for more := true; more; {
		items, more = s.out.Take(items[:0], 1)
		for i := range items {
			if ended, label = s.item(&items[i]); ended {
				return true, label
			}
		}
		clear(items)
		select {
		case <-c.expiry.C:
			s.expire(c)
			more = true // at least the close waits
		case <-s.fresh:
			s.arm(c)
		case <-c.beats:
			if !s.check() {
				return true, "abrupt"
			}
		default:
		}
	}
	return false, ""
}

// item posts one message of the queue.
func (s *Stream) item(it *queue.Item) (ended bool, label string) {
	switch {
	case it.Queue == nil && it.Control.Kind == queue.Close:
		s.slow = it.Control.Code == queue.CodeSlowConsumer
		s.complete(why(it.Control.Code))
		return true, strconv.Itoa(int(it.Control.Code))
	case it.Queue == nil:
		return false, ""
	case it.Message.End:
		s.complete(it.Message.Payload)
		return true, strconv.Itoa(codeDone)
	}
	// A buffer of its own: net/http may still read it when the answer is there.
	body := append(make([]byte, 0, len(s.head)+len(it.Message.Payload)+64), s.head...)
	body = append(append(body, `next","payload":`...), it.Message.Payload...)
	if s.post(append(session.AppendExtensions(body, it), '}', '}')) {
		return false, ""
	}
	return true, "abrupt"
}

// complete tells that the subscription has ended; errors is a JSON array or nil.
func (s *Stream) complete(errors []byte) {
	body := append(s.head, `complete"`...)
	if errors != nil {
		body = append(append(body, `,"errors":`...), errors...)
	}
	s.post(append(body, '}'))
}

// why is the error of a subscription that this side ends.
func why(closeCode uint16) []byte {
	switch closeCode {
	case queue.CodeSlowConsumer:
		return session.AppendErrors(nil, code.SlowConsumer, "results were taken too slowly")
	case session.CodeForbidden:
		return session.AppendErrors(nil, code.Unauthenticated, "the credentials have expired or were revoked")
	case codeRestart:
		return session.AppendErrors(nil, code.RateLimited, "the server restarts, subscribe again")
	default:
		return session.AppendErrors(nil, code.InternalServerError, "internal server error")
	}
}

// check asks whether the client still wants the subscription.
func (s *Stream) check() bool {
	answer, err := s.h.client.Post(s.h.ctx, s.ask.url, header(), append(s.head, `check"}`...))
	if err == nil && answer.Status/100 == 2 {
		s.missed = 0
		return true
	}
	s.missed++
	return s.missed < failures && !final(answer, err)
}

// post sends a message, and again after failures that may pass. False ends the subscription.
func (s *Stream) post(body []byte) bool {
	s.posting.Store(int64(len(body)))
	defer s.posting.Store(0)
	for try := 1; ; try++ {
		answer, err := s.h.client.Post(s.h.ctx, s.ask.url, header(), body)
		if err == nil && answer.Status/100 == 2 {
			return true
		}
		if try == tries || final(answer, err) {
			return false
		}
		pause := min(s.h.cfg.Pause<<(try-1), maxPause)
		select {
		case <-s.h.ctx.Done():
			return false
		case <-time.After(pause/2 + rand.N(pause/2+1)):
		}
	}
}

// final reports whether the client does not want the subscription any more (404), does not know it, or has moved to
// an address that is not allowed.
func final(answer *outbound.Answer, err error) bool {
	if err != nil {
		return errors.Is(err, outbound.ErrNotAllowed) || errors.Is(err, outbound.ErrAddress) || errors.Is(err, context.Canceled)
	}
	switch answer.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return answer.Status < 500
}

func header() http.Header {
	return http.Header{"Content-Type": {"application/json"}, "Subscription-Protocol": {Protocol}}
}
