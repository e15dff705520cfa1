//go:build !fqmemory

package fraiseql

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/origin"
	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/internal/session"
	"github.com/fraiseql/fraiseql-go/internal/transport/gqlhttp"
)

// OutgoingHead is the head of an answer to an HTTP request, the first of an Exchange: Code is the status, Data a JSON
// array of pairs, the headers. What follows are OutgoingText, pieces of the body, and one OutgoingClose: with code 1000
// the body is complete, with any other it must break off, so that the client does not take it for complete.
const OutgoingHead OutgoingKind = 2

// hostedKey finds what the host gave to a request.
type hostedKey struct{}

// Exchange is one HTTP request whose connection the host owns, with its answer: a stream, or one answer. Take must be
// called by one goroutine at a time; otherwise all methods are safe for concurrent use.
type Exchange struct {
	owner  *Sessions
	wake   func()
	header http.Header
	room   chan struct{} // 1 slot: Write may go on
	cancel context.CancelFunc

	mu       sync.Mutex
	waiting  []Outgoing
	bytes    int // of the body in waiting
	status   int // 0: no head yet
	told     bool
	gone     bool // the host has closed it
	deadline time.Time
	leave    func() // ends the stream after what waits, nil before there is one
	leaving  bool   // ShutAfter was called
}

// exchangeBytes is how much of a body waits for the host; beyond it results wait in their queues, within their bounds.
const exchangeBytes = 64 << 10

// OpenHTTP answers an HTTP request of a client, whose body must be bounded by the host or is read up to MessageBytes. r
// needs Method, URL, Host, RemoteAddr, Header and Body; value reaches the Authenticator as Credentials.Request. wake is as
// in Open. The exchange must be closed.
func (s *Sessions) OpenHTTP(r *http.Request, value any, wake func()) (*Exchange, error) {
	if wake == nil {
		return nil, errNoWake
	}
	x := &Exchange{owner: s, wake: wake, header: http.Header{}, room: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), hostedKey{}, value))
	x.cancel = cancel
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		cancel()
		return nil, ErrDraining
	}
	s.exchanges[x] = struct{}{}
	s.answering.Go(func() {
		defer s.answered(x)
		x.serve(r.WithContext(ctx))
	})
	return x, nil
}

// answered forgets an exchange whose answer is complete.
func (s *Sessions) answered(x *Exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.exchanges, x)
}

// serve runs the handler. It ends with the answer.
func (x *Exchange) serve(r *http.Request) {
	defer x.cancel()
	code := uint16(CloseGoingAway)
	defer func() {
		if v := recover(); v != nil && v != http.ErrAbortHandler {
			x.owner.engine.log.Error("panic while serving a client", "panic", v)
		}
		x.finish(code)
	}()
	x.owner.streams.ServeHTTP(x, r)
	code = 1000
}

// finish queues the end.
func (x *Exchange) finish(code uint16) {
	x.mu.Lock()
	if x.status == 0 {
		if code != 1000 {
			x.headLocked(http.StatusInternalServerError)
		} else {
			x.headLocked(http.StatusOK)
		}
	}
	x.waiting = append(x.waiting, Outgoing{Kind: OutgoingClose, Code: code})
	x.tellLocked()
}

// tellLocked wakes the host unless it knows, and lets go of the lock.
func (x *Exchange) tellLocked() {
	first := !x.told && !x.gone
	x.told = true
	x.mu.Unlock()
	if first {
		x.wake()
	}
}

// Header implements http.ResponseWriter.
func (x *Exchange) Header() http.Header { return x.header }

// WriteHeader implements http.ResponseWriter.
func (x *Exchange) WriteHeader(status int) {
	x.mu.Lock()
	if x.status != 0 || status < 200 {
		x.mu.Unlock()
		return
	}
	x.headLocked(status)
	x.tellLocked()
}

func (x *Exchange) headLocked(status int) {
	x.status = status
	pairs := [][2]string{}
	for name, values := range x.header {
		for _, v := range values {
			pairs = append(pairs, [2]string{name, v})
		}
	}
	text, _ := json.Marshal(pairs) // texts can always be written
	x.waiting = append(x.waiting, Outgoing{Kind: OutgoingHead, Code: uint16(status), Data: text})
}

// Write implements http.ResponseWriter: it waits while the host has much to take.
func (x *Exchange) Write(p []byte) (int, error) {
	x.WriteHeader(http.StatusOK)
	for {
		x.mu.Lock()
		until := x.deadline
		switch {
		case x.gone:
			x.mu.Unlock()
			return 0, io.ErrClosedPipe
		case x.bytes < exchangeBytes:
			x.bytes += len(p)
			x.waiting = append(x.waiting, Outgoing{Data: append([]byte(nil), p...)})
			x.tellLocked()
			return len(p), nil
		}
		x.mu.Unlock()
		if !x.await(until) {
			return 0, os.ErrDeadlineExceeded
		}
	}
}

// await waits for room until a deadline; false: it is over.
func (x *Exchange) await(until time.Time) bool {
	if until.IsZero() {
		<-x.room
		return true
	}
	left := time.NewTimer(time.Until(until))
	defer left.Stop()
	select {
	case <-x.room:
		return true
	case <-left.C:
		return false
	}
}

// FlushError is for http.ResponseController: nothing is buffered.
func (x *Exchange) FlushError() error { return nil }

// SetWriteDeadline is for http.ResponseController.
func (x *Exchange) SetWriteDeadline(t time.Time) error {
	x.mu.Lock()
	x.deadline = t
	x.mu.Unlock()
	x.roomy()
	return nil
}

// SetReadDeadline is for http.ResponseController: the body is there.
func (x *Exchange) SetReadDeadline(time.Time) error { return nil }

// roomy makes a Write look again.
func (x *Exchange) roomy() {
	select {
	case x.room <- struct{}{}:
	default:
	}
}

// Take appends what is to be sent, in order; more is always false. See OutgoingHead.
func (x *Exchange) Take(dst []Outgoing, _ int) (out []Outgoing, more bool) {
	x.mu.Lock()
	out = append(dst, x.waiting...)
	clear(x.waiting)
	x.waiting, x.bytes, x.told = x.waiting[:0], 0, false
	x.mu.Unlock()
	x.roomy()
	return out, false
}

// Receive does nothing: the request was there when the exchange began.
func (x *Exchange) Receive([]byte) {}

// Shut ends the answer from this side: a stream breaks off, so that its client comes back.
func (x *Exchange) Shut(uint16, string) { x.cancel() }

// ShutAfter is Shut once everything that waits was taken; nothing goes in after it. A host that does not take it has some
// seconds. One answer is completed all the same, and a request that is not yet answered by a stream ends when it is.
func (x *Exchange) ShutAfter(uint16, string) {
	x.mu.Lock()
	x.leaving = true
	leave := x.leave
	x.mu.Unlock()
	if leave != nil {
		leave()
	}
}

// OnLeave implements gqlhttp.Leaver.
func (x *Exchange) OnLeave(leave func()) {
	x.mu.Lock()
	x.leave = leave
	leaving := x.leaving
	x.mu.Unlock()
	if leaving {
		leave()
	}
}

// Close says that the client is gone, or has the whole answer. Idempotent.
func (x *Exchange) Close() {
	x.mu.Lock()
	x.gone = true
	x.mu.Unlock()
	x.cancel()
	x.roomy()
}

// listen makes what serves the HTTP requests of a host's clients.
func (s *Sessions) listen() (err error) {
	// Nothing is registered: every stream is written by the goroutine of its exchange.
	if s.poller, err = poll.New(poll.Options{Portable: true, KeepMemory: true}); err != nil {
		return err
	}
	s.streams, err = gqlhttp.New(gqlhttp.Config{
		Poller: s.poller, Host: s.host, Origin: func(r *http.Request) origin.Verdict { return s.allowed.Load().Judge(r) }, Queue: &s.engine.connLimits,
		Credentials: func(r *http.Request) *session.Handshake {
			h := s.cfg.handshake(r, s.allowed.Load())
			h.Value = r.Context().Value(hostedKey{})
			return h
		},
		MessageBytesNow: &s.gate.message, OperationsNow: &s.engine.perConnection, Gates: (*gates)(s.engine),
		MaxConnectionsNow: &s.most, Others: s.webSockets, Draft: s.cfg.Draft, Node: s.cfg.Node, Observer: s.engine.observer, TooSlow: s.engine.tooSlow(s.host, "stream"),
	})
	if err != nil {
		return errors.Join(err, s.poller.Close())
	}
	return nil
}
