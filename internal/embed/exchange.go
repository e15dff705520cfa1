//go:build linux && !fqmemory

package embed

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"sync"

	fraiseql "github.com/fraiseql/fraiseql-go"
)

// guest is a client of a host: a session of a WebSocket, or the exchange of an HTTP request.
type guest interface {
	Receive(message []byte)
	Take(dst []fraiseql.Outgoing, maxBytes int) (out []fraiseql.Outgoing, more bool)
	ShutAfter(code uint16, reason string)
	Close()
}

// exchange is an HTTP request whose body is its one message: it is answered once that is there.
type exchange struct {
	sessions *fraiseql.Sessions
	request  *http.Request
	value    any
	wake     func()

	mu    sync.Mutex // guards what follows
	made  *fraiseql.Exchange
	over  bool // it will not begin
	ended bool // and that was taken
}

// Receive implements guest: it takes the whole body, also one of no bytes; what comes later is ignored.
func (x *exchange) Receive(body []byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.made != nil || x.over {
		return
	}
	r := x.request
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(clone(body))), int64(len(body))
	made, err := x.sessions.OpenHTTP(r, x.value, x.wake)
	if err != nil {
		x.over = true
		x.wake()
		return
	}
	x.made = made
}

// Take implements guest.
func (x *exchange) Take(dst []fraiseql.Outgoing, maxBytes int) ([]fraiseql.Outgoing, bool) {
	x.mu.Lock()
	made, end := x.made, x.made == nil && x.over && !x.ended
	x.ended = x.ended || end
	x.mu.Unlock()
	switch {
	case made != nil:
		return made.Take(dst, maxBytes)
	case end:
		return append(dst, fraiseql.Outgoing{Kind: fraiseql.OutgoingClose, Code: fraiseql.CloseGoingAway}), false
	}
	return dst, false
}

// ShutAfter implements guest.
func (x *exchange) ShutAfter(code uint16, reason string) {
	x.mu.Lock()
	x.over = true
	made := x.made
	x.mu.Unlock()
	if made != nil {
		made.ShutAfter(code, reason)
	} else {
		x.wake()
	}
}

// Close implements guest.
func (x *exchange) Close() {
	x.mu.Lock()
	x.over = true
	made := x.made
	x.mu.Unlock()
	if made != nil {
		made.Close()
	}
}

// httpRequest is what a host says of a request that is no WebSocket.
type httpRequest struct {
	method, path, query string
	headers             []string // names and values in turn
}

func (h *httpRequest) member(name string, m member) {
	switch name {
	case "method":
		m.text(&h.method)
	case "path":
		m.text(&h.path)
	case "query":
		m.text(&h.query)
	case "headers":
		m.texts(&h.headers)
	}
}

// make makes the request; who are the members that it has in common with a WebSocket's.
func (h *httpRequest) make(who *fraiseql.SessionRequest) (*http.Request, error) {
	if len(h.headers)%2 != 0 {
		return nil, bad("headers", "must be names and values in turn")
	}
	r := &http.Request{
		Method: h.method, URL: &url.URL{Path: h.path, RawQuery: h.query}, Host: who.Host, RemoteAddr: who.RemoteAddr,
		Header: http.Header{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	for i := 0; i < len(h.headers); i += 2 {
		r.Header.Add(h.headers[i], h.headers[i+1])
	}
	return r, nil
}
