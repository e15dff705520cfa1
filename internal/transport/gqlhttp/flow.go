package gqlhttp

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/observe"
)

const (
	// flowBytes is taken from a stream for one write.
	flowBytes = 64 << 10
	// flowLinger is how long a stream may take to read what is left after a close was asked for.
	flowLinger = 5 * time.Second
)

// flow is a stream that the handler's goroutine writes: over HTTP/2, where a connection cannot be taken over, and what is
// forwarded.
type flow struct {
	wake chan struct{} // 1 slot
	w    http.ResponseWriter
	held atomic.Int64 // bytes that are being written

	mu      sync.Mutex
	control *http.ResponseController // nil once the handler returns
	cut     bool                     // writes are bounded from now on
	expiry  *time.Timer              // ends the stream with its credentials, also while a write waits; nil: never set
}

func newFlow(w http.ResponseWriter) *flow {
	return &flow{wake: make(chan struct{}, 1), w: w, control: http.NewResponseController(w)}
}

// wakeUp makes the goroutine look at the queue. One that waits for a peer that does not read has a little time to end.
func (f *flow) wakeUp(q *queue.Conn) {
	select {
	case f.wake <- struct{}{}:
	default:
	}
	if q.Closing() {
		f.hurry(time.Now().Add(flowLinger))
	}
}

// hurry bounds the writes, once.
func (f *flow) hurry(until time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.control == nil || f.cut {
		return
	}
	f.cut = true
	// Without deadlines the peer's own patience is the bound.
	_ = f.control.SetWriteDeadline(until)
}

// within gives each write from now on so much time, 0: any, unless hurry has bounded them.
func (f *flow) within(d time.Duration) {
	until := time.Time{}
	if d > 0 {
		until = time.Now().Add(d)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.control != nil && !f.cut {
		// Whoever has no deadlines needs none lifted, and its own patience is the bound.
		_ = f.control.SetWriteDeadline(until)
	}
}

// done forgets the response, which must not be used once the handler has returned.
func (f *flow) done() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.control = nil
	if f.expiry != nil {
		f.expiry.Stop()
	}
}

// expireIn calls expire after some time, in place of what was to be called before.
func (f *flow) expireIn(d time.Duration, expire func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.control == nil:
	case f.expiry == nil:
		f.expiry = time.AfterFunc(d, expire)
	default:
		f.expiry.Reset(d)
	}
}

// Leaver is a response whose client can be sent away from outside, alone, without the end of the request's context.
type Leaver interface {
	// OnLeave is told how: leave ends the stream after what waits for it, so that the client comes back. It is called at
	// most once for a request, before the stream is written, by the handler's goroutine; leave may be called by anybody,
	// at any time and more than once, and does not wait.
	OnLeave(leave func())
}

// leavable lets whoever owns the response end its stream, if it can.
func (x *exchange) leavable(leave func()) {
	if l, ok := x.w.(Leaver); ok {
		l.OnLeave(leave)
	}
}

// flows are the streams that goroutines write.
type flows struct {
	mu     sync.Mutex
	open   map[*conn]struct{}
	closed bool
	stop   chan struct{}
	wg     sync.WaitGroup
}

func (s *flows) init() {
	s.open, s.stop = make(map[*conn]struct{}), make(chan struct{})
}

// enter adds a stream, unless the handler is closed.
func (s *flows) enter(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.open[c] = struct{}{}
	s.wg.Add(1)
	return true
}

func (s *flows) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	s.wg.Done()
}

func (s *flows) each(f func(*conn)) {
	s.mu.Lock()
	list := make([]*conn, 0, len(s.open))
	for c := range s.open {
		list = append(list, c)
	}
	s.mu.Unlock()
	for _, c := range list {
		f(c)
	}
}

// shut cuts every stream, now and from now on. Their goroutines end.
func (s *flows) shut() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.stop)
	}
	s.mu.Unlock()
	s.each(func(c *conn) { c.flow.hurry(time.Now()) })
}

// serve writes a stream until it ends. An end that is not in order resets the response.
func (s *flows) serve(c *conn, x *exchange) {
	if !canFlush(x.w) {
		x.h.cfg.Bare()
		c.abandon()
		x.refuse(cannotFlush())
		return
	}
	if !s.enter(c) {
		c.abandon()
		x.refuse(busy())
		return
	}
	h := x.h
	h.cfg.Observer.Counted(observe.ConnectionsOpened, c.format.label(), 1)
	err, code := error(io.ErrClosedPipe), uint16(0)
	defer func() {
		c.flow.done()
		if code == 0 { // a close that the peer left no chance to write
			items, _ := c.out.Take(nil, 0)
			_, code = c.frames(nil, items)
		}
		c.out.Shut()
		c.gone()
		h.ended(code, err)
		s.leave(c)
		c.leave()
	}()
	for name, values := range c.header() {
		x.w.Header()[name] = values
	}
	x.w.Header().Add("Vary", "Accept")
	// The answer lasts; whoever has no deadlines needs none lifted.
	_ = c.flow.control.SetWriteDeadline(time.Time{})
	x.w.WriteHeader(http.StatusOK)
	c.start()
	c.expireFlow()
	c.enrolled(x)
	x.leavable(c.dismiss)
	if code, err = c.write(x.name, x.r.Context().Done(), s.stop); code != codeDone {
		panic(http.ErrAbortHandler)
	}
}

// cannotFlush refuses a stream whose response cannot be flushed.
func cannotFlush() *refusal {
	no := internal()
	no.message = "a stream cannot be flushed here: what wraps an http.ResponseWriter needs Unwrap"
	return no
}

// errStopped ends the streams of a handler that is closed.
var errStopped = errors.New("handler closed")

// write is the loop of a stream's goroutine. It returns the code of the close that ended it.
func (c *conn) write(name string, left, stop <-chan struct{}) (code uint16, err error) {
	var items []queue.Item
	if err := c.flow.send(c.opening(nil, name)); err != nil {
		return 0, err
	}
	var buf []byte
	tick := time.NewTimer(c.nextLook())
	defer tick.Stop()
	for {
		var more bool
		items, more = c.out.Take(items[:0], flowBytes)
		buf, code = c.frames(buf[:0], items)
		clear(items)
		if err := c.flow.send(buf); err != nil || code != 0 {
			return code, err
		}
		if more {
			continue
		}
		if cap(buf) > flowBytes {
			buf = nil
		}
		select {
		case <-c.flow.wake:
			tick.Reset(c.nextLook())
		case <-tick.C:
			if next := c.look(c.handler.cfg.Poller.Current()); next > 0 {
				tick.Reset(min(c.nextLook(), time.Duration(next)*c.handler.cfg.Poller.Tick()))
			}
		case <-left:
			return 0, io.EOF
		case <-stop:
			return 0, errStopped
		}
	}
}

// send writes and flushes; it waits for the peer.
func (f *flow) send(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	f.held.Store(int64(len(p)))
	defer f.held.Store(0)
	if _, err := f.w.Write(p); err != nil {
		return err
	}
	return f.control.Flush()
}

// frames appends the frames of items, and returns the code of a close among them.
func (c *conn) frames(dst []byte, items []queue.Item) ([]byte, uint16) {
	for i := range items {
		it := &items[i]
		dst = c.AppendPrefix(dst, it)
		if it.Message != nil {
			dst = c.AppendSuffix(append(dst, it.Message.Payload...), it)
		} else if it.Control.Kind == queue.Close {
			return dst, it.Control.Code
		}
	}
	return dst, 0
}
