package gqlhttp

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/hub"
	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
	"github.com/fraiseql/fraiseql-go/observe"
)

// maxExcess is how much a client may send behind a request whose answer is a stream, before it is cut off. Nothing of
// it is answered: the connection ends with the stream.
const maxExcess = 16 << 10

// Close codes of streams. They are never sent: they say how the stream ends, and label its end in metrics.
const (
	codeDone    = 1000 // in order: the subscription has ended
	codeExpired = session.CodeForbidden
)

// conn is one stream. Nothing else is allocated for it while it is idle over HTTP/1.
type conn struct {
	out     poll.Conn
	handler *Handler
	sub     *hub.Subscription // of a distinct stream; set before it is open
	single  *single           // of a single connection's stream
	flow    *flow             // where the handler's goroutine writes; set before live

	expires atomic.Uint32 // Unix time at which the credentials end, 0: never
	wrote   atomic.Uint32 // tick of the last write
	address uint32        // of session.Gates
	excess  uint16        // bytes that came behind the request
	format  format
	chunked bool
	// live says that somebody writes; woken that something came before.
	live, woken atomic.Bool
}

func newConn(h *Handler, f format, address uint32) *conn {
	c := &conn{handler: h, format: f, address: address}
	c.wrote.Store(h.cfg.Poller.Now())
	c.out.Init(c, h.cfg.Queue)
	return c
}

// Wake implements queue.Sink.
func (c *conn) Wake(q *queue.Queue) {
	if !c.live.Load() {
		c.woken.Store(true)
		if !c.live.Load() {
			return
		}
	}
	if c.flow != nil {
		c.flow.wakeUp(&c.out.Conn)
		return
	}
	c.out.Wake(q)
}

// start says that somebody writes from now on.
func (c *conn) start() {
	c.live.Store(true)
	if c.woken.Load() {
		c.Wake(nil)
	}
}

// prepare decides who writes the stream.
func (c *conn) prepare(x *exchange) {
	if canHijack(x.w) && x.r.ProtoMajor == 1 {
		c.chunked = x.r.ProtoAtLeast(1, 1)
		return
	}
	c.flow = newFlow(x.w)
}

// canHijack reports whether a response's connection can be taken over, through wrappers.
func canHijack(w http.ResponseWriter) bool {
	for {
		switch t := w.(type) {
		case http.Hijacker:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return false
		}
	}
}

// canFlush reports whether a response can be flushed, through wrappers.
func canFlush(w http.ResponseWriter) bool {
	for {
		switch t := w.(type) {
		case http.Flusher, interface{ FlushError() error }:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return false
		}
	}
}

// header is that of the stream's answer.
func (c *conn) header() http.Header {
	h := http.Header{
		"Cache-Control":          {"no-cache, no-store, no-transform"},
		"X-Accel-Buffering":      {"no"},
		"X-Content-Type-Options": {"nosniff"},
		"Content-Type":           {"text/event-stream; charset=utf-8"},
		"Content-Encoding":       {"none"},
	}
	if c.format == formatMultipart {
		h.Set("Content-Type", `multipart/mixed;boundary="graphql";subscriptionSpec=1.0`)
		h.Del("Content-Encoding")
	}
	return h
}

// head is the head of an answer over HTTP/1. outer are headers that others have set.
func (c *conn) head(outer http.Header) []byte {
	h := outer.Clone()
	if h == nil {
		h = http.Header{}
	}
	for name, values := range c.header() {
		h[name] = values
	}
	h.Add("Vary", "Accept")
	h.Del("Content-Length")
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	h.Set("Connection", "close")
	if c.chunked {
		// The connection is the stream's, no request after it is answered. But clients take any end for a complete body
		// where the answer says close (undici), so it does not; the hint keeps them from using the connection again.
		h.Set("Connection", "keep-alive")
		h.Set("Keep-Alive", "timeout=1")
		h.Set("Transfer-Encoding", "chunked")
	}
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 200 OK\r\n")
	_ = h.Write(&b) // a bytes.Buffer takes everything
	b.WriteString("\r\n")
	return b.Bytes()
}

// retry is how long an EventSource should wait until it connects again: not all at once.
func retry() int { return 1000 + rand.IntN(4000) }

// opening appends the first bytes of the body, which make clients and proxies see an answer at once. name is that of the
// stream, for a client that asked.
func (c *conn) opening(dst []byte, name string) []byte {
	first := ""
	if name != "" {
		first = `{"data":null,"extensions":` + string(session.AppendName(nil, name)) + "}"
	}
	if c.format == formatMultipart {
		if first != "" {
			first = partHead + `{"payload":` + first + "}" + partEnd
		}
		return c.appendChunk(dst, partEnd+first)
	}
	if first != "" {
		first = sseNext + first + "\n\n"
	}
	return c.appendChunk(dst, ":\n\nretry: "+strconv.Itoa(retry())+"\n\n"+first)
}

// open begins the stream of a connection that is ready. It returns at once where the poller writes, otherwise at the
// end.
func (x *exchange) open(c *conn) {
	if c.flow != nil {
		x.h.flows.serve(c, x)
		return
	}
	nc, rw, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		c.abandon()
		x.refuse(internal())
		return
	}
	var buffered []byte
	if n := rw.Reader.Buffered(); n > 0 {
		peeked, _ := rw.Reader.Peek(n)
		buffered = append(buffered, peeked...)
	}
	h := x.h
	h.cfg.Observer.Counted(observe.ConnectionsOpened, c.format.label(), 1)
	if err := writeHead(nc, c.opening(c.head(x.w.Header()), x.name)); err != nil {
		_ = nc.Close()
		h.cfg.Observer.Counted(observe.ConnectionsClosed, "abrupt", 1)
		c.abandon()
		return
	}
	err = h.cfg.Poller.Register(&c.out, c, poll.Registration{
		Conn: nc, Buffered: buffered, Queued: true, Deadline: c.nextLook(),
	})
	if err != nil {
		h.cfg.Observer.Counted(observe.ConnectionsClosed, "abrupt", 1)
		c.abandon()
		return
	}
	c.start()
	c.enrolled(x)
}

// enrolled looks at what may have changed before the stream was there to be found.
func (c *conn) enrolled(x *exchange) {
	if c.handler.draining.Load() { // admitted before the drain began
		c.dismiss()
	}
	if x.revoked() {
		c.end(codeExpired)
	}
}

// headTimeout bounds writing the head of an answer.
const headTimeout = 5 * time.Second

// writeHead writes the head of a stream, and lifts every deadline of the connection.
func writeHead(nc net.Conn, head []byte) error {
	if err := nc.SetDeadline(time.Now().Add(headTimeout)); err != nil {
		return err
	}
	if _, err := nc.Write(head); err != nil {
		return err
	}
	return nc.SetDeadline(time.Time{})
}

// abandon ends a stream that was never open.
func (c *conn) abandon() {
	c.out.Shut()
	c.gone()
	c.leave()
}

// leave counts a stream that carries something out.
func (c *conn) leave() {
	who := (*identity.Identity)(nil)
	switch {
	case c.single != nil:
		who = c.single.who.Load()
	case c.sub != nil:
		who = c.sub.Identity()
	}
	c.handler.leave(c.address, who)
}

// gone ends what the stream carried.
func (c *conn) gone() {
	if c.sub != nil {
		c.handler.names.forget((*distinct)(c))
		c.sub.Complete()
	}
	if c.single != nil {
		c.single.gone()
	}
}

// OnBytes implements poll.Owner: whatever comes behind the request is discarded.
func (c *conn) OnBytes(p []byte) {
	if c.excess += uint16(min(len(p), maxExcess)); c.excess >= maxExcess {
		c.out.Abort()
	}
}

// OnDeadline implements poll.Owner: credentials, silence. It may come early.
func (c *conn) OnDeadline() {
	defer c.handler.cfg.Host.Guard(c.out.Abort)
	if next := c.look(c.out.Tick()); next > 0 {
		c.out.SetDeadlineTicks(next)
	}
}

// OnClose implements poll.Owner.
func (c *conn) OnClose(err error) {
	defer c.leave()
	defer c.handler.cfg.Host.Guard(func() {})
	c.gone()
	c.handler.ended(c.out.CloseCode(), err)
}

// ended tells how a stream did.
func (h *Handler) ended(code uint16, err error) {
	h.cfg.Observer.Counted(observe.ConnectionsClosed, closeLabel(code, err), 1)
	if code == queue.CodeSlowConsumer {
		h.cfg.TooSlow()
	}
}

// closeLabel is the label of a stream's end. Clients end streams by leaving, which is in order.
func closeLabel(code uint16, err error) string {
	switch {
	case code != 0:
		return strconv.Itoa(int(code))
	case err == nil || errors.Is(err, io.EOF):
		return strconv.Itoa(codeDone)
	default:
		return "abrupt"
	}
}

// pings are the ticks of silence after which the stream says something.
func (c *conn) pings() uint32 {
	return c.handler.cfg.Poller.Ticks(c.silence())
}

// silence is the time after which the stream says something.
func (c *conn) silence() time.Duration {
	if c.format == formatMultipart {
		return c.handler.cfg.MultipartPing
	}
	return c.handler.cfg.SSEPing
}

// look does what is due at a tick and returns the ticks until it is to be called again, 0: never.
func (c *conn) look(now uint32) uint32 {
	every := c.pings()
	next := every
	if silent := now - c.wrote.Load(); silent < every {
		next = every - silent
	} else if !c.stuck() {
		c.out.Control(queue.Control{Kind: queue.Ping})
	}
	if at := c.expires.Load(); at != 0 {
		left := int64(at) - time.Now().Unix()
		if left <= 0 {
			c.end(codeExpired)
			return 0
		}
		next = min(next, c.handler.cfg.Poller.Ticks(time.Duration(left)*time.Second))
	}
	return max(next, 1)
}

// held is how many bytes of results are being written.
func (c *conn) held() int {
	if c.flow != nil {
		return int(c.flow.held.Load())
	}
	return c.out.HeldBytes()
}

// stuck reports whether results wait: the peer does not read, and a ping would be one more thing that waits.
func (c *conn) stuck() bool { return c.out.Bytes() > 0 }

// nextLook is the time until the first look.
func (c *conn) nextLook() time.Duration {
	next := c.silence()
	if at := c.expires.Load(); at != 0 {
		next = min(next, time.Until(time.Unix(int64(at), 0)))
	}
	return max(next, 1)
}

// expireAt ends the stream at a time, or earlier if it was to end earlier.
func (c *conn) expireAt(t time.Time) {
	if t.IsZero() {
		return
	}
	at := uint32(min(max(t.Unix()+1, 1), 1<<32-1))
	for {
		was := c.expires.Load()
		if was != 0 && was <= at || c.expires.CompareAndSwap(was, at) {
			return
		}
	}
}

// expireAnew ends the stream at another time than before, zero: never.
func (c *conn) expireAnew(t time.Time) {
	c.expires.Store(0)
	c.expireAt(t)
	c.lookAgain(t)
}

// lookAgain makes whoever writes the stream look in time at when it ends. The stream must not have ended.
func (c *conn) lookAgain(t time.Time) {
	if !c.live.Load() || t.IsZero() {
		return
	}
	if c.flow != nil {
		c.expireFlow()
	} else if left := time.Until(t); left < c.silence() {
		c.out.SetDeadline(max(left, 1))
	}
}

// expireFlow ends a stream that a goroutine writes, now or when its credentials do: the goroutine may wait for the client.
func (c *conn) expireFlow() {
	at := c.expires.Load()
	if at == 0 {
		return
	}
	if left := time.Until(time.Unix(int64(at), 0)); left > 0 {
		c.flow.expireIn(left, c.expireFlow)
		return
	}
	c.end(codeExpired)
}

// end ends the stream now, without what waits.
func (c *conn) end(code uint16) {
	c.out.Control(queue.Control{Kind: queue.Close, Code: code})
}

// dismiss ends the stream after what waits, so that the client comes back.
func (c *conn) dismiss() { c.out.CloseAfter(codeRestart, "") }
