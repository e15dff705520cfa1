package ws

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/fraiseql/fraiseql-go/identity"
	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/internal/queue"
	"github.com/fraiseql/fraiseql-go/internal/session"
	"github.com/fraiseql/fraiseql-go/internal/wsframe"
	"github.com/fraiseql/fraiseql-go/observe"
)

// Close codes of this package beside those of session and wsframe.
const (
	CodeGoingAway   = 1001 // the peer was silent for too long
	CodeUnsupported = 1003 // a binary message
	CodeSubprotocol = 4406 // no subprotocol in common
)

// conn is one WebSocket. Nothing else is allocated for it while it is idle.
type conn struct {
	out poll.Conn
	// deflate says that what is sent may be compressed. The writer reads it: beside what else it looks at.
	deflate bool
	// established says that the client was acknowledged, or that the time for connection_init is over, ended that nothing is to be read any more. They and
	// marks belong to the poller's callbacks.
	established, ended bool
	marks              marks
	address            uint32 // of Gates.Enter
	driver             session.Driver
	in                 wsframe.State
	handler            *Handler

	expires atomic.Uint32 // Unix time at which the credentials end, 0: never
	since   uint32        // tick of the connect, then of the last traffic
}

// marks of a connection.
type marks uint8

const (
	markKnown   marks = 1 << iota // the client was acknowledged
	markPinged                    // a ping waits for traffic
	markDeflate                   // what comes may be compressed
)

func newConn(h *Handler, credentials *session.Handshake, protocol string, address uint32) *conn {
	c := &conn{handler: h, since: h.cfg.Poller.Now(), address: address}
	c.driver.Init(h.cfg.Host, c, credentials)
	if protocol == LegacySubprotocol {
		c.driver.SpeakLegacy()
	}
	return c
}

// Outbound implements session.Peer.
func (c *conn) Outbound() *queue.Conn { return c.out.Outbound() }

// Acknowledged implements session.Peer: it notes when the credentials end.
func (c *conn) Acknowledged(who *identity.Identity) {
	c.keepAlive()
	at := uint32(0)
	if !who.ExpiresAt.IsZero() {
		at = uint32(min(max(who.ExpiresAt.Unix()+1, 1), 1<<32-1))
	}
	before := c.expires.Swap(at)
	if at == 0 {
		return
	}
	// Whoever had no end may have no next look either: judging the credentials can last longer than connection_init may take,
	// and silence need not be looked for. Otherwise it is in time for the end that was known.
	if left, wait := time.Until(who.ExpiresAt), c.handler.times.Load().first; before == 0 || left < wait || at < before {
		c.out.SetDeadline(max(min(left, wait), 1))
	}
}

// keepAlive tells a client of the legacy protocol that the server is there and returns the ticks until it must be told
// again, 0 for never.
func (c *conn) keepAlive() uint32 {
	alive := c.handler.times.Load().alive
	if alive == 0 || !c.driver.Legacy() || c.driver.Identity() == nil {
		return 0
	}
	c.out.Control(queue.Control{Kind: queue.Text, Data: session.KeepAliveText})
	return alive
}

// Identity is who was acknowledged, nil before.
func (c *conn) Identity() *identity.Identity { return c.driver.Identity() }

// Name implements session.Peer.
func (c *conn) Name() string {
	if names := c.handler.cfg.Names; names != nil {
		return names.Name(c)
	}
	return ""
}

// Unname implements session.Peer.
func (c *conn) Unname() {
	if names := c.handler.cfg.Names; names != nil {
		names.Forget(c)
	}
}

// Renew implements session.Renewable.
func (c *conn) Renew(who *identity.Identity) error { return c.driver.Renew(who) }

// Shut closes from this side. It may be called from any goroutine.
func (c *conn) Shut(code uint16, reason string) { c.driver.Shut(code, reason) }

// OnBytes implements poll.Owner.
func (c *conn) OnBytes(p []byte) {
	defer c.handler.cfg.Host.Guard(c.out.Abort)
	if c.established {
		c.since = c.out.Tick()
	}
	c.marks &^= markPinged
	held := c.in.Held()
	for len(p) > 0 && !c.ended {
		m, rest, err := c.decoder().Next(&c.in, p)
		if err != nil {
			c.broken(err)
			break
		}
		c.receive(m)
		p = rest
	}
	if !c.established && c.driver.Identity() != nil {
		c.established, c.since = true, c.out.Tick()
	}
	c.account(held)
}

// decoder is the one for what the client may send now. The identity is there before connection_ack is queued.
func (c *conn) decoder() *wsframe.Decoder {
	if c.marks&markKnown == 0 && c.driver.Identity() != nil {
		c.marks |= markKnown
	}
	known, deflate := c.marks&markKnown != 0, c.marks&markDeflate != 0
	d := c.handler.decoders.Load()
	switch {
	case known && deflate:
		return &d.knownDeflate
	case known:
		return &d.known
	case deflate:
		return &d.earlyDeflate
	default:
		return &d.early
	}
}

// account keeps the sum of what incomplete messages hold, and its bound. before is what this one held.
func (c *conn) account(before int) {
	h, now := c.handler, c.in.Held()
	if now == before {
		return
	}
	if sum := h.partial.Add(int64(now - before)); sum > h.cfg.PartialBytes && now > max(before, partialFree) {
		c.end(session.CodeTryAgainLater, "The server is busy, try again later")
		h.partial.Add(-int64(now))
	}
}

// receive handles one whole message or control frame.
func (c *conn) receive(m wsframe.Message) {
	switch m.Op {
	case wsframe.Text:
		if m.Deflated {
			c.inflate(m.Payload)
			return
		}
		c.driver.Receive(m.Payload)
	case wsframe.Binary:
		c.end(CodeUnsupported, "messages are text")
	case wsframe.Ping:
		c.out.Control(queue.Control{Kind: queue.Pong, Data: append([]byte(nil), m.Payload...)})
	case wsframe.Close:
		code, reason := m.CloseStatus()
		c.out.PeerClosed()
		c.end(code, string(reason)) // answered with the same: clients report what they receive
	}
}

// end closes from this side and reads no more. The caller accounts for what c.in held.
func (c *conn) end(code uint16, reason string) {
	c.ended = true
	c.in = wsframe.State{}
	c.driver.Shut(code, reason)
}

// broken ends a connection whose frames, or what they hold, cannot be taken.
func (c *conn) broken(err error) {
	code, reason := wsframe.CodeOf(err)
	if code == wsframe.CodeTooBig {
		c.handler.cfg.Observer.Counted(observe.Limited, "message_bytes", 1)
	}
	c.end(code, reason)
}

// endNow is end outside of OnBytes.
func (c *conn) endNow(code uint16, reason string) {
	held := c.in.Held()
	c.end(code, reason)
	c.account(held)
}

// OnDeadline implements poll.Owner: time for connection_init, credentials, silence. It may come early.
func (c *conn) OnDeadline() {
	defer c.handler.cfg.Host.Guard(c.out.Abort)
	h, now := c.handler, c.out.Tick()
	next := c.checkOpening(now)
	if c.established {
		next = c.checkSilence(now)
		if alive := c.keepAlive(); alive > 0 {
			next = min(next, alive)
		}
	}
	at := c.expires.Load()
	if at != 0 {
		left := int64(at) - time.Now().Unix()
		if left <= 0 {
			c.endNow(session.CodeForbidden, "Forbidden: credentials have expired")
			return
		}
		if ticks := h.cfg.Poller.Ticks(time.Duration(left) * time.Second); next == 0 || ticks < next {
			next = ticks
		}
	}
	c.out.SetDeadlineTicks(next)
	if c.expires.Load() != at { // Acknowledged may have set one that is gone now
		c.out.SetDeadline(1)
	}
}

// checkOpening ends a client that was to be acknowledged by now and is not, unless that is still judged, and returns the ticks to the
// next look at one that has time left.
func (c *conn) checkOpening(now uint32) uint32 {
	t, waited := c.handler.times.Load(), now-c.since
	switch {
	case c.established:
	case c.driver.Identity() != nil:
		c.established = true // silent since it has connected, or nearly
	case waited >= t.opening:
		c.established, c.since = true, now
		c.driver.InitTimeout()
	case t.alive > 0:
		return min(t.opening-waited, t.alive)
	default:
		return t.opening - waited
	}
	return 0
}

// checkSilence pings a silent peer, ends one that stays silent, and returns the ticks to the next look.
func (c *conn) checkSilence(now uint32) uint32 {
	t, silent := c.handler.times.Load(), now-c.since
	switch {
	case t.silence == 0:
		return 0
	case silent < t.silence:
		return t.silence - silent
	case c.marks&markPinged == 0:
		c.marks |= markPinged
		c.since = now - t.silence
		c.out.Control(queue.Control{Kind: queue.Ping})
		return t.patience
	case silent < t.silence+t.patience:
		return t.silence + t.patience - silent
	default:
		c.endNow(CodeGoingAway, "no answer to ping")
		return 0
	}
}

// OnClose implements poll.Owner.
func (c *conn) OnClose(error) {
	defer c.handler.leave(c.address)
	defer c.handler.cfg.Host.Guard(func() {})
	held := c.in.Held()
	c.in = wsframe.State{}
	c.account(held)
	c.driver.Closed()
	c.Unname()
	ended := c.out.CloseCode()
	c.handler.cfg.Observer.Counted(observe.ConnectionsClosed, closeLabel(ended), 1)
	if ended == queue.CodeSlowConsumer {
		c.handler.cfg.TooSlow()
	}
}

// closeLabel is the label of a close code in metrics: those that clients can make up are one.
func closeLabel(code uint16) string {
	switch {
	case code == 0:
		return "abrupt"
	case code >= 1000 && code <= 1014, code >= 4400 && code <= 4429, code == queue.CodeSlowConsumer, code == 4500:
		return strconv.Itoa(int(code))
	default:
		return "other"
	}
}
