//go:build linux && !fqmemory

package embed

import (
	"encoding/binary"
	"errors"
	"sync"
	"time"

	fraiseql "github.com/fraiseql/fraiseql-go"
)

// endpointConfig says how clients are served, over the host's WebSockets or our own.
type endpointConfig struct {
	fraiseql.HandlerConfig
	authenticate bool
	host, path   string
	port, token  int
	hooks        hooking
}

// authenticators is how many clients may be asked for at a time: the host decides how fast it answers.
const authenticators = 1024

// parseEndpoint reads the configuration of sessions, or with listens that of a server.
func (e *Engine) parseEndpoint(text []byte, listens bool) (*endpointConfig, error) {
	c := &endpointConfig{host: "127.0.0.1", path: "/graphql"}
	c.ReleaseMemory = false
	errs := readObject(text, "config", func(name string, m member) bool {
		return c.member(name, m) || listens && c.address(name, m)
	})
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if c.authenticate {
		c.Authenticator, c.Workers, c.Anonymous = (*asking)(e), authenticators, false
	} else if !c.Anonymous {
		return nil, bad("anonymous", "nobody could connect: set authenticate, or anonymous to admit everybody")
	}
	if c.hooks.asks() {
		c.Hooks, c.Workers = c.hooks.make(e), authenticators
	}
	return c, nil
}

func (c *endpointConfig) member(name string, m member) bool {
	switch name {
	case "anonymous":
		m.flag(&c.Anonymous)
	case "authenticate":
		m.flag(&c.authenticate)
	case "message_bytes":
		m.count(&c.MessageBytes)
	case "init_timeout":
		m.seconds(&c.InitTimeout)
	case "ping_interval":
		m.interval(&c.PingInterval)
	case "pong_timeout":
		m.seconds(&c.PongTimeout)
	case "max_connections":
		m.count(&c.MaxConnections)
	case "origins":
		m.texts(&c.Origins)
	case "cookie":
		m.text(&c.Cookie)
	case "legacy_graphql_ws":
		m.flag(&c.LegacyGraphQLWS)
	case "hooks":
		m.members(c.hooks.member)
	default:
		return false
	}
	return true
}

func (c *endpointConfig) address(name string, m member) bool {
	switch name {
	case "host":
		m.text(&c.host)
	case "port":
		m.countTo(&c.port, 65535)
	case "token":
		m.count(&c.token)
	case "path":
		if m.text(&c.path); len(c.path) == 0 || c.path[0] != '/' || c.path == healthPath {
			m.fail("must begin with / and not be " + healthPath)
		}
	default:
		return false
	}
	return true
}

// interval reads a length of time of which 0 means never.
func (m member) interval(dst *time.Duration) {
	var n float64
	if m.ref >= 0 && !m.null() {
		before := len(*m.errs)
		if m.number(&n); len(*m.errs) == before && n == 0 {
			*dst = -1
			return
		}
		*m.errs = (*m.errs)[:before]
	}
	m.seconds(dst)
}

// sessions is one endpoint whose WebSockets the host owns.
type sessions struct {
	engine *Engine
	facade *fraiseql.Sessions
}

// Sessions makes an endpoint.
func (e *Engine) Sessions(config []byte) (int64, error) {
	c, err := e.parseEndpoint(config, false)
	if err != nil {
		return 0, err
	}
	made, err := e.facade.Sessions(c.HandlerConfig)
	if err != nil {
		return 0, refusedConfig(err)
	}
	s := &sessions{e, made}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.connections == nil {
		return 0, errClosed
	}
	handle := e.lib.sessions.put(s)
	e.endpoints = append(e.endpoints, handle)
	return handle, nil
}

// session is one client of a host.
type session struct {
	engine  *Engine
	facade  guest
	handle  int64
	note    *note
	receive sync.Mutex // one message at a time
	take    sync.Mutex // one take at a time; guards taken
	taken   []fraiseql.Outgoing
}

// hostValue is what a session gives to the authenticator: what the host knows it by, and what it said.
type hostValue struct {
	token   int64
	request []byte
}

// OpenSession starts a session. request is a JSON object: authorization, cookie, origin, host, remote_addr, as the
// HTTP request had them; what else it holds is for the host's own authentication. With a method it is an HTTP request
// that is no WebSocket: path, query and headers (names and values in turn) are read, too, its body is the first message,
// and its answer is taken as a head (kind 2), pieces of the body and an end.
func (e *Engine) OpenSession(endpoint int64, request []byte, mailbox, token int64) (int64, error) {
	s, ok := e.lib.sessions.get(endpoint)
	if !ok || s.engine != e {
		return Unknown, nil
	}
	b := e.mailbox(mailbox)
	if b == nil {
		return Unknown, nil
	}
	r, h, err := parseRequest(request)
	if err != nil {
		return 0, err
	}
	r.Value = &hostValue{token, clone(request)}
	c := &session{engine: e, note: &note{box: b, token: token}}
	if h.method != "" {
		err = c.exchange(s.facade, &r, &h)
	} else {
		err = c.webSocket(s.facade, r)
	}
	if err != nil {
		return 0, err
	}
	c.handle = e.lib.clients.put(c)
	e.mu.Lock()
	closed := e.connections == nil
	if !closed {
		e.sessions[c.handle] = c
	}
	e.mu.Unlock()
	if closed {
		c.close()
		return 0, errClosed
	}
	return c.handle, nil
}

func (c *session) webSocket(s *fraiseql.Sessions, r fraiseql.SessionRequest) error {
	made, err := s.Open(r, c.note.tell)
	if err == nil {
		c.facade = made
	}
	return err
}

func (c *session) exchange(s *fraiseql.Sessions, r *fraiseql.SessionRequest, h *httpRequest) error {
	request, err := h.make(r)
	if err == nil {
		c.facade = &exchange{sessions: s, request: request, value: r.Value, wake: c.note.tell}
	}
	return err
}

func parseRequest(text []byte) (r fraiseql.SessionRequest, h httpRequest, err error) {
	if len(text) == 0 {
		return r, h, nil
	}
	errs := readObject(text, "request", func(name string, m member) bool {
		switch name {
		case "authorization":
			m.text(&r.Authorization)
		case "cookie":
			m.text(&r.Cookie)
		case "origin":
			m.text(&r.Origin)
		case "host":
			m.text(&r.Host)
		case "remote_addr":
			m.text(&r.RemoteAddr)
		case "legacy":
			m.flag(&r.Legacy)
		default:
			h.member(name, m)
		}
		return true
	})
	return r, h, errors.Join(errs...)
}

func (e *Engine) session(handle int64) *session {
	c, ok := e.lib.clients.get(handle)
	if !ok || c.engine != e {
		return nil
	}
	return c
}

// SessionReceive takes a text message of the client: 0 or Unknown.
func (e *Engine) SessionReceive(handle int64, message []byte) int64 {
	c := e.session(handle)
	if c == nil {
		return Unknown
	}
	c.receive.Lock()
	defer c.receive.Unlock()
	c.facade.Receive(message)
	return 0
}

// SessionTake appends what is to be sent, about limit bytes of it, each uint32 kind + uint32 close code + uint32 length
// + bytes. n is their number. Where something is left the mailbox is told again: one call for each time is enough.
func (e *Engine) SessionTake(dst []byte, handle, limit int64) (out []byte, n int64) {
	c := e.session(handle)
	if c == nil {
		return dst, Unknown
	}
	c.take.Lock()
	defer c.take.Unlock()
	var more bool
	if c.taken, more = c.facade.Take(c.taken[:0], int(min(max(limit, 0), maxTake))); more {
		c.note.tell()
	}
	for i := range c.taken {
		o := &c.taken[i]
		dst = binary.NativeEndian.AppendUint32(dst, uint32(o.Kind))
		dst = binary.NativeEndian.AppendUint32(dst, uint32(o.Code))
		dst = binary.NativeEndian.AppendUint32(dst, uint32(len(o.Data)))
		dst = append(dst, o.Data...)
	}
	n = int64(len(c.taken))
	clear(c.taken)
	if cap(c.taken) > keptOutgoing {
		c.taken = nil
	}
	return dst, n
}

// keptOutgoing is the longest list of messages that an idle session keeps.
const keptOutgoing = 16

// SessionShut closes a session from this side after what waits for its client: 0 or Unknown.
func (e *Engine) SessionShut(handle, code int64, reason []byte) (int64, error) {
	c := e.session(handle)
	if c == nil {
		return Unknown, nil
	}
	if code < 1000 || code > 4999 {
		return 0, bad("code", "must be a close code between 1000 and 4999")
	}
	c.facade.ShutAfter(uint16(code), string(reason))
	return 0, nil
}

// SessionClose ends a session whose client is gone: 1, 0 when it was closed before, or Unknown.
func (e *Engine) SessionClose(handle int64) int64 {
	c := e.session(handle)
	if c == nil {
		if e.lib.clients.gone(handle) {
			return 0
		}
		return Unknown
	}
	e.mu.Lock()
	delete(e.sessions, handle)
	e.mu.Unlock()
	return c.close()
}

func (c *session) close() int64 {
	if _, ok := c.engine.lib.clients.remove(c.handle); !ok {
		return 0
	}
	c.facade.Close()
	return 1
}
