package ws

import (
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fraiseql/fraiseql-go/internal/code"
	"github.com/fraiseql/fraiseql-go/internal/origin"
	"github.com/fraiseql/fraiseql-go/internal/poll"
	"github.com/fraiseql/fraiseql-go/internal/wsframe"
	"github.com/fraiseql/fraiseql-go/observe"
)

const (
	// acceptGUID is appended to the client's key (RFC 6455, 1.3).
	acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	// upgradeTimeout bounds writing the answer to an upgrade.
	upgradeTimeout = 5 * time.Second
)

// retryAfter is the seconds after which a client should come back, spread so that not all do at once.
func retryAfter() string { return strconv.Itoa(1 + rand.IntN(10)) }

// IsUpgrade reports whether a request asks for a WebSocket.
func IsUpgrade(r *http.Request) bool {
	return hasToken(r.Header, "Connection", "upgrade") && hasToken(r.Header, "Upgrade", "websocket")
}

// Wanted reports whether a request is about a WebSocket, well formed or not. Other upgrades (h2c) may be ignored.
func Wanted(r *http.Request) bool {
	return hasToken(r.Header, "Upgrade", "websocket") || len(r.Header.Values("Sec-WebSocket-Key")) > 0
}

// refusal is why a request is not upgraded.
type refusal struct {
	status  int
	label   string // of observe.ConnectionsRefused
	code    string
	message string
}

// ServeHTTP upgrades the request and returns; the connection then lives in the poller.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if no := h.check(w.Header(), r); no != nil {
		h.refuse(w, no)
		return
	}
	address, no := h.admit(r.RemoteAddr)
	if no != nil {
		w.Header().Set("Retry-After", retryAfter())
		h.refuse(w, no)
		return
	}
	if no := h.upgrade(w, r, address); no != nil {
		h.leave(address)
		h.refuse(w, no)
	}
}

// check validates the opening handshake (RFC 6455, 4.2.1).
func (h *Handler) check(answer http.Header, r *http.Request) *refusal {
	bad := func(status int, message string) *refusal {
		return &refusal{status, "handshake", code.BadUserInput, message}
	}
	switch {
	case r.Method != http.MethodGet:
		answer.Set("Allow", http.MethodGet)
		return bad(http.StatusMethodNotAllowed, "a WebSocket is opened with GET")
	case r.ProtoMajor != 1 || r.ProtoMinor < 1:
		return bad(http.StatusHTTPVersionNotSupported, "a WebSocket is opened over HTTP/1.1")
	case !IsUpgrade(r):
		answer.Set("Upgrade", "websocket")
		answer.Set("Connection", "Upgrade")
		return bad(http.StatusUpgradeRequired, "send Connection: Upgrade and Upgrade: websocket")
	case r.Header.Get("Sec-WebSocket-Version") != "13":
		answer.Set("Sec-WebSocket-Version", "13")
		return bad(http.StatusUpgradeRequired, "Sec-WebSocket-Version must be 13")
	case !validKey(r.Header):
		return bad(http.StatusBadRequest, "Sec-WebSocket-Key must be one base64 value of 16 bytes")
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		return bad(http.StatusBadRequest, "a request for a WebSocket has no body")
	case len(r.Header.Values("Origin")) > 0 && !h.cfg.CheckOrigin(r):
		return &refusal{http.StatusForbidden, "origin", code.Forbidden, "origin not allowed"}
	}
	return nil
}

// admit counts the connection in, unless there are too many.
func (h *Handler) admit(remote string) (address uint32, no *refusal) {
	n := h.open.Add(1)
	if h.cfg.Others != nil {
		n += int64(h.cfg.Others())
	}
	busy := func(label, message string) (uint32, *refusal) {
		h.leave(0)
		return 0, &refusal{http.StatusServiceUnavailable, label, code.RateLimited, message}
	}
	switch {
	case h.draining.Load() != nil:
		return busy("draining", "the server is shutting down")
	case h.cfg.full(n):
		h.cfg.Observer.Counted(observe.Limited, "connections", 1)
		return busy("limit", "too many connections")
	case h.cfg.Gates == nil:
		return 0, nil
	}
	address, reason, message := h.cfg.Gates.Enter(remote)
	if reason != "" {
		return busy(reason, message)
	}
	return address, nil
}

// full reports whether n connections are too many.
func (c *Config) full(n int64) bool {
	most := int64(c.MaxConnections)
	if c.MaxConnectionsNow != nil {
		most = c.MaxConnectionsNow.Load()
	}
	return most > 0 && n > most
}

// leave counts a connection out.
func (h *Handler) leave(address uint32) {
	if address != 0 {
		h.cfg.Gates.Leave(address)
	}
	if h.open.Add(-1) == 0 {
		h.left.Note()
	}
}

// upgrade takes the connection from the HTTP server. Once that has happened nothing can be refused any more.
func (h *Handler) upgrade(w http.ResponseWriter, r *http.Request, address uint32) *refusal {
	credentials := h.cfg.Credentials(r)
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		if errors.Is(err, http.ErrNotSupported) {
			h.cfg.Bare()
		}
		return &refusal{http.StatusInternalServerError, "handshake", code.InternalServerError, "this connection cannot be upgraded: what wraps an http.ResponseWriter needs Unwrap"}
	}
	var buffered []byte
	if n := rw.Reader.Buffered(); n > 0 {
		peeked, _ := rw.Reader.Peek(n)
		buffered = append(buffered, peeked...)
	}
	protocol := h.agree(r.Header)
	extension, whole := "", false
	if h.cfg.Deflate && protocol != "" {
		extension, whole = wsframe.AgreeDeflate(r.Header.Values("Sec-WebSocket-Extensions"))
	}
	if err := answer(nc, r.Header.Get("Sec-WebSocket-Key"), protocol, extension); err != nil {
		nc.Close()
		h.leave(address)
		h.cfg.Observer.Counted(observe.ConnectionsRefused, "handshake", 1)
		return nil
	}
	c := newConn(h, credentials, protocol, address)
	c.deflate = whole
	if extension != "" {
		c.marks |= markDeflate
	}
	h.register(nc, buffered, c, protocol != "")
	return nil
}

// agree chooses the subprotocol: ours before the legacy one, whatever the client's order; "" for none.
func (h *Handler) agree(offer http.Header) string {
	switch {
	case hasToken(offer, "Sec-WebSocket-Protocol", Subprotocol):
		return Subprotocol
	case h.cfg.Legacy && hasToken(offer, "Sec-WebSocket-Protocol", LegacySubprotocol):
		return LegacySubprotocol
	default:
		return ""
	}
}

// register hands an upgraded connection to the poller.
func (h *Handler) register(nc net.Conn, buffered []byte, c *conn, agreed bool) {
	if !agreed {
		c.ended = true // ignore what it sends
		buffered = nil
	}
	h.cfg.Observer.Counted(observe.ConnectionsOpened, "websocket", 1)
	err := h.cfg.Poller.Register(&c.out, c, poll.Registration{
		Conn: nc, Buffered: buffered, Limits: h.cfg.Queue, Deadline: h.times.Load().first,
	})
	if err != nil {
		h.cfg.Observer.Counted(observe.ConnectionsClosed, "abrupt", 1)
		h.leave(c.address)
		return
	}
	if !agreed {
		c.driver.Shut(CodeSubprotocol, "Subprotocol not acceptable")
	}
	if bye := h.draining.Load(); bye != nil { // admitted before the drain began
		c.out.CloseAfter(bye.code, bye.reason)
	}
}

// answer writes the 101. Without an agreed subprotocol its header is left out (RFC 6455, 4.2.2).
func answer(nc net.Conn, key, protocol, extension string) error {
	if err := nc.SetDeadline(time.Now().Add(upgradeTimeout)); err != nil {
		return err
	}
	b := append(make([]byte, 0, 256), "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	sum := sha1.Sum([]byte(key + acceptGUID))
	b = base64.StdEncoding.AppendEncode(b, sum[:])
	if protocol != "" {
		b = append(b, "\r\nSec-WebSocket-Protocol: "+protocol...)
	}
	if extension != "" {
		b = append(b, "\r\nSec-WebSocket-Extensions: "+extension...)
	}
	if _, err := nc.Write(append(b, "\r\n\r\n"...)); err != nil {
		return err
	}
	return nc.SetDeadline(time.Time{})
}

func (h *Handler) refuse(w http.ResponseWriter, no *refusal) {
	h.cfg.Observer.Counted(observe.ConnectionsRefused, no.label, 1)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(no.status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`+"\n", no.code, no.message)
}

// hasToken reports whether a header's comma-separated values hold a token, compared without case for all but
// subprotocols, which are case-sensitive.
func hasToken(h http.Header, name, token string) bool {
	for _, v := range h.Values(name) {
		for one := range strings.SplitSeq(v, ",") {
			one = strings.TrimSpace(one)
			if one == token || name != "Sec-WebSocket-Protocol" && strings.EqualFold(one, token) {
				return true
			}
		}
	}
	return false
}

func validKey(h http.Header) bool {
	keys := h.Values("Sec-WebSocket-Key")
	if len(keys) != 1 {
		return false
	}
	b, err := base64.StdEncoding.DecodeString(keys[0])
	return err == nil && len(b) == 16
}

// sameOrigin reports whether the Origin names the host that the request was sent to.
func sameOrigin(r *http.Request) bool {
	var none origin.List
	return none.Judge(r) == origin.Own
}
