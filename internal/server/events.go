package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fraiseql/fraiseql-go"
	"github.com/fraiseql/fraiseql-go/bus"
	"github.com/fraiseql/fraiseql-go/event"
	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/wire"
	"github.com/fraiseql/fraiseql-go/observe"
)

const (
	// maxProblems bounds the errors of one answer.
	maxProblems = 10
	// publishTimeout bounds the wait for the bus.
	publishTimeout = 30 * time.Second
	// spillTimeout and spillFactor bound what is read of a body only to be thrown away: time, and times limits.publish_bytes.
	// Nothing is read for more than spillsAtOnce requests at a time.
	spillTimeout, spillFactor = 5 * time.Second, 4
	spillsAtOnce              = 16
)

// events is POST /events (docs/reference/http.md).
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	p := &publish{s: s, w: w, r: r}
	p.run()
	if s.opts.Metrics != nil {
		s.opts.Metrics.PublishRequest(p.status)
	}
}

// publish is one request to publish.
type publish struct {
	s      *Server
	w      http.ResponseWriter
	r      *http.Request
	status int
	back   func() // gives back the memory that the body may take
}

func (p *publish) refuse(status int, problems ...problem) {
	p.status = status
	for _, e := range problems {
		p.s.count(observe.PublishRefused, e.Code)
	}
	refuse(p.w, status, problems...)
}

func (p *publish) run() {
	if p.r.Method != http.MethodPost {
		p.w.Header().Set("Allow", http.MethodPost)
		p.refuse(http.StatusMethodNotAllowed, problem{Code: code.BadUserInput, Message: "events are published with POST"})
		return
	}
	if p.s.draining.Load() {
		p.unavailable("the server is about to end, and nothing was published; send all again", 0)
		return
	}
	publisher, status, refusal := p.s.publish.Load().identify(p.r.Header)
	if status != 0 {
		if status == http.StatusUnauthorized {
			p.w.Header().Set("WWW-Authenticate", `Bearer realm="events"`)
		}
		p.refuse(status, refusal)
		return
	}
	proven(p.r)
	p.back = func() {}
	if p.r.ContentLength <= int64(p.s.inForce().Limits.PublishBytes) { // else nothing of it is kept
		back, ok := p.s.borrow(p.r.ContentLength)
		if !ok {
			p.s.count(observe.Limited, "publish_memory")
			p.busy(1, "too many requests at the same time (limits.publish_memory)")
			return
		}
		p.back = sync.OnceFunc(back)
	}
	defer p.back()
	events, status, problems := p.decode()
	if problems == nil {
		if problems = publisher.judge(events); problems != nil {
			status = http.StatusForbidden
		}
	}
	if problems != nil {
		p.refuse(status, problems...)
		return
	}
	if wait := publisher.take(time.Now(), len(events)); wait > 0 {
		p.s.count(observe.Limited, "publish_token_rate")
		p.busy(wait, fmt.Sprintf("more than %d events per second (publish.rate)", p.s.inForce().Publish.Rate))
		return
	}
	p.publish(events)
}

// busy asks the publisher to come again after some seconds.
func (p *publish) busy(seconds int, why string) {
	p.w.Header().Set("Retry-After", strconv.Itoa(seconds))
	p.refuse(http.StatusTooManyRequests, problem{Code: code.RateLimited, Message: why})
}

// publish hands over to the engine. A request that was begun is finished even if the client goes away.
func (p *publish) publish(events []event.Event) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.r.Context()), publishTimeout)
	defer cancel()
	receipt, err := p.s.opts.Publisher.Publish(ctx, events...)
	if err == nil {
		p.status = http.StatusAccepted
		answer(p.w, p.status, struct {
			Accepted int `json:"accepted"`
		}{receipt.Accepted})
		return
	}
	if errors.Is(err, bus.ErrUnavailable) || errors.Is(err, bus.ErrClosed) || errors.Is(err, context.DeadlineExceeded) {
		p.s.log.Warn("bus unavailable", "accepted", receipt.Accepted, "of", len(events), "error", err)
		p.unavailable(unacknowledged(receipt.Accepted, bus.CauseOf(err)), receipt.Accepted)
		return
	}
	if errs := eventErrors(err); len(errs) > 0 {
		// The engine has counted these.
		var problems []problem
		p.status, problems = answerTo(errs, false)
		if wait := retryAfter(err); wait > 0 {
			p.w.Header().Set("Retry-After", strconv.Itoa(wait))
		}
		refuse(p.w, p.status, problems...)
		return
	}
	p.s.log.Error("publish failed", "accepted", receipt.Accepted, "of", len(events), "error", err)
	p.status = http.StatusInternalServerError
	answer(p.w, p.status, failure{Errors: []problem{{Code: code.InternalServerError, Message: "internal error"}}, Accepted: &receipt.Accepted})
}

func (p *publish) unavailable(text string, accepted int) {
	p.status = http.StatusServiceUnavailable
	p.w.Header().Set("Retry-After", "1")
	p.s.count(observe.PublishRefused, code.BusUnavailable)
	answer(p.w, p.status, failure{
		Errors:   []problem{{Code: code.BusUnavailable, Message: text}},
		Accepted: &accepted,
	})
}

// unacknowledged says what a publisher knows, and can do, when the bus has acknowledged some leading events only. What it
// has not acknowledged may be on it all the same, whatever the cause by now: an answer may have been lost.
func unacknowledged(accepted int, cause bus.Cause) string {
	text := "the event bus does not answer"
	if cause != "" && cause != bus.Silent {
		text = "the event bus cannot be used (" + string(cause) + ")"
	}
	const rest = "which may be published all the same; send %s again, with the same ids: one without an id may come twice"
	if accepted == 0 {
		return text + ", and has acknowledged none of the events, " + fmt.Sprintf(rest, "all")
	}
	return text + ", and has not acknowledged the events after `accepted`, " + fmt.Sprintf(rest, "those")
}

// decode reads the body completely: all events are valid, or none is published.
func (p *publish) decode() ([]event.Event, int, []problem) {
	lines, refusal := mediaType(p.r.Header)
	if refusal != nil {
		return nil, http.StatusUnsupportedMediaType, []problem{*refusal}
	}
	cfg := &p.s.inForce().Limits
	tooLarge := problem{Code: code.LimitExceeded, Message: "the body is larger than " + strconv.Itoa(cfg.PublishBytes) + " bytes (limits.publish_bytes)"}
	if p.r.ContentLength > int64(cfg.PublishBytes) {
		p.w.Header().Set("Connection", "close")
		p.s.count(observe.Limited, "publish_bytes")
		if p.r.Header.Get("Expect") == "" { // who waits for 100 Continue has not begun
			p.spill(cfg.PublishBytes)
		}
		return nil, http.StatusRequestEntityTooLarge, []problem{tooLarge}
	}
	// A recorder in a test has no deadlines; a server always does.
	_ = http.NewResponseController(p.w).SetReadDeadline(time.Now().Add(bodyTimeout))
	body := http.MaxBytesReader(p.w, p.r.Body, int64(cfg.PublishBytes))
	lim := wire.Limits{EventBytes: cfg.EventBytes, EventDepth: cfg.EventDepth, BatchBytes: cfg.PublishBytes, BatchEvents: cfg.PublishEvents}
	sc := scratches.Get().(*scratch)
	defer sc.free()
	events, err := sc.decode(body, lim, lines)
	if err == nil && len(events) == 0 {
		return nil, http.StatusBadRequest, []problem{{Code: code.BadUserInput, Message: "the body holds no event"}}
	}
	if err == nil {
		return events, 0, nil
	}
	var over *http.MaxBytesError
	switch errs := eventErrors(err); {
	case errors.As(err, &over):
		p.s.count(observe.Limited, "publish_bytes")
		p.back() // what is read on is not kept
		p.spill(cfg.PublishBytes)
		return nil, http.StatusRequestEntityTooLarge, []problem{tooLarge}
	case len(errs) > 0:
		for _, e := range errs {
			if e.Limit != "" {
				p.s.count(observe.Limited, e.Limit)
			}
		}
		status, problems := answerTo(errs, lines)
		return nil, status, problems
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, http.StatusRequestTimeout, []problem{{Code: code.BadUserInput, Message: "the body did not arrive in " + bodyTimeout.String()}}
	}
	return nil, http.StatusBadRequest, []problem{{Code: code.BadUserInput, Message: "the body could not be read to its end"}}
}

// spill reads on in a body that is too large, within bounds, before the answer: a client that sends all of its body
// first would find its connection reset, and never read the 413. That is a courtesy, for a few at a time.
func (p *publish) spill(limit int) {
	defer p.s.spilling.Add(-1)
	if p.s.spilling.Add(1) > spillsAtOnce {
		return
	}
	_ = http.NewResponseController(p.w).SetReadDeadline(time.Now().Add(spillTimeout))
	_, _ = io.CopyN(io.Discard, p.r.Body, int64(limit)*spillFactor)
}

// mediaType judges Content-Type and Content-Encoding; lines is true for NDJSON.
func mediaType(h http.Header) (lines bool, refusal *problem) {
	const want = "Content-Type must be application/json (one event or an array) or application/x-ndjson (one event per line)"
	if enc := h.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return false, &problem{Code: code.BadUserInput, Message: "Content-Encoding is not supported; send the body as it is"}
	}
	name, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || len(h.Values("Content-Type")) > 1 {
		return false, &problem{Code: code.BadUserInput, Message: want}
	}
	if cs, ok := params["charset"]; ok && !strings.EqualFold(cs, "utf-8") {
		return false, &problem{Code: code.BadUserInput, Message: "charset must be utf-8"}
	}
	switch name {
	case "application/json":
		return false, nil
	case "application/x-ndjson":
		return true, nil
	}
	return false, &problem{Code: code.BadUserInput, Message: want}
}

// eventErrors collects the errors about events in err, however they are joined and wrapped.
func eventErrors(err error) []*event.Error {
	switch e := err.(type) {
	case nil:
		return nil
	case *event.Error:
		return []*event.Error{e}
	case *fraiseql.PublishError:
		return []*event.Error{{Code: e.Code, Member: e.Member, Message: e.Message, Index: e.Index}}
	case wire.Errors:
		return e
	case interface{ Unwrap() []error }:
		var all []*event.Error
		for _, sub := range e.Unwrap() {
			all = append(all, eventErrors(sub)...)
		}
		return all
	}
	return eventErrors(errors.Unwrap(err))
}

// retryAfter is the whole seconds after which what was refused for its rate may be sent again, 0 for none.
func retryAfter(err error) int {
	var refused *fraiseql.PublishError
	if !errors.As(err, &refused) || refused.RetryAfter <= 0 {
		return 0
	}
	return int((refused.RetryAfter + time.Second - 1) / time.Second)
}

// answerTo turns errors about events into an answer. The status is that of the gravest: not readable, too
// large, not allowed, not valid. An error about the body as a whole has no index, unless lines are counted.
func answerTo(errs []*event.Error, lines bool) (int, []problem) {
	status := 0
	rank := []int{http.StatusTooManyRequests, http.StatusUnprocessableEntity, http.StatusForbidden, http.StatusRequestEntityTooLarge, http.StatusBadRequest}
	problems := make([]problem, 0, min(len(errs), maxProblems))
	best := -1
	for _, e := range errs {
		of := code.Status(e.Code)
		for i, r := range rank {
			if r == of && i > best {
				best, status = i, of
			}
		}
		if len(problems) < maxProblems {
			pr := problem{Code: e.Code, Message: e.Message, Member: e.Member}
			if lines || e.Member != "" || e.Index > 0 || len(errs) > 1 {
				pr.Index = &e.Index
			}
			problems = append(problems, pr)
		}
	}
	if status == 0 {
		status = http.StatusUnprocessableEntity
	}
	return status, problems
}
